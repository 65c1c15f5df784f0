"""The parts of Gemini's contents, both ways.

A part has no type: the key it hangs on says what it is. Of a function's response Google's documentation says that
``output`` holds what it gave and ``error`` what went wrong, and that an object with neither is all output; so text goes
as one of the two, and an object of any other shape is the JSON text of itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from omni_catalogue.dialects import UNSIGNED_CALL, wants_thought_signatures

from omni_translator.domain.codecs.gemini_generate.calls import is_made
from omni_translator.domain.codecs.gemini_generate.media import read_address, read_blob, write_media
from omni_translator.domain.codecs.gemini_generate.spelling import HOME, ProtoFields
from omni_translator.domain.dialects import takes_media_in_results
from omni_translator.domain.fields import json_object, overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Audio,
    Conversation,
    Document,
    Image,
    Json,
    Opaque,
    Part,
    Piece,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.talk import just_text, only_text


class PartReader:
    """Reads the parts of one request or answer in order; ``ids`` gives each call and result its id by its place."""

    __slots__ = ("_ids", "_names")

    def __init__(self, ids: Mapping[tuple[int, int], str]) -> None:
        self._ids = ids
        self._names: dict[str, str] = {}

    def read(self, content: ProtoFields, turn: int) -> tuple[Part, ...]:
        items, within = content.items("parts") or (), (content.place, "parts")
        return tuple(
            [
                read_text(item) or self.part(ProtoFields(item, (within, number)), (turn, number))
                for number, item in enumerate(items)
            ]
        )

    def part(self, part: ProtoFields, place: tuple[int, int]) -> Part:
        if part.peek("functionCall") is not None:
            return self._call(part, self._ids.get(place, ""))
        if part.peek("functionResponse") is not None:
            return self._result(part, self._ids.get(place, ""))
        return read_plain(part)

    def _call(self, part: ProtoFields, call_id: str) -> Part:
        call = part.need_child("functionCall")
        call.text("id")
        name, args = call.text("name") or "", call.plain("args")
        self._names[call_id] = name
        signature = part.text("thoughtSignature") or ""
        return ToolCall(
            id=call_id,
            name=name,
            arguments="{}" if args is None else to_json(args).decode(),
            signature="" if signature == UNSIGNED_CALL else signature,
            extra=part.rest(),
        )

    def _result(self, part: ProtoFields, call_id: str) -> Part:
        result = part.need_child("functionResponse")
        result.text("id")
        name = result.text("name") or ""
        if name and self._names.get(call_id) != name:  # it answers no call here, or one of another name
            result.put_back("name", name)
        texts, is_error = read_output(result.plain("response"))
        media = tuple(read_plain(item) for item in result.each("parts"))
        return ToolResult(id=call_id, parts=texts + media, is_error=is_error, extra=part.rest())


def read_text(item: Any) -> Text | None:
    """The text that a part is where it is nothing else, which most parts are; None for anything else."""
    if type(item) is not dict or len(item) != 1:
        return None
    text = item.get("text")
    return Text(text) if type(text) is str else None


def read_plain(part: ProtoFields) -> Part:
    """A part that is neither a call nor a result."""
    if part.peek("text") is not None:
        text, thought = part.need_text("text"), part.flag("thought")
        if thought:
            signature = part.text("thoughtSignature") or ""
            return Reasoning(text=text, origin=HOME, signature=signature, extra=part.rest())
        return Text(text, extra=part.rest())
    found = None
    if part.peek("thought") is not True:
        found = read_blob(part) or read_address(part)
    return found or Opaque(origin=HOME, data=part.rest())


def read_output(response: Json | None) -> tuple[tuple[Part, ...], bool]:
    """The texts of a function's response, and whether they tell of an error."""
    if not response:
        return (), False
    if len(response) == 1:
        key, value = next(iter(response.items()))
        if key in ("output", "error"):
            if isinstance(value, str):
                return ((Text(value),) if value else ()), key == "error"
            if isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) for item in value):
                return tuple(Text(item) for item in value), key == "error"
    return (Text(to_json(response).decode()),), False


# ---- writing --------------------------------------------------------------------------------------------------------


