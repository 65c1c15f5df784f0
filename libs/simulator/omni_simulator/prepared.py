"""From a request's bytes to the bytes of its answer, before any fault and any delay. Pure, and cached."""

import zlib
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest
from omni_wire.usage import Usage

from omni_simulator import brain, embedding
from omni_simulator.formats import CURSOR, Format, cursor
from omni_simulator.http import LAST_CHUNK, chunk, head
from omni_simulator.routes import Route
from omni_simulator.script import Script, read_script
from omni_simulator.values import Ask, Frames

_MAX_CACHED_BODY = 64 * 1024
_MAX_CACHED_ANSWER = 256 * 1024
_MAX_CACHED = 512

_TYPES = {
    "sse": b"text/event-stream; charset=utf-8",
    "array": b"application/json; charset=utf-8",
    "connect": b"application/connect+proto",
    "events": b"application/vnd.amazon.eventstream",
    "lines": b"application/x-ndjson",
}
JSON = b"application/json"


class Prepared:
    """``opening`` is the head without its framing; ``body`` the whole answer, a stream's already in chunks."""

    __slots__ = ("ask", "body", "format", "frames", "id", "kind", "opening", "script", "usage")

    def __init__(
        self, wire: Format, ask: Ask, script: Script, usage: Usage | None, body: bytes, frames: Frames | None
    ) -> None:
        self.format = wire
        self.ask = ask
        self.script = script
        self.usage = usage
        self.id = f"req_{ask.seed}"
        self.frames = frames
        self.body = body
        self.kind = JSON if frames is None else _TYPES[ask.framing]
        self.opening = head(200, self.kind, (wire.request_id_header, self.id.encode()), *_quota(script))


def _quota(script: Script) -> tuple[tuple[bytes, bytes], ...]:
    if script.quota_left is None and script.quota is None:
        return ()
    most = 100 if script.quota is None else script.quota
    left = most if script.quota_left is None else min(script.quota_left, most)
    return (
        (b"x-ratelimit-limit-requests", b"%d" % most),
        (b"x-ratelimit-remaining-requests", b"%d" % left),
        (b"x-ratelimit-reset-requests", b"%dms" % ((most - left) * 60_000 // most)),  # until all of them are back
    )


class Kitchen:
    """Prepares answers, and keeps the latest: the same request has the same answer."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._cache: dict[tuple[Route, bytes, bytes], Prepared] = {}

    def prepare(self, route: Route, header: bytes, body: bytes) -> Prepared:
        """Raises ``InvalidRequest`` for anything that is not a request of the route's format."""
        key = (route, header, body)
        found = self._cache.get(key)
        if found is not None:
            return found
        prepared = _prepare(route, self._script, header, body)
        if len(body) <= _MAX_CACHED_BODY and len(prepared.body) <= _MAX_CACHED_ANSWER:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[key] = prepared
        return prepared


def seed_of(body: bytes) -> str:
    return f"{zlib.crc32(body):08x}{len(body):06x}"


def _prepare(route: Route, default: str, header: bytes, body: bytes) -> Prepared:
    wire = route.format
    decoded = cursor.unpack(body) if wire is CURSOR else _json(body)
    if route.action == "embed":
        wanted = embedding.read(decoded, seed_of(body))
        script = read_script(default, wanted.ask.model, header.decode("latin-1"))
        vectors, usage = embedding.whole(wanted, script.input)
        return Prepared(wire, wanted.ask, script, usage, vectors, None)
    ask = wire.read(decoded, seed_of(body), route.model, route.action)
    script = read_script(default, ask.model, header.decode("latin-1"))
    if route.action == "count":
        tokens = brain.input_tokens(ask) if script.input is None else script.input
        return Prepared(wire, ask, script, None, wire.count(tokens), None)
    answer = brain.answer(ask, script)
    if not ask.stream:
        return Prepared(wire, ask, script, answer.usage, wire.whole(ask, answer), None)
    frames = wire.frames(ask, answer)
    burst = b"".join(chunk(data) for data, _ in frames.frames) + LAST_CHUNK
    return Prepared(wire, ask, script, answer.usage, burst, frames)


def _json(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("the body is not JSON") from error
    if not isinstance(decoded, dict):
        raise InvalidRequest("the body is not a JSON object")
    return decoded
