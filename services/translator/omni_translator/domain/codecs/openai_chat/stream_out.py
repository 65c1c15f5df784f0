"""A chat stream, written."""

import msgspec
from omni_wire.errors import render_frame
from omni_wire.told_error import error_of

from omni_translator.domain.choices import within
from omni_translator.domain.citations import KEY, are_annotations, in_chat, take_citations, take_late, to_chat
from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs.openai_chat.answer import declare, write_reason, write_usage
from omni_translator.domain.codecs.openai_chat.content import HOME
from omni_translator.domain.codecs.openai_chat.order import OrderWatch
from omni_translator.domain.events import (
    Failed,
    Finished,
    OfChoice,
    PartEnded,
    Started,
)
from omni_translator.domain.fields import overlay, quoted, to_json
from omni_translator.domain.logprobs import take_from_part, take_told
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Json, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.stream_encoder import EventEncoder


class Encoder(EventEncoder):
    """See ``omni_translator.domain.codec.StreamEncoder``. A delta is three joined byte strings."""

    __slots__ = (
        "_calls",
        "_head",
        "_home",
        "_id",
        "_model",
        "_number",
        "_order",
        "_origin",
        "_others",
        "_part",
        "_pieces",
        "_shell",
        "_tail",
        "_texts",
    )

    def __init__(self, reply: Reply, number: int = 0, losses: Losses | None = None) -> None:
        super().__init__(reply, losses or Losses("OpenAI Chat"))
        self._number = number  # of the choice
        self._others: dict[int, Encoder] = {}  # of further choices
        self._order = OrderWatch(self._losses, "content", joins_text=True)
        self._home, self._origin = False, HOME
        self._shell: tuple[bytes, bytes] = (b"", b"")
        self._id = self._model = ""
        self._head = b""  # before a delta's text; empty: the open part cannot be said
        self._tail = b""
        self._part: Part | None = None
        self._pieces: list[str] | None = None  # of the open text, of which it is to be known what it cites
        self._texts: list[str] = []  # of which that is known
        self._calls = 0

    def _say(self, text: str) -> bytes:
        if self._pieces is not None:
            self._pieces.append(text)
        return self._head + quoted(text) + self._tail if self._head else b""

    def _fail(self, event: Failed) -> bytes:
        return render_frame(error_of(event.message, event.status), HOME, "")

    def _start(self, event: Started) -> bytes:
        self._home, self._origin = event.origin is HOME, event.origin
        self._id, self._model = event.id, event.model
        chunk = to_json(self._chunk(event.id, event.model, []))
        opening, _, _ = chunk.rpartition(b"[]")
        self._shell = (
            b"data: " + opening + b'[{"index":%d,"delta":' % self._number,
            b',"logprobs":null,"finish_reason":null}]}\n\n',
        )
        return self._delta({"role": "assistant", "content": ""})

    def _other(self, event: OfChoice) -> bytes:
        """An event of a further choice, which has an encoder of its own for all but what is told once."""
        other = self._others.get(event.choice)
        opening = b""
        if other is None:
            other = self._others[event.choice] = Encoder(self._reply, event.choice, self._losses)
            opening = other._start(Started(self._origin, self._id, self._model))
        if not isinstance(event.event, Finished):
            return opening + other.emit(event.event)
        end = msgspec.structs.replace(event.event, extra=within(event.event.extra, self._origin))
        return b"%b%b%b}\n\n" % (opening, other._before(), to_json([other._last(end)[0]]))

    def _before(self) -> bytes:
        """What stands before the choices of a chunk."""
        return self._shell[0].rpartition(b'[{"index":')[0]

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
                self._pieces = None if self._home else []
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
        return self._say(part.text) if part.text else b""

    def _end(self, event: PartEnded) -> bytes:
        part, self._head = self._part, b""
        if self._pieces is not None:
            self._texts.append("".join(self._pieces))
            self._pieces = None
        if event.signature:
            self._losses.signature()
        if self._home and event.extra and isinstance(part, ToolCall):
            return self._delta({"tool_calls": [{"index": self._calls - 1} | event.extra]})
        if part is None:
            self._losses.unknown(event.extra, "content")
            return b""
        tokens, rest = take_from_part(part, event.extra)
        tokens = take_from_part(part)[0] + tokens
        out = self._likely(tokens) if tokens else b""
        if self._home:
            held = [{} if isinstance(part, Opaque) else part.extra, rest]
            notes = to_chat([note for extra in held if are_annotations(extra.get(KEY)) for note in extra[KEY]])
            rest = {key: value for key, value in rest.items() if key != KEY}
        else:
            cited, rest = take_citations(part, rest)
            last = len(self._texts) - 1
            notes = in_chat(self._texts, [(last, citation) for citation in take_citations(part)[0] + cited])
        self._losses.unknown(rest, "content")
        return out + (self._delta({KEY: notes}) if isinstance(part, Text) and notes else b"")

    def _likely(self, tokens: list[Json]) -> bytes:
        """How likely the tokens of a text were, all in one chunk after it."""
        choice: Json = {
            "index": self._number,
            "delta": {},
            "logprobs": {"content": tokens, "refusal": None},
            "finish_reason": None,
        }
        return self._before() + to_json([choice]) + b"}\n\n"

    def _finish(self, event: Finished) -> bytes:
        choice, top = self._last(event)
        head = self._before()
        out = [head, to_json([choice]), _members(top), b"}\n\n"]
        if self._usage is not None and self._reply.include_usage:
            usage = write_usage(self._usage)
            rest = event.extra.get("usage", {})
            out += [head, b'[],"usage":', to_json(overlay(usage, rest) if self._home else usage), b"}\n\n"]
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def _last(self, event: Finished) -> tuple[Json, Json]:
        """What ends a choice, and what its own format says beside it."""
        word = write_reason(event.reason, event.detail, event.stop_sequence, self._home, self._losses)
        choice: Json = {"index": self._number, "delta": {}, "finish_reason": word}
        if self._home:
            for residue in event.extra.get("choices", [])[:1]:
                overlay(choice, {key: value for key, value in residue.items() if key != "message"})
                overlay(choice["delta"], residue.get("message", {}))
            return choice, {key: value for key, value in event.extra.items() if key not in ("usage", "choices")}
        tokens, rest = take_told(event.extra, self._origin)
        if tokens:
            choice["logprobs"] = {"content": tokens, "refusal": None}
        late, rest = take_late(rest, self._origin, self._texts)
        if late:
            choice["delta"] = {KEY: in_chat(self._texts, late)}
        self._losses.unknown(rest)
        return choice, {}


def _members(extra: Json) -> bytes:
    """``extra`` as further members of an object that has some already."""
    return b"," + to_json(extra)[1:-1] if extra else b""
