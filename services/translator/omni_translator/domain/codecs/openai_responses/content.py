"""Content parts of Responses' messages and tool outputs, both ways.

Source: OpenAI's API reference for Responses (input and output content), and its Python SDK's types, version 3.54.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from omni_wire.formats import WireFormat

from omni_translator.domain import talk
from omni_translator.domain.citations import KEY, annotations, take_citations
from omni_translator.domain.codecs.openai_chat.content import PICTURES, UNNAMED, split_data_uri
from omni_translator.domain.fields import Fields, Place, overlay
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Audio, Document, Image, Json, Opaque, Part, Piece, Refusal, Text
from omni_translator.domain.payload import payload, picture
from omni_translator.domain.talk import just_text, only_text

HOME: Final = WireFormat.OPENAI_RESPONSES
# OpenAI's marker of a cacheable prefix, and the same in the words the canonical model keeps markers in.
_BREAKPOINT: Final[Json] = {"mode": "explicit"}
_MARKER: Final[Json] = {"type": "ephemeral"}


def read_content(value: Any, place: Place) -> tuple[Part, ...]:
    """A message's ``content`` or a tool's ``output``: null, a string or a list of parts."""
    return talk.read_content(value, place, read_part, "input_text")


def read_part(part: Fields, item: str = "") -> Part:
    """``item`` is the id of the output item that holds the part, where it is an answer's."""
    match part.peek("type"):
        case "input_text" | "output_text" | "text":
            part.take("type")
            for empty in ("annotations", "logprobs"):
                if part.peek(empty) == []:
                    part.take(empty)
            return Text(part.need_text("text"), cache=_read_cache(part), extra=part.rest(), item=item)
        case "refusal":
            part.take("type")
            return Refusal(part.need_text("refusal"), extra=part.rest(), item=item)
        case "input_image":
            return _read_image(part)
        case "input_file":
            return _read_file(part)
        case "input_audio" if isinstance(part.peek("input_audio"), dict):
            part.take("type")
            audio = part.need_child("input_audio")
            data, form = payload(audio.need_text("data"), audio.at("data")), audio.need_text("format")
            return Audio(data=data, format=form, cache=_read_cache(part), extra=part.rest())
        case _:
            return Opaque(origin=HOME, data=part.rest())


def _read_cache(part: Fields) -> Json | None:
    """A breakpoint with a lifetime stays OpenAI's own: others know other lifetimes."""
    if part.peek("prompt_cache_breakpoint") != _BREAKPOINT:
        return None
    part.take("prompt_cache_breakpoint")
    return dict(_MARKER)


def _read_image(part: Fields) -> Part:
    url, file_id = part.peek("image_url"), part.peek("file_id")
    if not (isinstance(url, str) and url) and not (isinstance(file_id, str) and file_id):
        return Opaque(origin=HOME, data=part.rest())
    part.take("type")
    detail = part.text("detail") or ""
    detail = "" if detail == "auto" else detail
    cache = _read_cache(part)
    if not isinstance(url, str) or not url:
        return Image(file_id=part.need_text("file_id"), detail=detail, cache=cache, extra=part.rest())
    part.take("image_url")
    media_type, data = split_data_uri(url)
    if data:
        data = payload(data, part.at("image_url"))
        return Image(data=data, media_type=media_type, detail=detail, cache=cache, extra=part.rest())
    return Image(url=url, detail=detail, cache=cache, extra=part.rest())


def _read_file(part: Fields) -> Part:
    raw, url, file_id = part.peek("file_data"), part.peek("file_url"), part.peek("file_id")
    if not any(isinstance(value, str) and value for value in (raw, url, file_id)):
        return Opaque(origin=HOME, data=part.rest())
    part.take("type")
    title = part.text("filename") or ""
    title = "" if title == UNNAMED else title
    cache = _read_cache(part)
    if isinstance(raw, str) and raw:
        part.take("file_data")
        media_type, data = split_data_uri(raw)
        if not data:
            media_type, data = "application/pdf", raw
        data = payload(data, part.at("file_data"))
        return Document(data=data, media_type=media_type, title=title, cache=cache, extra=part.rest())
    if isinstance(url, str) and url:
        part.take("file_url")
        return Document(url=url, title=title, cache=cache, extra=part.rest())
    return Document(file_id=part.need_text("file_id"), title=title, cache=cache, extra=part.rest())


