"""A Gemini stream, read: server-sent events, or one JSON array, each element an answer in little.

Chunks name nothing's beginning or end: texts of one kind that follow one another are one part, anything else is a part
of its own and comes whole. The stream has ended as it should when a finish reason, or the refusal of the prompt, has
come and then its bytes end: there is no last word, and usage may follow the reason.
"""

from typing import Annotated, Any, Final

import msgspec
from omni_wire.errors import upstream_message
from omni_wire.json_array import JsonArraySplitter
from omni_wire.sse import SseSplitter, parse_event
from omni_wire.told_error import told_status
from omni_wire.usage import Usage

from omni_translator.domain.choices import number, tell
from omni_translator.domain.codecs.gemini_generate.answer import (
    AnswerReader,
    alone,
    joins,
    place,
    read_blocked,
    read_reason,
    read_usage,
    says_nothing,
)
from omni_translator.domain.codecs.gemini_generate.spelling import HOME, ProtoFields
from omni_translator.domain.events import Event, Failed, Finished, KeepAlive, Started, UsageReported
from omni_translator.domain.fields import from_json, gather
from omni_translator.domain.model import FinishReason, Json, Part, Reasoning, Text, ToolCall
from omni_translator.domain.streams import SseDecoder

# Of these each chunk brings its own share; of everything else the last word counts, for Gemini repeats itself.
_SHARES: Final = frozenset({"logprobsResult", "citationMetadata"})
_LANE: Final = 0  # parts follow one another, so one lane will do
# The keys of a chunk that brings one more piece of text, and how far the answer has come.
_CHUNK: Final = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
_CANDIDATE: Final = frozenset({"content", "index"})
_CONTENT: Final = frozenset({"parts", "role"})
_PART: Final = frozenset({"text", "thought"})


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Counts(msgspec.Struct, gc=False):
    promptTokenCount: _Count = 0  # noqa: N815 — Google's names
    cachedContentTokenCount: _Count = 0  # noqa: N815
    toolUsePromptTokenCount: _Count = 0  # noqa: N815
    candidatesTokenCount: _Count = 0  # noqa: N815
    thoughtsTokenCount: _Count = 0  # noqa: N815


class _Used(msgspec.Struct, gc=False):
    usageMetadata: msgspec.Raw = msgspec.Raw()  # noqa: N815


_COUNTS: Final = msgspec.json.Decoder(_Counts)
_USED: Final = msgspec.json.Decoder(_Used)


class StreamSplitter(SseSplitter):
    """Finds out which of the two framings a stream has by its first byte; an array's elements become events."""

    __slots__ = ("_array", "_undecided")

    def __init__(self) -> None:
        super().__init__()
        self._array: JsonArraySplitter | None = None
        self._undecided = True

    @property
    def between(self) -> bool:
        return self._array is None and super().between

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._undecided:
            first = chunk.lstrip()[:1]
            self._undecided = not first
            if first == b"[" and not self.rest.strip():
                self._array = JsonArraySplitter()
        if self._array is None:
            return super().feed(chunk)
        # No line break can stand inside a JSON string, so those there are may as well be blanks.
        blank = bytes.maketrans(b"\r\n", b"  ")
        elements = self._array.feed(chunk)
        if self._array.error is not None:  # read as what it is once the elements before it have been
            elements.append(str(self._array.error).encode())
        return [b"data: %b\n\n" % element.translate(blank) for element in elements]


