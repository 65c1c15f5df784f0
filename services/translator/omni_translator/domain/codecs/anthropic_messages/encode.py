"""A Messages request, written."""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.anthropic_messages.content import HOME, BlockWriter
from omni_translator.domain.codecs.anthropic_messages.thinking import write_thinking
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Json,
    Message,
    Part,
    Role,
    Tool,
)
from omni_translator.domain.normal import results_first, split_system
from omni_translator.domain.plain import plain

_DEFAULT_MAX_TOKENS: Final = 32_000  # Anthropic wants a limit with every request
_MAX_USER: Final = 256  # characters
_MAX_MARKS: Final = 4  # docs.claude.com, prompt caching
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none", "named": "tool"}
# What a chat client may spell out though it is the default.
_UNSAID: Final[Json] = {"n": 1, "logprobs": False, "store": False, "service_tier": "auto"}


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("Anthropic Messages")
    conversation = plain(conversation, losses)
    writer = BlockWriter(conversation.origin, losses)
    home = writer.home
    system, messages = _split_system(conversation, writer)
    body: Json = {
        "model": conversation.model,
        "max_tokens": _limit(conversation),
    }
    blocks = writer.content(system)
    if blocks:
        body["system"] = blocks
    body["messages"] = [written for message in messages if (written := _message(message, writer)) is not None]
    if not body["messages"]:
        raise WireError("messages hold nothing that Anthropic takes", "messages")
    body["stream"] = conversation.stream
    _tools(conversation, body, losses)
    thinks = write_thinking(conversation, body, losses)
    _sampling(conversation, thinks, body, losses)
    _output_format(conversation, body, losses)
    _user(conversation, body, losses)
    if conversation.verbosity:
        losses.dropped("verbosity")
    if home:
        overlay(body, conversation.extra)
    else:
        extra = dict(conversation.extra)
        _tier(extra, body, losses)
        losses.unknown(extra, unsaid=_UNSAID)
        if writer.marks + len([tool for tool in body.get("tools", ()) if "cache_control" in tool]) > _MAX_MARKS:
            _few_marks(body, losses)
    return Encoded(to_json(body), losses.all())


def will_think(conversation: Conversation) -> bool:
    """Whether the request, written, has the model think."""
    return write_thinking(conversation, {"max_tokens": _limit(conversation)}, Losses("Anthropic Messages"))


def _limit(conversation: Conversation) -> int:
    return _DEFAULT_MAX_TOKENS if conversation.max_output is None else conversation.max_output


def _split_system(conversation: Conversation, writer: BlockWriter) -> tuple[tuple[Part, ...], tuple[Message, ...]]:
    """The leading system texts, and the turns after them. Anthropic's own system messages within the turns stay what
    they are."""
    if writer.home:
        first, *others = conversation.messages
        if first.role is Role.SYSTEM and not first.extra and others:
            return first.parts, tuple(others)
        return (), conversation.messages
    system, turns = split_system(conversation.messages, writer.losses)
    return system, tuple([results_first(turn, writer.losses) for turn in turns])


def _message(message: Message, writer: BlockWriter) -> Json | None:
    if not writer.home:
        writer.losses.unknown(message.extra, "messages")
    content = writer.content(message.parts)
    if not content and not writer.home:
        return None
    role = Role.SYSTEM if message.role is Role.DEVELOPER else message.role
    out: Json = {"role": role, "content": content}
    if writer.home:
        overlay(out, message.extra)
    return out


# ---- settings -------------------------------------------------------------------------------------------------------


