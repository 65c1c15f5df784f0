"""A Messages stream, written."""

from omni_wire.errors import render_frame
from omni_wire.told_error import error_of
from omni_wire.usage import Usage

from omni_translator.domain.citations import take_citations, take_late, tells_late
from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.anthropic_messages.answer import (
    declare,
    late_locations,
    locations,
    write_reason,
    write_usage,
)
from omni_translator.domain.codecs.anthropic_messages.content import HOME
from omni_translator.domain.events import (
    Failed,
    Finished,
    PartEnded,
    Started,
)
from omni_translator.domain.fields import overlay, quoted, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.plain import INPUT
from omni_translator.domain.stream_encoder import EventEncoder

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
_DELTA_END = b"}}\n\n"


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``. A delta is three joined byte strings."""

    __slots__ = (
        "_calls",
        "_freeform",
        "_head",
        "_home",
        "_index",
        "_origin",
        "_part",
        "_pieces",
        "_refused",
        "_texts",
        "_waiting",
    )

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, Losses("Anthropic Messages"))
        self._home, self._origin = False, HOME
        self._index = -1  # of the block that is open, or was last
        self._head = b""  # before a delta's text; empty: no block takes text
        self._part: Part | None = None  # None: the open part cannot be said
        self._freeform: list[str] = []  # the text of the open call, where it must go as one argument
        self._pieces: list[str] | None = None  # of the open text, of which it is to be known what it cites
        self._texts: list[str] = []  # of which that is known
        self._waiting = b""  # the last text's end, until nothing more can be told of it
        self._calls = False
        self._refused = False

    def _say(self, text: str) -> bytes:
        if self._pieces is not None:
            self._pieces.append(text)
        if self._head:
            return self._head + quoted(text) + _DELTA_END
        self._freeform.append(text)
        return b""

    def _fail(self, event: Failed) -> bytes:
        return render_frame(error_of(event.message, event.status), HOME, "")

    def _keep_alive(self) -> bytes:
        return _PING

    def _start(self, event: Started) -> bytes:
        self._home, self._origin = event.origin is HOME, event.origin
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
        before, self._waiting = self._waiting, b""
        self._head, self._part, self._freeform, self._pieces = b"", None, [], None
        match part:
            case Text() | Refusal():
                block: Json = {"type": "text", "text": ""}
                self._pieces = [] if isinstance(part, Text) and not self._home else None
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
                return before
        if self._home and not isinstance(part, Opaque):
            overlay(block, part.extra)
        self._part = part
        self._index += 1
        plain = not (isinstance(part, ToolCall) and part.freeform)
        self._head = _DELTA % (self._index, *delta) if delta[0] and plain else b""
        return before + _frame("content_block_start", {"index": self._index, "content_block": block})

    def _end(self, event: PartEnded) -> bytes:
        part, self._part, self._head = self._part, None, b""
        if part is None:
            return b""
        out: list[bytes] = []
        if isinstance(part, ToolCall) and part.freeform:
            written = to_json({INPUT: part.arguments + "".join(self._freeform)}).decode()
            out.append(self._delta({"type": "input_json_delta", "partial_json": written}))
        rest = event.extra
        if self._pieces is not None:
            text = "".join(self._pieces)
            cited, rest = take_citations(part, rest)
            out += self._cited(locations(take_citations(part)[0] + cited, len(text), self._losses))
            self._texts.append(text)
            self._pieces = None
        for key, value in rest.items():
            if self._home and key == "citations" and isinstance(value, list):
                out += self._cited(value)
            elif self._home and key == "input" and isinstance(part, Opaque):
                out.append(self._delta({"type": "input_json_delta", "partial_json": to_json(value).decode()}))
            else:
                self._losses.unknown({key: value}, "choices.message")
        if event.signature and isinstance(part, Reasoning) and part.origin is HOME:
            out.append(self._delta({"type": "signature_delta", "signature": event.signature}))
        elif event.signature:
            self._losses.signature("choices.message")
        stop = _frame("content_block_stop", {"index": self._index})
        if isinstance(part, Text) and tells_late(self._origin):
            self._waiting = stop
        else:
            out.append(stop)
        return b"".join(out)

    def _cited(self, citations: list[Json]) -> list[bytes]:
        return [self._delta({"type": "citations_delta", "citation": citation}) for citation in citations]

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
        stop, self._waiting = self._waiting, b""
        rest = event.extra
        if not self._home:
            late, rest = take_late(rest, self._origin, self._texts)
            cited = late_locations(late, self._texts, bool(stop), self._losses)
            stop = b"".join(self._cited(cited)) + stop
        usage = write_usage(self._usage or Usage(), self._losses)
        delta: Json = {"stop_reason": word, "stop_sequence": event.stop_sequence or None}
        if self._home:
            overlay(usage, event.extra.get("usage", {}))
            overlay(delta, {key: value for key, value in event.extra.items() if key != "usage"})
        else:
            self._losses.unknown(rest)
        return stop + _frame("message_delta", {"delta": delta, "usage": usage}) + _frame("message_stop", {})


def _frame(name: str, members: Json) -> bytes:
    body = to_json({"type": name} | members)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), body)
