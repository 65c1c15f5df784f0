"""A request to ``/v2/chat``, read."""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codecs.cohere_chat.content import HOME, read_call, read_content, read_plan
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
    ToolResult,
)
from omni_translator.domain.talk import read_messages

_ROLES: Final = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_CHOICES: Final = {"REQUIRED": "required", "NONE": "none"}


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = Fields.of_body(body)
    messages = read_messages(top.items("messages"), _ROLES, _message)
    if not messages:
        raise WireError("messages must hold at least one message", "messages")
    strict = top.flag("strict_tools") or None
    tools = tuple(_tool(tool, strict) for tool in top.each("tools"))
    if strict and not any(isinstance(tool, Tool) for tool in tools):
        top.put_back("strict_tools", strict)
    choice = top.peek("tool_choice")
    if isinstance(choice, str) and choice in _CHOICES:
        top.take("tool_choice")
    return Conversation(
        origin=HOME,
        model=top.text("model") or "",
        messages=messages,
        tools=tools,
        tool_choice=ToolChoice(mode=_CHOICES[choice]) if isinstance(choice, str) and choice in _CHOICES else None,
        sampling=_sampling(top),
        max_output=top.whole("max_tokens"),
        output_format=_output_format(top),
        thinking=_thinking(top),
        stream=top.flag("stream") or False,
        extra=top.rest(),
    )


def _message(message: Fields) -> Message:
    role = message.need_text("role")
    if role == "tool":
        result = ToolResult(
            id=message.need_text("tool_call_id"),
            parts=read_content(message.take("content"), (message.place, "content")),
        )
        return Message(role=Role.USER, parts=(result,), extra=message.rest())
    if role not in _ROLES:
        raise WireError(f"{message.at('role')} {role[:40]!r} is none this gateway knows", message.at("role"))
    plan = read_plan(message) if role == "assistant" else []
    parts = [*plan, *read_content(message.take("content"), (message.place, "content"))]
    if role == "assistant":
        parts += [read_call(call) for call in message.each("tool_calls")]
    return Message(role=_ROLES[role], parts=tuple(parts), extra=message.rest())


def _tool(tool: Fields, strict: bool | None) -> Tool | Opaque:
    if tool.peek("type") not in ("function", None) or not isinstance(tool.peek("function"), dict):
        return Opaque(origin=HOME, data=tool.rest())
    tool.take("type")
    function = tool.need_child("function")
    return Tool(
        name=function.need_text("name"),
        description=function.text("description"),
        schema=function.plain("parameters"),
        strict=strict,
        extra=tool.rest(),
    )


def _sampling(top: Fields) -> Sampling:
    return Sampling(
        temperature=top.number("temperature"),
        top_p=top.number("p"),
        top_k=top.whole("k"),
        seed=top.whole("seed"),
        presence_penalty=top.number("presence_penalty") or None,
        frequency_penalty=top.number("frequency_penalty") or None,
        stop=top.texts("stop_sequences"),
    )


def _output_format(top: Fields) -> OutputFormat | None:
    value = top.peek("response_format")
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("text", "json_object"):
        return None
    form = top.need_child("response_format")
    form.take("type")
    if kind == "text":
        return None
    schema = form.plain("json_schema")
    return OutputFormat(kind="json_object") if schema is None else OutputFormat(
        kind="json_schema", schema=schema, strict=True
    )  # fmt: skip


def _thinking(top: Fields) -> Thinking | None:
    """Enabled without a budget is as much as the model sees fit."""
    value = top.peek("thinking")
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("enabled", "disabled"):
        return None
    thinking = top.need_child("thinking")
    thinking.take("type")
    if kind == "disabled":
        return Thinking(mode="disabled")
    budget = thinking.whole("token_budget")
    return Thinking(mode="adaptive") if budget is None else Thinking(mode="enabled", budget=budget)
