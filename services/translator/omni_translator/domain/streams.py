"""What the SSE stream machines of all formats share: framing, deferred errors and the fast path.

Theory of the fast path. Most of a stream is text deltas that differ in one JSON string only. Having read one in full,
a decoder remembers the bytes before and after that string; an event with the same two ends and one valid JSON string
between them is, by JSON's own grammar, the same event with another text, and nothing else of it need be read again.
The template holds while nothing but such events comes, so the part it belongs to is still the open one.

OpenAI ends chunks with noise of changing length (``"obfuscation"``, against traffic analysis), which would spoil every
template. Where it is seen it is cut off first: a bare ``,"obfuscation":"`` can stand nowhere inside a JSON string, and
letters, a quote and one brace after it leave it nowhere but last in the outermost object.

Gemini counts tokens in every chunk. There the template has a second gap, for the object that follows the text: between
the first place of the bytes in between, which hold bare quotes and so stand in no string, and the same end, whatever is
one JSON value of counts is the same event's with other counts.

Responses numbers its events, which would spoil them too: a bare ``"sequence_number":`` can stand nowhere inside a
string either, so that the digits after it are a number. Before the text they are a gap of the template's; after it the
number is made the same one everywhere.

An event that comes alone in its chunk, as nearly all do, is compared as it is: what has the template's ends and one
string, digits or counts without a line's end between them is just one event, whatever cuts a stream into its events.
"""

import contextlib
from abc import ABC, abstractmethod
from typing import Final, Protocol

import msgspec
from omni_wire.errors import WireError
from omni_wire.sse import SseSplitter
from omni_wire.surrogates import mended

from omni_translator.domain.events import Event, Failed, Finished, OfChoice, PartDelta, PartStarted, UsageReported
from omni_translator.domain.fields import to_json
from omni_translator.domain.model import Refusal, Text
from omni_translator.domain.parts import Assembler

PADDING: Final = b',"obfuscation":"'
_NUMBER: Final = b'"sequence_number":'
_BACKSLASH: Final = 0x5C
_MAX_DIGITS: Final = 20
_STRING: Final = msgspec.json.Decoder(str).decode


class Splitter(Protocol):
    """Cuts a stream into what is read at once: an SSE event, a line. ``rest`` is what has come of the next."""

    rest: bytes

    @property
    def between(self) -> bool:
        """Whether a chunk that is a whole event would be cut out as just that."""
        ...

    def feed(self, chunk: bytes) -> list[bytes]: ...