# ---- writing --------------------------------------------------------------------------------------------------------


class PartWriter:
    """Writes parts of one conversation, and declares what cannot be said."""

    __slots__ = ("home", "losses")

    def __init__(self, origin: WireFormat, losses: Losses) -> None:
        self.home = origin is HOME
        self.losses = losses

    def content(self, parts: Sequence[Part], text_type: str) -> str | list[Json]:
        """A string where one will do. ``text_type`` is "input_text", or "output_text" for what the model said."""
        alone = only_text(parts)
        if alone:
            return alone
        written = [block for part in parts if (block := self.part(part, text_type)) is not None]
        if not written:
            return ""
        if len(written) == 1 and written[0].keys() == {"type", "text"}:
            text: str = written[0]["text"]
            return text
        return written

    def part(self, part: Part, text_type: str) -> Json | None:
        text = just_text(part)
        if text:
            return {"type": text_type, "text": text}
        if isinstance(part, Opaque):
            if part.origin is HOME:
                return part.data
            self.losses.dropped(f"messages.content.{part.kind}")
            return None
        block = self._block(part, text_type)
        if block is None:
            return None
        if self.home:
            if isinstance(part, Piece) and part.cache is not None:
                block["prompt_cache_breakpoint"] = dict(_BREAKPOINT)
            overlay(block, part.extra)
            return block
        cited, rest = take_citations(part) if text_type == "output_text" else ([], part.extra)
        if cited and isinstance(part, Text):
            block[KEY] = annotations(cited, len(part.text))
            part = msgspec.structs.replace(part, extra=rest)
        self.foreign(part)
        return block

    def foreign(self, part: Part) -> None:
        """Declare what a part from another format carries beyond what Responses says of it."""
        if isinstance(part, Opaque):
            return
        if isinstance(part, Piece) and part.cache is not None:
            self.losses.dropped("messages.content.cache_control", "OpenAI caches prompts by itself")
        self.losses.unknown(part.extra, "messages.content")

    def _block(self, part: Part, text_type: str) -> Json | None:
        match part:
            case Text():
                return {"type": text_type, "text": part.text}
            case Refusal() if text_type == "output_text":
                return {"type": "refusal", "refusal": part.text}
            case Image():
                return self._image(part)
            case Audio():
                return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
            case Document():
                return self._document(part, text_type)
            case _:
                self.losses.unsayable(part, "messages.content", "this place")
        return None

    def _image(self, part: Image) -> Json | None:
        out: Json = {"type": "input_image"}
        if part.file_id:
            if not self.home:
                self.losses.dropped("messages.content.image", "a file id means nothing to another provider")
                return None
            out["file_id"] = part.file_id
        else:
            mime = part.media_type
            if part.data and not self.home and not (mime := picture(part, PICTURES, self.losses)):
                return None
            out["image_url"] = part.url or f"data:{mime};base64,{part.data}"
        if part.detail:
            out["detail"] = part.detail
        return out

    def _document(self, part: Document, text_type: str) -> Json | None:
        if part.text:
            self.losses.approximated("messages.content.document", "sent as plain text")
            return {"type": text_type, "text": part.text}
        out: Json = {"type": "input_file"}
        if part.data:
            out |= {"filename": part.title or UNNAMED, "file_data": f"data:{part.media_type};base64,{part.data}"}
            return out
        if part.url:
            out["file_url"] = part.url
        elif self.home:
            out["file_id"] = part.file_id
        else:
            self.losses.dropped("messages.content.document", "a file id means nothing to another provider")
            return None
        if part.title and self.home:
            out["filename"] = part.title
        elif part.title:
            self.losses.dropped("messages.content.document.title", "a file by URL goes without a name")
        return out
