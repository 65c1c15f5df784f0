"""A chat stream, read: ``data:`` lines of chunks, then usually ``[DONE]``.

Chunks name nothing's beginning or end, so every part is a lane of ``parts.Assembler``. The stream has ended as it
should when a finish reason has come: usage may follow it, and some providers never send ``[DONE]``.
"""

from typing import Any

from omni_wire.errors import WireError
from omni_wire.sse import parse_event
from omni_wire.told_error import told_status

from omni_translator.domain.choices import number, tell
from omni_translator.domain.citations import KEY, are_annotations, from_chat
from omni_translator.domain.codecs.openai_chat.answer import error_of, made_id, read_reason, read_usage
from omni_translator.domain.codecs.openai_chat.content import HOME
from omni_translator.domain.events import Event, Failed, Finished, KeepAlive, Started, UsageReported
from omni_translator.domain.fields import from_json, gather
from omni_translator.domain.logprobs import are_tokens
from omni_translator.domain.model import FinishReason, Json, Opaque, Reasoning, Refusal, Text, ToolCall
from omni_translator.domain.streams import SseDecoder

# OpenAI pads chunks with noise against traffic analysis, which is not worth keeping.
_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
_CHOICE = frozenset({"index", "delta", "finish_reason"})
_DELTA = frozenset({"role", "content", "tool_calls", "reasoning_content", "reasoning", "refusal"})
_CALL = frozenset({"index", "id", "type", "function"})
_FUNCTION = frozenset({"name", "arguments"})


class _Call:
    """A tool call of the stream; ``key`` is its lane. It opens when its name is known."""

    __slots__ = ("custom", "extra", "id", "key", "name", "opened", "written")

    def __init__(self, key: int, call_id: str) -> None:
        self.key = key
        self.id = call_id
        self.name = ""
        self.written = ""
        self.opened = False
        self.extra: Json = {}
        self.custom: list[Json] = []  # the deltas of a call that is no function call


