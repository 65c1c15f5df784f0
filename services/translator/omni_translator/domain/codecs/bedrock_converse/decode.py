"""A Converse request, read. Model and delivery are in its address, so both are empty here."""

from typing import Final

import msgspec
from omni_wire.errors import WireError

from omni_translator.domain.codecs.bedrock_converse.content import HOME, read_blocks, read_marker
from omni_translator.domain.fields import Fields, json_object
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

_CHOICES: Final = {"auto": "auto", "any": "required", "tool": "named"}


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = Fields.of_body(body)
    messages = [_message(message) for message in top.each("messages")]
    if not messages:
        raise WireError("messages must hold at least one message", "messages")
    system = read_blocks(top.each("system"))
    if system:
        messages.insert(0, Message(role=Role.SYSTEM, parts=system))
    config = top.child("inferenceConfig") or Fields({}, "inferenceConfig")
    more = top.child("additionalModelRequestFields") if isinstance(top.peek(_MORE), dict) else None
    output = top.child("outputConfig")
    tools = top.child("toolConfig")
    return Conversation(
        origin=HOME,
        model="",
        messages=tuple(messages),
        tools=_tools(tools) if tools is not None else (),
        tool_choice=_choice(tools) if tools is not None else None,
        sampling=Sampling(
            temperature=config.number("temperature"),
            top_p=config.number("topP"),
            top_k=_top_k(more),
            stop=config.texts("stopSequences"),
        ),
        max_output=config.whole("maxTokens"),
        output_format=_output_format(output) if output is not None else None,
        thinking=_thinking(more, output),
        extra=top.rest(),
    )


_MORE: Final = "additionalModelRequestFields"


def _message(message: Fields) -> Message:
    role = message.need_text("role")
    if role not in ("user", "assistant", "system"):
        raise WireError(f"{message.at('role')} {role[:40]!r} is none this gateway knows", message.at("role"))
    return Message(role=Role(role), parts=read_blocks(message.each("content")), extra=message.rest())


def _tools(config: Fields) -> tuple[Tool | Opaque, ...]:
    tools: list[Tool | Opaque] = []
    for item in config.each("tools"):
        tool = _tool(item)
        marker = read_marker(tool)
        last = tools[-1] if tools else None
        if marker is not None and isinstance(last, Tool) and last.cache is None:
            tools[-1] = msgspec.structs.replace(last, cache=marker)
        else:
            tools.append(tool)
    return tuple(tools)


def _tool(item: Fields) -> Tool | Opaque:
    spec = item.peek("toolSpec")
    schema = spec.get("inputSchema") if isinstance(spec, dict) else None
    if not isinstance(schema, dict) or not isinstance(schema.get("json"), dict):
        return Opaque(origin=HOME, data=item.rest())
    fields = item.need_child("toolSpec")
    return Tool(
        name=fields.need_text("name"),
        description=fields.text("description"),
        schema=fields.need_child("inputSchema").plain("json"),
        strict=fields.flag("strict") or None,
        extra=item.rest(),
    )


def _choice(config: Fields) -> ToolChoice | None:
    value = config.peek("toolChoice")
    kind = next(iter(value), "") if isinstance(value, dict) and len(value) == 1 else ""
    mode = _CHOICES.get(kind)
    if mode is None or not isinstance(value[kind], dict):
        return None
    held = config.need_child("toolChoice").need_child(kind)
    return ToolChoice(mode=mode, name=held.need_text("name") if mode == "named" else "")


def _output_format(output: Fields) -> OutputFormat | None:
    """The schema is JSON within JSON; one that is no object is left as it came."""
    form = output.peek("textFormat")
    structure = form.get("structure") if isinstance(form, dict) and form.get("type") == "json_schema" else None
    held = structure.get("jsonSchema") if isinstance(structure, dict) else None
    text = held.get("schema") if isinstance(held, dict) else None
    schema = json_object(text) if isinstance(text, str) else None
    if schema is None:
        return None
    fields = output.need_child("textFormat")
    fields.take("type")
    named = fields.need_child("structure").need_child("jsonSchema")
    named.take("schema")
    return OutputFormat(
        kind="json_schema",
        schema=schema,
        name=named.text("name") or "",
        description=named.text("description") or "",
        strict=True,
    )


# What Claude's models take beside Converse's own fields, in the words of Anthropic's format.


def _top_k(more: Fields | None) -> int | None:
    if more is None or not isinstance(more.peek("top_k"), int) or isinstance(more.peek("top_k"), bool):
        return None
    return more.whole("top_k")


def _thinking(more: Fields | None, output: Fields | None) -> Thinking | None:
    effort = (output.text("effort") if output is not None else None) or ""
    wish = more.peek("thinking") if more is not None else None
    if more is None or not isinstance(wish, dict) or not isinstance(wish.get("type"), str) or not wish["type"]:
        return Thinking(effort=effort) if effort else None
    fields = more.need_child("thinking")
    return Thinking(effort=effort, mode=fields.need_text("type"), budget=fields.whole("budget_tokens"))
