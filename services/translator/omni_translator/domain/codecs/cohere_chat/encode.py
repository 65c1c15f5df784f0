"""A request to ``/v2/chat``, written."""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.cohere_chat.content import HOME, PLAN, ContentWriter, write_call
from omni_translator.domain.dialects import cohere_thinks
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Audio,
    Conversation,
    Document,
    Image,
    Json,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.normal import merged
from omni_translator.domain.plain import plain
from omni_translator.domain.talk import system_texts

_MAX_STOPS: Final = 5
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 10240, "high": 32768, "xhigh": 32768, "max": 32768}
_NO_PARAMETERS: Final[Json] = {"type": "object", "properties": {}}
# The least and the most that Cohere takes.
_BOUNDS: Final = {
    "p": (0.01, 0.99, "top_p"),
    "k": (0, 500, "top_k"),
    "presence_penalty": (0, 1, "presence_penalty"),
    "frequency_penalty": (0, 1, "frequency_penalty"),
}
# What a client of another format may spell out though it is the default.
_UNSAID: Final[Json] = {
    "n": 1,
    "logprobs": False,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "truncation": "disabled",
}


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("Cohere")
    conversation = plain(conversation, losses)
    writer = ContentWriter(conversation.origin, losses)
    home = writer.home
    messages: list[Json] = []
    for message in conversation.messages if home else merged(conversation.messages):
        messages += _messages(message, writer)
    if not messages:
        raise WireError("messages hold nothing that Cohere takes", "messages")
    body: Json = {"model": conversation.model, "messages": messages, "stream": conversation.stream}
    if conversation.max_output is not None:
        body["max_tokens"] = conversation.max_output
    _sampling(conversation, body, losses)
    _tools(conversation, body, losses)
    if conversation.output_format is not None:
        body["response_format"] = _output_format(conversation.output_format, home, losses)
    _thinking(conversation, body, losses)
    if home:
        overlay(body, conversation.extra)
    else:
        if conversation.user:
            losses.dropped("user")
        if conversation.verbosity:
            losses.dropped("text.verbosity")
        losses.unknown(conversation.extra, unsaid=_UNSAID)
    return Encoded(to_json(body), losses.all())


# ---- messages -------------------------------------------------------------------------------------------------------


def _messages(message: Message, writer: ContentWriter) -> list[Json]:
    if message.role is Role.ASSISTANT:
        out = [_assistant(message, writer)]
    elif message.role is Role.USER:
        out = _user(message, writer)
    else:
        parts = message.parts if writer.home else system_texts(message.parts, writer.losses)
        out = [{"role": "system", "content": writer.content(list(parts))}]
    if writer.home:
        overlay(out[-1], message.extra)
    else:
        writer.losses.unknown(message.extra, "messages")
    return out


def _user(message: Message, writer: ContentWriter) -> list[Json]:
    """One message for each result, one for each run of anything else. Results hold no media, so those follow in a
    message of the user's once all results are said."""
    out: list[Json] = []
    media: list[Part] = []
    run: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            if run:
                out.append({"role": "user", "content": writer.content(run)})
                run = []
            out.append(_result(part, media, writer))
        elif not writer.home and isinstance(part, Reasoning):
            writer.losses.dropped("messages.content.reasoning", "not sayable in this place")
        else:
            run.append(part)
    run = media + run
    if run or not out:
        out.append({"role": "user", "content": writer.content(run)})
    return out


def _result(result: ToolResult, media: list[Part], writer: ContentWriter) -> Json:
    parts: list[Part] = []
    for part in result.parts:
        media_part = isinstance(part, Image | Audio) or (isinstance(part, Document) and not part.text)
        if media_part and not writer.home:
            media.append(part)
            writer.losses.approximated(
                "messages.content.tool_result.content", "media moved to the user message after it"
            )
        else:
            parts.append(part)
    if result.is_error:
        writer.losses.dropped("messages.content.is_error")
    writer.foreign(result)
    return {"role": "tool", "tool_call_id": result.id, "content": writer.content(parts)}


def _assistant(message: Message, writer: ContentWriter) -> Json:
    plans: list[str] = []
    content: list[Part] = []
    calls: list[Json] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            call = write_call(part, "messages.tool_calls", writer.losses)
            calls.append(overlay(call, part.extra) if writer.home else call)
            writer.foreign(part)
            continue
        if isinstance(part, Opaque) and part.slot == "tool_calls" and writer.home:
            calls.append(part.data)
            continue
        if calls and isinstance(part, Text | Reasoning | Refusal):
            writer.losses.approximated("messages.content", "order of thoughts, text and calls")
        if isinstance(part, Reasoning) and part.item == PLAN and writer.home:
            plans.append(part.text)
        elif isinstance(part, Image | Audio | Document | ToolResult) and not writer.home:
            writer.losses.dropped(f"messages.content.{type(part).__name__.lower()}", "assistant messages are text")
        else:
            content.append(part)
    out: Json = {"role": "assistant"}
    written = writer.content(content)
    if written or not calls:
        out["content"] = written
    if plans:
        out[PLAN] = "".join(plans)
    if calls:
        out["tool_calls"] = calls
    return out


