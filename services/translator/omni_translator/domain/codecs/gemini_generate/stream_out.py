"""A Gemini stream, written: server-sent events, or one JSON array for a client that did not ask for ``alt=sse``."""

import msgspec
from omni_wire.errors import render_frame, render_item
from omni_wire.told_error import error_of

from omni_translator.domain.choices import within
from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.gemini_generate.answer import PartsOut, blocks, envelope, write_reason
from omni_translator.domain.codecs.gemini_generate.content import write_thought
from omni_translator.domain.codecs.gemini_generate.spelling import HOME
from omni_translator.domain.events import (
    Failed,
    Finished,
    OfChoice,
    PartEnded,
    Started,
)
from omni_translator.domain.fields import overlay, quoted, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Json, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.stream_encoder import EventEncoder


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``. A text delta is joined byte strings; a call comes whole, as
    Gemini has it."""

    __slots__ = (
        "_arguments",
        "_array",
        "_begun",
        "_head",
        "_home",
        "_id",
        "_model",
        "_number",
        "_open",
        "_origin",
        "_others",
        "_parts",
        "_pieces",
        "_said",
        "_shell",
    )

    def __init__(self, reply: Reply, number: int = 0, losses: Losses | None = None) -> None:
        super().__init__(reply, losses or Losses("Gemini"))
        self._number = number  # of the candidate
        self._others: dict[int, Encoder] = {}  # of further candidates
        self._array = reply.array
        self._home, self._origin = False, HOME
        self._parts = PartsOut(False, self._losses)
        self._id = reply.id
        self._model = reply.model
        self._begun = False  # whether the array has its bracket
        self._shell: tuple[bytes, bytes] = (b"", b"")  # around the parts of a chunk in mid-answer
        self._head: tuple[bytes, bytes] | None = None  # around a delta's text; None: the open part takes none
        self._open: Part | None = None  # None: the open part cannot be said
        self._said = False  # whether the open part has told any text
        self._arguments: list[str] = []
        self._pieces: list[str] | None = None  # of the open text, where it is to be known what it cites

    def _fail(self, event: Failed) -> bytes:
        error = error_of(event.message, event.status)
        return render_item(error, "", first=not self._begun) if self._array else render_frame(error, HOME, "")

    def _keep_alive(self) -> bytes:
        # Google's SDK for Python takes a comment for JSON; blank lines mean nothing in either framing.
        return b"\n" if self._array else b"\n\n"

    def _start(self, event: Started) -> bytes:
        self._home, self._origin = event.origin is HOME, event.origin
        self._parts = PartsOut(self._home, self._losses)
        self._id, self._model = self._reply.id or event.id, self._reply.model or event.model
        candidate: Json = {"content": {"parts": [], "role": "model"}, "index": self._number}
        chunk = to_json({"candidates": [candidate], "modelVersion": self._model, "responseId": self._id})
        before, _, after = chunk.partition(b"[]")
        self._shell = before + b"[", b"]" + after
        return b""

    def _other(self, event: OfChoice) -> bytes:
        """An event of a further candidate, which has an encoder of its own for all but what is told once."""
        other = self._others.get(event.choice)
        if other is None:
            other = self._others[event.choice] = type(self)(self._reply, event.choice, self._losses)
            other._start(Started(self._origin, self._id, self._model))
        other._begun = self._begun
        if isinstance(event.event, Finished):
            end = msgspec.structs.replace(event.event, extra=within(event.event.extra, self._origin))
            candidate = other._last(end)
            if self._home:
                overlay(candidate, event.event.extra)
            out = self._frame(to_json(envelope([candidate], None, self._id, self._model, None, self._losses)))
        else:
            out = other.emit(event.event)
            self._begun = other._begun
        return out

    def _frame(self, chunk: bytes) -> bytes:
        if not self._array:
            return b"data: %b\n\n" % chunk
        mark, self._begun = b",\n" if self._begun else b"[", True
        return mark + chunk

    def _part(self, part: Json) -> bytes:
        return self._frame(to_json(part).join(self._shell))

    def _say(self, text: str) -> bytes:
        if self._head is None:
            if self._open is not None:
                self._arguments.append(text)
            return b""
        if not self._said:
            self._said = True
            if self._open is not None:
                self._parts.speaks(self._open)
        if self._pieces is not None:
            self._pieces.append(text)
        return self._frame(quoted(text).join(self._head))

    def _begin(self, part: Part) -> bytes:
        self._head, self._open, self._said, self._arguments = None, None, False, []
        if isinstance(part, Text | Refusal | Reasoning):
            if self._parts.declare(part):
                before, after = self._shell
                close = b',"thought":true}' if isinstance(part, Reasoning) else b"}"
                self._head, self._open = (before + b'{"text":', close + after), part
                self._pieces = None if self._home or isinstance(part, Reasoning) else []
                return self._say(part.text) if part.text else b""
            return b""
        if isinstance(part, ToolCall):
            self._open, self._arguments = part, [part.arguments]
            return b""
        block = self._parts.write(part)
        return self._part(block) if block is not None else b""

    def _end(self, event: PartEnded) -> bytes:
        part, self._head, self._open = self._open, None, None
        pieces, self._pieces = self._pieces, None
        if isinstance(part, ToolCall):
            extra = dict(part.extra)
            overlay(extra, event.extra)
            arguments, signature = "".join(self._arguments), part.signature or event.signature
            call = msgspec.structs.replace(part, arguments=arguments, signature=signature, extra=extra)
            block = self._parts.write(call)
            return self._part(block) if block is not None else b""
        if isinstance(part, Text) and not self._home:  # before its text is done: what is cited has its number
            self._parts.left(part, event.extra)
        if pieces is not None:
            self._parts.said("".join(pieces))
        if part is None or isinstance(part, Refusal) or not isinstance(part, Text | Reasoning):
            self._losses.unknown(event.extra, "content")
            return b""
        if not self._home:
            if isinstance(part, Reasoning):
                self._parts.left(part, event.extra)
            if event.signature:
                self._losses.signature()
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

    def _last(self, event: Finished) -> Json:
        """The candidate that ends an answer."""
        word = write_reason(
            event.reason,
            event.detail,
            event.stop_sequence,
            home=self._home,
            calls=self._parts.calls,
            losses=self._losses,
        )
        candidate: Json = {
            "content": {"parts": [{"text": ""}], "role": "model"},
            "finishReason": word,
            "index": self._number,
        }
        if not self._home:
            rest = self._parts.likely(event.extra, self._origin, candidate)
            self._losses.unknown(self._parts.grounded(rest, self._origin, candidate))
        return candidate

    def _finish(self, event: Finished) -> bytes:
        candidate = self._last(event)
        refused = self._home and not self._parts.spoke and blocks(event.extra)
        extra = event.extra if self._home else None
        body = envelope([] if refused else [candidate], self._usage, self._id, self._model, extra, self._losses)
        return self._frame(to_json(body)) + (b"]\n" if self._array else b"")
