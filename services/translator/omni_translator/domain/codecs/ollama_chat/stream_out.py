"""A stream of ``/api/chat``, written: a line a delta, a line a call, and the last one with the end and the counts."""

from typing import Final

import msgspec
from omni_wire.errors import UpstreamFailed, render_frame

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.ollama_chat.answer import PartsOut, moment, write_reason, write_usage
from omni_translator.domain.codecs.ollama_chat.content import HOME
from omni_translator.domain.events import (
    Failed,
    Finished,
    PartEnded,
    Started,
)
from omni_translator.domain.fields import gather, overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Json, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.stream_encoder import EventEncoder

_BREAKS: Final = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``. A text delta is joined byte strings; a call comes whole, as
    Ollama has it. A sign of life is nothing: Ollama's client for Python takes a blank line for broken JSON."""

    __slots__ = (
        "_arguments",
        "_head",
        "_home",
        "_model",
        "_open",
        "_parts",
        "_shell",
    )

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, Losses("Ollama"))
        self._home = False
        self._parts = PartsOut(False, self._losses)
        self._model = reply.model
        self._shell: tuple[bytes, bytes] = (b"", b"")  # around the message of a line in mid-answer
        self._head: tuple[bytes, bytes] | None = None  # around a delta's text; None: the open part takes none
        self._open: Part | None = None  # None: the open part cannot be said
        self._arguments: list[str] = []

    def _fail(self, event: Failed) -> bytes:
        return render_frame(UpstreamFailed(event.message), HOME, "")

    def _keep_alive(self) -> bytes:
        return b""

    def _start(self, event: Started) -> bytes:
        self._home = event.origin is HOME
        self._parts = PartsOut(self._home, self._losses)
        self._model = self._reply.model or event.model
        line = one_line(to_json(self._line({}, done=False)))
        before, _, after = line.rpartition(b"{}")
        self._shell = (before, after + b"\n")
        return b""

    def _line(self, message: Json, *, done: bool) -> Json:
        return {"model": self._model, "created_at": moment(self._reply.created), "message": message, "done": done}

    def _say(self, text: str) -> bytes:
        if self._head is not None:
            return one_line(to_json(text)).join(self._head)
        if self._open is not None:
            self._arguments.append(text)
        return b""

    def _begin(self, part: Part) -> bytes:
        self._head, self._open, self._arguments = None, None, []
        if not self._parts.declare(part):
            return b""
        self._open = part
        before, after = self._shell
        if isinstance(part, ToolCall):
            self._arguments = [part.arguments]
            return b""
        if isinstance(part, Reasoning):
            self._head = (before + b'{"role":"assistant","content":"","thinking":', b"}" + after)
        else:
            self._head = (before + b'{"role":"assistant","content":', b"}" + after)
        return self._say(part.text) if isinstance(part, Text | Reasoning | Refusal) and part.text else b""

    def _end(self, event: PartEnded) -> bytes:
        part, self._head, self._open = self._open, None, None
        if event.signature:
            self._losses.signature()
        if not isinstance(part, ToolCall) or not self._home:
            self._losses.unknown(event.extra, "content")
        if not isinstance(part, ToolCall):
            return b""
        extra = dict(part.extra)
        gather(extra, event.extra)
        whole = self._parts.call(msgspec.structs.replace(part, arguments="".join(self._arguments), extra=extra))
        return one_line(to_json({"role": "assistant", "content": "", "tool_calls": [whole]})).join(self._shell)

    def _finish(self, event: Finished) -> bytes:
        body = self._line({"role": "assistant", "content": ""}, done=True)
        body["done_reason"] = write_reason(
            event.reason,
            event.detail,
            event.stop_sequence,
            home=self._home,
            calls=self._parts.calls > 0,
            losses=self._losses,
        )
        body |= write_usage(self._usage, self._losses)
        if self._home:
            overlay(body, event.extra)
        else:
            self._losses.unknown(event.extra)
        return one_line(to_json(body)) + b"\n"


def one_line(data: bytes) -> bytes:
    """JSON without what some readers of lines take for the end of one, though JSON does not: Python's ``splitlines``,
    and with it Ollama's own client, breaks a line at U+2028, U+2029 and U+0085 too. They only stand inside strings."""
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for sign, escape in _BREAKS:
            data = data.replace(sign, escape)
    return data
