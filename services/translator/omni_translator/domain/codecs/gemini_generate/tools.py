"""``tools`` and ``toolConfig``, both ways."""

from typing import Final

from omni_translator.domain.codecs.gemini_generate.config import choose_schema, read_schema
from omni_translator.domain.codecs.gemini_generate.spelling import HOME, ProtoFields
from omni_translator.domain.fields import overlay
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Json, Opaque, Tool, ToolChoice

_WORDS: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}


# ---- reading --------------------------------------------------------------------------------------------------------


def read_tools(top: ProtoFields) -> tuple[Tool | Opaque, ...]:
    """Every function, and beside them each entry's other tools (``googleSearch``, ``codeExecution``, …) as they are."""
    tools: list[Tool | Opaque] = []
    for entry in top.each("tools"):
        tools += [_declaration(function) for function in entry.each("functionDeclarations")]
        rest = entry.rest()
        if rest:
            tools.append(Opaque(origin=HOME, data=rest))
    return tuple(tools)


def _declaration(function: ProtoFields) -> Tool:
    return Tool(
        name=function.need_text("name"),
        description=function.text("description"),
        schema=read_schema(function, "parametersJsonSchema", "parameters"),
        extra=function.rest(),
    )


def read_choice(top: ProtoFields) -> ToolChoice | None:
    """The choice where the canonical words can say it; else what is given stays as it is.

    ``VALIDATED`` is ``AUTO`` with calls kept to their schema. Only with names to choose from is it worth a word of its
    own: ``AUTO`` takes none.
    """
    config = top.child("toolConfig")
    calling = config.child("functionCallingConfig") if config is not None else None
    if calling is None:
        return None
    given, names = calling.text("mode"), calling.texts("allowedFunctionNames")
    mode = (given or "").upper()
    if mode == "ANY":
        if len(names) == 1:
            return ToolChoice(mode="named", name=names[0])
        return ToolChoice(mode="required", allowed=names)
    if mode == "VALIDATED" and names:
        return ToolChoice(mode="auto", allowed=names)
    if names:
        calling.put_back("allowedFunctionNames", list(names))
    if mode in ("AUTO", "NONE"):
        return ToolChoice(mode=mode.lower())
    if mode not in ("", "MODE_UNSPECIFIED"):
        calling.put_back("mode", given)
    return None


# ---- writing --------------------------------------------------------------------------------------------------------


def write_tools(conversation: Conversation, body: Json, verbatim: bool | None, losses: Losses) -> None:
    home = conversation.origin is HOME
    tools: list[Json] = []
    for tool in conversation.tools:
        if isinstance(tool, Opaque):
            if tool.origin is HOME:
                tools.append(tool.data)
            else:
                losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
            continue
        if not tools or "functionDeclarations" not in tools[-1]:
            tools.append({"functionDeclarations": []})
        tools[-1]["functionDeclarations"].append(_function(tool, conversation, verbatim, losses))
    if tools:
        body["tools"] = tools
    choice = conversation.tool_choice
    if conversation.parallel_tools is False:
        losses.dropped("parallel_tool_calls", "Gemini calls in parallel whenever it sees fit")
    if choice is None:
        return
    if not tools and not home:
        losses.dropped("tool_choice", "there are no tools to choose from")
        return
    calling: Json = {"mode": "VALIDATED" if choice.mode == "auto" and choice.allowed else _WORDS[choice.mode]}
    names = [choice.name] if choice.mode == "named" else list(choice.allowed)
    if names:
        calling["allowedFunctionNames"] = names
    body["toolConfig"] = {"functionCallingConfig": calling}


def _function(tool: Tool, conversation: Conversation, verbatim: bool | None, losses: Losses) -> Json:
    out: Json = {"name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    home = conversation.origin is HOME
    # An object without properties is no parameters: older models refuse an OBJECT that has none.
    if tool.schema is not None and (home or tool.schema not in _EMPTY):
        key, schema = choose_schema(tool.schema, conversation, verbatim, losses, "tools.parameters")
        out["parametersJsonSchema" if key else "parameters"] = schema
    if home:
        overlay(out, tool.extra)
        return out
    if tool.strict:
        losses.dropped("tools.strict", "Gemini has no such switch")
    if tool.cache is not None:
        losses.dropped("tools.cache_control", "Gemini caches prompts by itself")
    losses.unknown(tool.extra, "tools")
    return out


_EMPTY: Final[tuple[Json, ...]] = ({"type": "object", "properties": {}}, {"type": "object"})
