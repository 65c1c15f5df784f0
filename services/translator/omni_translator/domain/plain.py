"""What only OpenAI's Responses can say of tools, said in plain functions.

Codex groups tools in namespaces, takes free text (often of a grammar) in some, and adds tools by an item of the
conversation. For every other format a namespaced tool becomes a function whose name holds both names, a freeform one a
function of one string, and an added one stands with the rest. ``client_tools`` is the way back, for the answer's calls.

History that the provider keeps (``previous_response_id`` and its like) cannot be had from another one, and an answer
without it would be an answer to something else: such a request is refused.
"""

import hashlib
import re
from typing import Final

import msgspec
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain.codec import ClientTool
from omni_translator.domain.fields import json_object, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Freeform,
    Json,
    Message,
    Namespace,
    NewTools,
    Opaque,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

INPUT: Final = "input"  # the one argument of a freeform tool made a function
_STORED: Final = ("previous_response_id", "conversation", "prompt")
# What a client of Responses spells out though every other provider does just that, or need not be told.
_UNSAID: Final[Json] = {"store": False, "include": ["reasoning.encrypted_content"], "truncation": "disabled"}
_MAX_NAME: Final = 64  # characters; what OpenAI and Anthropic take
_NOT_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


def plain(conversation: Conversation, losses: Losses) -> Conversation:
    """``conversation`` as a format with plain functions only can say it, what that costs declared.

    Raises ``WireError`` where it needs history that only its own provider keeps.
    """
    if conversation.origin is not WireFormat.OPENAI_RESPONSES:
        return conversation
    for key in _STORED:
        if conversation.extra.get(key):
            raise WireError(f"{key} names what only its own provider keeps; send the whole conversation", key)
    if not _is_special(conversation):
        return msgspec.structs.replace(conversation, extra=_told(conversation.extra))
    names = _Names(conversation)
    messages: list[Message] = []
    added: list[Tool | Opaque] = []
    for message in conversation.messages:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, NewTools):
                losses.approximated("input.additional_tools", "offered with the others, from the start")
                losses.unknown(part.extra, "input.additional_tools")
                added += part.tools
            elif isinstance(part, ToolCall):
                parts.append(_plain_call(part, names, losses))
            elif isinstance(part, ToolResult) and part.freeform:
                losses.approximated("input.custom_tool_call_output", "sent as a function's result")
                parts.append(msgspec.structs.replace(part, freeform=False))
            elif isinstance(part, Opaque) and part.slot and part.data.get("type") in ("item_reference", None):
                raise WireError("an item_reference names what only its own provider keeps; send the item", "input")
            elif isinstance(part, Opaque) and part.slot:
                losses.dropped(f"input.{part.kind}", "an item that only OpenAI understands")
            else:
                parts.append(part)
        if parts or not message.parts:
            messages.append(msgspec.structs.replace(message, parts=tuple(parts)))
    if not messages:
        raise WireError("input holds nothing that another provider takes", "input")
    tools = [tool if isinstance(tool, Opaque) else _plain_tool(tool, names, losses) for tool in conversation.tools]
    known = {tool.name: at for at, tool in enumerate(tools) if isinstance(tool, Tool)}
    for late in added:
        tool = late if isinstance(late, Opaque) else _plain_tool(late, names, losses)
        if isinstance(tool, Tool) and tool.name in known:
            tools[known[tool.name]] = tool  # told anew
            continue
        if isinstance(tool, Tool):
            known[tool.name] = len(tools)
        tools.append(tool)
    return msgspec.structs.replace(
        conversation,
        messages=tuple(messages),
        tools=tuple(tools),
        tool_choice=_plain_choice(conversation, names, losses),
        extra=_told(conversation.extra),
    )


def _told(extra: Json) -> Json:
    return {key: value for key, value in extra.items() if _UNSAID.get(key) != value}


def _is_special(conversation: Conversation) -> bool:
    """Whether it holds anything that only Responses can say, or nothing at all."""
    choice = conversation.tool_choice
    if not conversation.messages or (choice is not None and choice.freeform):
        return True
    for tool in conversation.tools:
        if type(tool) is Tool and (tool.namespace is not None or tool.freeform is not None):
            return True
    for message in conversation.messages:
        for part in message.parts:
            if type(part) is Text:
                continue
            if type(part) is ToolCall and (part.freeform or part.namespace):
                return True
            if type(part) is ToolResult and part.freeform:
                return True
            if type(part) is NewTools or (type(part) is Opaque and part.slot):
                return True
    return False


def client_tools(conversation: Conversation) -> dict[str, ClientTool]:
    """By the name it has in ``plain``: every tool whose calls the client knows in another form."""
    names = _Names(conversation)
    return {
        names.of(_space(tool), tool.name): ClientTool(tool.name, _space(tool), tool.freeform is not None)
        for tool in names.tools
        if tool.namespace is not None or tool.freeform is not None
    }


