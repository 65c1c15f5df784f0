"""Content blocks of Anthropic's messages, both ways."""

import re
from typing import Any, Final

from omni_wire.formats import WireFormat

from omni_translator.domain import talk
from omni_translator.domain.call_ids import fitted
from omni_translator.domain.fields import Fields, Place, json_object, overlay, to_json
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
    ToolCall,
    ToolResult,
)
from omni_translator.domain.payload import payload, picture, plain_text, shown_type
from omni_translator.domain.talk import just_text, only_text

HOME: Final = WireFormat.ANTHROPIC_MESSAGES
# What Anthropic takes (docs.claude.com, vision and PDF support).
_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF: Final = "application/pdf"
# What Anthropic takes as a tool_use id.
_NOT_TOOL_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_MAX_TOOL_ID: Final = 256  # no limit of theirs is known


def read_content(value: Any, place: Place) -> tuple[Part, ...]:
    """``content`` (or ``system``): null, a string or a list of blocks."""
    return talk.read_content(value, place, read_block)


def read_block(block: Fields) -> Part:
    """A result within a result means nothing: see ``_read_inner``."""
    match block.peek("type"):
        case "text":
            block.take("type")
            return Text(block.need_text("text"), cache=block.plain("cache_control"), extra=block.rest())
        case "image" | "document" if isinstance(block.peek("source"), dict):
            return _read_source(block)
        case "thinking":
            block.take("type")
            text, signature = block.need_text("thinking"), block.text("signature") or ""
            return Reasoning(text=text, origin=HOME, signature=signature, extra=block.rest())
        case "tool_use":
            block.take("type")
            call_id, name, arguments = block.need_text("id"), block.need_text("name"), block.take("input")
            return ToolCall(
                id=call_id,
                name=name,
                arguments="" if arguments is None else to_json(arguments).decode(),
                cache=block.plain("cache_control"),
                extra=block.rest(),
            )
        case "tool_result":
            block.take("type")
            return ToolResult(
                id=block.need_text("tool_use_id"),
                parts=talk.read_content(block.take("content"), (block.place, "content"), _read_inner),
                is_error=block.flag("is_error") or False,
                cache=block.plain("cache_control"),
                extra=block.rest(),
            )
        case _:
            return Opaque(origin=HOME, data=block.rest())


def _read_inner(block: Fields) -> Part:
    """A block within a result."""
    if block.peek("type") == "tool_result":
        return Opaque(origin=HOME, data=block.rest())
    return read_block(block)


# source type -> the key that holds it
_SOURCES: Final = {"base64": "data", "url": "url", "file": "file_id", "text": "data"}


def _read_source(block: Fields) -> Part:
    """An image or a document; a source of a kind unknown here leaves the block opaque."""
    source: Json = block.peek("source")
    kind, form = block.peek("type"), source.get("type")
    key = _SOURCES.get(form) if isinstance(form, str) else None
    if key is None or not source.get(key) or (form == "text" and kind == "image"):
        return Opaque(origin=HOME, data=block.rest())
    block.take("type")
    fields = block.need_child("source")
    fields.take("type")
    value = fields.need_text(key)
    media_type = "" if form in ("url", "file") else fields.text("media_type") or ""
    cache = block.plain("cache_control")
    data = payload(value, fields.at("data")) if form == "base64" else ""
    url = value if form == "url" else ""
    file_id = value if form == "file" else ""
    if kind == "image":
        return Image(data=data, media_type=media_type, url=url, file_id=file_id, cache=cache, extra=block.rest())
    text = value if form == "text" else ""
    title = block.text("title") or ""
    return Document(
        data=data,
        media_type="" if text and media_type == "text/plain" else media_type,
        text=text,
        url=url,
        file_id=file_id,
        title=title,
        cache=cache,
        extra=block.rest(),
    )


# ---- writing --------------------------------------------------------------------------------------------------------


