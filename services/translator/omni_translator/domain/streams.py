"""What the SSE stream machines of all formats share: framing, deferred errors and the fast path.

Theory of the fast path. Most of a stream is text deltas that differ in one JSON string only. Having read one in full,
a decoder remembers the bytes before and after that string; an event with the same two ends and one valid JSON string
between them is, by JSON's own grammar, the same event with another text, and nothing else of it need be read again.
The template holds while nothing but such events comes, so the part it belongs to is still the open one.

OpenAI ends chunks with noise of changing length (``"obfuscation"``, against traffic analysis), which would spoil every
template. Where it is seen it is cut off first: a bare ``,"obfuscation":"`` can stand nowhere inside a JSON string, and
letters, a quote and one brace after it leave it nowhere but last in the outermost object.

Responses numbers its events, which would spoil them too, so there the number is made the same one everywhere: a bare
``"sequence_number":`` can stand nowhere inside a string either, so that the digits after it are a number.
"""

from typing import Final

import msgspec
from omni_wire.errors import WireError
from omni_wire.sse import SseSplitter

from omni_translator.domain.events import Event, Failed, Finished, PartDelta, UsageReported
from omni_translator.domain.fields import to_json
from omni_translator.domain.parts import Assembler

PADDING: Final = b',"obfuscation":"'
_NUMBER: Final = b'"sequence_number":'
_BACKSLASH: Final = 0x5C
_STRING: Final = msgspec.json.Decoder(str).decode


class SseDecoder:
    """Base of the stream decoders. A subclass reads one event in ``_read`` and closes in ``_close``."""

    __slots__ = (
        "_done",
        "_error",
        "_live",
        "_numbered",
        "_padded",
        "_parts",
        "_prefix",
        "_skip_head",
        "_skip_tail",
        "_splitter",
        "_suffix",
    )

    def __init__(self, *, explicit_ends: bool, numbered: bool = False) -> None:
        self._parts = Assembler(explicit_ends=explicit_ends)
        self._splitter = SseSplitter()
        self._error: WireError | None = None
        self._done = False
        self._live = -1  # the part the template writes to; -1: no template
        self._numbered = numbered
        self._padded = False
        self._prefix = b""
        self._suffix = b""
        self._skip_head = 0
        self._skip_tail = 0

    @property
    def error(self) -> WireError | None:
        return self._error

    def feed(self, chunk: bytes) -> list[Event]:
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        if self._done:
            return events
        try:
            for raw in self._splitter.feed(chunk):
                if self._padded:
                    raw = _without_padding(raw)
                if self._numbered:
                    raw = _without_number(raw)
                if self._live >= 0 and raw.startswith(self._prefix) and raw.endswith(self._suffix):
                    try:
                        text = _STRING(raw[self._skip_head : self._skip_tail])
                    except (msgspec.MsgspecError, ValueError):
                        text = ""
                    if text:
                        self._parts.note(text)
                        events.append(PartDelta(self._live, text))
                        continue
                self._live = -1
                self._read(raw, events)
                if self._done:
                    break
        except WireError as error:
            self._error = error
            if not events:
                raise
        return events

    def end(self) -> list[Event]:
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        if self._done:
            return events
        rest = self._splitter.rest
        if rest.strip():
            # A last event without its blank line counts when it is whole; half of one means the stream was cut.
            try:
                self._read(rest.rstrip(b"\r\n") + b"\n\n", events)
            except WireError:
                return []
        if not self._done:
            self._close(events)
        self._done = True
        return events

    def _learn(self, raw: bytes, key: bytes, text: str) -> None:
        """Make ``raw``, which said nothing but ``text`` under ``key``, the template for the events to come."""
        live = self._parts.live
        at = raw.find(key)
        if live < 0 or at < 0 or raw.find(key, at + 1) >= 0:
            return
        start = raw.find(b'"', at + len(key))
        literal = to_json(text)
        if start < 0 or not raw.startswith(literal, start):
            return
        self._prefix, self._suffix = raw[:start], raw[start + len(literal) :]
        self._skip_head, self._skip_tail = start, -len(self._suffix)
        self._live = live

    def _read(self, raw: bytes, events: list[Event]) -> None:
        raise NotImplementedError

    def _close(self, events: list[Event]) -> None:
        """Say what the end of the stream makes certain."""
        raise NotImplementedError


def _without_padding(raw: bytes) -> bytes:
    at = raw.rfind(PADDING)
    if at > 0 and raw.endswith(b'"}\n\n') and raw[at + len(PADDING) : -4].isalnum():
        line = raw.rfind(b"\n", 0, at) + 1
        if raw.startswith(b"data: ", line):
            return raw[:at] + b"}\n\n"
    return raw


def _without_number(raw: bytes) -> bytes:
    at = raw.find(_NUMBER)
    if at <= 0 or raw[at - 1] == _BACKSLASH:
        return raw
    start = at + len(_NUMBER)
    if raw.startswith(b" ", start):
        start += 1
    end = raw.find(b",", start, start + 20)
    if end < 0:
        end = raw.find(b"}", start, start + 20)
    digits = raw[start:end]
    if end < 0 or not digits.isdigit() or (len(digits) > 1 and digits.startswith(b"0")):
        return raw
    return b"%b0%b" % (raw[:start], raw[end:])


class Tally:
    """What a reader of events wants to know besides the parts: usage so far, and how it ended."""

    __slots__ = ("failed", "finished", "usage")

    def __init__(self) -> None:
        self.usage: UsageReported | None = None
        self.finished: Finished | None = None
        self.failed: Failed | None = None

    def see(self, event: Event) -> None:
        if isinstance(event, UsageReported):
            self.usage = event if self.usage is None else UsageReported(self.usage.usage.merge(event.usage))
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, Failed):
            self.failed = event
