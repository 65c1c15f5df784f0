"""A Converse request, written."""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.anthropic_messages.thinking import write_thinking
from omni_translator.domain.codecs.bedrock_converse.content import HOME, BlockWriter
from omni_translator.domain.dialects import caches_prompts, claude_of
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Json,
    Message,
    Part,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.normal import results_first, split_system
from omni_translator.domain.plain import plain

_DEFAULT_MAX_TOKENS: Final = 32_000  # where a thinking budget must stay below a limit and none is given
# What a client may spell out though it is the default.
_UNSAID: Final[Json] = {"n": 1, "logprobs": False, "store": False}
_CHOICES: Final = {"auto": "auto", "required": "any", "named": "tool"}
_NOWHERE: Final = ("seed", "presence_penalty", "frequency_penalty")


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("Bedrock Converse")
    conversation = plain(conversation, losses)
    model = conversation.model
    writer = BlockWriter(conversation.origin, caches_prompts(model), losses)
    home = writer.home
    system, messages = _split_system(conversation, writer)
    body: Json = {}
    if system and (blocks := _system(system, writer)):
        body["system"] = blocks
    body["messages"] = [written for message in messages if (written := _message(message, writer)) is not None]
    if not body["messages"]:
        raise WireError("messages hold nothing that Bedrock takes", "messages")
    _tools(conversation, messages, body, writer)
    more: Json = {}
    thinks = _thinking(conversation, body, more, losses)
    _sampling(conversation, thinks, body, more, losses)
    _output_format(conversation, body, losses)
    if more:
        body["additionalModelRequestFields"] = more
    if conversation.user:
        losses.dropped("user")
    if conversation.verbosity:
        losses.dropped("verbosity")
    if home:
        overlay(body, conversation.extra)
    else:
        losses.unknown(conversation.extra, unsaid=_UNSAID)
    return Encoded(to_json(body), losses.all())


def will_think(conversation: Conversation) -> bool:
    """Whether the request, written, has the model think."""
    return _thinking(conversation, {}, {}, Losses("Bedrock Converse"))


def _split_system(conversation: Conversation, writer: BlockWriter) -> tuple[tuple[Part, ...], tuple[Message, ...]]:
    if writer.home:
        first, *others = conversation.messages
        if first.role is Role.SYSTEM and not first.extra and others:
            return first.parts, tuple(others)
        return (), conversation.messages
    system, turns = split_system(conversation.messages, writer.losses)
    return system, tuple(results_first(turn, writer.losses) for turn in turns)


def _system(parts: tuple[Part, ...], writer: BlockWriter) -> list[Json]:
    if not writer.home:
        for part in parts:
            if not isinstance(part, Text):
                writer.losses.dropped(f"system.{type(part).__name__.lower()}", "Bedrock's system prompt is text")
        parts = tuple(part for part in parts if isinstance(part, Text))
    return writer.blocks(parts)


def _message(message: Message, writer: BlockWriter) -> Json | None:
    if not writer.home:
        writer.losses.unknown(message.extra, "messages")
    content = writer.blocks(message.parts)
    if not content and not writer.home:
        return None
    role = Role.SYSTEM if message.role is Role.DEVELOPER else message.role
    out: Json = {"role": role.value, "content": content}
    return overlay(out, message.extra) if writer.home else out


# ---- settings -------------------------------------------------------------------------------------------------------


def _thinking(conversation: Conversation, body: Json, more: Json, losses: Losses) -> bool:
    """Whether the model will think. Claude's takes what Anthropic's format says, beside Converse's own fields."""
    wish, claude = conversation.thinking, claude_of(conversation.model)
    home = conversation.origin is HOME
    if wish is None:
        return False
    if not claude and not home:
        if wish.effort or wish.mode or wish.summary:
            losses.dropped("reasoning_effort" if wish.effort else "thinking", "how this model thinks is not known")
        return False
    limit = conversation.max_output or _DEFAULT_MAX_TOKENS
    words: Json = {"max_tokens": limit}
    thinks = write_thinking(conversation, words, losses, model=claude, signer=HOME)
    if "thinking" in words:
        more["thinking"] = words["thinking"]
    if "output_config" in words:
        body["outputConfig"] = words["output_config"]
    if thinks and not home:
        body["inferenceConfig"] = {"maxTokens": limit}
    return thinks