class BlockWriter:
    """Writes parts of one conversation as blocks, and declares what cannot be said."""

    __slots__ = ("home", "losses", "marks")

    def __init__(self, origin: WireFormat, losses: Losses) -> None:
        self.home = origin is HOME
        self.losses = losses
        self.marks = 0  # cache markers written

    def blocks(self, parts: tuple[Part, ...]) -> list[Json]:
        return [block for part in parts if (block := self.block(part)) is not None]

    def content(self, parts: tuple[Part, ...]) -> str | list[Json]:
        """A string where one will do."""
        alone = only_text(parts)
        if alone:
            return alone
        blocks = self.blocks(parts)
        if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
            text: str = blocks[0]["text"]
            return text
        return blocks

    def block(self, part: Part) -> Json | None:
        text = just_text(part)
        if text:
            return {"type": "text", "text": text}
        if isinstance(part, Opaque):
            if part.origin is HOME:
                return part.data
            self.losses.dropped(f"messages.content.{part.kind}")
            return None
        block = self._block(part)
        if block is None:
            return None
        if isinstance(part, Piece) and part.cache is not None:
            block["cache_control"] = part.cache  # OpenRouter's and LiteLLM's clients mark chat parts in these words too
            self.marks += 1
        if self.home:
            overlay(block, part.extra)
        else:
            self.losses.unknown(part.extra, "messages.content")
        return block

    def _block(self, part: Part) -> Json | None:
        match part:
            case Text():
                return self._text(part)
            case Image() | Document():
                return self._media(part)
            case Reasoning():
                return self._thinking(part)
            case ToolCall():
                if part.signature:
                    self.losses.signature("messages.content")
                arguments = {} if not part.arguments.strip() else json_object(part.arguments)
                if arguments is None:
                    self.losses.approximated("messages.tool_calls.function.arguments", "not a JSON object; sent empty")
                    arguments = {}
                return {"type": "tool_use", "id": self._id(part.id), "name": part.name, "input": arguments}
            case ToolResult():
                out: Json = {"type": "tool_result", "tool_use_id": self._id(part.id)}
                if part.parts and (content := self.content(part.parts)):
                    out["content"] = content
                if part.is_error:
                    out["is_error"] = True
                return out
            case Refusal():
                self.losses.approximated("messages.refusal", "sent as text")
                return {"type": "text", "text": part.text} if part.text else None
            case Audio():
                self.losses.dropped("messages.content.input_audio", "Anthropic takes no audio")
                return None
            case _:
                return None

    def _text(self, part: Text) -> Json | None:
        if not part.text and not self.home:  # Anthropic refuses empty text
            if part.cache is not None:
                self.losses.dropped("messages.content.cache_control", "an empty text cannot carry it")
            self.losses.unknown(part.extra, "messages.content")
            return None
        return {"type": "text", "text": part.text}

    def _media(self, part: Image | Document) -> Json | None:
        kind = "image" if isinstance(part, Image) else "document"
        text = part.text if isinstance(part, Document) else ""
        if part.data and not self.home:
            found = self._data(part)
            if found is None:
                return None
            kind, source = found
        elif part.data:
            source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        elif text:
            source = {"type": "text", "media_type": "text/plain", "data": text}
        elif part.url:
            source = {"type": "url", "url": part.url}
        elif self.home:
            source = {"type": "file", "file_id": part.file_id}
        else:
            self.losses.dropped(f"messages.content.{kind}", "a file id means nothing to another provider")
            return None
        out: Json = {"type": kind, "source": source}
        if isinstance(part, Document) and part.title:
            out["title"] = part.title
        if isinstance(part, Image) and part.detail:
            self.losses.dropped("messages.content.image_url.detail")
        return out

    def _data(self, part: Image | Document) -> tuple[str, Json] | None:
        """What a picture or a document from another format is as a block, and its source; None, with the loss declared,
        where Anthropic takes no such thing."""
        if shown_type(part.data) == _PDF or part.media_type == _PDF:
            if isinstance(part, Image):
                self.losses.approximated("messages.content.image", "its bytes are a PDF; sent as a document")
            return "document", {"type": "base64", "media_type": _PDF, "data": part.data}
        if isinstance(part, Image):
            mime = picture(part, _PICTURES, self.losses)
            return ("image", {"type": "base64", "media_type": mime, "data": part.data}) if mime else None
        text = plain_text(part)
        if text:
            self.losses.approximated("messages.content.document", "sent as plain text")
            return "document", {"type": "text", "media_type": "text/plain", "data": text}
        self.losses.dropped("messages.content.document", "Anthropic takes PDF and plain text")
        return None

    def _thinking(self, part: Reasoning) -> Json | None:
        if part.origin is HOME and part.signature:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        self.losses.dropped("messages.reasoning_content", "Anthropic takes thoughts with its own signature only")
        return None

    def _id(self, call_id: str) -> str:
        known = call_id if self.home else fitted(call_id, _MAX_TOOL_ID, _NOT_TOOL_ID)
        if known != call_id:
            self.losses.approximated("messages.tool_calls.id", "Anthropic takes letters, digits, _ and - only")
        return known