class SseDecoder(ABC):
    """Base of the stream decoders. A subclass reads one event in ``_read`` and closes in ``_close``."""

    __slots__ = (
        "_before",
        "_done",
        "_error",
        "_live",
        "_middle",
        "_numbered",
        "_padded",
        "_parts",
        "_prefix",
        "_skip_head",
        "_skip_tail",
        "_splitter",
        "_suffix",
        "_texts",
    )

    def __init__(self, *, explicit_ends: bool, numbered: bool = False) -> None:
        self._parts = Assembler(explicit_ends=explicit_ends)
        self._splitter: Splitter = SseSplitter()
        self._error: WireError | None = None
        self._done = False
        self._live = -1  # the part the template writes to; -1: no template
        self._numbered = numbered
        self._padded = False
        self._before = b""  # before the number, where the template has such a gap
        self._prefix = b""  # before the text, from the number on
        self._middle = b""  # between the text and the counts, where the template has such a gap
        self._suffix = b""
        self._skip_head = 0  # of an event, before the text
        self._skip_tail = 0  # after the text, or after the counts
        self._texts: list[str] | None = None  # where the part keeps its texts, if it has to

    @property
    def error(self) -> WireError | None:
        return self._error

    def feed(self, chunk: bytes) -> list[Event]:
        if self._error is not None:
            raise self._error
        events: list[Event] = []
        if self._done or (self._live >= 0 and self._splitter.between and self._repeats(chunk, events)):
            return events
        try:
            for raw in self._splitter.feed(chunk):
                if self._live >= 0 and self._repeats(raw, events):
                    continue
                self._live = -1
                self._read(self._plain(raw), events)
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
            # A last event without its blank line counts when it is whole; half of one is no part of the answer.
            last: list[Event] = []
            with contextlib.suppress(WireError):
                self._read(mended(rest.rstrip(b"\r\n") + b"\n\n"), last)
                events = last
        if not self._done:
            self._close(events)
        self._done = True
        return events

    def _plain(self, raw: bytes) -> bytes:
        """An event without what is noise in it, and of whole characters: some of it is read more than once."""
        raw = mended(raw)
        if self._padded:
            raw = _without_padding(raw)
        return _without_number(raw) if self._numbered else raw

    def _repeats(self, raw: bytes, events: list[Event]) -> bool:
        """Tell an event that differs from the template in its gaps only; false, with nothing told, for any other."""
        if self._padded:
            raw = _without_padding(raw)
        if self._before:
            start = self._after_number(raw)
        else:
            if self._numbered:
                raw = _without_number(raw)
            start = self._skip_head if raw.startswith(self._prefix) else -1
        if start < 0 or not raw.endswith(self._suffix):
            return False
        try:
            text = self._counted(raw, events) if self._middle else _STRING(raw[start : self._skip_tail])
        except (msgspec.MsgspecError, ValueError):
            return False
        if not text:
            return False
        if self._texts is not None:
            self._texts.append(text)
        events.append(PartDelta(self._live, text))
        return True

    def _after_number(self, raw: bytes) -> int:
        """Where the text of an event begins that is the template's up to there, but for its number; -1: it is not."""
        first = len(self._before)
        end = raw.find(self._prefix, first, self._skip_head + _MAX_DIGITS) if raw.startswith(self._before) else -1
        return end + len(self._prefix) - 1 if end >= 0 and _is_number(raw[first:end]) else -1

    def _counted(self, raw: bytes, events: list[Event]) -> str:
        """The text of an event that has the template's two ends and says counts too, which are told as an event. Empty
        where it is another event after all."""
        at = raw.find(self._middle, self._skip_head + 1)
        if at < 0:
            return ""
        text = _STRING(raw[self._skip_head : at + 1])
        counts = raw[at + len(self._middle) : self._skip_tail]
        return text if text and b"\n" not in counts and self._count_raw(counts, events) else ""

    def _count_raw(self, counts: bytes, events: list[Event]) -> bool:
        """Tell the ``counts`` of an event; false, with nothing told, where they must be read with the rest of it."""
        return False

    def _learn(self, raw: bytes, key: bytes, text: str, counts: bytes = b"") -> None:
        """Make ``raw``, which said nothing but ``text`` under ``key``, the template for the events to come; ``counts``
        is the object in it that may differ from event to event."""
        live = self._parts.live
        at = raw.find(key)
        if live < 0 or at < 0 or raw.find(key, at + 1) >= 0:
            return
        start = raw.find(b'"', at + len(key))
        literal = to_json(text)
        if start < 0 or not raw.startswith(literal, start):
            return
        # Both ends hold the text's own quotes, so that no blanks come between.
        self._before, self._prefix, self._suffix = b"", raw[: start + 1], raw[start + len(literal) - 1 :]
        self._middle, self._skip_tail = b"", 1 - len(self._suffix)
        if counts:
            gap = self._suffix.find(counts)
            if gap < 0 or b'"' not in self._suffix[1:gap] or self._suffix.find(counts, gap + 1) >= 0:
                return
            self._suffix, self._middle = self._suffix[gap + len(counts) :], self._suffix[:gap]
            self._skip_tail = -len(self._suffix)
        number, end = _number(self._prefix) if self._numbered else (0, 0)
        if end:
            self._before, self._prefix = self._prefix[:number], self._prefix[end:]
        self._skip_head = start
        self._texts = self._parts.noted()
        self._live = live

    @abstractmethod
    def _read(self, raw: bytes, events: list[Event]) -> None:
        """Say what one event makes certain."""

    @abstractmethod
    def _close(self, events: list[Event]) -> None:
        """Say what the end of the stream makes certain."""


def _without_padding(raw: bytes) -> bytes:
    at = raw.rfind(PADDING)
    if at > 0 and raw.endswith(b'"}\n\n') and raw[at + len(PADDING) : -4].isalnum():
        line = raw.rfind(b"\n", 0, at) + 1
        if raw.startswith(b"data: ", line):
            return raw[:at] + b"}\n\n"
    return raw


def _without_number(raw: bytes) -> bytes:
    start, end = _number(raw)
    return b"%b0%b" % (raw[:start], raw[end:]) if end else raw


def _number(raw: bytes) -> tuple[int, int]:
    """Where the digits of an event's number begin and end; twice 0 where it has none that is written as it must be."""
    at = raw.find(_NUMBER)
    if at <= 0 or raw[at - 1] == _BACKSLASH:
        return 0, 0
    start = at + len(_NUMBER)
    if raw.startswith(b" ", start):
        start += 1
    end = raw.find(b",", start, start + _MAX_DIGITS)
    if end < 0:
        end = raw.find(b"}", start, start + _MAX_DIGITS)
    return (start, end) if end >= 0 and _is_number(raw[start:end]) else (0, 0)


def _is_number(digits: bytes) -> bool:
    return digits.isdigit() and (len(digits) == 1 or not digits.startswith(b"0"))


class Tally:
    """What a reader of events wants to know besides the parts: usage so far, and how it ended.

    An answer has ``begun`` with a text, a thought, a call or its end: what only announces one promises nothing.
    """

    __slots__ = ("begun", "failed", "finished", "usage")

    def __init__(self) -> None:
        self.begun = False
        self.usage: UsageReported | None = None
        self.finished: Finished | None = None
        self.failed: Failed | None = None

    def see(self, event: Event) -> None:
        kind = type(event)
        if kind is PartDelta:
            self.begun = True
        elif isinstance(event, UsageReported):
            self.usage = event if self.usage is None else UsageReported(self.usage.usage.merge(event.usage))
        elif isinstance(event, PartStarted):
            # A text, or a refusal, begins with its first delta.
            self.begun = self.begun or not isinstance(event.part, Text | Refusal) or bool(event.part.text)
        elif isinstance(event, OfChoice):
            self.begun = self.begun or not isinstance(event.event, PartStarted)
        elif isinstance(event, Finished):
            self.finished, self.begun = event, True
        elif isinstance(event, Failed):
            self.failed = event
