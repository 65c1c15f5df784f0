"""A chat stream, written."""

from omni_wire.errors import UpstreamFailed, render_frame
from omni_wire.usage import Usage

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.openai_chat.answer import declare, write_reason, write_usage
from omni_translator.domain.codecs.openai_chat.content import HOME
from omni_translator.domain.codecs.openai_chat.order import OrderWatch
from omni_translator.domain.events import (
    Event,
    Failed,
    Finished,
    KeepAlive,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
)
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.losses import Loss, Losses
from omni_translator.domain.model import Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall

_KEEP_ALIVE = b": keep-alive\n\n"


class Encoder:
    """See ``omni_translator.domain.codec.StreamEncoder``. A delta is three joined byte strings."""

    __slots__ = ("_calls", "_head", "_home", "_losses", "_order", "_part", "_reply", "_shell", "_tail", "_usage")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._losses = Losses("OpenAI Chat")
        self._order = OrderWatch(self._losses, "content", joins_text=True)
        self._home = False
        self._shell: tuple[bytes, bytes] = (b"", b"")
        self._head = b""  # before a delta's text; empty: the open part cannot be said
        self._tail = b""
        self._part: Part | None = None
        self._calls = 0
        self._usage: Usage | None = None

    @property
    def losses(self) -> tuple[Loss, ...]:
        return self._losses.all()

    def emit(self, event: Event) -> bytes:
        if type(event) is PartDelta:
            return b"%b%b%b" % (self._head, to_json(event.text), self._tail) if self._head else b""
        match event:
            case PartStarted():
                return self._begin(event.part)
            case PartEnded():
                return self._end(event)
            case UsageReported():
                self._usage = event.usage if self._usage is None else self._usage.merge(event.usage)
                return b""
            case Started():
                return self._start(event)
            case Finished():
                return self._finish(event)
            case Failed():
                return render_frame(UpstreamFailed(event.message), HOME, "")
            case KeepAlive():
                return _KEEP_ALIVE
            case _:
                return b""

    def _start(self, event: Started) -> bytes:
        self._home = event.origin is HOME
        chunk = to_json(self._chunk(event.id, event.model, []))
        opening, _, _ = chunk.rpartition(b"[]")
        self._shell = (
            b"data: " + opening + b'[{"index":0,"delta":',
            b',"logprobs":null,"finish_reason":null}]}\n\n',
        )
        return self._delta({"role": "assistant", "content": ""})

    def _chunk(self, source_id: str, source_model: str, choices: list[Json]) -> Json:
        return {
            "id": self._reply.id or source_id,
            "object": "chat.completion.chunk",
            "created": self._reply.created,
            "model": self._reply.model or source_model,
            "choices": choices,
        }

    def _delta(self, delta: Json) -> bytes:
        return to_json(delta).join(self._shell)

    def _begin(self, part: Part) -> bytes:
        self._order.see(part)
        declare(part, self._home, self._losses)
        self._part = part
        before, after = self._shell
        self._head, self._tail = b"", b"}" + after
        match part:
            case Text():
                self._head = before + b'{"content":'
            case Reasoning():
                self._head = before + b'{"reasoning_content":'
            case Refusal():
                self._head = before + b'{"refusal":'
            case ToolCall():
                index, self._calls = self._calls, self._calls + 1
                self._head = before + b'{"tool_calls":[{"index":%d,"function":{"arguments":' % index
                self._tail = b"}}]}" + after
                function = {"name": part.name, "arguments": part.arguments}
                call: Json = {"index": index, "id": part.id, "type": "function", "function": function}
                return self._delta({"tool_calls": [overlay(call, part.extra) if self._home else call]})
            case Opaque(slot="tool_calls") if self._home and part.origin is HOME:
                index, self._calls = self._calls, self._calls + 1
                return self._delta({"tool_calls": [{"index": index} | part.data]})
            case _:
                return b""
        return self.emit(PartDelta(0, part.text)) if part.text else b""

    def _end(self, event: PartEnded) -> bytes:
        part, self._head = self._part, b""
        if event.signature:
            self._losses.dropped("content.signature", "a signature is worth something to its origin only")
        if self._home and event.extra and isinstance(part, ToolCall):
            return self._delta({"tool_calls": [{"index": self._calls - 1} | event.extra]})
        self._losses.unknown(event.extra, "content")
        return b""

    def _finish(self, event: Finished) -> bytes:
        word = write_reason(event.reason, event.detail, event.stop_sequence, self._home, self._losses)
        choice: Json = {"index": 0, "delta": {}, "finish_reason": word}
        before, _ = self._shell
        chunk_head = before.partition(b'[{"index":0')[0]
        choices = [choice]
        top: Json = {}
        usage_rest = event.extra.get("usage", {})
        if self._home:
            top = {key: value for key, value in event.extra.items() if key not in ("usage", "choices")}
            for residue in event.extra.get("choices", [])[:1]:
                overlay(choice, {key: value for key, value in residue.items() if key != "message"})
                overlay(choice["delta"], residue.get("message", {}))
            choices += [_as_delta(other) for other in event.extra.get("choices", [])[1:] if isinstance(other, dict)]
        else:
            self._losses.unknown(event.extra)
        out = [chunk_head, to_json(choices), _members(top), b"}\n\n"]
        if self._usage is not None and self._reply.include_usage:
            usage = write_usage(self._usage)
            out += [chunk_head, b'[],"usage":', to_json(overlay(usage, usage_rest) if self._home else usage), b"}\n\n"]
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)


def _as_delta(choice: Json) -> Json:
    """One of several choices, all of it in one delta."""
    message = choice.get("message")
    delta: Json = dict(message) if isinstance(message, dict) else {}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        numbered = enumerate(calls)
        delta["tool_calls"] = [{"index": at} | call if isinstance(call, dict) else call for at, call in numbered]
    return {key: value for key, value in choice.items() if key != "message"} | {"delta": delta}


def _members(extra: Json) -> bytes:
    """``extra`` as further members of an object that has some already."""
    return b"," + to_json(extra)[1:-1] if extra else b""
