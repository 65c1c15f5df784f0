"""A stream of ``/v2/chat``, written."""

from omni_wire.errors import UpstreamFailed, render_frame

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.cohere_chat.answer import PartsOut, write_reason, write_usage
from omni_translator.domain.codecs.cohere_chat.content import HOME, PLAN
from omni_translator.domain.events import (
    Failed,
    Finished,
    PartEnded,
    Started,
)
from omni_translator.domain.fields import quoted, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.stream_encoder import EventEncoder

_MARK = "@"


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``. A delta is three joined byte strings."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_closing",
        "_head",
        "_home",
        "_parts",
    )

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, Losses("Cohere"))
        self._home = False
        self._parts = PartsOut(False, self._losses)
        self._head: tuple[bytes, bytes] | None = None  # around a delta's text; None: the open part takes none
        self._closing = b""  # what ends the open part
        self._blocks = 0
        self._calls = 0

    def _say(self, text: str) -> bytes:
        return quoted(text).join(self._head) if self._head is not None else b""

    def _fail(self, event: Failed) -> bytes:
        return render_frame(UpstreamFailed(event.message), HOME, "")

    def _start(self, event: Started) -> bytes:
        self._home = event.origin is HOME
        self._parts = PartsOut(self._home, self._losses)
        message = {"role": "assistant", "content": [], PLAN: "", "tool_calls": [], "citations": []}
        return _frame("message-start", id=self._reply.id or event.id, delta={"message": message})

    def _begin(self, part: Part) -> bytes:
        self._head, self._closing = None, b""
        if not self._parts.declare(part):
            return b""
        if self._parts.is_plan(part):
            self._head = _around("tool-plan-delta", {PLAN: _MARK})
            return self._said(part)
        block = self._parts.block(part)
        if block is not None:
            index, self._blocks = self._blocks, self._blocks + 1
            self._closing = _frame("content-end", index=index)
            if not isinstance(part, Opaque):
                key = "thinking" if isinstance(part, Reasoning) else "text"
                self._head = _around("content-delta", {"content": {key: _MARK}}, index=index)
            return _frame("content-start", index=index, delta={"message": {"content": block}}) + self._said(part)
        call = self._parts.call(part)
        if call is None:
            return b""
        index, self._calls = self._calls, self._calls + 1
        self._closing = _frame("tool-call-end", index=index)
        if isinstance(part, ToolCall):
            call["function"]["arguments"] = ""
            arguments = {"tool_calls": {"function": {"arguments": _MARK}}}
            self._head = _around("tool-call-delta", arguments, index=index)
        return _frame("tool-call-start", index=index, delta={"message": {"tool_calls": call}}) + self._said(part)

    def _said(self, part: Part) -> bytes:
        """The text that a part begins with."""
        text = part.arguments if isinstance(part, ToolCall) else ""
        if isinstance(part, Text | Reasoning | Refusal):
            text = part.text
        return self._say(text) if text else b""

    def _end(self, event: PartEnded) -> bytes:
        if event.signature:
            self._losses.signature()
        self._losses.unknown(event.extra, "content")
        self._head, closing = None, self._closing
        self._closing = b""
        return closing

    def _finish(self, event: Finished) -> bytes:
        home = self._home
        word = write_reason(event.reason, event.detail, event.stop_sequence, home=home, losses=self._losses)
        delta: Json = {"finish_reason": word}
        cited: list[Json] = []
        extra = dict(event.extra)
        if home:
            message = extra.pop("message", {})
            if isinstance(message, dict):
                found = message.get("citations")
                cited = found if isinstance(found, list) else []
                left = {key: value for key, value in message.items() if key != "citations"}
                extra |= {"message": left} if left else {}
        else:
            self._losses.unknown(extra)
            extra = {}
        usage_rest = extra.pop("usage", {})
        if self._usage is not None:
            delta["usage"] = write_usage(self._usage, usage_rest if isinstance(usage_rest, dict) else {}, self._losses)
        out: list[bytes] = []
        for index, citation in enumerate(cited):
            out.append(_frame("citation-start", index=index, delta={"message": {"citations": citation}}))
            out.append(_frame("citation-end", index=index))
        return b"".join([*out, _frame("message-end", delta=extra | delta)])


def _frame(kind: str, **fields: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), to_json({"type": kind} | fields))


def _around(kind: str, message: Json, **fields: object) -> tuple[bytes, bytes]:
    before, _, after = _frame(kind, **fields, delta={"message": message}).partition(b'"%b"' % _MARK.encode())
    return before, after
