"""Content parts of chat messages, both ways."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from omni_wire.formats import WireFormat

from omni_translator.domain import talk
from omni_translator.domain.fields import Fields, Place, overlay
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Audio,
    Document,
    Image,
    Json,
    Opaque,
    Part,
    Piece,
    Refusal,
    Text,
)
from omni_translator.domain.payload import payload, picture, plain_text
from omni_translator.domain.talk import just_text, only_text

HOME: Final = WireFormat.OPENAI_CHAT
# What OpenAI takes (platform.openai.com/docs/guides/images-vision).
PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
# OpenAI wants a name with every file; this one stands for none.
UNNAMED: Final = "document.pdf"


def read_content(value: Any, place: Place) -> tuple[Part, ...]:
    """A message's ``content``: null, a string or a list of parts."""
    return talk.read_content(value, place, _read_part)


def _read_part(part: Fields) -> Part:
    kind = part.peek("type")
    if kind == "text":
        part.take("type")
        return Text(part.need_text("text"), cache=part.plain("cache_control"), extra=part.rest())
    if kind == "refusal":
        part.take("type")
        return Refusal(part.need_text("refusal"), extra=part.rest())
    if kind == "image_url":
        return _read_image(part)
    if kind == "file":
        return _read_file(part)
    if kind == "input_audio" and isinstance(part.peek("input_audio"), dict):
        part.take("type")
        audio = part.need_child("input_audio")
        data, form = audio.need_text("data"), audio.need_text("format")
        data = payload(data, audio.at("data"))
        return Audio(data=data, format=form, cache=part.plain("cache_control"), extra=part.rest())
    return Opaque(origin=HOME, data=part.rest())


def _read_image(part: Fields) -> Part:
    part.take("type")
    if isinstance(part.peek("image_url"), str):  # not OpenAI's, but common
        url, detail, at = part.need_text("image_url"), "", part.at("image_url")
    else:
        image = part.need_child("image_url")
        url, detail, at = image.need_text("url"), image.text("detail") or "", image.at("url")
    detail = "" if detail == "auto" else detail
    cache = part.plain("cache_control")
    media_type, data = split_data_uri(url)
    if data:
        data = payload(data, at)
        return Image(data=data, media_type=media_type, detail=detail, cache=cache, extra=part.rest())
    return Image(url=url, detail=detail, cache=cache, extra=part.rest())


def _read_file(part: Fields) -> Part:
    file = part.peek("file")
    if not isinstance(file, dict) or not (
        isinstance(file.get("file_data"), str) or isinstance(file.get("file_id"), str)
    ):
        return Opaque(origin=HOME, data=part.rest())
    part.take("type")
    inner = part.need_child("file")
    cache, title, raw = part.plain("cache_control"), inner.text("filename") or "", inner.text("file_data")
    title = "" if title == UNNAMED else title
    if not raw:
        return Document(file_id=inner.text("file_id") or "", title=title, cache=cache, extra=part.rest())
    media_type, data = split_data_uri(raw)
    if not data:
        media_type, data = "application/pdf", raw
    data = payload(data, inner.at("file_data"))
    return Document(data=data, media_type=media_type, title=title, cache=cache, extra=part.rest())


def split_data_uri(url: str) -> tuple[str, str]:
    """The media type and the base64 payload of a data URI; two empty strings for any other URL."""
    if not url.startswith("data:"):
        return "", ""
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64") or not data:
        return "", ""
    return head[5:-7], data


# ---- writing --------------------------------------------------------------------------------------------------------


class ContentWriter:
    """Writes parts of one conversation, and declares what cannot be said."""

    __slots__ = ("home", "losses")

    def __init__(self, origin: WireFormat, losses: Losses) -> None:
        self.home = origin is HOME
        self.losses = losses

    def content(self, parts: Sequence[Part]) -> str | list[Json]:
        """A string where one will do: not every chat provider takes lists everywhere."""
        alone = only_text(parts)
        if alone:
            return alone
        written = [block for part in parts if (block := self.part(part)) is not None]
        if not written:
            return ""
        if len(written) == 1 and written[0].keys() == {"type", "text"}:
            text: str = written[0]["text"]
            return text
        return written

    def part(self, part: Part) -> Json | None:
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
        if self.home:
            if isinstance(part, Piece) and part.cache is not None:
                block["cache_control"] = part.cache
            overlay(block, part.extra)
        else:
            self.foreign(part)
        return block

    def foreign(self, part: Part) -> None:
        """Declare what a part from another format carries beyond what chat says of it."""
        if isinstance(part, Opaque):
            return
        if isinstance(part, Piece) and part.cache is not None:
            self.losses.dropped("messages.content.cache_control", "OpenAI caches prompts by itself")
        self.losses.unknown(part.extra, "messages.content")

    def _block(self, part: Part) -> Json | None:
        match part:
            case Text():
                return {"type": "text", "text": part.text}
            case Refusal():
                return {"type": "refusal", "refusal": part.text}
            case Image(file_id=""):
                mime = part.media_type
                if part.data and not self.home and not (mime := picture(part, PICTURES, self.losses)):
                    return None
                url = part.url or f"data:{mime};base64,{part.data}"
                return {
                    "type": "image_url",
                    "image_url": {"url": url} | ({"detail": part.detail} if part.detail else {}),
                }
            case Image():
                self.losses.dropped("messages.content.image", "a file id means nothing to another provider")
            case Audio():
                return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
            case Document():
                return self._document(part)
            case _:
                self.losses.unsayable(part, "messages.content", "this place")
        return None

    def _document(self, part: Document) -> Json | None:
        if part.data and not self.home and (text := plain_text(part)):
            self.losses.approximated("messages.content.document", "sent as plain text")
            return {"type": "text", "text": text}
        if part.data:
            data = f"data:{part.media_type};base64,{part.data}"
            return {"type": "file", "file": {"filename": part.title or UNNAMED, "file_data": data}}
        if part.text:
            self.losses.approximated("messages.content.document", "sent as plain text")
            return {"type": "text", "text": part.text}
        if part.file_id and self.home:
            name = {"filename": part.title} if part.title else {}
            return {"type": "file", "file": {"file_id": part.file_id} | name}
        why = "a file id means nothing to another provider" if part.file_id else "chat takes no document by URL"
        self.losses.dropped("messages.content.document", why)
        return None


def with_cache(parts: tuple[Part, ...], cache: Json) -> tuple[Part, ...] | None:
    """Put a message's own cache marker (LiteLLM's and OpenRouter's habit) on its last part; None where it cannot go."""
    if not parts or not isinstance(parts[-1], Piece) or parts[-1].cache is not None:
        return None
    return (*parts[:-1], msgspec.structs.replace(parts[-1], cache=cache))
