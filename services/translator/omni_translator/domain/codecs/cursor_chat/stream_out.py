"""An answer in Cursor's format, written: what a test or a simulator may want to read back."""

from typing import Final

from omni_wire.connect_frames import write_frame

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.cursor_chat import schema
from omni_translator.domain.codecs.cursor_chat.encode import write_call
from omni_translator.domain.codecs.cursor_chat.protobuf import message, number, text
from omni_translator.domain.codecs.cursor_chat.schema import HOME
from omni_translator.domain.events import Failed, Finished, PartEnded, Started
from omni_translator.domain.fields import to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import FinishReason, Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.plain import declare_call
from omni_translator.domain.stream_encoder import EventEncoder

_SAID: Final = (FinishReason.STOP, FinishReason.TOOL_CALLS)


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``. ``reply`` is not said: answers bear no address."""

    __slots__ = ("_calls", "_home", "_last", "_part", "_spoke")

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, Losses("Cursor"))
        self._home = False
        self._part: Part | None = None
        self._last: type[Part] | None = None  # what an unfinished text or thought would be joined with
        self._spoke = False  # whether the open part has told any text
        self._calls = False

    def _start(self, event: Started) -> bytes:
        self._home = event.origin is HOME
        return write_frame(message(schema.Answer.START, b""))

    def _fail(self, event: Failed) -> bytes:
        return write_frame(to_json({"error": {"code": "internal", "message": event.message}}), end=True)

    def _keep_alive(self) -> bytes:
        return b""

    def _begin(self, part: Part) -> bytes:
        self._part, self._spoke = part, False
        if isinstance(part, Opaque):
            redacted = part.data.get("redacted_thinking")
            self._last = None
            if part.origin is not HOME or not isinstance(redacted, str):
                self._losses.dropped(f"content.{part.kind}")
                return b""
            return _chat(message(schema.Chat.THINKING, text(schema.Thinking.REDACTED, redacted)))
        self._losses.unknown(part.extra, "content")
        if isinstance(part, ToolCall):
            return self._open_call(part)
        if isinstance(part, Reasoning):
            if part.signature and part.origin is not HOME:
                self._losses.signature()
            return self._say(part.text)
        if isinstance(part, Text | Refusal):
            if isinstance(part, Refusal):
                self._losses.approximated("content.refusal", "said as text")
            return self._say(part.text)
        self._losses.unsayable(part, "content", "an answer")
        return b""

    def _open_call(self, part: ToolCall) -> bytes:
        self._calls, self._last = True, None
        declare_call(part, self._losses, "a call's arguments")
        if part.signature:
            self._losses.signature()
        return self._call(part, part.arguments)

    def _call(self, part: ToolCall, arguments: str) -> bytes:
        return write_frame(
            message(
                schema.Answer.CALL,
                write_call(part.id, part.name, arguments) + number(schema.Call.IS_STREAMING, 1),
            )
        )

    def _say(self, said: str) -> bytes:
        part = self._part
        if not said or part is None:
            return b""
        if isinstance(part, ToolCall):
            return self._call(part, said)
        kind = Reasoning if isinstance(part, Reasoning) else Text
        if not isinstance(part, Text | Refusal | Reasoning):
            return b""
        if not self._spoke and self._last is kind:
            self._losses.approximated("content", "texts joined")
        self._spoke, self._last = True, kind
        if kind is Reasoning:
            return _chat(message(schema.Chat.THINKING, text(schema.Thinking.TEXT, said)))
        return _chat(text(schema.Chat.TEXT, said))

    def _end(self, event: PartEnded) -> bytes:
        part, self._part = self._part, None
        self._losses.unknown(event.extra, "content")
        if isinstance(part, ToolCall):
            last = write_call(part.id, part.name, "") + number(schema.Call.IS_LAST, 1)
            return write_frame(message(schema.Answer.CALL, last))
        signature = event.signature or (part.signature if isinstance(part, Reasoning) else "")
        if not signature or not isinstance(part, Reasoning):
            return b""
        if part.origin is not HOME:
            self._losses.signature()
            return b""
        self._last = None
        closing = text(schema.Thinking.SIGNATURE, signature) + number(schema.Thinking.IS_LAST, 1)
        return _chat(message(schema.Chat.THINKING, closing))

    def _finish(self, event: Finished) -> bytes:
        if self._usage is not None:
            self._losses.dropped("usage", "Cursor does not count")
        if event.reason not in _SAID or event.detail or (event.reason is FinishReason.TOOL_CALLS) is not self._calls:
            self._losses.approximated("finish_reason", f"Cursor does not say {event.detail or event.reason.value}")
        if event.stop_sequence:
            self._losses.dropped("stop_sequence")
        cited = b""
        extra: Json = dict(event.extra)
        if self._home:
            cited = _cited(extra.pop("web_citation", None))
        self._losses.unknown(extra)
        return cited + write_frame(b"{}", end=True)


def _cited(citation: object) -> bytes:
    references = citation.get("references") if isinstance(citation, dict) else None
    written = b""
    for reference in references if isinstance(references, list) else ():
        if isinstance(reference, dict):
            words = [reference.get(key) for key in ("url", "title", "chunk")]
            written += message(1, b"".join([text(at + 1, str(word or "")) for at, word in enumerate(words)]))
    return _chat(message(schema.Chat.CITATION, written)) if written else b""


def _chat(chat: bytes) -> bytes:
    return write_frame(message(schema.Answer.CHAT, chat))
