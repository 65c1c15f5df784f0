"""A Responses request, written."""

from typing import Final

from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.openai_chat.decode import UNNAMED_SCHEMA
from omni_translator.domain.codecs.openai_chat.encode import short_user, write_tier
from omni_translator.domain.codecs.openai_responses.content import PartWriter
from omni_translator.domain.codecs.openai_responses.tools import write_choice, write_tools
from omni_translator.domain.codecs.openai_responses.turns import write_message
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.logprobs import INCLUDE, take_wish
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Json,
    Message,
    OutputFormat,
    Role,
    Text,
    Thinking,
)
from omni_translator.domain.normal import turn_by_turn

_ENCRYPTED: Final = "reasoning.encrypted_content"
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# What OpenAI's other format says in the very same words.
_SHARED: Final = (
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "store",
)
# What a chat client may spell out though it is the default.
_UNSAID: Final[Json] = {"n": 1, "logprobs": False}


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("OpenAI Responses")
    writer = PartWriter(conversation.origin, losses)
    home = writer.home
    messages = conversation.messages if home else turn_by_turn(conversation.messages, losses)
    instructions, messages = _instructions(messages)
    body: Json = {"model": conversation.model}
    if instructions:
        body["instructions"] = instructions
    body["input"] = [item for message in messages for item in write_message(message, writer)]
    if not body["input"] and not home:
        raise WireError("messages hold nothing that OpenAI takes", "messages")
    if conversation.max_output is not None:
        body["max_output_tokens"] = conversation.max_output
    body["stream"] = conversation.stream
    _sampling(conversation, body, losses)
    tools = write_tools(conversation.tools, home, losses)
    if tools:
        body["tools"] = tools
    write_choice(conversation, body, losses)
    _text(conversation, body)
    if conversation.thinking is not None:
        _thinking(conversation.thinking, body, losses)
    if conversation.user:
        body["user"] = conversation.user if home else short_user(conversation.user, losses)
    if home:
        overlay(body, conversation.extra)
    else:
        _elsewhere(conversation, body, losses)
    return Encoded(to_json(body), losses.all())


def _instructions(messages: tuple[Message, ...]) -> tuple[str, tuple[Message, ...]]:
    """A first system message of one plain text, where others follow, and the others."""
    if len(messages) > 1 and messages[0].role is Role.SYSTEM:
        first = messages[0]
        if len(first.parts) == 1 and first == Message(role=Role.SYSTEM, parts=(_plain(first),)):
            return _plain(first).text, messages[1:]
    return "", messages


def _plain(message: Message) -> Text:
    part = message.parts[0]
    return Text(part.text) if isinstance(part, Text) else Text("")


def _elsewhere(conversation: Conversation, body: Json, losses: Losses) -> None:
    """What a conversation from another format still holds.

    Responses stores answers unless told not to, which no client of another format has asked for; what is not stored
    must come back with its thoughts, so these are asked for in the form that can.
    """
    extra = dict(conversation.extra)
    body["store"] = False
    if conversation.origin is WireFormat.ANTHROPIC_MESSAGES:
        write_tier(extra, body, losses)
    if conversation.origin is WireFormat.OPENAI_CHAT:
        body |= {key: extra.pop(key) for key in _SHARED if extra.get(key) is not None}
    wanted = take_wish(extra, conversation.origin)
    losses.unknown(extra, unsaid=_UNSAID)
    include = [_ENCRYPTED] if body.get("reasoning", {}).get("effort", "none") != "none" else []
    if wanted is not None:
        include.append(INCLUDE)
        body |= {"top_logprobs": wanted} if wanted else {}
    if include:
        body["include"] = include


# ---- settings -------------------------------------------------------------------------------------------------------


def _sampling(conversation: Conversation, body: Json, losses: Losses) -> None:
    sampling = conversation.sampling
    for key in ("temperature", "top_p"):
        value = getattr(sampling, key)
        if value is not None:
            body[key] = value
    for key in ("top_k", "seed", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, key) is not None:
            losses.dropped(key)
    if sampling.stop:
        losses.dropped("stop", "Responses knows no stop sequences")


def _text(conversation: Conversation, body: Json) -> None:
    text: Json = {}
    if conversation.output_format is not None:
        text["format"] = _output_format(conversation.output_format)
    if conversation.verbosity:
        text["verbosity"] = conversation.verbosity
    if text:
        body["text"] = text


def _output_format(form: OutputFormat) -> Json:
    if form.kind == "json_object":
        return {"type": "json_object"}
    out: Json = {"type": "json_schema", "name": form.name or UNNAMED_SCHEMA}
    if form.description:
        out["description"] = form.description
    if form.schema is not None:
        out["schema"] = form.schema
    if form.strict is not None:
        out["strict"] = form.strict
    return out


def _thinking(thinking: Thinking, body: Json, losses: Losses) -> None:
    """``reasoning`` from an effort, or else from a budget by the usual thresholds."""
    effort = thinking.effort
    if effort and effort not in _EFFORTS and thinking.mode:
        losses.approximated("output_config.effort", "sent as high")
        effort = "high"
    if thinking.mode == "disabled":
        losses.dropped("thinking", "Responses has no switch that every model knows")
        return
    if thinking.mode == "enabled" and not effort:
        budget = thinking.budget or 0
        effort = "low" if budget <= 1024 else "medium" if budget <= 10240 else "high"
        losses.approximated("thinking.budget_tokens", f"sent as reasoning effort {effort}")
    elif thinking.mode:
        losses.approximated("thinking.type", "Responses knows efforts only" if effort else "left to the provider")
    reasoning = {"effort": effort} if effort else {}
    if thinking.summary:
        reasoning["summary"] = thinking.summary
    if reasoning:
        body["reasoning"] = reasoning
