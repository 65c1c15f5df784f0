"""A Messages request, read."""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codecs.anthropic_messages.content import HOME, read_content
from omni_translator.domain.fields import Fields
from omni_translator.domain.model import (
    Conversation,
    Message,
    Opaque,
    OutputFormat,
    Role,
    Sampling,
    Thinking,
    Tool,
    ToolChoice,
)
from omni_translator.domain.talk import read_messages

# A system message within the others: Claude Code.
_ROLES: Final = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = Fields.of_body(body)
    messages = read_messages(top.items("messages"), _ROLES, _message)
    if not messages:
        raise WireError("messages must hold at least one message", "messages")
    system = read_content(top.take("system"), "system")
    if system:
        messages = (Message(role=Role.SYSTEM, parts=system), *messages)
    tool_choice, parallel = _tool_choice(top)
    output = top.child("output_config")
    metadata = top.child("metadata")
    return Conversation(
        origin=HOME,
        model=top.text("model") or "",
        messages=messages,
        tools=tuple(_tool(tool) for tool in top.each("tools")),
        tool_choice=tool_choice,
        parallel_tools=parallel,
        sampling=Sampling(
            temperature=top.number("temperature"),
            top_p=top.number("top_p"),
            top_k=top.whole("top_k"),
            stop=top.texts("stop_sequences"),
        ),
        max_output=top.whole("max_tokens"),
        output_format=_output_format(output) if output is not None else None,
        thinking=_thinking(top, output),
        user=(metadata.text("user_id") if metadata is not None else None) or "",
        stream=top.flag("stream") or False,
        extra=top.rest(),
    )


def _message(message: Fields) -> Message:
    role = message.need_text("role")
    known = _ROLES.get(role)
    if known is None:
        raise WireError(f"{message.at('role')} {role[:40]!r} is none this gateway knows", message.at("role"))
    parts = read_content(message.take("content"), (message.place, "content"))
    return Message(role=known, parts=parts, extra=message.rest())


def _tool(tool: Fields) -> Tool | Opaque:
    if tool.peek("type") not in ("custom", None) or not isinstance(tool.peek("input_schema"), dict):
        return Opaque(origin=HOME, data=tool.rest())
    tool.take("type")
    return Tool(
        name=tool.need_text("name"),
        description=tool.text("description"),
        schema=tool.plain("input_schema"),
        strict=tool.flag("strict") or None,
        cache=tool.plain("cache_control"),
        extra=tool.rest(),
    )


def _tool_choice(top: Fields) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether calls may be parallel, which Anthropic says inside it."""
    value = top.peek("tool_choice")
    kind = value.get("type") if isinstance(value, dict) else None
    mode = _CHOICES.get(kind) if isinstance(kind, str) else None
    if mode is None:
        return None, None
    choice = top.need_child("tool_choice")
    choice.take("type")
    name = choice.need_text("name") if mode == "named" else ""
    serial = choice.flag("disable_parallel_tool_use")
    return ToolChoice(mode=mode, name=name), None if serial is None else not serial


def _output_format(output: Fields) -> OutputFormat | None:
    value = output.peek("format")
    if not isinstance(value, dict) or value.get("type") != "json_schema":
        return None
    form = output.need_child("format")
    form.take("type")
    return OutputFormat(kind="json_schema", schema=form.plain("schema"), strict=True)


def _thinking(top: Fields, output: Fields | None) -> Thinking | None:
    effort = (output.text("effort") if output is not None else None) or ""
    thinking = top.child("thinking")
    if thinking is None:
        return Thinking(effort=effort) if effort else None
    mode = thinking.need_text("type")
    if not mode:
        raise thinking.wrong("type", "given")
    return Thinking(effort=effort, mode=mode, budget=thinking.whole("budget_tokens"))
