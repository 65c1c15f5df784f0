"""What messages of requests and answers share: images and calls.

Facts: docs.ollama.com/api/chat and the types of Ollama's client for Python 0.6.3 (read 2026-11-28). An image is base64
and nothing else: Ollama looks at its bytes for its type. Calls have no id in its documentation; newer servers give one
(``id``, answered by ``tool_call_id``), and whoever does not know those fields passes over them.
"""

from typing import Final

from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain import call_ids
from omni_translator.domain.fields import Fields, json_object, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Image, Json, ToolCall
from omni_translator.domain.plain import INPUT

HOME: Final = WireFormat.OLLAMA_CHAT
VENDOR: Final = "ollama"

# How the base64 of each type's first bytes begins.
_HEADS: Final = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
)


def media_type_of(data: str) -> str:
    """The MIME type of an image, by its first bytes; PNG where they tell none."""
    return next((kind for head, kind in _HEADS if data.startswith(head)), "image/png")


def read_images(message: Fields) -> list[Image]:
    images: list[Image] = []
    for number, data in enumerate(message.items("images") or ()):
        if not isinstance(data, str):
            path = f"{message.at('images')}[{number}]"
            raise WireError(f"{path} must be base64 text", path)
        images.append(Image(data=data, media_type=media_type_of(data)))
    return images


def read_call(call: Fields, call_id: str) -> ToolCall:
    function = call.need_child("function")
    for known in ("id", "type"):
        call.take(known)
    function.take("index")  # its place in the list
    name, arguments = function.text("name") or "", function.plain("arguments")
    return ToolCall(
        id=call_id,
        name=name,
        arguments="{}" if arguments is None else to_json(arguments).decode(),
        extra=call.rest(),
    )


def is_made(call_id: str) -> bool:
    return call_ids.is_made(VENDOR, call_id)


def write_call(call: ToolCall, field: str, losses: Losses, *, with_id: bool = True) -> Json:
    """Without what only its format knows, which is the caller's to lay over it or to declare."""
    arguments: Json | None = {}
    if call.freeform:
        losses.approximated(field, "its text is given as a function's argument")
        arguments = {INPUT: call.arguments}
    elif call.arguments.strip():
        arguments = json_object(call.arguments)
    if arguments is None:
        losses.approximated(f"{field}.function.arguments", "not a JSON object; given empty")
        arguments = {}
    if call.namespace:
        losses.dropped(f"{field}.namespace")
    if call.signature:
        losses.signature(field)
    named = {"id": call.id} if call.id and with_id else {}
    return named | {"function": {"name": call.name, "arguments": arguments}}
