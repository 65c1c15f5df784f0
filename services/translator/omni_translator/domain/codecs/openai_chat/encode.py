"""A chat request, written."""

import hashlib
from typing import Final

from omni_catalogue.dialects import chat_output_limit_field
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain.call_ids import fitted
from omni_translator.domain.choices import take_count
from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.openai_chat.content import HOME, ContentWriter
from omni_translator.domain.codecs.openai_chat.decode import UNNAMED_SCHEMA
from omni_translator.domain.codecs.openai_chat.order import OrderWatch
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.logprobs import take_wish
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Document,
    Image,
    Json,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Role,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from omni_translator.domain.normal import turn_by_turn
from omni_translator.domain.plain import plain
from omni_translator.domain.talk import only_text, system_texts

_MAX_STOPS: Final = 4
_MAX_USER: Final = 64
_MAX_CALL_ID: Final = 40  # characters; OpenAI answers 400 beyond, in this format
# What OpenAI's other format says in the very same words, and other vendors' chat endpoints take. Not so the hints to
# OpenAI's cache, which Codex sends to whatever model: some of them refuse a key they do not know.
_SHARED: Final = ("metadata", "service_tier", "safety_identifier")
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("OpenAI Chat")
    conversation = plain(conversation, losses)
    writer = ContentWriter(conversation.origin, losses)
    home = writer.home
    messages: list[Json] = []
    for message in conversation.messages if home else turn_by_turn(conversation.messages, losses):
        messages.extend(_messages(message, writer))
    if not messages:
        raise WireError("messages hold nothing that chat takes", "messages")
    body: Json = {"model": conversation.model, "messages": messages}
    if conversation.max_output is not None:
        body[chat_output_limit_field(conversation.model)] = conversation.max_output
    body["stream"] = conversation.stream
    if conversation.stream:
        body["stream_options"] = {"include_usage": True}
    _sampling(conversation, body, losses)
    _tools(conversation, body, losses)
    if conversation.output_format is not None:
        body["response_format"] = _output_format(conversation.output_format)
    if conversation.thinking is not None:
        _thinking(conversation.thinking, body, losses)
    if conversation.verbosity:
        body["verbosity"] = conversation.verbosity
    if conversation.user:
        body["user"] = conversation.user if home else short_user(conversation.user, losses)
    if home:
        overlay(body, conversation.extra)
    else:
        extra = dict(conversation.extra)
        if conversation.origin is WireFormat.ANTHROPIC_MESSAGES:
            write_tier(extra, body, losses)
        if conversation.origin is WireFormat.OPENAI_RESPONSES:
            body |= {key: extra.pop(key) for key in _SHARED if extra.get(key) is not None}
        wanted = take_wish(extra, conversation.origin)
        if wanted is not None:
            body |= {"logprobs": True} | ({"top_logprobs": wanted} if wanted else {})
        wanted = take_count(extra, conversation.origin)
        if wanted is not None:
            body["n"] = wanted
        losses.unknown(extra)
    return Encoded(to_json(body), losses.all())


def short_user(user: str, losses: Losses) -> str:
    """OpenAI answers 400 to a user of more than 64 characters; a digest tells one user from another as well."""
    if len(user) <= _MAX_USER:
        return user
    losses.approximated("metadata.user_id", f"OpenAI takes at most {_MAX_USER} characters; its digest is sent")
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def write_tier(extra: Json, body: Json, losses: Losses) -> None:
    """Anthropic's service tiers, of which "auto" is everybody's default; what else is there stays in ``extra``."""
    tier = extra.get("service_tier")
    if tier in ("auto", "standard_only"):
        del extra["service_tier"]
    if tier == "standard_only":
        body["service_tier"] = "default"
        losses.approximated("service_tier", "standard_only is said as default")


def _messages(message: Message, writer: ContentWriter) -> list[Json]:
    alone = only_text(message.parts)
    if alone:
        out: list[Json] = [{"role": message.role, "content": alone}]
    elif message.role is Role.ASSISTANT:
        out = [_assistant(message, writer)]
    elif message.role is Role.USER:
        out = _user(message, writer)
    else:
        parts = message.parts if writer.home else system_texts(message.parts, writer.losses)
        out = [{"role": message.role, "content": writer.content(list(parts))}]
    if writer.home:
        overlay(out[-1], message.extra)
    else:
        writer.losses.unknown(message.extra, "messages")
    return out


def _user(message: Message, writer: ContentWriter) -> list[Json]:
    """One message for each tool result, one for each run of anything else.

    Chat's tool messages hold text only, so media of results follow in a user message once all results are said.
    """
    out: list[Json] = []
    media: list[Part] = []
    run: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            if run:
                out.append({"role": "user", "content": writer.content(run)})
                run = []
            out.append(_tool_message(part, media, writer))
        else:
            run.append(part)
    run = media + run
    if run or not out:
        out.append({"role": "user", "content": writer.content(run)})
    return out


def _tool_message(result: ToolResult, media: list[Part], writer: ContentWriter) -> Json:
    parts: list[Part] = []
    for part in result.parts:
        if isinstance(part, Image | Document) and not writer.home and not (isinstance(part, Document) and part.text):
            media.append(part)
            writer.losses.approximated(
                "messages.content.tool_result.content", "media moved to the user message after it"
            )
        else:
            parts.append(part)
    out: Json = {"role": "tool", "tool_call_id": _id(result.id, writer), "content": writer.content(parts)}
    if writer.home:
        if result.cache is not None:
            out["cache_control"] = result.cache
    else:
        writer.foreign(result)
    if result.is_error:
        writer.losses.dropped("messages.content.is_error")
    return out


