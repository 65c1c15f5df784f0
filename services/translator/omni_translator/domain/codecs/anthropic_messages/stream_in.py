"""A Messages stream, read: named events, every block begun and stopped by its index.

The stream has ended as it should when a stop reason has come, and ``message_stop`` or the end of the bytes after it:
the reason comes after all content. Blocks that overlap (the format allows no such thing, its indices would) are put in
order by ``parts.Assembler``.
"""

from typing import Any

from omni_wire.errors import WireError, upstream_message
from omni_wire.sse import parse_event
from omni_wire.told_error import told_status

from omni_translator.domain.codecs.anthropic_messages.answer import read_reason, read_usage
from omni_translator.domain.codecs.anthropic_messages.content import HOME, read_block
from omni_translator.domain.events import Event, Failed, Finished, KeepAlive, Started, UsageReported
from omni_translator.domain.fields import Fields, from_json, gather
from omni_translator.domain.model import FinishReason, Json, Opaque, Reasoning, Text, ToolCall
from omni_translator.domain.streams import SseDecoder

_ENVELOPE = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"})
# delta type -> the key of its text and the kinds of block it belongs to
_TEXTS: dict[str, tuple[str, type]] = {
    "text_delta": ("text", Text),
    "thinking_delta": ("thinking", Reasoning),
    "input_json_delta": ("partial_json", ToolCall),
}


class _Block:
    """A block of the stream that is open: what of it is told only at its stop."""

    __slots__ = ("kind", "pieces", "signature", "spoke", "whole")

    def __init__(self, kind: type, whole: str, signature: str) -> None:
        self.kind = kind
        self.whole = whole  # a call's arguments as the block's start gave them, when it did
        self.signature = signature
        self.spoke = False  # whether any text has come in deltas
        self.pieces: list[str] = []  # an opaque block's JSON