class Decoder(SseDecoder):
    """See ``omni_translator.domain.codec.StreamDecoder``."""

    __slots__ = (
        "_by_index",
        "_calls",
        "_choice_rest",
        "_detail",
        "_id",
        "_message_rest",
        "_others",
        "_reason",
        "_started",
        "_top",
    )

    def __init__(self) -> None:
        super().__init__(explicit_ends=False)
        self._started = False
        self._id = ""
        self._reason: FinishReason | None = None
        self._detail = ""
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._top: Json = {}
        self._choice_rest: Json = {}
        self._message_rest: Json = {}
        self._others: dict[int, Decoder] = {}  # of further choices

    def _read(self, raw: bytes, events: list[Event]) -> None:
        data = parse_event(raw).data
        if data is None or not data.strip():
            events.append(KeepAlive())
            return
        if data.strip() == b"[DONE]":
            self._close(events)
            self._done = True
            return
        chunk = from_json(data)
        if not isinstance(chunk, dict):
            raise WireError("a chunk must be an object")
        message = error_of(chunk)
        if message is not None:
            events.append(Failed(message, told_status(data)))
            self._done = True
            return
        if not self._started:
            self._start(chunk, events)
        plain = self._outside(chunk, events)
        for choice in _list(chunk, "choices"):
            if not isinstance(choice, dict):
                raise WireError("a choice must be an object", "choices")
            at = number(choice.get("index"), "choices.index")
            if at:
                plain = False
                told: list[Event] = []
                self._other(at)._choice(choice, b"", told)
                tell(at, told, events)
            else:
                self._choice(choice, raw if plain else b"", events)

    def _start(self, chunk: Json, events: list[Event]) -> None:
        name, model = chunk.get("id"), chunk.get("model")
        self._id = name if isinstance(name, str) else ""
        events.append(Started(HOME, self._id, model if isinstance(model, str) else ""))
        self._started = True

    def _other(self, at: int) -> "Decoder":
        """The decoder of a further choice, whose part of each chunk is all it is given."""
        if at not in self._others:
            other = self._others[at] = Decoder()
            other._started, other._id = True, f"{self._id}_{at}"
        return self._others[at]

    def _outside(self, chunk: Json, events: list[Event]) -> bool:
        """Read what stands beside the choices; whether that was nothing that changes from chunk to chunk."""
        plain = True
        self._padded = self._padded or "obfuscation" in chunk
        tier = chunk.get("service_tier") or self._top.get("service_tier")  # some say it once, ahead of the usage
        usage, rest = read_usage(chunk.get("usage"), tier)
        if usage is not None:
            events.append(UsageReported(usage))
            plain = False
            if rest:
                gather(self._top, {"usage": rest})
        for key, value in chunk.items():
            if key not in _TOP and value is not None:
                gather(self._top, {key: value})
                plain = plain and isinstance(value, str | int | float)
        return plain

    def _choice(self, choice: Json, raw: bytes, events: list[Event]) -> None:
        delta = choice.get("delta")
        if delta is None:
            delta = {}
        if not isinstance(delta, dict):
            raise WireError("choices.delta must be an object", "choices.delta")
        word = choice.get("finish_reason")
        if word is not None and not isinstance(word, str):
            raise WireError("choices.finish_reason must be a string", "choices.finish_reason")
        plain = self._unknown(choice, delta) and not word
        content, refusal = delta.get("content"), delta.get("refusal")
        name = "reasoning_content" if delta.get("reasoning_content") is not None else "reasoning"
        thought = delta.get(name)
        if thought and isinstance(thought, str):
            self._text("reasoning", thought, events)
        elif thought and name == "reasoning_content":
            raise WireError("choices.delta.reasoning_content must be a string", "choices.delta.reasoning_content")
        if content:
            self._content(content, events)
        if refusal:
            self._text("refusal", refusal, events)
        if delta.get(KEY):
            self._notes(delta[KEY])
        if choice.get("logprobs"):
            self._tokens(choice["logprobs"])
        calls = _list(delta, "tool_calls")
        for call in calls:
            if not isinstance(call, dict):
                raise WireError("a tool call must be an object", "choices.delta.tool_calls")
            written = self._call(call, events)
            if written and raw and plain and not (content or thought or refusal) and len(calls) == 1:
                self._learn(raw, b'"arguments":', written)
        if word:
            self._reason, self._detail = read_reason(word)
        if raw and plain and not refusal and not calls:
            if content and not thought and isinstance(content, str):
                self._learn(raw, b'"content":', content)
            elif thought and not content and isinstance(thought, str):
                self._learn(raw, b'"%b":' % name.encode(), thought)

    def _notes(self, listed: Any) -> None:
        """Keep annotations with the text they are of, if that is still open."""
        if are_annotations(listed) and self._parts.has("content"):
            self._parts.annotate("content", {KEY: from_chat(listed)})
        else:
            gather(self._message_rest, {KEY: listed})

    def _tokens(self, told: Any) -> None:
        """Keep the log probabilities of a chunk with the text they are of, if that is still open."""
        if isinstance(told, dict) and are_tokens(told.get("content")) and self._parts.has("content"):
            self._parts.annotate("content", {"logprobs": told["content"]})
            told = {key: value for key, value in told.items() if key != "content" and value is not None}
        if told:
            gather(self._choice_rest, {"logprobs": told})

    def _unknown(self, choice: Json, delta: Json) -> bool:
        """Keep what is not understood; whether there was nothing of it."""
        plain = True
        for key, value in choice.items():
            if key not in _CHOICE and value is not None:
                if key != "logprobs" or not value:
                    gather(self._choice_rest, {key: value})
                plain = False
        for key, value in delta.items():
            if key not in _DELTA and value is not None:
                if key != KEY or not value:
                    gather(self._message_rest, {key: value})
                plain = False
        return plain

    def _content(self, content: Any, events: list[Event]) -> None:
        if isinstance(content, str):
            self._text("content", content, events)
            return
        if not isinstance(content, list):  # Mistral streams lists of parts
            raise WireError("choices.delta.content must be a string", "choices.delta.content")
        for part in content:
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
                self._text("content", part["text"], events)
            else:
                gather(self._message_rest, {"content": [part]})

    def _text(self, lane: str, text: Any, events: list[Event]) -> None:
        if not isinstance(text, str):
            raise WireError(f"choices.delta.{lane} must be a string", f"choices.delta.{lane}")
        if not text:
            return
        if not self._parts.has(lane):
            head = Text("") if lane == "content" else Refusal("") if lane == "refusal" else None
            self._parts.open(lane, head or Reasoning(text="", origin=HOME), events)
        self._parts.delta(lane, text, events)

    # ---- tool calls ----

    def _call(self, delta: Json, events: list[Event]) -> str:
        """Read one delta of a call; the arguments it told, when it did nothing else."""
        function = delta.get("function")
        function = {} if function is None else function
        call_id, name, written = delta.get("id") or "", "", ""
        if isinstance(function, dict):
            name, written = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(function, dict) or not all(isinstance(item, str) for item in (call_id, name, written)):
            raise WireError("a tool call's id, name and arguments must be strings", "choices.delta.tool_calls")
        call = self._which(delta.get("index"), call_id)
        if call.custom or (not call.opened and delta.get("type", "function") not in ("function", "", None)):
            call.custom.append(delta)
            return ""
        rest = {key: value for key, value in delta.items() if key not in _CALL and value is not None}
        inner = {key: value for key, value in function.items() if key not in _FUNCTION and value is not None}
        if inner:
            rest["function"] = inner
        if rest and call.opened and self._parts.has(call.key):
            self._parts.annotate(call.key, rest)
        else:
            gather(call.extra, rest)
        if not call.opened and name:
            call.name = name
            self._open(call, events)
        if not written:
            return ""
        if not call.opened:
            call.written += written
        elif self._parts.has(call.key):
            self._parts.delta(call.key, written, events)
            return "" if name or rest else written
        elif written.strip():
            raise WireError("more arguments for a tool call that was complete", "choices.delta.tool_calls")
        return ""

    def _which(self, index: Any, call_id: str) -> _Call:
        """The call a delta belongs to. Some providers give every call index 0 and tell them apart by id, some give no
        index at all."""
        known: _Call | None = None
        if isinstance(index, int):
            known = self._by_index.get(index)
        elif index is not None:
            raise WireError("a tool call's index must be an integer", "choices.delta.tool_calls.index")
        elif call_id:
            known = next((call for call in self._calls if call.id == call_id), None)
        elif self._calls:
            known = self._calls[-1]
        if known is not None and (not call_id or not known.id or known.id == call_id):
            return known
        number = len(self._calls)
        call = _Call(number, call_id or made_id(self._id, number))
        self._calls.append(call)
        if isinstance(index, int):
            self._by_index[index] = call
        return call

    def _open(self, call: _Call, events: list[Event]) -> None:
        call.opened = True
        self._parts.open(call.key, ToolCall(id=call.id, name=call.name, extra=call.extra), events)
        if call.written:
            self._parts.delta(call.key, call.written, events)

    # ---- the end ----

    def _close(self, events: list[Event]) -> None:
        if self._reason is None or not self._started:
            return
        if any(other._reason is None for other in self._others.values()):
            return  # the stream was cut: the end of one answer is not that of all
        for at, other in self._others.items():
            told: list[Event] = []
            other._close(told)
            tell(at, told, events)
        for call in self._calls:
            if call.custom:
                self._parts.open(call.key, Opaque(origin=HOME, data=_whole(call.custom), slot="tool_calls"), events)
            elif not call.opened:
                self._open(call, events)
        self._parts.finish(events)
        choice = dict(self._choice_rest)
        if self._message_rest:
            choice["message"] = self._message_rest
        extra = dict(self._top)
        if choice:
            extra["choices"] = [choice]
        events.append(Finished(self._reason, self._detail, extra=extra))


def _whole(deltas: list[Json]) -> Json:
    """A call of a kind unknown here out of its deltas: the first says what it is, and its texts grow."""
    call = {key: value for key, value in deltas[0].items() if key != "index"}
    kind: Any = call.get("type")
    inner = call.get(kind) if isinstance(kind, str) else None
    if not isinstance(inner, dict):
        return call
    more = [delta[kind] for delta in deltas[1:] if isinstance(delta.get(kind), dict)]
    whole = dict(inner)
    for key in ("input", "arguments"):
        texts = [held[key] for held in (inner, *more) if isinstance(held.get(key), str)]
        if texts:
            whole[key] = "".join(texts)
    return call | {kind: whole}


def _list(holder: Json, key: str) -> list[Any]:
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise WireError(f"{key} must be a list", key)
    return value