def text_of_input(arguments: str) -> str | None:
    """The text in the arguments of a freeform tool made a function; None where they hold no such thing."""
    value = json_object(arguments)
    text = value.get(INPUT) if value is not None else None
    return text if isinstance(text, str) else None


def declare_call(call: ToolCall, losses: Losses, given: str, holder: str = "content") -> None:
    """Declare what an answer's call says of its tool though only Responses has a place for it; ``given`` is what a
    freeform one's text is given as."""
    if call.namespace:
        losses.dropped(f"{holder}.function_call.namespace")
    if call.freeform:
        losses.approximated(f"{holder}.custom_tool_call", f"its text is given as {given}")


class _Names:
    """One name for a namespace and a tool of it: of the letters and length that all formats take, and no two alike."""

    __slots__ = ("_known", "_taken", "tools")

    def __init__(self, conversation: Conversation) -> None:
        added = [
            tool
            for message in conversation.messages
            for part in message.parts
            if isinstance(part, NewTools)
            for tool in part.tools
        ]
        self.tools = [tool for tool in (*conversation.tools, *added) if isinstance(tool, Tool)]
        self._known: dict[tuple[str, str], str] = {}
        self._taken = {tool.name for tool in self.tools if tool.namespace is None}
        for tool in self.tools:
            self.of(_space(tool), tool.name)

    def of(self, space: str, name: str) -> str:
        if not space:
            return name
        flat = self._known.get((space, name))
        if flat is None:
            whole = f"{space}{name}" if space.endswith("_") else f"{space}__{name}"
            flat = _NOT_NAME.sub("_", whole)
            if len(flat) > _MAX_NAME or flat in self._taken:
                digest = hashlib.sha256(f"{space}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
                flat = f"{flat[: _MAX_NAME - 9]}_{digest}"
            self._taken.add(flat)
            self._known[space, name] = flat
        return flat


def _space(tool: Tool) -> str:
    return tool.namespace.name if tool.namespace is not None else ""


def _plain_call(call: ToolCall, names: _Names, losses: Losses) -> ToolCall:
    if not call.freeform and not call.namespace:
        return call
    if call.freeform:
        losses.approximated("input.custom_tool_call", "sent as a call of a function of one string")
    if call.namespace:
        losses.approximated("input.function_call.namespace", "its name is put before that of the tool")
    arguments = to_json({INPUT: call.arguments}).decode() if call.freeform else call.arguments
    name = names.of(call.namespace, call.name)
    return msgspec.structs.replace(call, name=name, arguments=arguments, freeform=False, namespace="")


def _plain_tool(tool: Tool, names: _Names, losses: Losses) -> Tool:
    namespace, freeform = tool.namespace, tool.freeform
    if namespace is None and freeform is None:
        return tool
    name, description, schema, strict = tool.name, tool.description, tool.schema, tool.strict
    if namespace is not None:
        losses.approximated("tools.namespace", "its name is put before those of its tools")
        losses.unknown(namespace.extra, "tools.namespace")
        name = names.of(namespace.name, name)
        description = _with_purpose(namespace, description)
    if freeform is not None:
        losses.approximated("tools.custom", "sent as a function of one string")
        schema, strict = _input_schema(freeform), None
    return msgspec.structs.replace(
        tool, name=name, description=description, schema=schema, strict=strict, freeform=None, namespace=None
    )


def _with_purpose(namespace: Namespace, description: str | None) -> str | None:
    if not namespace.description:
        return description
    return f"{namespace.description}\n\n{description}" if description else namespace.description


def _input_schema(freeform: Freeform) -> Json:
    text: Json = {"type": "string"}
    if freeform.syntax:
        text["description"] = f"Text of this {freeform.syntax} grammar:\n{freeform.definition}"
    return {"type": "object", "properties": {INPUT: text}, "required": [INPUT], "additionalProperties": False}


def _plain_choice(conversation: Conversation, names: _Names, losses: Losses) -> ToolChoice | None:
    """Choices name tools without their namespace; where only namespaces hold that name, the first such is meant."""
    choice = conversation.tool_choice
    if choice is None or not (choice.name or choice.allowed):
        return choice
    spaces: dict[str, dict[str, None]] = {}
    for tool in names.tools:
        spaces.setdefault(tool.name, {})[_space(tool)] = None

    def written(name: str) -> str:
        held = spaces.get(name, {"": None})
        if len(held) > 1:
            losses.approximated("tool_choice", "several namespaces hold a tool of that name")
        return name if "" in held else names.of(next(iter(held)), name)

    return msgspec.structs.replace(
        choice,
        name=written(choice.name),
        freeform=False,
        allowed=tuple(written(name) for name in choice.allowed),
    )
