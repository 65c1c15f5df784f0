"""A Gemini stream, written: server-sent events, or one JSON array for a client that did not ask for ``alt=sse``."""

import msgspec
from omni_wire.errors import UpstreamFailed, render_frame, render_item
from omni_wire.usage import Usage

from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.gemini_generate.answer import PartsOut, blocks, envelope, write_reason
from omni_translator.domain.codecs.gemini_generate.content import write_thought
from omni_translator.domain.codecs.gemini_generate.spelling import HOME
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
from omni_translator.domain.model import Json, Part, Reasoning, Refusal, Text, ToolCall


class Encoder:
    """See ``omni_translator.domain.codec.StreamEncoder``. A text delta is joined byte strings; a call comes whole, as
    Gemini has it."""

    __slots__ = (
        "_arguments",
        "_array",
        "_begun",
        "_head",
        "_home",
        "_id",
        "_losses",
        "_model",
        "_open",
        "_parts",
        "_reply",
        "_said",
        "_shell",
        "_usage",
    )

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._array = reply.array
        self._losses = Losses("Gemini")
        self._home = False
        self._parts = PartsOut(False, self._losses)
        self._id = reply.id
        self._model = reply.model
        self._begun = False  # whether the array has its bracket
        self._shell: tuple[bytes, bytes] = (b"", b"")  # around the parts of a chunk in mid-answer
        self._head: tuple[bytes, bytes] | None = None  # around a delta's text; None: the open part takes none
        self._open: Part | None = None  # None: the open part cannot be said
        self._said = False  # whether the open part has told any text
        self._arguments: list[str] = []
        self._usage: Usage | None = None

    @property
    def losses(self) -> tuple[Loss, ...]:
        return self._losses.all()

    def emit(self, event: Event) -> bytes:
        if type(event) is PartDelta:
            return self._delta(event.text)
        match event:
            case PartStarted():
                return self._begin(event.part)
            case PartEnded():
                return self._end(event)
            case UsageReported():
                self._usage = event.usage if self._usage is None else self._usage.merge(event.usage)
                return b""
            case Started():
                self._start(event)
                return b""
            case Finished():
                return self._finish(event)
            case Failed():
                error = UpstreamFailed(event.message)
                return render_item(error, "", first=not self._begun) if self._array else render_frame(error, HOME, "")
            case KeepAlive():
                # Google's SDK for Python takes a comment for JSON; blank lines mean nothing in either framing.
                return b"\n" if self._array else b"\n\n"
            case _:
                return b""

    def _start(self, event: Started) -> None:
        self._home = event.origin is HOME
        self._parts = PartsOut(self._home, self._losses)
        self._id, self._model = self._reply.id or event.id, self._reply.model or event.model
        candidate: Json = {"content": {"parts": [], "role": "model"}, "index": 0}
        chunk = to_json({"candidates": [candidate], "modelVersion": self._model, "responseId": self._id})
        before, _, after = chunk.partition(b"[]")
        self._shell = before + b"[", b"]" + after

    def _frame(self, chunk: bytes) -> bytes:
        if not self._array:
            return b"data: %b\n\n" % chunk
        mark, self._begun = b",\n" if self._begun else b"[", True
        return mark + chunk

    def _part(self, part: Json) -> bytes:
        return self._frame(to_json(part).join(self._shell))

    def _delta(self, text: str) -> bytes:
        if self._head is None:
            if self._open is not None:
                self._arguments.append(text)
            return b""
        if not self._said:
            self._said = True
            if self._open is not None:
                self._parts.speaks(self._open)
        return self._frame(to_json(text).join(self._head))

    def _begin(self, part: Part) -> bytes:
        self._head, self._open, self._said, self._arguments = None, None, False, []
        if isinstance(part, Text | Refusal | Reasoning):
            if self._parts.declare(part):
                before, after = self._shell
                close = b',"thought":true}' if isinstance(part, Reasoning) else b"}"
                self._head, self._open = (before + b'{"text":', close + after), part
                return self._delta(part.text) if part.text else b""
            return b""
        if isinstance(part, ToolCall):
            self._open, self._arguments = part, [part.arguments]
            return b""
        block = self._parts.write(part)
        return self._part(block) if block is not None else b""

    def _end(self, event: PartEnded) -> bytes:
        part, self._head, self._open = self._open, None, None
        if isinstance(part, ToolCall):
            extra = dict(part.extra)
            overlay(extra, event.extra)
            arguments, signature = "".join(self._arguments), part.signature or event.signature
            call = msgspec.structs.replace(part, arguments=arguments, signature=signature, extra=extra)
            block = self._parts.write(call)
            return self._part(block) if block is not None else b""
        if part is None or isinstance(part, Refusal) or not isinstance(part, Text | Reasoning):
            self._losses.unknown(event.extra, "content")
            return b""
        if not self._home:
            self._losses.unknown(event.extra, "content")
            if event.signature:
                self._losses.dropped("content.signature", "a signature is worth something to its origin only")
            return b""
        rest: Json = {}
        if isinstance(part, Reasoning):
            signature = event.signature or part.signature
            rest = write_thought(Reasoning(text="", origin=HOME, signature=signature)) if signature else {}
        overlay(rest, part.extra)
        overlay(rest, event.extra)
        if not rest:
            return b""
        shown: Json = {"thought": True} if isinstance(part, Reasoning) else {}
        return self._part({"text": ""} | shown | rest)

    def _finish(self, event: Finished) -> bytes:
        word = write_reason(
            event.reason,
            event.detail,
            event.stop_sequence,
            home=self._home,
            calls=self._parts.calls,
            losses=self._losses,
        )
        candidate: Json = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": word, "index": 0}
        if not self._home:
            self._losses.unknown(event.extra)
        refused = self._home and not self._parts.spoke and blocks(event.extra)
        extra = event.extra if self._home else None
        body = envelope(None if refused else candidate, self._usage, self._id, self._model, extra, self._losses)
        return self._frame(to_json(body)) + (b"]\n" if self._array else b"")
