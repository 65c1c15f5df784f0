"""An answer of Cursor's, read: frames of protobuf, and one of JSON that ends it.

A frame brings more of the text, more of a thought, or more of a call, which bear the call's id: the arguments of frames
with one id are joined. The answer has ended as it should when the last frame has come and tells no error; without that
frame it was cut. Why it ended, and what it cost, Cursor does not say.
"""

from typing import Any, Final

from omni_wire.connect_frames import ConnectFrame, ConnectSplitter
from omni_wire.errors import WireError
from omni_wire.told_error import told_status

from omni_translator.domain.codecs.cursor_chat import schema
from omni_translator.domain.codecs.cursor_chat.decode import read_call
from omni_translator.domain.codecs.cursor_chat.protobuf import Reader
from omni_translator.domain.codecs.cursor_chat.schema import HOME
from omni_translator.domain.events import Event, Failed, Finished, Started
from omni_translator.domain.fields import from_json, to_json
from omni_translator.domain.model import FinishReason, Json, Opaque, Part, Reasoning, Text, ToolCall
from omni_translator.domain.parts import Assembler

_MAX_CITED: Final = 256


class _Call:
    """Where a call's arguments go, and what they are so far."""

    __slots__ = ("_length", "_said", "lane")

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self._said: list[str] = []
        self._length = 0

    def say(self, arguments: str) -> None:
        self._said.append(arguments)
        self._length += len(arguments)

    def has_said(self, arguments: str) -> bool:
        """Whether a frame says once more all that frames before it have said, as one that closes a call may."""
        return len(arguments) == self._length and "".join(self._said) == arguments


class Decoder:
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_calls", "_cited", "_done", "_error", "_lane", "_parts", "_splitter", "_started", "_talk")

    def __init__(self) -> None:
        self._splitter = ConnectSplitter()
        self._parts = Assembler(explicit_ends=False)
        self._error: WireError | None = None
        self._started = False
        self._done = False
        self._lane = 0  # lanes used so far
        self._talk: tuple[type[Part], int] | None = None  # kind and lane of the text or thought that goes on
        self._calls: dict[str, _Call] = {}  # by id
        self._cited: list[Json] = []

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
            for frame in self._splitter.feed(chunk):
                self._read(frame, events)
                if self._done:
                    break
            else:
                if self._splitter.error is not None:
                    raise self._splitter.error
        except WireError as error:
            self._error = error
            if not events:
                raise
        return events

    def end(self) -> list[Event]:
        if self._error is not None:
            raise self._error
        self._done = True
        return []

    def _read(self, frame: ConnectFrame, events: list[Event]) -> None:
        if frame.end:
            self._end(frame.payload, events)
            return
        answer = Reader(frame.payload, "answer")
        if not self._started:
            self._started = True
            events.append(Started(HOME, "", ""))
        call, chat = answer.child(schema.Answer.CALL), answer.child(schema.Answer.CHAT)
        if call is not None:
            self._call(call, events)
        if chat is not None:
            self._chat(chat, events)

    # ---- what is said ----

    def _chat(self, chat: Reader, events: list[Event]) -> None:
        thinking = chat.child(schema.Chat.THINKING)
        if thinking is not None:
            self._thinking(thinking, events)
        said = chat.text(schema.Chat.TEXT)
        if said:
            self._say(Text(""), said, events)
        citation = chat.child(schema.Chat.CITATION)
        for reference in citation.children(1) if citation is not None else ():
            if len(self._cited) < _MAX_CITED:
                self._cited.append({"url": reference.text(1), "title": reference.text(2), "chunk": reference.text(3)})

    def _thinking(self, thinking: Reader, events: list[Event]) -> None:
        text, signature = thinking.text(schema.Thinking.TEXT), thinking.text(schema.Thinking.SIGNATURE)
        head = Reasoning(text="", origin=HOME)
        if text:
            self._say(head, text, events)
        if signature:
            lane = self._say(head, "", events)
            self._talk = None
            self._parts.close(lane, signature, events)
        redacted = thinking.text(schema.Thinking.REDACTED)
        if redacted:
            self._talk = None
            self._lane += 1
            self._parts.open(self._lane, Opaque(origin=HOME, data={"redacted_thinking": redacted}), events)

    def _say(self, head: Part, text: str, events: list[Event]) -> int:
        """More of the text or thought that goes on, or a new one; its lane."""
        if self._talk is None or self._talk[0] is not type(head) or not self._parts.has(self._talk[1]):
            self._lane += 1
            self._talk = (type(head), self._lane)
            self._parts.open(self._lane, head, events)
        lane = self._talk[1]
        if text:
            self._parts.delta(lane, text, events)
        return lane

    def _call(self, call: Reader, events: list[Event]) -> None:
        call_id = call.text(schema.Call.ID).partition("\n")[0]  # what follows is the model's own number for it
        name, arguments = read_call(call)
        known = self._calls.get(call_id)
        if known is None:
            if not call_id or not name:
                raise WireError("a call without an id or a name", "answer.1")
            self._lane += 1
            self._talk = None
            known = self._calls[call_id] = _Call(self._lane)
            self._parts.open(self._lane, ToolCall(id=call_id, name=name), events)
        if not arguments or known.has_said(arguments):
            return
        if not self._parts.has(known.lane):
            raise WireError("more of a call that has ended", "answer.1")
        known.say(arguments)
        self._parts.delta(known.lane, arguments, events)

    # ---- the end ----

    def _end(self, payload: bytes, events: list[Event]) -> None:
        said = from_json(payload) if payload.strip() else {}
        if not isinstance(said, dict):
            raise WireError("the last frame must be an object")
        self._done = True
        if said.get("error"):
            events.append(Failed(error_message(said["error"]), error_status(said["error"])))
            return
        if not self._started:
            return
        self._parts.finish(events)
        extra: Json = {"web_citation": {"references": self._cited}} if self._cited else {}
        events.append(Finished(FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP, extra=extra))


def error_status(error: Any) -> int:
    """Connect's codes are Google's words, in small letters; 0 for one that tells no status."""
    code = error.get("code") if isinstance(error, dict) else None
    return told_status(to_json({"code": code.upper()})) if isinstance(code, str) else 0


def error_message(error: Any) -> str:
    """What a Connect error says: the words that Cursor has for people, in its details, before those for programs."""
    if not isinstance(error, dict):
        return "the provider told an error"
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        debug = detail.get("debug") if isinstance(detail, dict) else None
        inner = debug.get("details") if isinstance(debug, dict) else None
        if isinstance(inner, dict):
            words = [word for key in ("title", "detail") if isinstance(word := inner.get(key), str) and word]
            if words:
                return ": ".join(words)[:2000]
    for key in ("message", "code"):
        word = error.get(key)
        if isinstance(word, str) and word:
            return word[:2000]
    return "the provider told an error"
