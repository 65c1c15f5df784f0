"""A chat request, read."""

from typing import Any, Final

from omni_wire.errors import WireError

from omni_translator.domain.codecs.openai_chat.content import HOME, read_content, with_cache
from omni_translator.domain.fields import Fields, to_json
from omni_translator.domain.model import (
    Conversation,
    Json,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Role,
    Sampling,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from omni_translator.domain.talk import read_messages

# OpenAI wants a name with every schema; this one stands for none.
UNNAMED_SCHEMA = "response"
_ROLES: Final = {role.value: role for role in Role}


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = Fields.of_body(body)
    messages = read_messages(top.items("messages"), _ROLES, _message)
    if not messages:
        raise WireError("messages must hold at least one message", "messages")
    completion, limit = top.whole("max_completion_tokens"), top.whole("max_tokens")
    effort = top.text("reasoning_effort") or ""
    _delivery(top)
    return Conversation(
        origin=HOME,
        model=top.text("model") or "",
        messages=messages,
        tools=tuple(_tool(tool) for tool in top.each("tools")),
        tool_choice=_tool_choice(top),
        parallel_tools=top.flag("parallel_tool_calls"),
        sampling=read_sampling(top),
        max_output=limit if completion is None else completion,
        output_format=_output_format(top),
        thinking=Thinking(effort=effort) if effort else None,
        verbosity=top.text("verbosity") or "",
        user=top.text("user") or "",
        stream=top.flag("stream") or False,
        extra=top.rest(),
    )


def _delivery(top: Fields) -> None:
    """Whether usage is wanted on the stream is the gateway's business: towards a provider it always is."""
    options = top.child("stream_options")
    if options is not None:
        options.flag("include_usage")


def read_sampling(top: Fields) -> Sampling:
    return Sampling(
        temperature=top.number("temperature"),
        top_p=top.number("top_p"),
        top_k=top.whole("top_k"),
        seed=top.whole("seed"),
        presence_penalty=top.number("presence_penalty") or None,
        frequency_penalty=top.number("frequency_penalty") or None,
        stop=top.texts("stop", lone=True),
    )


def _message(message: Fields) -> Message:
    role = message.need_text("role")
    if role == "tool":
        result = ToolResult(
            id=message.need_text("tool_call_id"),
            parts=read_content(message.take("content"), (message.place, "content")),
            cache=message.plain("cache_control"),
        )
        return Message(role=Role.USER, parts=(result,), extra=message.rest())
    known = _ROLES.get(role)
    if known is None:
        raise WireError(f"{message.at('role')} {role[:40]!r} is none this gateway knows", message.at("role"))
    parts = read_content(message.take("content"), (message.place, "content"))
    if known is Role.ASSISTANT:
        parts = _assistant(message, parts)
    marker = message.plain("cache_control")
    if marker is not None:
        marked = with_cache(parts, marker)
        if marked is None:
            message.put_back("cache_control", marker)
        parts = marked or parts
    return Message(role=known, parts=parts, extra=message.rest())


def _assistant(message: Fields, content: tuple[Part, ...]) -> tuple[Part, ...]:
    parts: list[Part] = []
    thought = message.text("reasoning_content")
    if thought is None and isinstance(message.peek("reasoning"), str):
        thought = message.text("reasoning")
    if thought:
        parts.append(Reasoning(text=thought, origin=HOME))
    parts.extend(content)
    refusal = message.text("refusal")
    if refusal:
        parts.append(Refusal(refusal))
    parts.extend(read_call(call) for call in message.each("tool_calls"))
    return tuple(parts)


def read_call(call: Fields) -> Part:
    """One entry of ``tool_calls``; what is no function call is kept whole."""
    if call.peek("type") not in ("function", None) or not isinstance(call.peek("function"), dict):
        return Opaque(origin=HOME, data=call.rest(), slot="tool_calls")
    call.take("type")
    function = call.need_child("function")
    name = function.text("name") or ""
    return ToolCall(
        id=call.text("id") or "",
        name=name,
        arguments=_arguments(function),
        cache=call.plain("cache_control"),
        extra=call.rest(),
    )


def _arguments(function: Fields) -> str:
    value: Any = function.take("arguments")
    if isinstance(value, dict):  # some providers and clients write the object itself
        return to_json(value).decode()
    if value is not None and not isinstance(value, str):
        raise function.wrong("arguments", "a string")
    return value or ""


def _tool(tool: Fields) -> Tool | Opaque:
    if tool.peek("type") not in ("function", None) or not isinstance(tool.peek("function"), dict):
        return Opaque(origin=HOME, data=tool.rest())
    tool.take("type")
    function = tool.need_child("function")
    return Tool(
        name=function.need_text("name"),
        description=function.text("description"),
        schema=function.plain("parameters"),
        strict=function.flag("strict") or None,
        cache=tool.plain("cache_control") or function.plain("cache_control"),
        extra=tool.rest(),
    )


def _tool_choice(top: Fields) -> ToolChoice | None:
    value = top.take("tool_choice")
    if value is None:
        return None
    if value in ("auto", "none", "required"):
        return ToolChoice(mode=value)
    if isinstance(value, dict) and value.get("type") == "function":
        top.put_back("tool_choice", value)
        choice = top.need_child("tool_choice")
        choice.take("type")
        function = choice.need_child("function")
        return ToolChoice(mode="named", name=function.need_text("name"))
    top.put_back("tool_choice", value)  # custom, and what is yet to come
    return _allowed_tools(top, value) if isinstance(value, dict) else None


def _allowed_tools(top: Fields, value: Json) -> ToolChoice | None:
    """A choice among some functions; None, and nothing taken, where it is not just that."""
    allowed = value.get("allowed_tools")
    if value.get("type") != "allowed_tools" or not isinstance(allowed, dict):
        return None
    tools, mode = allowed.get("tools"), allowed.get("mode")
    if mode not in ("auto", "required") or not isinstance(tools, list) or not tools:
        return None
    names = []
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) and tool.keys() == {"type", "function"} else None
        if not isinstance(function, dict) or function.keys() != {"name"} or not isinstance(function["name"], str):
            return None
        names.append(function["name"])
    choice = top.need_child("tool_choice")
    choice.take("type")
    inner = choice.need_child("allowed_tools")
    for key in ("mode", "tools"):
        inner.take(key)
    return ToolChoice(mode=mode, allowed=tuple(names))


def _output_format(top: Fields) -> OutputFormat | None:
    value = top.peek("response_format")
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        return None
    form = top.need_child("response_format")
    form.take("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat(kind=kind)
    schema = form.need_child("json_schema")
    name = schema.text("name") or ""
    return OutputFormat(
        kind="json_schema",
        schema=schema.plain("schema"),
        name="" if name == UNNAMED_SCHEMA else name,
        description=schema.text("description") or "",
        strict=schema.flag("strict"),
    )
