"""A stream of ``/api/chat``, read: one answer in little a line, the last of them ``done``.

Lines name nothing's beginning or end: texts of one kind that follow one another are one part, and a call comes whole.
Every line has a time of its own, so no bytes repeat as the fast path of ``streams`` wants it; the usual line is read by
its type instead.
"""

from typing import Final

import msgspec
from omni_wire.errors import upstream_message
from omni_wire.ndjson import NdjsonSplitter

from omni_translator.domain.codecs.ollama_chat.answer import CLOCKS, CallReader, read_reason, read_usage
from omni_translator.domain.codecs.ollama_chat.content import HOME
from omni_translator.domain.events import Event, Failed, Finished, Started, UsageReported
from omni_translator.domain.fields import Fields, from_json, gather
from omni_translator.domain.model import Json, Part, Reasoning, Text, ToolCall
from omni_translator.domain.streams import SseDecoder

_LANE: Final = 0  # parts follow one another, so one lane will do


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str = ""
    thinking: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line that brings text and nothing else, as nearly all do."""

    model: str
    created_at: str
    message: _Message
    done: bool


_LINE: Final = msgspec.json.Decoder(_Line)


class Decoder(SseDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_message", "_open", "_reader", "_started", "_top")

    def __init__(self) -> None:
        super().__init__(explicit_ends=True)
        self._splitter = NdjsonSplitter()
        self._started = False
        self._open: type[Part] | None = None  # what kind of text is being told
        self._reader = CallReader()
        self._top: Json = {}
        self._message: Json = {}

    def _read(self, raw: bytes, events: list[Event]) -> None:
        if self._open is not None and self._more(raw, events):
            return
        decoded = from_json(raw)
        line = Fields(decoded, "")
        if line.peek("error"):
            events.append(Failed(upstream_message(raw)))
            self._done = True
            return
        if not self._started:
            model = line.peek("model")
            events.append(Started(HOME, "", model if isinstance(model, str) else ""))
            self._started = True
        created = line.peek("created_at")
        for known in ("model", "error", *CLOCKS):
            line.take(known)
        message = line.child("message")
        if message is not None:
            message.take("role")
            self._text(Reasoning, message.text("thinking"), events)
            self._text(Text, message.text("content"), events)
            for call in message.each("tool_calls"):
                self._call(self._reader.read(call, created), events)
            gather(self._message, _told(message.rest()))
        usage = read_usage(line)
        if usage is not None:
            events.append(UsageReported(usage))
        word, done = line.text("done_reason") or "", line.flag("done")
        gather(self._top, _told({key: value for key, value in line.rest().items() if key != "message"}))
        if done:
            self._finish(word, events)

    def _more(self, raw: bytes, events: list[Event]) -> bool:
        """Whether ``raw`` brought nothing but more of the open text."""
        try:
            line = _LINE.decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        said, thought = line.message.content, line.message.thinking
        text = said if self._open is Text and not thought else thought if self._open is Reasoning and not said else ""
        if not text or line.done:
            return False
        self._parts.delta(_LANE, text, events)
        return True

    def _text(self, kind: type[Text] | type[Reasoning], text: str | None, events: list[Event]) -> None:
        if not text:
            return
        if self._open is not kind:
            self._end(events)
            self._parts.open(_LANE, Text("") if kind is Text else Reasoning(text="", origin=HOME), events)
            self._open = kind
        self._parts.delta(_LANE, text, events)

    def _call(self, call: ToolCall, events: list[Event]) -> None:
        self._end(events)
        self._parts.open(_LANE, msgspec.structs.replace(call, arguments=""), events)
        self._parts.delta(_LANE, call.arguments, events)
        self._parts.close(_LANE, "", events)

    def _end(self, events: list[Event]) -> None:
        if self._open is not None:
            self._parts.close(_LANE, "", events)
            self._open = None

    def _finish(self, word: str, events: list[Event]) -> None:
        self._end(events)
        reason, detail = read_reason(word, calls=self._reader.calls > 0)
        extra = self._top | ({"message": self._message} if self._message else {})
        events.append(Finished(reason, detail, extra=extra))
        self._done = True

    def _close(self, events: list[Event]) -> None:
        """Without its ``done`` line an answer has not ended, and is left open."""


def _told(rest: Json) -> Json:
    return {key: value for key, value in rest.items() if value is not None}
