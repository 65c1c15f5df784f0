"""Requests that contradict themselves, which their own provider would answer with a 400."""

from typing import Final

from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain.model import Conversation, NewTools, Opaque, Tool

_NAMED: Final = {
    WireFormat.OPENAI_CHAT: "tool_choice.function.name",
    WireFormat.GEMINI_GENERATE: "toolConfig.functionCallingConfig.allowedFunctionNames",
}


def refuse_contradictions(conversation: Conversation) -> None:
    """Raises ``WireError`` where a tool is chosen that is not offered. A choice without any tools is a loss only."""
    choice = conversation.tool_choice
    if choice is None or not (choice.name or choice.allowed) or not conversation.tools:
        return
    added = [
        tool
        for message in conversation.messages
        for part in message.parts
        if isinstance(part, NewTools)
        for tool in part.tools
    ]
    offered = {_name(tool) for tool in (*conversation.tools, *added)}
    for name in (choice.name, *choice.allowed):
        if name and name not in offered:
            field = _NAMED.get(conversation.origin, "tool_choice.name")
            raise WireError(f"{field}: {name[:80]!r} is none of the tools offered", field)


def _name(tool: Tool | Opaque) -> str:
    if isinstance(tool, Tool):
        return tool.name
    for holder in (tool.data, *(inner for inner in tool.data.values() if isinstance(inner, dict))):
        name = holder.get("name")
        if isinstance(name, str):
            return name
    return tool.kind
