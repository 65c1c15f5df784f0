"""Tools and the choice among them, both ways.

A function stands flat here (no ``function`` object around it); ``custom`` tools take free text, perhaps of a grammar;
a ``namespace`` holds tools of both kinds; whatever else there is runs at OpenAI and stays opaque.
"""

from typing import Any

from omni_translator.domain.codecs.openai_responses.content import HOME
from omni_translator.domain.fields import Fields, overlay
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Freeform,
    Json,
    Namespace,
    NewTools,
    Opaque,
    Tool,
    ToolChoice,
)


def read_tools(tools: list[Fields]) -> tuple[Tool | Opaque, ...]:
    return tuple(read for tool in tools for read in _read_tool(tool))


def read_new_tools(item: Fields) -> NewTools:
    """An ``additional_tools`` item, its type taken already."""
    name = item.text("id") or ""
    item.take("role")
    return NewTools(tools=read_tools(item.each("tools")), item=name, extra=item.rest())


def _read_tool(tool: Fields) -> list[Tool | Opaque]:
    kind = tool.peek("type")
    if kind == "function" and isinstance(tool.peek("name"), str):
        return [_read_function(tool, None)]
    if kind == "custom" and isinstance(tool.peek("name"), str) and _knows_format(tool.peek("format")):
        return [_read_custom(tool, None)]
    if kind == "namespace" and isinstance(tool.peek("name"), str):
        inner = tool.peek("tools")
        if isinstance(inner, list) and inner and all(_is_readable(one) for one in inner):
            return list(_read_namespace(tool))
    return [Opaque(origin=HOME, data=tool.rest())]


def _is_readable(tool: Any) -> bool:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        return False
    return tool.get("type") == "function" or (tool.get("type") == "custom" and _knows_format(tool.get("format")))


def _knows_format(form: Any) -> bool:
    if form is None:
        return True
    if not isinstance(form, dict):
        return False
    if form.get("type") == "grammar":
        return isinstance(form.get("syntax"), str) and isinstance(form.get("definition"), str)
    return form.get("type") in ("text", None)


def _read_namespace(tool: Fields) -> list[Tool]:
    tool.take("type")
    name, description, inner = tool.need_text("name"), tool.text("description") or "", tool.each("tools")
    namespace = Namespace(name=name, description=description, extra=tool.rest())
    return [
        _read_function(one, namespace) if one.peek("type") == "function" else _read_custom(one, namespace)
        for one in inner
    ]


def _read_function(tool: Fields, namespace: Namespace | None) -> Tool:
    tool.take("type")
    return Tool(
        name=tool.need_text("name"),
        description=tool.text("description"),
        schema=tool.plain("parameters"),
        strict=tool.flag("strict"),
        namespace=namespace,
        extra=tool.rest(),
    )


def _read_custom(tool: Fields, namespace: Namespace | None) -> Tool:
    tool.take("type")
    form = tool.child("format")
    freeform = Freeform()
    if form is not None and form.take("type") == "grammar":
        freeform = Freeform(syntax=form.need_text("syntax"), definition=form.need_text("definition"))
    return Tool(
        name=tool.need_text("name"),
        description=tool.text("description"),
        freeform=freeform,
        namespace=namespace,
        extra=tool.rest(),
    )


def read_choice(top: Fields) -> ToolChoice | None:
    value = top.peek("tool_choice")
    if isinstance(value, str) and value in ("auto", "none", "required"):
        top.take("tool_choice")
        return ToolChoice(mode=value)
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind in ("function", "custom") and isinstance(value.get("name"), str):
        choice = top.need_child("tool_choice")
        choice.take("type")
        return ToolChoice(mode="named", name=choice.need_text("name"), freeform=kind == "custom")
    if kind == "allowed_tools" and value.get("mode") in ("auto", "required"):
        tools = value.get("tools")
        if isinstance(tools, list) and tools and all(_is_function_name(tool) for tool in tools):
            choice = top.need_child("tool_choice")
            mode = choice.need_text("mode")
            for key in ("type", "tools"):
                choice.take(key)
            return ToolChoice(mode=mode, allowed=tuple(tool["name"] for tool in tools))
    return None  # tools that run at OpenAI, and what is yet to come: kept as it is


def _is_function_name(tool: Any) -> bool:
    return (
        isinstance(tool, dict)
        and tool.keys() == {"type", "name"}
        and tool["type"] == "function"
        and isinstance(tool["name"], str)
    )


# ---- writing --------------------------------------------------------------------------------------------------------


def write_tools(tools: tuple[Tool | Opaque, ...], home: bool, losses: Losses) -> list[Json]:
    out: list[Json] = []
    space: Namespace | None = None  # the namespace that the last entry is
    for tool in tools:
        if isinstance(tool, Opaque):
            space = None
            if tool.origin is HOME:
                out.append(tool.data)
            else:
                losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
            continue
        written = _write_tool(tool, home, losses)
        if tool.namespace is None:
            out.append(written)
        elif tool.namespace is space:
            out[-1]["tools"].append(written)
        else:
            group = {"type": "namespace", "name": tool.namespace.name, "description": tool.namespace.description}
            out.append(overlay(group | {"tools": [written]}, tool.namespace.extra))
        space = tool.namespace
    return out


def _write_tool(tool: Tool, home: bool, losses: Losses) -> Json:
    out: Json = {"type": "function" if tool.freeform is None else "custom", "name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    if tool.freeform is not None:
        if tool.freeform.syntax or tool.freeform.definition:
            grammar = {"type": "grammar", "syntax": tool.freeform.syntax, "definition": tool.freeform.definition}
            out["format"] = grammar
    elif home:
        out |= {} if tool.schema is None else {"parameters": tool.schema}
        out |= {} if tool.strict is None else {"strict": tool.strict}
    else:
        # Left out, it would mean strict wherever the schema allows; elsewhere it means not strict.
        out["parameters"] = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
        out["strict"] = bool(tool.strict)
    if home:
        overlay(out, tool.extra)
    else:
        if tool.cache is not None:
            losses.dropped("tools.cache_control", "OpenAI caches prompts by itself")
        losses.unknown(tool.extra, "tools")
    return out


def write_choice(conversation: Conversation, body: Json, losses: Losses) -> None:
    """``tool_choice`` and ``parallel_tool_calls``; from elsewhere neither goes without tools."""
    choice, parallel = conversation.tool_choice, conversation.parallel_tools
    if "tools" not in body and conversation.origin is not HOME:
        if choice is not None or parallel is not None:
            losses.dropped("tool_choice", "there are no tools to choose from")
        return
    if choice is not None:
        body["tool_choice"] = _write_choice(choice)
    if parallel is not None:
        body["parallel_tool_calls"] = parallel


def _write_choice(choice: ToolChoice) -> str | Json:
    if choice.mode == "named":
        return {"type": "custom" if choice.freeform else "function", "name": choice.name}
    if choice.allowed:
        tools = [{"type": "function", "name": name} for name in choice.allowed]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode
