"""A ConverseStream answer, written."""

from typing import Any

from omni_wire.aws_event_stream import write_message
from omni_wire.usage import Usage

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.bedrock_converse.answer import declare, write_reason, write_usage
from omni_translator.domain.codecs.bedrock_converse.content import HOME
from omni_translator.domain.events import (
    Failed,
    Finished,
    PartEnded,
    Started,
)
from omni_translator.domain.fields import json_object, overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.plain import INPUT
from omni_translator.domain.stream_encoder import EventEncoder


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``."""

    __slots__ = (
        "_calls",
        "_home",
        "_index",
        "_part",
        "_refused",
        "_texts",
    )

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, Losses("Bedrock Converse"))
        self._home = False
        self._index = -1  # of the block that is open, or was last
        self._part: Part | None = None  # None: the open part cannot be said
        self._texts: list[str] = []  # of a call, whose arguments must be one object before they are told
        self._calls = False
        self._refused = False

    def _start(self, event: Started) -> bytes:
        self._home = event.origin is HOME
        return _event("messageStart", {"role": "assistant"})

    def _fail(self, event: Failed) -> bytes:
        return write_exception("modelStreamErrorException", event.message)

    def _keep_alive(self) -> bytes:
        return b""

    def _begin(self, part: Part) -> bytes:
        declare(part, self._home, self._losses)
        self._part, self._texts = None, []
        start: Json = {}
        match part:
            case Text() | Refusal():
                self._refused = self._refused or isinstance(part, Refusal)
                if self._home and part.extra:
                    start = overlay({"text": ""}, part.extra)
            case Reasoning():
                if self._home and part.extra:
                    start = overlay({"reasoningContent": {"reasoningText": {"text": ""}}}, part.extra)
            case ToolCall():
                self._calls = True
                start = {"toolUse": {"toolUseId": part.id, "name": part.name}}
                if self._home:
                    overlay(start, part.extra)
            case Opaque() if part.origin is HOME:
                start = part.data
            case _:
                return b""
        self._part = part
        self._index += 1
        return self._block("contentBlockStart", {"start": start}) if start else b""

    def _say(self, text: str) -> bytes:
        match self._part:
            case Text() | Refusal():
                return self._delta({"text": text})
            case Reasoning():
                return self._delta({"reasoningContent": {"text": text}})
            case ToolCall():
                self._texts.append(text)
        return b""

    def _end(self, event: PartEnded) -> bytes:
        part, self._part = self._part, None
        if part is None:
            return b""
        out: list[bytes] = []
        if isinstance(part, ToolCall):
            out.append(self._delta({"toolUse": {"input": self._arguments(part)}}))
        if isinstance(part, Reasoning) and event.signature:
            if part.origin is HOME:
                out.append(self._delta({"reasoningContent": {"signature": event.signature}}))
            else:
                self._losses.signature()
        out += self._late(part, event.extra)
        out.append(self._block("contentBlockStop", {}))
        return b"".join(out)

    def _late(self, part: Part, extra: Json) -> list[bytes]:
        """What came to be known of a part after its beginning."""
        if not self._home:
            self._losses.unknown(extra, "content")
            return []
        out: list[bytes] = []
        for key, value in extra.items():
            if isinstance(part, Opaque) and key == "reasoningContent":
                out.append(self._delta({key: value}))
            elif key == "citationsContent" and isinstance(value, dict) and isinstance(value.get("citations"), list):
                out += [self._delta({"citation": citation}) for citation in value["citations"]]
            else:
                out.append(self._delta({key: value}))
        return out

    def _arguments(self, call: ToolCall) -> str:
        text = call.arguments + "".join(self._texts)
        if call.freeform:
            return to_json({INPUT: text}).decode()
        if text.strip() and json_object(text) is None:
            self._losses.approximated("content.tool_calls.function.arguments", "not a JSON object; given empty")
            return "{}"
        return text if text.strip() else "{}"

    def _finish(self, event: Finished) -> bytes:
        word = write_reason(
            event.reason,
            event.detail,
            event.stop_sequence,
            home=self._home,
            calls=self._calls,
            refused=self._refused,
            losses=self._losses,
        )
        usage = write_usage(self._usage or Usage(), self._losses)
        metadata: Json = {"usage": usage}
        if self._home:
            overlay(metadata, event.extra)
        else:
            self._losses.unknown(event.extra)
        return _event("messageStop", {"stopReason": word}) + _event("metadata", metadata)

    def _delta(self, delta: Json) -> bytes:
        return self._block("contentBlockDelta", {"delta": delta})

    def _block(self, name: str, members: Json) -> bytes:
        return _event(name, members | {"contentBlockIndex": self._index})


def _event(name: str, payload: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return write_message(headers, to_json(payload))


def write_exception(kind: str, message: str) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return write_message(headers, to_json({"message": message.encode("utf-8", "replace").decode()}))