# ---- settings -------------------------------------------------------------------------------------------------------


def _sampling(conversation: Conversation, body: Json, losses: Losses) -> None:
    sampling = conversation.sampling
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    asked = {
        "p": sampling.top_p,
        "k": sampling.top_k,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    for key, value in asked.items():
        if value is None:
            continue
        low, high, field = _BOUNDS[key]
        taken = value if conversation.origin is HOME else min(max(value, low), high)
        if taken != value:
            losses.approximated(field, f"Cohere takes {low} to {high}")
        body[key] = taken
    stops = list(sampling.stop)
    if len(stops) > _MAX_STOPS and conversation.origin is not HOME:
        losses.approximated("stop_sequences", f"Cohere takes at most {_MAX_STOPS}")
        stops = stops[:_MAX_STOPS]
    if stops:
        body["stop_sequences"] = stops


def _tools(conversation: Conversation, body: Json, losses: Losses) -> None:
    home, choice = conversation.origin is HOME, conversation.tool_choice
    if conversation.parallel_tools is False:
        losses.dropped("parallel_tool_calls", "Cohere calls in parallel whenever it sees fit")
    offered: set[str] | None = None  # None: all of them
    if choice is not None and (choice.mode == "named" or choice.allowed):
        losses.approximated("tool_choice", "only the tools that may be called are offered")
        offered = {choice.name} if choice.mode == "named" else set(choice.allowed)
    tools: list[Json] = []
    strict: list[bool] = []
    for tool in conversation.tools:
        if isinstance(tool, Tool):
            if offered is None or tool.name in offered:
                tools.append(_tool(tool, home, losses))
                strict.append(bool(tool.strict))
        elif tool.origin is HOME:
            tools.append(tool.data)
        else:
            losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
    if tools:
        body["tools"] = tools
    if any(strict):
        body["strict_tools"] = True
        if not all(strict):
            losses.approximated("tools.strict", "Cohere is strict with all tools or with none")
    if choice is None or (choice.mode == "auto" and not home):
        return
    if not tools and not home:
        losses.dropped("tool_choice", "there are no tools to choose from")
        return
    body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"


def _tool(tool: Tool, home: bool, losses: Losses) -> Json:
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None or not home:  # Cohere wants parameters, if there be none
        function["parameters"] = _NO_PARAMETERS if tool.schema is None else tool.schema
    out: Json = {"type": "function", "function": function}
    if home:
        overlay(out, tool.extra)
        return out
    if tool.cache is not None:
        losses.dropped("tools.cache_control", "Cohere caches prompts by itself")
    losses.unknown(tool.extra, "tools")
    return out


def _output_format(form: OutputFormat, home: bool, losses: Losses) -> Json:
    if not home:
        if form.name:
            losses.dropped("response_format.json_schema.name")
        if form.description:
            losses.dropped("response_format.json_schema.description")
        if form.kind == "json_schema" and not form.strict:
            losses.approximated("response_format.json_schema.strict", "Cohere always keeps to the schema")
        if form.kind == "json_schema" and form.schema is None:
            losses.approximated("response_format", "a schema was announced and not given; any JSON is asked for")
    return {"type": "json_object"} | ({} if form.schema is None else {"json_schema": form.schema})


def _thinking(conversation: Conversation, body: Json, losses: Losses) -> None:
    wish = conversation.thinking
    if wish is None:
        return
    effort, mode = wish.effort, wish.mode
    if conversation.origin is not HOME:
        if wish.summary:
            losses.dropped("reasoning.summary", "Cohere gives thoughts as it likes")
        if not effort and not mode:
            return
        field = "reasoning_effort" if effort else "thinking"
        if not cohere_thinks(conversation.model):
            losses.dropped(field, "this model takes no word on thinking")
            return
        if effort == "none":
            losses.approximated(field, "sent as thinking disabled")
            mode = "disabled"
        elif effort and mode != "disabled":
            budget = _BUDGETS.get(effort, 0)
            if not budget:
                losses.dropped(field, "an effort Cohere does not know")
                return
            if conversation.max_output is not None:  # which holds for thoughts and answer together
                budget = max(1, min(budget, conversation.max_output - 1))
            losses.approximated(field, f"sent as a thinking budget of {budget} tokens")
            body["thinking"] = {"type": "enabled", "token_budget": budget}
            return
        elif effort:
            losses.approximated(field, "sent as thinking disabled")
    if mode == "disabled":
        body["thinking"] = {"type": "disabled"}
    elif mode:
        body["thinking"] = {"type": "enabled"} | ({} if wish.budget is None else {"token_budget": wish.budget})
        if mode == "enabled" and wish.budget is None:
            losses.approximated("thinking.budget_tokens", "left to the model")
