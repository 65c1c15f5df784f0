"""Playing a prepared answer in time, with the faults that its script asks for."""

import asyncio
from collections.abc import Iterator

from omni_wire.errors import GatewayError, UpstreamRejected

from omni_simulator.formats.aws_frames import TYPE_HEADER, error_type, event
from omni_simulator.http import LAST_CHUNK, Connection, Request, chunk, finish_head, head
from omni_simulator.prepared import JSON, Prepared
from omni_simulator.script import Script

_FLUSH_BYTES = 64 * 1024
_SHARD_PAUSE = 0.001
_DRIPS = 25
_NOT_JSON = b'{"this is": not JSON'
_MALFORMED = {
    "sse": b"data: " + _NOT_JSON + b"\n\n",
    "array": _NOT_JSON + b",",
    "lines": _NOT_JSON + b"\n",
    "connect": b"\0\0\0\0%c" % len(_NOT_JSON) + _NOT_JSON,
    "events": event("contentBlockDelta", _NOT_JSON),
}
_HTML = b"<html><head><title>%d</title></head><body><center><h1>%d</h1></center></body></html>\n"


class Broken(Exception):
    """The answer ended before its end, on purpose."""


class Player:
    """One performance. What a provider would bill of it: ``began`` says whether an answer's head is out, ``sent`` how
    many output tokens were written so far."""

    def __init__(self, request: Request, connection: Connection, prepared: Prepared, script: Script) -> None:
        self._request = request
        self._connection = connection
        self._prepared = prepared
        self._script = script
        self._shredder = _Shredder() if script.split_utf8 else None
        self.began = False
        self.sent = 0

    @property
    def _opening(self) -> bytes:
        prepared, kind = self._prepared, self._script.type
        return prepared.opening if kind is None else prepared.opening.replace(prepared.kind, kind.encode(), 1)

    async def play(self) -> None:
        """Raises ``Broken`` when a fault ended the answer, ``UpstreamRejected`` when it was an error from the start."""
        script, connection = self._script, self._connection
        if script.latency:
            await asyncio.sleep(script.latency / 1000)
        if script.hang:
            await asyncio.Event().wait()
        if script.reset:
            connection.reset()
            raise Broken
        in_stream = script.error_event is not None and self._prepared.frames is not None
        if script.error_200 or (script.status is not None and not in_stream):
            self._write_error()
        if script.empty:
            connection.write(finish_head(self._prepared.opening, self._request, 0))
            raise Broken
        if script.html_200:
            page = _HTML % (200, 200)
            connection.write(finish_head(head(200, b"text/html"), self._request, len(page)) + page)
            raise Broken
        self.began = True
        if self._prepared.frames is not None:
            await self._play_frames()
        else:
            await self._play_whole()

    def _write_error(self) -> None:
        script = self._script
        error = scripted_error(script)
        body = self._prepared.format.error(error, self._prepared.id)
        kind, extra = JSON, [(self._prepared.format.request_id_header, self._prepared.id.encode())]
        if self._prepared.ask.framing == "events":
            extra.append((TYPE_HEADER, error_type(error).encode()))
        if script.html:
            kind, body = b"text/html", _HTML % (error.status, error.status)
        if script.retry_after is not None:
            extra.append((b"retry-after", b"%d" % script.retry_after))
        status = 200 if script.error_200 else error.status
        if script.error_200 and self._prepared.ask.framing == "connect":  # which has no other way under 200
            prepared = self._prepared
            kind, body = prepared.kind, prepared.format.error_frame(prepared.ask, error, prepared.id, first=True)
        self._connection.write(finish_head(head(status, kind, *extra), self._request, len(body)) + body)
        raise error

    async def _play_whole(self) -> None:
        script, prepared, connection = self._script, self._prepared, self._connection
        body = _NOT_JSON if script.malformed is not None else prepared.body
        if self._shredder is not None:
            connection.write(finish_head(self._opening, self._request, None))
            await self._write(body)
            await self._end()
            return
        whole = finish_head(self._opening, self._request, len(body)) + body
        if script.truncate or script.cut is not None or script.cut_in is not None or script.stall is not None:
            half = len(whole) - len(body) + (_middle(script.cut_in, body) or len(body) - len(body) // 2)
            connection.write(whole[:half])
            if script.stall is None:
                connection.close()
                raise Broken
            await self._stall()
            whole = whole[half:]
        if script.drip:
            connection.write(whole[: len(whole) - len(body)])
            size = -(-len(body) // _DRIPS)
            for start in range(0, len(body), size):
                await asyncio.sleep(script.drip / 1000)
                connection.write(body[start : start + size])
        else:
            connection.write(whole)
        self.sent = prepared.usage.output_tokens if prepared.usage else 0

    async def _play_frames(self) -> None:
        script = self._script
        self._connection.write(finish_head(self._opening, self._request, None))
        if script.ttft:
            await asyncio.sleep(script.ttft / 1000)
        assert self._prepared.frames is not None  # noqa: S101 - play() asked
        frames, ending = self._prepared.frames.frames, self._prepared.frames.ending
        faults = self._fault_places(ending)
        loop = asyncio.get_running_loop()
        began, held_bytes, tokens = loop.time(), 0, 0
        held: list[bytes] = []
        for index, (data, weight) in enumerate(frames):
            if index in faults:
                await self._write(b"".join(held), tokens)
                held, held_bytes, tokens = [], 0, 0
                await self._fault(index, faults[index])
            if script.cut_in is not None and ((inside := _middle(script.cut_in, data)) or index == ending):
                await self._write(b"".join(held) + self._framed(data[:inside]) if inside else b"".join(held), tokens)
                await self._fault(index, ["cut"])
            if script.drip and index:
                await self._write(b"".join(held), tokens)
                held, held_bytes, tokens = [], 0, 0
                await asyncio.sleep(script.drip / 1000)
            if script.tps and weight:
                due = began + (self.sent + tokens + weight) / script.tps
                if due > loop.time():
                    await self._write(b"".join(held), tokens)
                    held, held_bytes, tokens = [], 0, 0
                    await asyncio.sleep(due - loop.time())
            held.append(self._framed(data))
            held_bytes += len(data)
            tokens += weight
            if held_bytes >= _FLUSH_BYTES or self._shredder is not None:
                await self._write(b"".join(held), tokens)
                held, held_bytes, tokens = [], 0, 0
        await self._write(b"".join(held), tokens)
        await self._end()

    def _fault_places(self, ending: int) -> dict[int, list[str]]:
        """Index of the event before which each fault comes, never past the one that says how the answer ended."""
        places: dict[int, list[str]] = {}
        for name in ("malformed", "stall", "error_event", "clean_cut", "cut"):
            after = getattr(self._script, name)
            if after is not None:
                places.setdefault(min(after, ending), []).append(name)
        return places

    async def _fault(self, index: int, names: list[str]) -> None:
        for name in names:
            if name == "malformed":
                await self._write(self._framed(_MALFORMED[self._prepared.ask.framing]))
            elif name == "stall":
                await self._stall()
            elif name == "error_event":
                error = scripted_error(self._script)
                prepared = self._prepared
                frame = prepared.format.error_frame(prepared.ask, error, prepared.id, first=index == 0)
                await self._write(self._framed(frame))
                await self._end()
                raise Broken
            elif name == "clean_cut":
                await self._end()
                raise Broken
            else:
                await self._flush_shreds()
                self._connection.close()
                raise Broken

    async def _stall(self) -> None:
        if self._script.stall_ms is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self._script.stall_ms / 1000)

    def _framed(self, data: bytes) -> bytes:
        """Chunked here, unless the shredder makes the chunks later or HTTP/1.0 has none."""
        return chunk(data) if self._request.modern and self._shredder is None else data

    async def _write(self, data: bytes, tokens: int = 0) -> None:
        if data and self._shredder is None:
            self._connection.write(data)
        elif self._shredder is not None:
            for shard in self._shredder.feed(data):
                await self._write_shard(shard)
        self.sent += tokens
        await self._connection.drain()

    async def _write_shard(self, shard: bytes) -> None:
        self._connection.write(chunk(shard) if self._request.modern else shard)
        await asyncio.sleep(_SHARD_PAUSE)  # or the kernel would mend what was cut

    async def _flush_shreds(self) -> None:
        if self._shredder is not None and self._shredder.rest:
            await self._write_shard(self._shredder.take())

    async def _end(self) -> None:
        await self._flush_shreds()
        if self._request.modern:
            self._connection.write(LAST_CHUNK)
        else:
            self._connection.close()


def _middle(text: str | None, data: bytes) -> int:
    """The place in the middle of ``text``, and inside its character where it has only one; 0 where it is not found."""
    sought = (text or "").encode()
    at = data.find(sought) if sought else -1
    return 0 if at < 0 else at + len(sought) // 2


def scripted_error(script: Script) -> GatewayError:
    """The error a script stands for; 500 when it names no status."""
    status = script.status or 500
    return UpstreamRejected(f"the simulator was told to fail with status {status}", status=status, code=script.code)


class _Shredder:
    """Cuts bytes inside every character that has more than one, else in the middle; what is left leads the next cut."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not data:
            return
        offset = len(self.rest)
        joined, start = self.rest + data, 0
        cuts = [offset + at + 1 for at, byte in enumerate(data) if byte >= 0xC0] or [offset + len(data) // 2]
        for cut in cuts:
            if cut > start:
                yield joined[start:cut]
                start = cut
        self.rest = joined[start:]

    def take(self) -> bytes:
        rest, self.rest = self.rest, b""
        return rest