def _sampling(conversation: Conversation, thinks: bool, body: Json, more: Json, losses: Losses) -> None:
    sampling, home = conversation.sampling, conversation.origin is HOME
    claude = bool(claude_of(conversation.model))
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if not home:
        if temperature is not None and temperature > 1:
            losses.approximated("temperature", "Bedrock's range ends at 1")
            temperature = 1.0
        if thinks and temperature not in (None, 1):
            losses.dropped("temperature", "Claude takes none while thinking")
            temperature = None
        if claude and top_p is not None and (temperature is not None or (thinks and top_p < 0.95)):
            losses.dropped("top_p", "Claude takes it neither beside a temperature nor low while thinking")
            top_p = None
        if top_k is not None and (thinks or not claude):
            losses.dropped(
                "top_k", "Claude takes none while thinking" if claude else "this model's word for it is not known"
            )
            top_k = None
    stops = [stop for stop in sampling.stop if home or stop.strip()]
    if len(stops) < len(sampling.stop):
        losses.dropped("stop", "Bedrock takes no stop sequence of white space only")
    config: Json = body.pop("inferenceConfig", {})
    given = (("maxTokens", conversation.max_output), ("temperature", temperature), ("topP", top_p))
    config |= {key: value for key, value in given if value is not None}
    if stops:
        config["stopSequences"] = stops
    if config:
        body["inferenceConfig"] = config
    if top_k is not None:
        more["top_k"] = top_k
    for key in _NOWHERE:
        if getattr(sampling, key) is not None:
            losses.dropped(key)


def _output_format(conversation: Conversation, body: Json, losses: Losses) -> None:
    form = conversation.output_format
    if form is None:
        return
    if form.schema is None:
        losses.dropped("response_format", "Bedrock structures output by a schema only")
        return
    named = {"name": form.name} if form.name else {}
    told = {"description": form.description} if form.description else {}
    held = {"schema": to_json(form.schema).decode()} | named | told
    body.setdefault("outputConfig", {})["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": held}}
    if conversation.origin is not HOME and not form.strict:
        losses.approximated("response_format.json_schema.strict", "Bedrock always keeps to the schema")


# ---- tools ----------------------------------------------------------------------------------------------------------


def _tools(conversation: Conversation, messages: tuple[Message, ...], body: Json, writer: BlockWriter) -> None:
    losses, home = writer.losses, writer.home
    tools: list[Json] = []
    for tool in conversation.tools:
        if isinstance(tool, Tool):
            tools.append(_tool(tool, home, losses))
            if tool.cache is not None and (point := writer.point(tool.cache)) is not None:
                tools.append(point)
        elif tool.origin is HOME:
            tools.append(tool.data)
        else:
            losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
    choice = conversation.tool_choice
    if not home:
        tools = _as_history_wants(tools, choice is not None and choice.mode == "none", messages, losses)
        if conversation.parallel_tools is False:
            losses.dropped("parallel_tool_calls", "Bedrock has no such switch")
    config: Json = {"tools": tools} if tools else {}
    if choice is not None and choice.mode != "none":
        if tools or home:
            named = {"name": choice.name} if choice.mode == "named" else {}
            config["toolChoice"] = {_CHOICES[choice.mode]: named}
        elif choice.mode != "auto":
            losses.dropped("tool_choice", "there are no tools")
        if choice.allowed:
            losses.approximated("tool_choice", "Bedrock lets the model choose among all tools")
    if config:
        body["toolConfig"] = config


def _as_history_wants(tools: list[Json], none: bool, messages: tuple[Message, ...], losses: Losses) -> list[Json]:
    """Bedrock cannot be told to call no tool, and refuses a history with calls when it is offered none."""
    parts = [part for message in messages for part in message.parts]
    used = {part.name: None for part in parts if isinstance(part, ToolCall)}
    if none and tools:
        if used:
            losses.approximated("tool_choice", "Bedrock cannot be told to call none of the tools in the history")
        else:
            losses.approximated("tool_choice", "the tools are left out")
            tools = []
    if not tools and (used or any(isinstance(part, ToolResult) for part in parts)):
        losses.approximated("tools", "the history's own are offered, for Bedrock refuses calls where no tool is")
        schema = {"json": {"type": "object", "properties": {}}}
        tools = [{"toolSpec": {"name": name, "inputSchema": schema}} for name in used or {"tool": None}]
    return tools


def _tool(tool: Tool, home: bool, losses: Losses) -> Json:
    schema = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    spec: Json = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description or (home and tool.description is not None):
        spec["description"] = tool.description
    if tool.strict:
        spec["strict"] = True
    out = {"toolSpec": spec}
    if home:
        overlay(out, tool.extra)
    else:
        losses.unknown(tool.extra, "tools")
    return out
