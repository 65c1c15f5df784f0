"""A ConverseStream answer, read.

A block of text or of thoughts begins with its first delta, a tool call with a start of its own; each ends with a stop.
``messageStop`` gives the reason once all content is told, ``metadata`` the usage after it: the answer is whole with the
reason, and over with the usage or the end of the bytes. Payloads are padded (``p``) against traffic analysis.
"""

import base64
import binascii
from typing import Any

from omni_wire.errors import WireError

from omni_translator.domain.codecs.bedrock_converse.answer import read_reason, read_usage, take_metrics
from omni_translator.domain.codecs.bedrock_converse.content import HOME, read_block
from omni_translator.domain.event_streams import EventStreamDecoder
from omni_translator.domain.events import Event, Finished, Started, UsageReported
from omni_translator.domain.fields import Fields, gather
from omni_translator.domain.model import FinishReason, Json, Opaque, Part, Reasoning, Text, ToolCall
from omni_translator.domain.parts import Assembler

_PADDING = "p"


class _Block:
    """A block that is open: what of it is told only at its stop."""

    __slots__ = ("kind", "redacted", "signature", "spoke")

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.signature = ""
        self.spoke = False  # whether any text has come in deltas
        self.redacted: list[str] = []  # base64


class Decoder(EventStreamDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = ("_blocks", "_detail", "_parts", "_reason", "_rest", "_started")

    def __init__(self) -> None:
        super().__init__()
        self._parts = Assembler(explicit_ends=True)
        self._started = False
        self._blocks: dict[int, _Block] = {}
        self._reason: FinishReason | None = None
        self._detail = ""
        self._rest: Json = {}

    def _read(self, name: str, payload: Json, events: list[Event]) -> None:
        payload.pop(_PADDING, None)
        if name == "contentBlockDelta":
            self._delta(payload, events)
        elif name == "messageStart":
            self._start(payload, events)
        elif not self._started:
            raise WireError(f"{name[:40]} came before messageStart")
        elif name == "contentBlockStart":
            self._block_start(payload, events)
        elif name == "contentBlockStop":
            self._block_stop(_index(payload), events)
        elif name == "messageStop":
            self._stop(payload)
        elif name == "metadata":
            self._metadata(payload, events)
        else:
            gather(self._rest, {name: payload or True})

    # ---- the message ----

    def _start(self, payload: Json, events: list[Event]) -> None:
        if self._started:
            raise WireError("messageStart came twice")
        self._started = True
        events.append(Started(HOME, "", ""))
        gather(self._rest, {key: value for key, value in payload.items() if key != "role"})

    def _stop(self, payload: Json) -> None:
        word = payload.pop("stopReason", None)
        if not isinstance(word, str) or not word:
            raise WireError("messageStop must carry a stopReason", "stopReason")
        self._reason, self._detail = read_reason(word)
        gather(self._rest, {key: value for key, value in payload.items() if value is not None})

    def _metadata(self, payload: Json, events: list[Event]) -> None:
        usage, usage_rest = read_usage(payload.pop("usage", None))
        if usage is not None:
            events.append(UsageReported(usage))
        if usage_rest:
            gather(self._rest, {"usage": usage_rest})
        fields = Fields(payload, "")
        take_metrics(fields)
        gather(self._rest, {key: value for key, value in fields.rest().items() if value is not None})
        if self._reason is not None:
            self._close(events)
            self._done = True

    def _close(self, events: list[Event]) -> None:
        if self._reason is None:
            return
        for index in list(self._blocks):
            self._block_stop(index, events)
        events.append(Finished(self._reason, self._detail, "", self._rest))

    # ---- blocks ----

    def _block_start(self, payload: Json, events: list[Event]) -> None:
        index, start = _index(payload), payload.get("start")
        if index in self._blocks:
            raise WireError("a block began twice", "contentBlockIndex")
        if not isinstance(start, dict):
            raise WireError("contentBlockStart must carry a start", "start")
        if not start:
            return  # its first delta says what it is
        part = read_block(Fields(start, "start"))
        text, signature = "", ""
        if isinstance(part, Text):
            text, part = part.text, Text("", extra=part.extra)
        elif isinstance(part, Reasoning):
            text, signature = part.text, part.signature
            part = Reasoning(text="", origin=HOME, extra=part.extra)
        block = self._open(index, part, events)
        block.signature = signature
        block.spoke = isinstance(part, ToolCall) and bool(part.arguments)
        if text:
            self._parts.delta(index, text, events)

    def _open(self, index: int, part: Part, events: list[Event]) -> _Block:
        block = self._blocks[index] = _Block(type(part))
        self._parts.open(index, part, events)
        return block

    def _delta(self, payload: Json, events: list[Event]) -> None:
        if not self._started:
            raise WireError("contentBlockDelta came before messageStart")
        index, delta = _index(payload), payload.get("delta")
        if not isinstance(delta, dict):
            raise WireError("contentBlockDelta must carry a delta", "delta")
        text, call, thought = delta.get("text"), delta.get("toolUse"), delta.get("reasoningContent")
        if isinstance(text, str):
            self._say(index, Text(""), text, events)
            extra = {key: value for key, value in delta.items() if key != "text" and value is not None}
        elif isinstance(call, dict):
            self._argue(index, call, events)
            extra = {key: value for key, value in delta.items() if key != "toolUse" and value is not None}
        elif isinstance(thought, dict):
            self._think(index, thought, events)
            extra = {key: value for key, value in delta.items() if key != "reasoningContent" and value is not None}
        elif isinstance(delta.get("citation"), dict):
            if index not in self._blocks:
                self._open(index, Text(""), events)
            extra = {"citationsContent": {"citations": [delta["citation"]]}}
        else:
            extra = delta
            if index not in self._blocks:
                self._open(index, Opaque(origin=HOME, data={}), events)
        if extra:
            self._parts.annotate(index, extra)

    def _say(self, index: int, head: Part, text: str, events: list[Event]) -> None:
        block = self._blocks.get(index) or self._open(index, head, events)
        if block.kind is not type(head):
            raise WireError("a delta does not belong to its block", "delta")
        if text:
            self._parts.delta(index, text, events)

    def _argue(self, index: int, call: Json, events: list[Event]) -> None:
        block, text = self._blocks.get(index), call.get("input")
        if block is None or not isinstance(text, str):
            raise WireError("a tool call's delta must carry input, after the call's start", "delta.toolUse")
        if block.kind is Opaque:  # a tool that Bedrock runs itself
            self._parts.annotate(index, {"input": [text]})
        elif block.kind is not ToolCall:
            raise WireError("a delta does not belong to its block", "delta")
        elif text:
            block.spoke = True
            self._parts.delta(index, text, events)
        extra = {key: value for key, value in call.items() if key != "input" and value is not None}
        if extra:
            self._parts.annotate(index, {"toolUse": extra})

    def _think(self, index: int, thought: Json, events: list[Event]) -> None:
        redacted, signature, text = thought.get("redactedContent"), thought.get("signature"), thought.get("text")
        if isinstance(redacted, str):
            head = Opaque(origin=HOME, data={"reasoningContent": {"redactedContent": ""}})
            block = self._blocks.get(index) or self._open(index, head, events)
            if block.kind is not Opaque:
                raise WireError("a delta does not belong to its block", "delta")
            block.redacted.append(redacted)
            return
        if isinstance(text, str) or index not in self._blocks:
            self._say(index, Reasoning(text="", origin=HOME), text if isinstance(text, str) else "", events)
        if isinstance(signature, str):
            self._blocks[index].signature += signature
        extra = {key: value for key, value in thought.items() if key not in ("text", "signature") and value is not None}
        if extra:
            self._parts.annotate(index, {"reasoningContent": extra})

    def _block_stop(self, index: int, events: list[Event]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return  # an empty text: it had no delta, so nothing said what it is
        if block.kind is ToolCall and not block.spoke:
            self._parts.delta(index, "{}", events)
        if block.redacted:
            self._parts.annotate(index, {"reasoningContent": {"redactedContent": _joined(block.redacted)}})
        self._parts.close(index, block.signature, events)


def _index(payload: Json) -> int:
    index: Any = payload.get("contentBlockIndex")
    if not isinstance(index, int) or isinstance(index, bool):
        raise WireError("contentBlockIndex must be an integer", "contentBlockIndex")
    return index


def _joined(pieces: list[str]) -> str:
    """Pieces of base64, each encoded by itself, as one."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(base64.b64decode(piece, validate=True) for piece in pieces)).decode()
    except (binascii.Error, ValueError) as error:
        raise WireError("redactedContent must be base64", "delta.reasoningContent") from error
