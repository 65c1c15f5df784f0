"""A stream of Kiro's, written."""

from typing import Final

from omni_wire.aws_event_stream import write_message
from omni_wire.usage import Usage

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.kiro_conversation.words import HOME, write_reason, write_usage
from omni_translator.domain.events import (
    Event,
    Failed,
    Finished,
    KeepAlive,
    OfChoice,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
)
from omni_translator.domain.fields import gather, json_object, overlay, to_json
from omni_translator.domain.losses import Loss, Losses
from omni_translator.domain.model import Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.plain import INPUT, declare_call

Named = tuple[str, Json]
_NAMES: Final[dict[type, str]] = {Text: "assistantResponseEvent", Reasoning: "reasoningContentEvent"}


class Writer:
    """Canonical events into named ones, before they are framed or listed."""

    __slots__ = ("_calls", "_home", "_last", "_part", "_reply", "_texts", "_usage", "losses")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.losses = Losses("Kiro")
        self._home = False
        self._last: type | None = None  # the kind of part told before, where more of its kind would be one with it
        self._part: Part | None = None  # None: the open part cannot be said
        self._texts: list[str] = []  # of a call, whose arguments must be one object
        self._calls = False
        self._usage: Usage | None = None

    def write(self, event: Event) -> list[Named]:
        match event:
            case PartDelta():
                return self._say(event.text)
            case PartStarted():
                return self._begin(event.part)
            case PartEnded():
                return self._end(event)
            case UsageReported():
                self._usage = event.usage if self._usage is None else self._usage.merge(event.usage)
            case Started():
                self._home = event.origin is HOME
                return [("messageMetadataEvent", {"conversationId": self._reply.id or event.id})]
            case Finished():
                return self._finish(event)
            case OfChoice():
                self.losses.only_one()
            case Failed() | KeepAlive():
                pass
        return []

    def _begin(self, part: Part) -> list[Named]:
        self._part, self._texts = None, []
        if isinstance(part, Opaque):
            if part.origin is not HOME:
                self.losses.dropped(f"content.{part.slot or part.kind}")
                return []
            self._last = None
            return [("reasoningContentEvent", part.data)]
        if not isinstance(part, Text | Refusal | Reasoning | ToolCall):
            self.losses.unsayable(part, "content", "an answer")
            return []
        self._part = part
        self._declare(part)
        kind = Text if isinstance(part, Refusal) else type(part)
        if kind is self._last and not isinstance(part, ToolCall):
            self.losses.approximated("content", "texts joined")
        self._last = kind
        if not (self._home and part.extra) or isinstance(part, ToolCall):
            return []
        return [
            ("reasoningContentEvent" if isinstance(part, Reasoning) else "assistantResponseEvent", dict(part.extra))
        ]

    def _declare(self, part: Text | Refusal | Reasoning | ToolCall) -> None:
        if isinstance(part, Refusal):
            self.losses.approximated("content.refusal", "said as text")
        if isinstance(part, Reasoning | ToolCall) and part.signature and not self._home:
            self.losses.signature()
        if isinstance(part, ToolCall):
            self._calls = True
            declare_call(part, self.losses, "a tool's input")
        if not self._home:
            self.losses.unknown(part.extra, "content")

    def _say(self, text: str) -> list[Named]:
        match self._part:
            case Text() | Refusal():
                return [("assistantResponseEvent", {"content": text})]
            case Reasoning():
                return [("reasoningContentEvent", {"text": text})]
            case ToolCall():
                self._texts.append(text)
        return []

    def _end(self, event: PartEnded) -> list[Named]:
        part, self._part = self._part, None
        if part is None:
            return []
        if not self._home:
            self.losses.unknown(event.extra, "content")
        if isinstance(part, ToolCall):
            head: Json = {"toolUseId": part.id, "name": part.name}
            extra = dict(part.extra)
            gather(extra, event.extra)
            first = head | {"input": self._arguments(part)}
            return [
                ("toolUseEvent", overlay(first, extra) if self._home else first),
                ("toolUseEvent", head | {"stop": True}),
            ]
        late: Json = dict(event.extra) if self._home else {}
        name = _NAMES[Reasoning if isinstance(part, Reasoning) else Text]
        if isinstance(part, Reasoning):
            if event.signature and part.origin is HOME:
                late["signature"] = event.signature
            elif event.signature:
                self.losses.signature()
        return [(name, late)] if late else []

    def _arguments(self, call: ToolCall) -> str:
        text = call.arguments + "".join(self._texts)
        if call.freeform:
            return to_json({INPUT: text}).decode()
        if text.strip() and json_object(text) is None:
            self.losses.approximated("content.tool_calls.function.arguments", "not a JSON object; given empty")
            return "{}"
        return text if text.strip() else "{}"

    def _finish(self, event: Finished) -> list[Named]:
        word = write_reason(
            event.reason, event.detail, event.stop_sequence, home=self._home, calls=self._calls, losses=self.losses
        )
        metadata: Json = {"stopReason": word}
        if self._usage is not None:
            metadata["tokenUsage"] = write_usage(self._usage, self.losses)
        others: list[Named] = []
        if self._home:
            for name, value in event.extra.items():
                if name.endswith("Event") and isinstance(value, dict):
                    others.append((name, value))
                else:
                    overlay(metadata, {name: value})
        else:
            self.losses.unknown(event.extra)
        return [*others, ("metadataEvent", metadata), ("messageStopEvent", {})]


class Encoder:
    """See ``omni_translator.domain.codec.StreamEncoder``."""

    __slots__ = ("_writer",)

    def __init__(self, reply: Reply) -> None:
        self._writer = Writer(reply)

    @property
    def losses(self) -> tuple[Loss, ...]:
        return self._writer.losses.all()

    def emit(self, event: Event) -> bytes:
        if isinstance(event, Failed):
            headers = {":exception-type": "InternalServerException", ":content-type": "application/json"}
            said = {"message": event.message.encode("utf-8", "replace").decode()}
            return write_message(headers | {":message-type": "exception"}, to_json(said))
        return b"".join([_frame(name, payload) for name, payload in self._writer.write(event)])


def _frame(name: str, payload: Json) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return write_message(headers, to_json(payload))
