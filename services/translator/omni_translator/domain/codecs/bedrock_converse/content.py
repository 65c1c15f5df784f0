"""Content blocks of Converse, both ways.

A block has no type: the key it hangs on says what it is. Bytes are base64. A cache point is a block of its own and
marks what stands before it; in the canonical model it is that part's marker, in Anthropic's words.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from omni_wire.formats import WireFormat

from omni_translator.domain.call_ids import fitted
from omni_translator.domain.fields import Fields, json_object, overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Audio,
    Document,
    Image,
    Json,
    Opaque,
    Part,
    Piece,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

HOME: Final = WireFormat.BEDROCK_CONVERSE
IMAGES: Final = ("png", "jpeg", "gif", "webp")
SOUNDS: Final = frozenset({"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "m4a", "mpeg", "pcm", "webm"})
PAPERS: Final = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}
_PAPER_OF: Final = {media_type: form for form, media_type in PAPERS.items()}
_MAX_ID: Final = 64
_NOT_TOOL_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
# A document's name: letters, digits, single spaces, hyphens, parentheses and square brackets.
_NOT_NAME: Final = re.compile(r"[^a-zA-Z0-9\-()\[\] ]+| {2,}")
_MAX_NAME: Final = 200


def read_blocks(blocks: Iterable[Fields], *, in_result: bool = False) -> tuple[Part, ...]:
    parts: list[Part] = []
    for block in blocks:
        part = read_block(block, in_result)
        marker = read_marker(part)
        last = parts[-1] if parts else None
        if marker is not None and isinstance(last, Piece) and last.cache is None and not in_result:
            parts[-1] = msgspec.structs.replace(last, cache=marker)
        else:
            parts.append(part)
    return tuple(parts)


def read_marker(part: Part | Tool) -> Json | None:
    """The marker that a cache point is; None where it is none, or says more than a marker can."""
    if not isinstance(part, Opaque) or part.data.keys() != {"cachePoint"}:
        return None
    point = part.data["cachePoint"]
    if not isinstance(point, dict) or point.get("type") != "default" or not point.keys() <= {"type", "ttl"}:
        return None
    return {"type": "ephemeral"} | {key: value for key, value in point.items() if key == "ttl"}


def read_block(block: Fields, in_result: bool = False) -> Part:
    if block.peek("text") is not None:
        return Text(block.need_text("text"), extra=block.rest())
    if in_result and block.peek("json") is not None:
        return Text(to_json(block.take("json")).decode(), extra=block.rest())
    found: Part | None = None
    if isinstance(block.peek("image"), dict):
        found = _read_image(block)
    elif isinstance(block.peek("document"), dict):
        found = _read_document(block)
    elif isinstance(block.peek("audio"), dict):
        found = _read_audio(block)
    elif isinstance(block.peek("toolUse"), dict) and block.peek("toolUse").get("type") is None:
        return _read_call(block)
    elif isinstance(block.peek("toolResult"), dict) and block.peek("toolResult").get("type") is None and not in_result:
        return _read_result(block)
    elif isinstance(block.peek("reasoningContent"), dict):
        found = _read_reasoning(block)
    elif isinstance(block.peek("citationsContent"), dict):
        found = _read_cited(block)
    return found or Opaque(origin=HOME, data=block.rest())


def _bytes_of(holder: Json) -> str:
    """The base64 of a source that holds bytes; empty for one that is somewhere else."""
    source = holder.get("source")
    data = source.get("bytes") if isinstance(source, dict) else None
    return data if isinstance(data, str) else ""


def _read_image(block: Fields) -> Part | None:
    holder: Json = block.peek("image")
    data, form = _bytes_of(holder), holder.get("format")
    if not data or form not in IMAGES:
        return None
    fields = block.need_child("image")
    fields.take("format")
    fields.need_child("source").take("bytes")
    return Image(data=data, media_type=f"image/{form}", extra=block.rest())


def _read_audio(block: Fields) -> Part | None:
    holder: Json = block.peek("audio")
    data, form = _bytes_of(holder), holder.get("format")
    if not data or not isinstance(form, str):
        return None
    fields = block.need_child("audio")
    fields.take("format")
    fields.need_child("source").take("bytes")
    return Audio(data=data, format=form, extra=block.rest())


def _read_document(block: Fields) -> Part | None:
    holder: Json = block.peek("document")
    data, form = _bytes_of(holder), holder.get("format", "txt")
    source = holder.get("source")
    text = source.get("text") if isinstance(source, dict) and not data else None
    if form not in PAPERS or not (data or (isinstance(text, str) and text)):
        return None
    fields = block.need_child("document")
    fields.take("format")
    fields.need_child("source").take("bytes" if data else "text")
    title = fields.text("name") or ""
    media_type = "" if not data and form == "txt" else PAPERS[form]
    return Document(data=data, text=text or "", media_type=media_type, title=title, extra=block.rest())


def _read_call(block: Fields) -> Part:
    call = block.need_child("toolUse")
    call_id, name, given = call.need_text("toolUseId"), call.need_text("name"), call.take("input")
    arguments = "" if given is None else to_json(given).decode()
    return ToolCall(id=call_id, name=name, arguments=arguments, extra=block.rest())


def _read_result(block: Fields) -> Part:
    result = block.need_child("toolResult")
    call_id, parts = result.need_text("toolUseId"), read_blocks(result.each("content"), in_result=True)
    status = result.text("status")
    if status not in (None, "success", "error"):
        result.put_back("status", status)
    return ToolResult(id=call_id, parts=parts, is_error=status == "error", extra=block.rest())


def _read_reasoning(block: Fields) -> Part | None:
    holder: Json = block.peek("reasoningContent")
    if not isinstance(holder.get("reasoningText"), dict) or not isinstance(holder["reasoningText"].get("text"), str):
        return None
    thought = block.need_child("reasoningContent").need_child("reasoningText")
    text, signature = thought.need_text("text"), thought.text("signature") or ""
    return Reasoning(text=text, origin=HOME, signature=signature, extra=block.rest())


def _read_cited(block: Fields) -> Part | None:
    """A text with its sources: those are what only Bedrock understands of it."""
    content = block.peek("citationsContent").get("content")
    items = content if isinstance(content, list) else []
    texts = [item["text"] for item in items if isinstance(item, dict) and item.keys() == {"text"}]
    if not items or len(texts) < len(items) or not all(isinstance(text, str) for text in texts):
        return None
    cited = block.need_child("citationsContent")
    cited.take("content")
    if not isinstance(cited.peek("citations"), list):
        cited.put_back("citations", [])  # or it would come back as a plain text
    return Text("".join(texts), extra=block.rest())


# ---- writing --------------------------------------------------------------------------------------------------------


class BlockWriter:
    """Writes parts of one conversation as blocks, and declares what cannot be said. ``caches``: the model knows cache
    points."""

    __slots__ = ("caches", "home", "losses")

    def __init__(self, origin: WireFormat, caches: bool, losses: Losses) -> None:
        self.home = origin is HOME
        self.caches = caches
        self.losses = losses

    def blocks(self, parts: tuple[Part, ...], *, in_result: bool = False) -> list[Json]:
        out: list[Json] = []
        for part in parts:
            block = self._finished(part, in_result)
            marker = part.cache if isinstance(part, Piece) else None
            if block is not None:
                out.append(block)
            if marker is not None and (point := self.point(marker, block is not None and not in_result)) is not None:
                out.append(point)
        return out

    def point(self, marker: Json, possible: bool = True) -> Json | None:
        """The cache point after what ``marker`` marks."""
        if marker.get("type") != "ephemeral" or not marker.keys() <= {"type", "ttl"} or not possible:
            self.losses.dropped("messages.content.cache_control", "no cache point can stand there")
            return None
        if not self.caches and not self.home:
            self.losses.dropped("messages.content.cache_control", "this model is not known to take cache points")
            return None
        return {"cachePoint": {"type": "default"} | {key: value for key, value in marker.items() if key == "ttl"}}

    def _finished(self, part: Part, in_result: bool) -> Json | None:
        if isinstance(part, Opaque):
            if part.origin is HOME:
                return part.data
            self.losses.dropped(f"messages.content.{part.kind}")
            return None
        block = self._block(part, in_result)
        if not self.home:
            self.losses.unknown(part.extra, "messages.content")
            return block
        return None if block is None else overlay(block, part.extra)

    def _block(self, part: Part, in_result: bool) -> Json | None:
        match part:
            case Text():
                if not part.text and not self.home:  # Bedrock refuses empty text
                    return None
                return write_text(part, self.home, in_result)
            case Image():
                return self._image(part)
            case Document():
                return self._document(part)
            case Audio() if not in_result:
                if part.format in SOUNDS or self.home:
                    return {"audio": {"format": part.format, "source": {"bytes": part.data}}}
                self.losses.dropped("messages.content.input_audio", f"Bedrock takes no {part.format[:20]}")
                return None
            case Reasoning():
                if part.origin is HOME and (part.signature or self.home):
                    return write_thought(part)
                self.losses.dropped("messages.reasoning_content", "Bedrock takes thoughts of its own models only")
                return None
            case ToolCall():
                return self._call(part)
            case ToolResult() if not in_result:
                status = {"status": "error"} if part.is_error else {}
                content = self.blocks(part.parts, in_result=True)
                return {"toolResult": {"toolUseId": self._id(part.id), "content": content} | status}
            case Refusal():
                self.losses.approximated("messages.refusal", "sent as text")
                return {"text": part.text} if part.text else None
            case _:
                self.losses.unsayable(part, "messages.content", "this place")
                return None

    def _call(self, call: ToolCall) -> Json:
        if call.signature:
            self.losses.signature("messages.content")
        given: Any = {}
        if call.arguments.strip():
            given = json_object(call.arguments)
            if given is None:
                self.losses.approximated("messages.tool_calls.function.arguments", "not a JSON object; sent empty")
                given = {}
        return {"toolUse": {"toolUseId": self._id(call.id), "name": call.name, "input": given}}

    def _image(self, image: Image) -> Json | None:
        if image.detail:
            self.losses.dropped("messages.content.image_url.detail")
        form = image.media_type.removeprefix("image/").replace("jpg", "jpeg")
        if not image.data:
            self.losses.dropped("messages.content.image", "Bedrock takes an image's bytes only")
            return None
        if form not in IMAGES:
            self.losses.dropped("messages.content.image", f"Bedrock takes no {image.media_type[:40] or 'unnamed type'}")
            return None
        return {"image": {"format": form, "source": {"bytes": image.data}}}

    def _document(self, paper: Document) -> Json | None:
        media_type = paper.media_type or ("text/plain" if paper.text else "")
        form = _PAPER_OF.get(media_type)
        if not (paper.data or paper.text):
            self.losses.dropped("messages.content.document", "Bedrock takes a document's bytes only")
            return None
        if form is None:
            self.losses.dropped("messages.content.document", f"Bedrock takes no {media_type[:40] or 'unnamed type'}")
            return None
        source = {"bytes": paper.data} if paper.data else {"text": paper.text}
        return {"document": {"format": form, "name": self._name(paper.title), "source": source}}

    def _name(self, title: str) -> str:
        if self.home:
            return title
        name = _NOT_NAME.sub(" ", title).strip()[:_MAX_NAME] or "document"
        if name != title:
            self.losses.approximated("messages.content.document.title", "Bedrock wants a name of plain letters")
        return name

    def _id(self, call_id: str) -> str:
        known = call_id if self.home else fitted(call_id, _MAX_ID, _NOT_TOOL_ID)
        if known != call_id:
            self.losses.approximated("messages.tool_calls.id", "Bedrock takes 64 letters, digits, _ - . : only")
        return known


def write_text(part: Text, home: bool, in_result: bool = False) -> Json:
    """A text; at home the object that it is the JSON of, and the citations that it has."""
    if home and in_result and part.text.startswith("{"):
        held = json_object(part.text)
        if held is not None and to_json(held).decode() == part.text:
            return {"json": held}
    if home and "citationsContent" in part.extra:
        return {"citationsContent": {"content": [{"text": part.text}]}}
    return {"text": part.text}


def write_thought(part: Reasoning) -> Json:
    signed = {"signature": part.signature} if part.signature and part.origin is HOME else {}
    return {"reasoningContent": {"reasoningText": {"text": part.text} | signed}}
