"""Every text of a part that may say something of somebody, passed through a function; all else stays.

Not looked at: ids, types, names of tools and their schemas, addresses of media, base64, signatures and what is
encrypted. What a model signed of its thoughts stays as it is, too: its provider has it, and wants it back unchanged.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from omni_translator.domain.model import (
    Conversation,
    Document,
    Json,
    Message,
    NewTools,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

# Keys of unknown blocks whose strings are addresses, proofs or bytes.
_NO_WORDS: Final = frozenset(
    (
        *("id", "type", "role", "name", "model", "status", "object", "data", "index", "format", "detail", "ttl"),
        *("signature", "thought_signature", "thoughtSignature", "encrypted_content", "encrypted_index"),
        *("media_type", "mime_type", "mimeType", "file_id", "fileId", "fileUri", "url", "uri", "image_url"),
        *("call_id", "tool_use_id", "tool_call_id", "container_id", "cache_control"),
        *("schema", "parameters", "input_schema"),
    )
)
_LEVELS: Final = 12
_Node = TypeVar("_Node", bound=msgspec.Struct)


class Texts(msgspec.Struct, frozen=True):
    """What becomes of plain text, and of JSON text."""

    plain: Callable[[str], str]
    json: Callable[[str], str]


def of_conversation(conversation: Conversation, texts: Texts) -> Conversation:
    """The very one where nothing changes, as is each of its parts."""
    messages = tuple([_message(message, texts) for message in conversation.messages])
    tools = tuple([_tool(tool, texts) for tool in conversation.tools])
    return _with(
        conversation,
        messages=messages,
        tools=tools,
        user=texts.plain(conversation.user),
        extra=_json(conversation.extra, texts, 0),
    )


def of_part(part: Part, texts: Texts) -> Part:
    """What it says, and what nobody here knows a meaning of that stands beside it (``extra``)."""
    if isinstance(part, Opaque) or not part.extra or (isinstance(part, Reasoning) and part.signature):
        return _said_by(part, texts)
    return _with(_said_by(part, texts), extra=_json(part.extra, texts, 0))


def _said_by(part: Part, texts: Texts) -> Part:
    match part:
        case Text() | Refusal():
            return _with(part, text=texts.plain(part.text))
        case Reasoning(signature=""):
            return _with(part, text=texts.plain(part.text))
        case Document():
            return _with(part, text=texts.plain(part.text), title=texts.plain(part.title))
        case ToolCall():
            return _with(part, arguments=(texts.plain if part.freeform else texts.json)(part.arguments))
        case ToolResult():
            return _with(part, parts=tuple([of_part(inner, texts) for inner in part.parts]))
        case Opaque():
            return _with(part, data=_json(part.data, texts, 0))
        case NewTools():
            return _with(part, tools=tuple([_tool(tool, texts) for tool in part.tools]))
    return part


def _message(message: Message, texts: Texts) -> Message:
    parts = tuple([of_part(part, texts) for part in message.parts])
    extra = _json(message.extra, texts, 0)
    if isinstance(name := extra.get("name"), str):  # of somebody, and of no tool
        extra = {**extra, "name": texts.plain(name)}
    return _with(message, parts=parts, extra=extra)


def _tool(tool: Tool | Opaque, texts: Texts) -> Tool | Opaque:
    if isinstance(tool, Opaque):
        return tool
    if tool.extra:
        tool = _with(tool, extra=_json(tool.extra, texts, 0))
    return _with(tool, description=texts.plain(tool.description)) if tool.description else tool


def _json(value: Json, texts: Texts, level: int) -> Json:
    changed = {key: _value(key, item, texts, level) for key, item in value.items()}
    return value if all(changed[key] is item for key, item in value.items()) else changed


def _value(key: str, value: Any, texts: Texts, level: int) -> Any:
    if key in _NO_WORDS or level > _LEVELS:
        return value
    if isinstance(value, str):
        return texts.plain(value)
    if isinstance(value, dict):
        return _json(value, texts, level + 1)
    if isinstance(value, list):
        items = [_value("", item, texts, level + 1) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


def _with(node: _Node, **fields: Any) -> _Node:
    changes: dict[str, Any] = {}
    for name, value in fields.items():
        old = getattr(node, name)
        if isinstance(value, tuple):
            same = all(new is was for new, was in zip(value, old, strict=True))
        else:
            same = value is old or value == old
        if not same:
            changes[name] = value
    return msgspec.structs.replace(node, **changes) if changes else node