class Decoder(SseDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_blocks", "_detail", "_reason", "_rest", "_started", "_stop_sequence")

    def __init__(self) -> None:
        super().__init__(explicit_ends=True)
        self._started = False
        self._blocks: dict[int, _Block] = {}
        self._reason: FinishReason | None = None
        self._detail = ""
        self._stop_sequence = ""
        self._rest: Json = {}

    def _read(self, raw: bytes, events: list[Event]) -> None:
        data = parse_event(raw).data
        if data is None or not data.strip():
            events.append(KeepAlive())
            return
        event = from_json(data)
        if not isinstance(event, dict):
            raise WireError("an event must be an object")
        kind = event.get("type")
        if kind == "ping":
            events.append(KeepAlive())
        elif kind == "error" or (kind is None and event.get("error")):
            events.append(Failed(upstream_message(data), told_status(data)))
            self._done = True
        elif kind == "message_start":
            self._start(event, events)
        elif not self._started:
            raise WireError(f"{str(kind)[:40]} came before message_start")
        elif kind == "content_block_delta":
            self._delta(event, raw, events)
        elif kind == "content_block_start":
            self._block_start(event, events)
        elif kind == "content_block_stop":
            self._block_stop(_index(event), events)
        elif kind == "message_delta":
            self._message_delta(event, events)
        elif kind == "message_stop":
            self._close(events)
            self._done = True
        else:
            gather(self._rest, {str(kind): {key: value for key, value in event.items() if key != "type"} or True})

    # ---- the message ----

    def _start(self, event: Json, events: list[Event]) -> None:
        message = event.get("message")
        if not isinstance(message, dict):
            raise WireError("message_start must carry a message", "message")
        if self._started:
            raise WireError("message_start came twice")
        self._started = True
        name, model = message.get("id"), message.get("model")
        events.append(Started(HOME, name if isinstance(name, str) else "", model if isinstance(model, str) else ""))
        self._keep(message, _ENVELOPE)
        self._usage(message, events)

    def _message_delta(self, event: Json, events: list[Event]) -> None:
        delta = event.get("delta")
        if delta is not None and not isinstance(delta, dict):
            raise WireError("message_delta.delta must be an object", "delta")
        delta = delta or {}
        word, stop = delta.get("stop_reason"), delta.get("stop_sequence")
        if (word is not None and not isinstance(word, str)) or (stop is not None and not isinstance(stop, str)):
            raise WireError("stop_reason and stop_sequence must be strings", "delta")
        if word:
            self._reason, self._detail = read_reason(word)
        self._stop_sequence = stop or self._stop_sequence
        self._keep(delta, _ENVELOPE)
        self._keep(event, frozenset({"type", "delta", "usage"}))
        self._usage(event, events)

    def _keep(self, holder: Json, known: frozenset[str]) -> None:
        gather(self._rest, {key: value for key, value in holder.items() if key not in known and value is not None})

    def _usage(self, holder: Json, events: list[Event]) -> None:
        usage, rest = read_usage(holder.get("usage"))
        if usage is not None:
            events.append(UsageReported(usage))
        if rest:
            gather(self._rest, {"usage": rest})

    def _close(self, events: list[Event]) -> None:
        if self._reason is None:
            return
        self._parts.finish(events)
        events.append(Finished(self._reason, self._detail, self._stop_sequence, self._rest))

    # ---- blocks ----

    def _block_start(self, event: Json, events: list[Event]) -> None:
        index = _index(event)
        if index in self._blocks:
            raise WireError("a block began twice", "index")
        block = event.get("content_block")
        part = read_block(Fields(block, "content_block"))
        text, whole, signature = "", "", ""
        if isinstance(part, Text):
            text, part = part.text, Text("", cache=part.cache, extra=part.extra)
        elif isinstance(part, Reasoning):
            text, signature = part.text, part.signature
            part = Reasoning(text="", origin=HOME, extra=part.extra)
        elif isinstance(part, ToolCall):
            whole = part.arguments
            part = ToolCall(id=part.id, name=part.name, cache=part.cache, extra=part.extra)
        self._blocks[index] = _Block(type(part), whole, signature)
        self._parts.open(index, part, events)
        if text:
            self._parts.delta(index, text, events)

    def _delta(self, event: Json, raw: bytes, events: list[Event]) -> None:
        index = _index(event)
        block = self._blocks.get(index)
        if block is None:
            raise WireError("a delta of a block that is not open", "index")
        delta = event.get("delta")
        if not isinstance(delta, dict):
            raise WireError("content_block_delta must carry a delta", "delta")
        kind = delta.get("type")
        known = _TEXTS.get(kind) if isinstance(kind, str) else None
        if known is None:
            self._other_delta(index, block, delta)
            return
        key, owner = known
        text = delta.get(key)
        if not isinstance(text, str):
            raise WireError(f"delta.{key} must be a string", f"delta.{key}")
        if block.kind is Opaque and owner is ToolCall:
            block.pieces.append(text)
            return
        if block.kind is not owner:
            raise WireError(f"{kind} does not belong to its block", "delta.type")
        if len(delta) > 2:
            extra = {name: value for name, value in delta.items() if name not in ("type", key) and value is not None}
            self._parts.annotate(index, extra)
        if text:
            block.spoke = True
            self._parts.delta(index, text, events)
            if len(delta) == 2 and len(event) == 3:
                self._learn(raw, b'"%b":' % key.encode(), text)

    def _other_delta(self, index: int, block: _Block, delta: Json) -> None:
        kind = delta.get("type")
        if kind == "signature_delta" and isinstance(delta.get("signature"), str):
            block.signature += delta["signature"]
        elif kind == "citations_delta" and delta.get("citation") is not None:
            self._parts.annotate(index, {"citations": [delta["citation"]]})
        else:
            self._parts.annotate(index, {key: value for key, value in delta.items() if key != "type"})

    def _block_stop(self, index: int, events: list[Event]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            raise WireError("a block stopped that was not open", "index")
        if block.kind is ToolCall and not block.spoke:
            self._parts.delta(index, block.whole or "{}", events)  # no arguments came as deltas
        if block.pieces:
            self._parts.annotate(index, {"input": _parsed("".join(block.pieces))})
        self._parts.close(index, block.signature, events)


def _index(event: Json) -> int:
    index = event.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise WireError("index must be an integer", "index")
    return index


def _parsed(text: str) -> Any:
    try:
        return from_json(text)
    except WireError:
        return text
