"""A Responses request, read."""

from omni_wire.errors import WireError

from omni_translator.domain.codecs.openai_chat.decode import UNNAMED_SCHEMA
from omni_translator.domain.codecs.openai_responses.content import HOME
from omni_translator.domain.codecs.openai_responses.items import read_input
from omni_translator.domain.codecs.openai_responses.tools import read_choice, read_tools
from omni_translator.domain.fields import Fields
from omni_translator.domain.model import (
    Conversation,
    Message,
    OutputFormat,
    Role,
    Sampling,
    Text,
    Thinking,
)

# What stands for (a part of) the conversation when the request does not hold it.
_KEPT_ELSEWHERE = ("previous_response_id", "conversation", "prompt")


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = Fields.of_body(body)
    messages = read_input(top)
    instructions = top.text("instructions")
    if instructions:
        messages.insert(0, Message(role=Role.SYSTEM, parts=(Text(instructions),)))
    if not messages and not any(top.peek(key) for key in _KEPT_ELSEWHERE):
        raise WireError("input must hold at least one item", "input")
    text = top.child("text")
    return Conversation(
        origin=HOME,
        model=top.text("model") or "",
        messages=tuple(messages),
        tools=read_tools(top.each("tools")),
        tool_choice=read_choice(top),
        parallel_tools=top.flag("parallel_tool_calls"),
        sampling=Sampling(temperature=top.number("temperature"), top_p=top.number("top_p")),
        max_output=top.whole("max_output_tokens"),
        output_format=_output_format(text) if text is not None else None,
        thinking=_thinking(top),
        verbosity=(text.text("verbosity") if text is not None else None) or "",
        user=top.text("user") or "",
        stream=top.flag("stream") or False,
        extra=top.rest(),
    )


def _output_format(text: Fields) -> OutputFormat | None:
    value = text.peek("format")
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        return None
    form = text.need_child("format")
    form.take("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat(kind=kind)
    name = form.text("name") or ""
    return OutputFormat(
        kind="json_schema",
        schema=form.plain("schema"),
        name="" if name == UNNAMED_SCHEMA else name,
        description=form.text("description") or "",
        strict=form.flag("strict"),
    )


def _thinking(top: Fields) -> Thinking | None:
    reasoning = top.child("reasoning")
    if reasoning is None:
        return None
    effort, summary = reasoning.text("effort") or "", reasoning.text("summary") or ""
    return Thinking(effort=effort, summary=summary) if effort or summary else None
