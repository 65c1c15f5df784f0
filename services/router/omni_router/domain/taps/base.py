"""What the taps of all formats share.

Bytes are relayed as they are, whole events at a time, so that an error can follow at any moment in the words of the
client's dialect. An answer *begins* with the first event that says something of it (a text, a thought, a call, its
end): until then another provider can still be tried, so events that only announce an answer wait with it.
"""

import contextlib
from abc import ABC, abstractmethod
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec
from omni_wire.errors import StreamInterrupted, UpstreamError, UpstreamFailed, WireError
from omni_wire.sse import SseSplitter, parse_event
from omni_wire.surrogates import decode
from omni_wire.usage import Usage

from omni_router.domain import verdict

# What a token is taken to be where the provider gives no count: four bytes of text, the common rule of thumb.
BYTES_A_TOKEN = 4
_ANY = msgspec.json.Decoder()
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")


class NotJson(UpstreamFailed):
    """An event that is no JSON: in mid-stream nonsense, at the end of the bytes half an event."""


class Splitter(Protocol):
    """Cuts a stream into what is read at once: an SSE event, a line. ``rest`` is what has come of the next."""

    rest: bytes

    def feed(self, chunk: bytes) -> list[bytes]: ...


class StreamTap(ABC):
    """``feed`` chunks, then ``end`` at a clean end. ``usage`` is the provider's own count, None until it comes.

    A subclass reads one event in ``_keep``, which says whether to relay it, and completes an answer whose last word
    the provider left out in ``_closing``. ``ending`` is what stands behind every event.
    """

    ending = b"\n\n"

    __slots__ = (
        "_bytes", "_done", "_events", "_finished", "_splitter", "begun", "failure", "finish_reason", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self._splitter: Splitter = SseSplitter()
        self._done = self._finished = self.begun = False
        self._events = self._bytes = 0
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.failure: UpstreamError | None = None

    @property
    def complete(self) -> bool:
        """The answer's end has been seen; whatever breaks now takes nothing from it."""
        return self._done or self._finished

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that ``chunk`` completes.

        At the provider's own error event, and at bytes that are not its format, the events before it are returned and
        the error waits in ``failure``, so that nothing that arrived well is lost.
        """
        try:
            events = self._splitter.feed(chunk)
        except WireError as error:
            self.failure = UpstreamFailed(f"the provider's stream is malformed: {error}")
            return b""
        kept = []
        for event in events:
            try:
                if self._keep(event):
                    kept.append(event)
            except UpstreamError as error:
                self.failure = error
                break
        return kept[0] if len(kept) == 1 else b"".join(kept)

    def end(self) -> bytes:
        """What is left at a clean end of the body. Raises ``StreamInterrupted`` when the answer had not ended,
        or the provider's error when that is its last event."""
        rest, self._splitter.rest = self._splitter.rest.strip(b"\r\n"), b""
        tail = b""
        if rest and not self._done and self._may_be_whole(rest):
            with contextlib.suppress(NotJson):
                tail = rest + self.ending if self._keep(rest + self.ending) else b""
        if not self.complete:
            raise interrupted()
        return tail if self._done else tail + self._closing()

    def _may_be_whole(self, rest: bytes) -> bool:
        """False where what nothing ended is no event: half of one can look like one of another shape, as "[D" does."""
        if not isinstance(self._splitter, SseSplitter):
            return True
        data = parse_event(rest + self.ending).data
        if data is None or data == b"[DONE]":
            return data is not None
        try:
            decode(_ANY, data)
        except NOT_JSON:
            return False
        return True

    def estimate(self) -> int:
        """Output tokens so far, when the provider gave no count."""
        return max(self._events, -(-self._bytes // BYTES_A_TOKEN))

    @abstractmethod
    def _keep(self, raw: bytes) -> bool:
        """Look at one event; whether it is relayed."""

    def _closing(self) -> bytes:
        return b""

    def _said(self, *texts: Any) -> None:
        """Count one delta; what is no text is none."""
        size = 0
        for text in texts:
            if isinstance(text, str):
                size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if size:
            self._events += 1
            self._bytes += size

    def _used(self, usage: Usage | None) -> None:
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merge(usage)


def interrupted() -> StreamInterrupted:
    return StreamInterrupted("the provider ended the stream before the answer was complete")


def broke_off(data: bytes) -> UpstreamError:
    """``data`` is the provider's error event."""
    return verdict.from_told(data, "the provider broke off")


def not_json(data: bytes, error: Exception) -> None:
    """Raises ``NotJson``, unless ``data`` is but blanks, which some send to keep a connection alive."""
    if data.strip():
        raise NotJson("the provider's stream is malformed: an event is not JSON") from error


def decode_answer(decoder: "msgspec.json.Decoder[T]", body: bytes, what: str) -> T:
    """A whole body. Raises ``UpstreamFailed``."""
    try:
        return decode(decoder, body)
    except msgspec.ValidationError as error:
        raise UpstreamFailed(f"the provider's answer is not {what}: {error}") from error
    except NOT_JSON as error:
        raise UpstreamFailed("the provider's answer is not JSON") from error


def refuse_error(body: bytes) -> NoReturn:
    raise verdict.from_told(body, "the provider answered an error under status 200")


def tokens_in(size: int) -> int:
    return -(-size // BYTES_A_TOKEN)


def inner(value: Any, key: str) -> dict[str, Any]:
    """An object inside another; empty where there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
