"""The messages of a request, written."""

from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codecs.ollama_chat.content import HOME, is_made, media_type_of, write_call
from omni_translator.domain.codecs.openai_chat.order import OrderWatch
from omni_translator.domain.fields import overlay
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Document,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Piece,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.talk import only_text

_ROLES: Final = {
    Role.SYSTEM: "system",
    Role.DEVELOPER: "system",
    Role.USER: "user",
    Role.ASSISTANT: "assistant",
}


class MessageWriter:
    """Writes the messages of one conversation in order, and declares what cannot be said."""

    __slots__ = ("_home", "_losses", "_names")

    def __init__(self, origin: WireFormat, losses: Losses) -> None:
        self._home = origin is HOME
        self._losses = losses
        self._names: dict[str, str] = {}  # of the calls so far

    def write(self, message: Message) -> list[Json]:
        alone = only_text(message.parts)
        if alone:
            out: list[Json] = [{"role": _ROLES[message.role], "content": alone}]
        elif message.role is Role.ASSISTANT:
            out = [self._assistant(message)]
        else:
            out = self._others(message)
        if self._home:
            overlay(out[-1], message.extra)
        else:
            self._losses.unknown(message.extra, "messages")
        return out

    def _others(self, message: Message) -> list[Json]:
        """A message for each result, and for each text with the images that belong to it."""
        role = _ROLES[message.role]
        out: list[Json] = []
        current: Json | None = None  # what an image may be put beside
        for part in message.parts:
            if isinstance(part, ToolResult):
                out.append(self._result(part))
                current = None
                continue
            data = self._image(part) if isinstance(part, Image) and role == "user" else ""
            text = "" if isinstance(part, Image) and role == "user" else self._text(part)
            if not data and not text:
                continue
            if current is None or (text and current["content"]):
                current = {"role": role, "content": ""}
                out.append(current)
            if data:
                current.setdefault("images", []).append(data)
                continue
            if "images" in current:
                self._losses.approximated("messages.content", "images stand beside a text, in no order")
            current["content"] = text
        if not out and self._home:
            out.append({"role": role, "content": ""})
        return out or [{"role": role, "content": ""}]

    def _assistant(self, message: Message) -> Json:
        order = OrderWatch(self._losses, "messages.content", joins_text=True)
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[Json] = []
        images: list[str] = []
        for part in message.parts:
            order.see(Text(part.text) if isinstance(part, Refusal) else part)
            if isinstance(part, Reasoning):
                thoughts.append(part.text)
                if part.signature:
                    self._losses.signature("messages.content")
                self._foreign(part)
            elif isinstance(part, ToolCall):
                calls.append(self._call(part))
            elif isinstance(part, Image) and self._home:
                images.append(part.data)
            else:
                texts.append(self._text(part))
        out: Json = {"role": "assistant", "content": "".join(texts)}
        if any(thoughts):
            out["thinking"] = "\n\n".join(thoughts)
        if images:
            out["images"] = images
        if calls:
            out["tool_calls"] = calls
        return out

    def _call(self, call: ToolCall) -> Json:
        self._names[call.id] = call.name
        known = not (self._home and is_made(call.id))
        out = write_call(call, "messages.tool_calls", self._losses, with_id=known)
        self._foreign(call)
        return overlay(out, call.extra) if self._home else out

    def _result(self, result: ToolResult) -> Json:
        texts: list[str] = []
        images: list[str] = []
        for part in result.parts:
            if isinstance(part, Image):
                images.append(self._image(part))
            else:
                texts.append(self._text(part))
        texts, images = [text for text in texts if text], [data for data in images if data]
        if len(texts) > 1:
            self._losses.approximated("messages.content.tool_result.content", "texts joined")
        if images and texts and isinstance(result.parts[0], Image):
            self._losses.approximated("messages.content", "images stand beside a text, in no order")
        if result.is_error:
            self._losses.dropped("messages.content.is_error")
        self._foreign(result)
        out: Json = {"role": "tool", "content": "\n".join(texts)}
        if images:
            out["images"] = images
        if result.id in self._names:
            out["tool_name"] = self._names[result.id]
        if result.id and not (self._home and is_made(result.id)):
            out["tool_call_id"] = result.id
        return out

    def _image(self, image: Image) -> str:
        """Empty where Ollama cannot have it."""
        self._foreign(image)
        if not image.data:
            why = "Ollama takes images as data only" if image.url else "a file id means nothing to another provider"
            self._losses.dropped("messages.content.image", why)
            return ""
        if image.detail:
            self._losses.dropped("messages.content.image_url.detail")
        if image.media_type != media_type_of(image.data):
            self._losses.approximated("messages.content.image.media_type", "Ollama finds it out from the bytes")
        return image.data

    def _text(self, part: Part) -> str:
        """What a part says as text; empty where it cannot."""
        self._foreign(part)
        match part:
            case Text():
                return part.text
            case Refusal():
                self._losses.approximated("messages.refusal", "sent as text")
                return part.text
            case Document() if part.text:
                self._losses.approximated("messages.content.document", "sent as plain text")
                return part.text
            case Opaque():
                self._losses.dropped(f"messages.content.{part.kind}")
            case _:
                self._losses.unsayable(part, "messages.content", "this place")
        return ""

    def _foreign(self, part: Part) -> None:
        """Declare what a part from another format carries beyond what Ollama says of it."""
        if self._home or isinstance(part, Opaque):
            return
        if isinstance(part, Piece) and part.cache is not None:
            self._losses.dropped("messages.content.cache_control", "Ollama caches prompts by itself")
        self._losses.unknown(part.extra, "messages.content")
