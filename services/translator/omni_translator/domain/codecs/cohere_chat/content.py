"""The blocks of Cohere's messages, both ways.

Facts: docs.cohere.com/reference/chat and the types of Cohere's SDK for Python 7.3.1 (read 2026-11-28). A model that
calls tools may say first what it is up to: ``tool_plan``, a thought like those of a ``thinking`` block but in a place
of its own, which is what a thought's ``item`` says here.
"""

from typing import Any, Final

from omni_wire.formats import WireFormat

from omni_translator.domain import talk
from omni_translator.domain.codecs.openai_chat.content import split_data_uri
from omni_translator.domain.fields import Fields, Place, overlay
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
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
)

HOME: Final = WireFormat.COHERE_CHAT
PLAN: Final = "tool_plan"


def read_content(value: Any, place: Place) -> tuple[Part, ...]:
    """A message's ``content``: null, a string or a list of blocks."""
    return talk.read_content(value, place, read_block)


def read_block(block: Fields) -> Part:
    kind = block.peek("type")
    if kind == "text" or kind == "thinking":
        block.take("type")
        said = block.need_text(kind)
        if kind == "text":
            return Text(said, extra=block.rest())
        return Reasoning(text=said, origin=HOME, extra=block.rest())
    if kind == "image_url" and isinstance(block.peek("image_url"), dict):
        block.take("type")
        image = block.need_child("image_url")
        url, detail = image.need_text("url"), image.text("detail") or ""
        detail = "" if detail == "auto" else detail
        media_type, data = split_data_uri(url)
        if data:
            return Image(data=data, media_type=media_type, detail=detail, extra=block.rest())
        return Image(url=url, detail=detail, extra=block.rest())
    return Opaque(origin=HOME, data=block.rest())


def read_plan(message: Fields) -> list[Part]:
    plan = message.text(PLAN)
    return [Reasoning(text=plan, origin=HOME, item=PLAN)] if plan else []


def read_call(call: Fields) -> Part:
    """One entry of ``tool_calls``; what is no function call is kept whole."""
    if call.peek("type") not in ("function", None) or not isinstance(call.peek("function"), dict):
        return Opaque(origin=HOME, data=call.rest(), slot="tool_calls")
    call.take("type")
    function = call.need_child("function")
    return ToolCall(
        id=call.text("id") or "",
        name=function.text("name") or "",
        arguments=function.text("arguments") or "",
        extra=call.rest(),
    )


# ---- writing --------------------------------------------------------------------------------------------------------


def write_call(call: ToolCall, field: str, losses: Losses) -> Json:
    """Without what only its format knows, which is the caller's to lay over it or to declare."""
    if call.freeform:
        losses.approximated(field, "its text is given as a function's arguments")
    if call.namespace:
        losses.dropped(f"{field}.namespace")
    if call.signature:
        losses.signature(field)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}


class ContentWriter:
    """Writes the blocks of one conversation, and declares what cannot be said."""

    __slots__ = ("home", "losses")

    def __init__(self, origin: WireFormat, losses: Losses) -> None:
        self.home = origin is HOME
        self.losses = losses

    def content(self, parts: list[Part]) -> str | list[Json]:
        """A string where one will do."""
        written = [block for part in parts if (block := self.block(part)) is not None]
        if not written:
            return ""
        if len(written) == 1 and written[0].keys() == {"type", "text"}:
            text: str = written[0]["text"]
            return text
        return written

    def block(self, part: Part) -> Json | None:
        if isinstance(part, Opaque):
            if part.origin is HOME:
                return part.data
            self.losses.dropped(f"messages.content.{part.kind}")
            return None
        block = self._block(part)
        if not self.home:
            self.foreign(part)
        elif block is not None:
            overlay(block, part.extra)
        return block

    def foreign(self, part: Part) -> None:
        """Declare what a part from another format carries beyond what Cohere says of it."""
        if self.home or isinstance(part, Opaque):
            return
        if isinstance(part, Piece) and part.cache is not None:
            self.losses.dropped("messages.content.cache_control", "Cohere caches prompts by itself")
        self.losses.unknown(part.extra, "messages.content")

    def _block(self, part: Part) -> Json | None:
        match part:
            case Text():
                return {"type": "text", "text": part.text} if part.text or self.home else None
            case Refusal():
                self.losses.approximated("messages.refusal", "sent as text")
                return {"type": "text", "text": part.text} if part.text else None
            case Reasoning():
                if part.signature:
                    self.losses.signature("messages.content")
                return {"type": "thinking", "thinking": part.text} if part.text or self.home else None
            case Image(file_id=""):
                url = part.url or f"data:{part.media_type};base64,{part.data}"
                detail = {"detail": part.detail} if part.detail else {}
                return {"type": "image_url", "image_url": {"url": url} | detail}
            case Document() if part.text:
                self.losses.approximated("messages.content.document", "sent as plain text")
                return {"type": "text", "text": part.text}
            case Image():
                self.losses.dropped("messages.content.image", "a file id means nothing to another provider")
            case _:
                self.losses.unsayable(part, "messages.content", "this place")
        return None