def _sampling(conversation: Conversation, thinks: bool, body: Json, losses: Losses) -> None:
    sampling, home = conversation.sampling, conversation.origin is HOME
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if not home:
        if temperature is not None and temperature > 1:
            losses.approximated("temperature", "Anthropic's range ends at 1")
            temperature = 1.0
        if thinks and temperature not in (None, 1):
            losses.dropped("temperature", "Anthropic takes none while thinking")
            temperature = None
        if top_p is not None and (temperature is not None or (thinks and top_p < 0.95)):
            losses.dropped("top_p", "Anthropic takes it neither beside a temperature nor low while thinking")
            top_p = None
        if thinks and top_k is not None:
            losses.dropped("top_k", "Anthropic takes none while thinking")
            top_k = None
    for key, value in (("temperature", temperature), ("top_p", top_p), ("top_k", top_k)):
        if value is not None:
            body[key] = value
    if sampling.seed is not None:
        losses.dropped("seed")
    if sampling.presence_penalty is not None:
        losses.dropped("presence_penalty")
    if sampling.frequency_penalty is not None:
        losses.dropped("frequency_penalty")
    stops = [stop for stop in sampling.stop if home or stop.strip()]
    if len(stops) < len(sampling.stop):
        losses.dropped("stop", "Anthropic takes no stop sequence of white space only")
    if stops:
        body["stop_sequences"] = stops


def _tools(conversation: Conversation, body: Json, losses: Losses) -> None:
    home = conversation.origin is HOME
    tools: list[Json] = []
    for tool in conversation.tools:
        if isinstance(tool, Tool):
            tools.append(_tool(tool, home, losses))
        elif tool.origin is HOME:
            tools.append(tool.data)
        else:
            losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
    if tools:
        body["tools"] = tools
    choice, parallel = conversation.tool_choice, conversation.parallel_tools
    if choice is None and parallel is None:
        return
    if not tools and not home:  # Anthropic refuses a choice without tools
        losses.dropped("tool_choice" if choice is not None else "parallel_tool_calls", "there are no tools")
        return
    out: Json = {"type": _CHOICES[choice.mode] if choice is not None else "auto"}
    if choice is not None and choice.mode == "named":
        out["name"] = choice.name
    if choice is not None and choice.allowed:
        losses.approximated("tool_choice", "Anthropic lets the model choose among all tools")
    if parallel is not None:
        if out["type"] != "none" or home:
            out["disable_parallel_tool_use"] = not parallel
        else:
            losses.dropped("parallel_tool_calls", "no tool may be called at all")
    body["tool_choice"] = out


def _tool(tool: Tool, home: bool, losses: Losses) -> Json:
    out: Json = {"name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    out["input_schema"] = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    if tool.strict:
        out["strict"] = True
    if tool.cache is not None:
        out["cache_control"] = tool.cache
    if home:
        overlay(out, tool.extra)
    else:
        losses.unknown(tool.extra, "tools")
    return out


def _user(conversation: Conversation, body: Json, losses: Losses) -> None:
    if len(conversation.user) > _MAX_USER and conversation.origin is not HOME:
        losses.dropped("user", f"Anthropic takes at most {_MAX_USER} characters")
    elif conversation.user:
        body["metadata"] = {"user_id": conversation.user}


def _tier(extra: Json, body: Json, losses: Losses) -> None:
    """OpenAI's service tier that has a counterpart; others stay in ``extra``."""
    if extra.get("service_tier") == "default":
        del extra["service_tier"]
        body["service_tier"] = "standard_only"
        losses.approximated("service_tier", "default is said as standard_only")


def _few_marks(body: Json, losses: Losses) -> None:
    """Anthropic refuses more than four cache markers, as there are; the last ones reach furthest."""
    system = body.get("system", [])
    blocks: list[Json] = [*body.get("tools", ())]
    for content in (system, *(message["content"] for message in body["messages"])):
        for block in content if isinstance(content, list) else ():
            inner = block.get("content")
            blocks += [item for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []
            blocks.append(block)
    losses.approximated("cache_control", f"Anthropic takes at most {_MAX_MARKS} markers; the last ones are kept")
    for block in [block for block in blocks if "cache_control" in block][:-_MAX_MARKS]:
        del block["cache_control"]


def _output_format(conversation: Conversation, body: Json, losses: Losses) -> None:
    form = conversation.output_format
    if form is None:
        return
    if form.schema is None:
        losses.dropped("response_format", "Anthropic structures output by a schema only")
        return
    body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": form.schema}
    if conversation.origin is HOME:
        return
    if form.name:
        losses.dropped("response_format.json_schema.name")
    if form.description:
        losses.dropped("response_format.json_schema.description")
    if not form.strict:
        losses.approximated("response_format.json_schema.strict", "Anthropic always keeps to the schema")