class Decoder(SseDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_candidate", "_last", "_open", "_others", "_reader", "_shape", "_top", "_unread", "_usage", "_word")

    def __init__(self) -> None:
        super().__init__(explicit_ends=True)
        self._splitter = StreamSplitter()
        self._reader: AnswerReader | None = None  # None: nothing has come yet
        self._open = False
        self._last: Part | None = None  # that part, as far as what it carries beside its text
        self._word = ""  # the finish reason
        self._usage: Usage | None = None
        self._shape = b""  # of the last counts, without their digits
        self._unread = b""  # the last counts, of which only the numbers have been read
        self._top: Json = {}
        self._candidate: Json = {}
        self._others: dict[int, Decoder] = {}  # of further candidates

    def _read(self, raw: bytes, events: list[Event]) -> None:
        data = parse_event(raw).data
        if data is None or not data.strip():
            events.append(KeepAlive())
            return
        if data.strip() == b"[DONE]":  # not Google's, but of some that stand in for it
            self._close(events)
            self._done = True
            return
        decoded = self._opened(from_json(data), data)
        text = self._more(decoded)
        if text:
            self._count(decoded.get("usageMetadata"), events)
            self._parts.delta(_LANE, text, events)
            self._learn(raw, b'"text":', text, bytes(_USED.decode(data).usageMetadata))
            return
        chunk = ProtoFields(decoded, "")
        if chunk.peek("error"):
            events.append(Failed(upstream_message(data), told_status(data)))
            self._done = True
            return
        answer_id, model = chunk.text("responseId") or "", chunk.text("modelVersion") or ""
        if self._reader is None:
            events.append(Started(HOME, answer_id, model))
            self._reader = AnswerReader(answer_id)
        chunk.take("createTime")
        self._count(chunk.take("usageMetadata"), events)
        for item in chunk.items("candidates") or ():
            candidate = ProtoFields(item, "candidates")
            at = number(candidate.whole("index"), "candidates.index")
            if at:
                told: list[Event] = []
                self._other(at, answer_id)._read_candidate(candidate, told)
                tell(at, told, events)
                continue
            text, rest = self._read_candidate(candidate, events)
            if text and _SHARES.isdisjoint(rest):  # all else may be read once as well as every time
                self._learn(raw, b'"text":', text)
        self._keep(self._top, chunk.rest())

    def _read_candidate(self, candidate: ProtoFields, events: list[Event]) -> tuple[str, Json]:
        """Read what a chunk brings of a candidate: the text, when it did nothing else, and what is not understood."""
        text = self._content(candidate, events)
        word = candidate.text("finishReason")
        self._word = word or self._word
        rest = candidate.rest()
        self._keep(self._candidate, rest)
        return text, rest

    def _other(self, at: int, answer_id: str) -> "Decoder":
        """The decoder of a further candidate, whose part of each chunk is all it is given."""
        if at not in self._others:
            other = self._others[at] = Decoder()
            other._reader = AnswerReader(place(answer_id, at))
        return self._others[at]

    def _opened(self, decoded: Any, data: bytes) -> Any:
        """The chunk in an event of ``data``; a format that wraps Gemini's takes its wrapping off here."""
        return decoded

    def _more(self, chunk: Any) -> str:
        """The text of a chunk that brings nothing but more of the open part, as nearly all do; empty for any other."""
        if not self._open or not isinstance(chunk, dict) or not chunk.keys() <= _CHUNK:
            return ""
        if not isinstance(chunk.get("modelVersion", ""), str) or not isinstance(chunk.get("responseId", ""), str):
            return ""
        candidate = _only(chunk.get("candidates"), _CANDIDATE)
        content = candidate.get("content") if candidate is not None else None
        if candidate is None or candidate.get("index") or not isinstance(content, dict):
            return ""
        if not content.keys() <= _CONTENT:
            return ""
        part = _only(content.get("parts"), _PART)
        if part is None:
            return ""
        text, thought = part.get("text"), part.get("thought", False)
        kind = Reasoning if thought is True else Text if thought is False else None
        return text if isinstance(text, str) and type(self._last) is kind else ""

    def _count(self, value: Any, events: list[Event]) -> bool:
        """Read a chunk's usage; whether it says something new."""
        self._read_on()
        usage, rest = read_usage(value)
        if rest:
            self._top["usageMetadata"] = rest
        if usage is None or usage == self._usage:
            return False
        self._usage = usage
        events.append(UsageReported(usage))
        return True

    def _read_on(self) -> None:
        """Keep what the last counts said beside their numbers."""
        if self._unread:
            _, rest = read_usage(from_json(self._unread))
            self._unread = b""
            if rest:
                self._top["usageMetadata"] = rest

    def _count_raw(self, counts: bytes, events: list[Event]) -> bool:
        if b"_t" in counts or b"AUDIO" in counts or b"IMAGE" in counts:  # the other spelling; what is counted apart
            return False
        found = _COUNTS.decode(counts)
        given, thought, cached = found.promptTokenCount, found.thoughtsTokenCount, found.cachedContentTokenCount
        given = (given if given > cached else cached) + found.toolUsePromptTokenCount
        usage = Usage(given, cached, 0, found.candidatesTokenCount + thought, thought)
        if usage != self._usage:
            self._usage = usage
            events.append(UsageReported(usage))
        shape = counts.translate(None, b"0123456789")
        if shape != self._shape or b"toolUse" in counts:  # else what is beside the numbers gives way to these
            self._read_on()
            self._shape = shape
        self._unread = counts
        return True

    def _keep(self, into: Json, rest: Json) -> None:
        for key, value in rest.items():
            if key in _SHARES:
                gather(into, {key: value})
            elif value is not None:
                into[key] = value

    # ---- parts ----

    def _content(self, candidate: ProtoFields, events: list[Event]) -> str:
        """Read a candidate's parts; the text they told, when they did nothing else."""
        content = candidate.child("content")
        if content is None or self._reader is None:
            return ""
        content.take("role")
        told = ""
        parts = content.items("parts") or []
        for data in parts:
            fields = ProtoFields.of_copy(data, "candidates.content.parts")
            told = self._part(self._reader.read(fields), data, events)
        return told if len(parts) == 1 else ""

    def _part(self, part: Part, data: Any, events: list[Event]) -> str:
        if says_nothing(part):
            return ""
        if not self._open or not joins(self._last, part):
            part = alone(part, data)
            self._begin(part, events)
        if isinstance(part, ToolCall) and part.arguments:
            self._parts.delta(_LANE, part.arguments, events)
        if not isinstance(part, Text | Reasoning):
            self._end(events)
            return ""
        if part.text:
            self._parts.delta(_LANE, part.text, events)
        self._last = part
        signature = part.signature if isinstance(part, Reasoning) else ""
        if part.extra or signature:
            if part.extra:
                self._parts.annotate(_LANE, part.extra)
            self._end(events, signature)
            return ""
        return part.text

    def _begin(self, part: Part, events: list[Event]) -> None:
        self._end(events)
        head = part
        if isinstance(part, Text):
            head = Text("")
        elif isinstance(part, Reasoning):
            head = Reasoning(text="", origin=HOME)
        elif isinstance(part, ToolCall):
            head = msgspec.structs.replace(part, arguments="")
        self._parts.open(_LANE, head, events)
        self._open = True

    def _end(self, events: list[Event], signature: str = "") -> None:
        if self._open:
            self._parts.close(_LANE, signature, events)
            self._open, self._last = False, None

    # ---- the end ----

    def _close(self, events: list[Event]) -> None:
        if self._reader is None:
            return
        self._read_on()
        blocked = read_blocked(self._top.get("promptFeedback"))
        reason, detail = read_reason(self._word, calls=self._reader.calls > 0)
        if reason is None and blocked:
            reason, detail = FinishReason.CONTENT_FILTER, blocked
        if reason is None:
            return
        others: list[Event] = []
        for at, other in self._others.items():
            told: list[Event] = []
            other._close(told)
            if not told or not isinstance(told[-1], Finished):
                return  # the stream was cut: the end of one answer is not that of all
            tell(at, told, others)
        self._end(events)
        events += others
        extra = dict(self._top)
        if self._candidate:
            extra["candidates"] = [self._candidate]
        events.append(Finished(reason, detail, extra=extra))


def _only(value: Any, known: frozenset[str]) -> Json | None:
    """The one object of a list that holds just one, with known keys only."""
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
        return None
    item: Json = value[0]
    return item if item.keys() <= known else None