def _assistant(message: Message, writer: ContentWriter) -> Json:
    losses = writer.losses
    order = OrderWatch(losses, "messages.content", joins_text=False)
    thoughts: list[str] = []
    calls: list[Json] = []
    content: list[Part] = []
    for part in message.parts:
        order.see(part)
        if isinstance(part, Reasoning):
            if part.text:
                thoughts.append(part.text)
            if part.signature:
                losses.signature("messages.content")
            if not writer.home:
                writer.foreign(part)
        elif isinstance(part, ToolCall):
            calls.append(_call(part, writer))
        elif isinstance(part, Opaque) and part.slot == "tool_calls" and writer.home:
            calls.append(part.data)
        elif writer.home or not isinstance(part, Image | Document | ToolResult):
            content.append(part)
        else:
            losses.dropped(f"messages.content.{type(part).__name__.lower()}", "assistant messages are text")
    written = writer.content(content)
    out: Json = {"role": "assistant", "content": written if written or not calls else None}
    if thoughts:
        out["reasoning_content"] = "\n\n".join(thoughts)
    if calls:
        out["tool_calls"] = calls
    return out


def _call(call: ToolCall, writer: ContentWriter) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    out: Json = {"id": _id(call.id, writer), "type": "function", "function": function}
    if writer.home:
        if call.cache is not None:
            out["cache_control"] = call.cache
        overlay(out, call.extra)
    else:
        writer.foreign(call)
    if call.signature:
        writer.losses.signature("messages.content")
    return out


def _id(call_id: str, writer: ContentWriter) -> str:
    known = call_id if writer.home else fitted(call_id, _MAX_CALL_ID)
    if known != call_id:
        writer.losses.approximated("messages.tool_calls.id", f"OpenAI takes 1 to {_MAX_CALL_ID} characters")
    return known


# ---- settings -------------------------------------------------------------------------------------------------------


def _sampling(conversation: Conversation, body: Json, losses: Losses) -> None:
    sampling = conversation.sampling
    for key in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"):
        value = getattr(sampling, key)
        if value is not None:
            body[key] = value
    if sampling.top_k is not None:
        if conversation.origin is HOME:
            body["top_k"] = sampling.top_k
        else:
            losses.dropped("top_k")
    stops = list(sampling.stop)
    if len(stops) > _MAX_STOPS and conversation.origin is not HOME:
        losses.approximated("stop_sequences", f"OpenAI takes at most {_MAX_STOPS}")
        stops = stops[:_MAX_STOPS]
    if stops:
        body["stop"] = stops


def _tools(conversation: Conversation, body: Json, losses: Losses) -> None:
    tools: list[Json] = []
    for tool in conversation.tools:
        if isinstance(tool, Tool):
            tools.append(_tool(tool, conversation.origin is HOME, losses))
        elif tool.origin is HOME:
            tools.append(tool.data)
        else:
            losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
    if tools:
        body["tools"] = tools
    choice = conversation.tool_choice
    if not tools and conversation.origin is not HOME:  # OpenAI refuses both without tools
        if choice is not None or conversation.parallel_tools is not None:
            losses.dropped("tool_choice", "there are no tools to choose from")
        return
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice)
    if conversation.parallel_tools is not None:
        body["parallel_tool_calls"] = conversation.parallel_tools


def _tool_choice(choice: ToolChoice) -> str | Json:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    if choice.allowed:
        tools = [{"type": "function", "function": {"name": name}} for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
    return choice.mode


def _tool(tool: Tool, home: bool, losses: Losses) -> Json:
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict:
        function["strict"] = True
    out: Json = {"type": "function", "function": function}
    if home:
        if tool.cache is not None:
            out["cache_control"] = tool.cache
        overlay(out, tool.extra)
    else:
        if tool.cache is not None:
            losses.dropped("tools.cache_control", "OpenAI caches prompts by itself")
        losses.unknown(tool.extra, "tools")
    return out


def _output_format(form: OutputFormat) -> Json:
    if form.kind == "json_object":
        return {"type": "json_object"}
    schema: Json = {"name": form.name or UNNAMED_SCHEMA}
    if form.description:
        schema["description"] = form.description
    if form.schema is not None:
        schema["schema"] = form.schema
    if form.strict is not None:
        schema["strict"] = form.strict
    return {"type": "json_schema", "json_schema": schema}


def _thinking(thinking: Thinking, body: Json, losses: Losses) -> None:
    """``reasoning_effort`` from an effort, or else from a budget by the usual thresholds."""
    effort = thinking.effort
    if thinking.summary:
        losses.dropped("reasoning.summary", "chat gives thoughts as the provider likes")
    if effort and effort not in _EFFORTS and thinking.mode:
        losses.approximated("output_config.effort", "sent as high")
        effort = "high"
    if thinking.mode == "disabled":
        losses.dropped("thinking", "chat has no switch that every provider knows")
        return
    if thinking.mode == "enabled" and not effort:
        budget = thinking.budget or 0
        effort = "low" if budget <= 1024 else "medium" if budget <= 10240 else "high"
        losses.approximated("thinking.budget_tokens", f"sent as reasoning_effort {effort}")
    elif thinking.mode:
        losses.approximated("thinking.type", "chat knows efforts only" if effort else "left to the provider")
    if effort:
        body["reasoning_effort"] = effort