class PartWriter:
    """Writes the parts of one conversation, turn by turn, and declares what cannot be said."""

    __slots__ = ("_call_ids", "_model", "_names", "home", "losses")

    def __init__(self, conversation: Conversation, losses: Losses, *, call_ids: bool = True) -> None:
        self.home = conversation.origin is HOME
        self.losses = losses
        self._call_ids = call_ids
        self._model = conversation.model
        self._names: dict[str, str] = {}  # of the calls so far

    def turn(self, parts: tuple[Part, ...]) -> list[Json]:
        """One content's parts."""
        alone = only_text(parts)
        if alone:
            return [{"text": alone}]
        out: list[Json] = []
        moved: list[Part] = []
        called = False
        for part in parts if self.home else self._ordered(parts):
            if isinstance(part, ToolResult):
                out += self._result(part, moved)
                continue
            block = self.part(part)
            if block is None:
                continue
            if isinstance(part, ToolCall):
                self._names[part.id] = part.name
                if not called and wants_thought_signatures(self._model):
                    block.setdefault("thoughtSignature", UNSIGNED_CALL)
                called = True
            out.append(block)
        return out + [block for part in moved if (block := self.part(part)) is not None]

    def _ordered(self, parts: tuple[Part, ...]) -> Sequence[Part]:
        """Results first, as Gemini wants them; in the order of their calls where no id will tell whose they are."""
        results = [part for part in parts if isinstance(part, ToolResult)]
        if not results:
            return parts
        rest = [part for part in parts if not isinstance(part, ToolResult)]
        if rest and results and any(part is not other for part, other in zip(parts, results, strict=False)):
            self.losses.approximated("messages.content", "tool results moved before the text of their turn")
        if any(not self._call_ids or is_made(result.id) for result in results):
            order = {call_id: number for number, call_id in enumerate(self._names)}
            results.sort(key=lambda result: order.get(result.id, len(order)))
        return [*results, *rest]

    def part(self, part: Part) -> Json | None:
        text = just_text(part)
        if text:
            return {"text": text}
        if isinstance(part, Opaque):
            if part.origin is HOME:
                return part.data
            self.losses.dropped(f"messages.content.{part.kind}")
            return None
        block = self._block(part)
        if block is None:
            return None
        if self.home:
            return overlay(block, part.extra)
        self._foreign(part)
        return block

    def _foreign(self, part: Part) -> None:
        """Declare what a part from another format carries beyond what Gemini says of it."""
        if isinstance(part, Opaque):
            return
        if isinstance(part, Piece) and part.cache is not None:
            self.losses.dropped("messages.content.cache_control", "Gemini caches prompts by itself")
        self.losses.unknown(part.extra, "messages.content")

    def _block(self, part: Part) -> Json | None:
        match part:
            case Text():
                if part.text or self.home:
                    return {"text": part.text}
                self._foreign(part)  # an empty text cannot be said, nor what hangs on it
                return None
            case Refusal():
                self.losses.approximated("messages.refusal", "sent as text")
                return {"text": part.text} if part.text else None
            case Reasoning():
                return self._thought(part)
            case ToolCall():
                signed = {"thoughtSignature": part.signature} if part.signature else {}
                return {"functionCall": self._call(part)} | signed
            case Image() | Audio() | Document():
                return write_media(part, self._model, self.home, self.losses)
            case _:
                self.losses.unsayable(part, "messages.content", "this place")
                return None

    def _thought(self, part: Reasoning) -> Json | None:
        if part.origin is not HOME or not (self.home or part.signature):
            self.losses.dropped("messages.reasoning_content", "Gemini takes thoughts with its own signature only")
            return None
        return write_thought(part)

    def _call(self, call: ToolCall) -> Json:
        arguments = {} if not call.arguments.strip() else json_object(call.arguments)
        if arguments is None:
            self.losses.approximated("messages.tool_calls.function.arguments", "not a JSON object; sent empty")
            arguments = {}
        return self._id(call.id) | {"name": call.name, "args": arguments}

    def _id(self, call_id: str) -> Json:
        if is_made(call_id) or not call_id:
            return {}
        if self._call_ids:
            return {"id": call_id}
        self.losses.approximated("messages.tool_calls.id", "left out: this provider joins results by name and order")
        return {}

    def _result(self, result: ToolResult, moved: list[Part]) -> list[Json]:
        texts: list[str] = []
        media: list[Json] = []
        for part in result.parts:
            if isinstance(part, Text):
                texts.append(part.text)
                if not self.home:
                    self._foreign(part)
            elif isinstance(part, Image | Audio | Document) and not (self.home or takes_media_in_results(self._model)):
                self.losses.approximated("messages.content.tool_result.content", "media moved behind the results")
                moved.append(part)
            elif (block := self.part(part)) is not None:
                media.append(block)
        response: Json = {"response": self._output(texts, result.is_error)}
        if media:
            response["parts"] = media
        out: Json = {"functionResponse": self._id(result.id) | response}
        if self.home:
            overlay(out, result.extra)
        else:
            self._foreign(result)
        if result.id in self._names:
            out["functionResponse"].setdefault("name", self._names[result.id])
        return [out]

    def _output(self, texts: list[str], is_error: bool) -> Json:
        key = "error" if is_error else "output"
        if len(texts) > 1:
            return {key: texts}
        text = texts[0] if texts else ""
        if self.home and not is_error and text.startswith("{"):  # perhaps an object that was read as its own text
            response = json_object(text)
            if response is not None and read_output(response) == ((Text(text),), False):
                return response
        return {key: text}


def write_thought(part: Reasoning) -> Json:
    signed = {"thoughtSignature": part.signature} if part.signature and part.origin is HOME else {}
    return {"text": part.text, "thought": True} | signed
