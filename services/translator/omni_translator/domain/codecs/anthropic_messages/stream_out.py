"""A Messages stream, written."""

from omni_wire.errors import UpstreamFailed, render_frame
from omni_wire.usage import Usage

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.anthropic_messages.answer import declare, write_reason, write_usage
from omni_translator.domain.codecs.anthropic_messages.content import HOME
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
from omni_translator.domain.plain import INPUT

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
_DELTA_END = b"}}\n\n"


class Encoder:
    """See ``omni_translator.domain.codec.StreamEncoder``. A delta is three joined byte strings."""

    __slots__ = (
        "_calls",
        "_freeform",
        "_head",
        "_home",
        "_index",
        "_losses",
        "_part",
        "_refused",
        "_reply",
        "_usage",
    )

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._losses = Losses("Anthropic Messages")
        self._home = False
        self._index = -1  # of the block that is open, or was last
        self._head = b""  # before a delta's text; empty: no block takes text
        self._part: Part | None = None  # None: the open part cannot be said
        self._freeform: list[str] = []  # the text of the open call, where it must go as one argument
        self._calls = False
        self._refused = False
        self._usage: Usage | None = None

    @property
    def losses(self) -> tuple[Loss, ...]:
        return self._losses.all()

    def emit(self, event: Event) -> bytes:
        if type(event) is PartDelta:
            if self._head:
                return b"%b%b%b" % (self._head, to_json(event.text), _DELTA_END)
            self._freeform.append(event.text)
            return b""
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
                return _PING
            case _:
                return b""

    def _start(self, event: Started) -> bytes:
        self._home = event.origin is HOME
        message: Json = {
            "id": self._reply.id or event.id,
            "type": "message",
            "role": "assistant",
            "model": self._reply.model or event.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            # Chat tells its usage last; the whole of it is in message_delta, which SDKs take over.
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return _frame("message_start", {"message": message})

    def _begin(self, part: Part) -> bytes:
        declare(part, self._home, self._losses)
        self._head, self._part, self._freeform = b"", None, []
        match part:
            case Text() | Refusal():
                block: Json = {"type": "text", "text": ""}
                delta = (b"text_delta", b"text")
                self._refused = self._refused or isinstance(part, Refusal)
            case Reasoning():
                block = {"type": "thinking", "thinking": "", "signature": ""}
                delta = (b"thinking_delta", b"thinking")
            case ToolCall():
                block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                delta = (b"input_json_delta", b"partial_json")
                self._calls = True
            case Opaque() if part.origin is HOME:
                block, delta = dict(part.data), (b"", b"")
            case _:
                return b""
        if self._home and not isinstance(part, Opaque):
            overlay(block, part.extra)
        self._part = part
        self._index += 1
        plain = not (isinstance(part, ToolCall) and part.freeform)
        self._head = _DELTA % (self._index, *delta) if delta[0] and plain else b""
        return _frame("content_block_start", {"index": self._index, "content_block": block})

    def _end(self, event: PartEnded) -> bytes:
        part, self._part, self._head = self._part, None, b""
        if part is None:
            return b""
        out: list[bytes] = []
        if isinstance(part, ToolCall) and part.freeform:
            written = to_json({INPUT: part.arguments + "".join(self._freeform)}).decode()
            out.append(self._delta({"type": "input_json_delta", "partial_json": written}))
        for key, value in event.extra.items():
            if self._home and key == "citations" and isinstance(value, list):
                out += [self._delta({"type": "citations_delta", "citation": citation}) for citation in value]
            elif self._home and key == "input" and isinstance(part, Opaque):
                out.append(self._delta({"type": "input_json_delta", "partial_json": to_json(value).decode()}))
            else:
                self._losses.unknown({key: value}, "choices.message")
        if event.signature and isinstance(part, Reasoning) and part.origin is HOME:
            out.append(self._delta({"type": "signature_delta", "signature": event.signature}))
        elif event.signature:
            self._losses.dropped("choices.message.signature", "a signature is worth something to its origin only")
        out.append(_frame("content_block_stop", {"index": self._index}))
        return b"".join(out)

    def _delta(self, delta: Json) -> bytes:
        return _frame("content_block_delta", {"index": self._index, "delta": delta})

    def _finish(self, event: Finished) -> bytes:
        word = write_reason(
            event.reason,
            event.detail,
            home=self._home,
            calls=self._calls,
            refused=self._refused,
            losses=self._losses,
        )
        usage = write_usage(self._usage or Usage(), self._losses)
        delta: Json = {"stop_reason": word, "stop_sequence": event.stop_sequence or None}
        if self._home:
            overlay(usage, event.extra.get("usage", {}))
            overlay(delta, {key: value for key, value in event.extra.items() if key != "usage"})
        else:
            self._losses.unknown(event.extra)
        return _frame("message_delta", {"delta": delta, "usage": usage}) + _frame("message_stop", {})


def _frame(name: str, members: Json) -> bytes:
    body = to_json({"type": name} | members)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), body)
