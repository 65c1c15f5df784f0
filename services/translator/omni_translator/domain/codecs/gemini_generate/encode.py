"""A generateContent request, written. Its address names the model and the way of delivery; its body does not."""

from typing import Final

import msgspec
from omni_wire.errors import WireError

from omni_translator.domain.choices import take_count
from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.gemini_generate.config import write_output_format, write_sampling
from omni_translator.domain.codecs.gemini_generate.content import PartWriter
from omni_translator.domain.codecs.gemini_generate.spelling import HOME
from omni_translator.domain.codecs.gemini_generate.thinking import write_thinking
from omni_translator.domain.codecs.gemini_generate.tools import write_tools
from omni_translator.domain.fields import overlay, to_json
from omni_translator.domain.logprobs import take_wish
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Conversation, Json, Message, Role, Text
from omni_translator.domain.normal import split_system
from omni_translator.domain.plain import plain

# What a client of another format may spell out though it is the default.
_UNSAID: Final[Json] = {
    "n": 1,
    "logprobs": False,
    "store": False,
    "service_tier": "auto",
    "include": ["reasoning.encrypted_content"],
    "truncation": "disabled",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What doors to Gemini differ in. ``json_schema``: whether schemas go verbatim (``parametersJsonSchema``) or
    narrowed to Gemini's own; None leaves it to the model's name. ``call_ids``: whether calls and results may have ids,
    which Google's API takes and some that stand in for it do not."""

    json_schema: bool | None = None
    call_ids: bool = True


def encode_request(conversation: Conversation, options: Options) -> Encoded:
    losses = Losses("Gemini")
    home = conversation.origin is HOME
    conversation = conversation if home else plain(conversation, losses)
    writer = PartWriter(conversation, losses, call_ids=options.call_ids)
    body: Json = {}
    system, messages = _split(conversation, writer)
    if system is not None:
        content: Json = {"parts": _system_parts(system, writer)}
        if home:
            overlay(content, system.extra)
        if content["parts"] or home:
            body["systemInstruction"] = content
    body["contents"] = [written for message in messages if (written := _content(message, writer)) is not None]
    if not body["contents"]:
        raise WireError("contents hold nothing that Gemini takes", "contents")
    write_tools(conversation, body, options.json_schema, losses)
    config: Json = {}
    if conversation.max_output is not None:
        config["maxOutputTokens"] = conversation.max_output
    write_sampling(conversation, config, losses)
    write_output_format(conversation, config, options.json_schema, losses)
    write_thinking(conversation, config, losses)
    extra = conversation.extra if home else dict(conversation.extra)
    wanted = None if home else take_wish(extra, conversation.origin)
    if wanted is not None:
        config |= {"responseLogprobs": True} | ({"logprobs": wanted} if wanted else {})
    count = None if home else take_count(extra, conversation.origin)
    if count is not None:
        config["candidateCount"] = count
    if config:
        body["generationConfig"] = config
    if conversation.user:
        losses.dropped("user")
    if conversation.verbosity:
        losses.dropped("text.verbosity")
    if home:
        overlay(body, extra)
    else:
        losses.unknown(extra, unsaid=_UNSAID)
    return Encoded(to_json(body), losses.all())


def _split(conversation: Conversation, writer: PartWriter) -> tuple[Message | None, tuple[Message, ...]]:
    """The system message, if any, and the turns after it."""
    messages = conversation.messages
    if not writer.home:
        parts, turns = split_system(messages, writer.losses)
        return (Message(role=Role.SYSTEM, parts=parts) if parts else None), turns
    if messages and messages[0].role is Role.SYSTEM:
        return messages[0], messages[1:]
    return None, messages


def _system_parts(system: Message, writer: PartWriter) -> list[Json]:
    if writer.home:
        return writer.turn(system.parts)
    kept = [part for part in system.parts if isinstance(part, Text)]
    for part in system.parts:
        if not isinstance(part, Text):
            writer.losses.dropped(f"system.{type(part).__name__.lower()}", "Gemini's system instruction is text")
    return [block for part in kept if (block := writer.part(part)) is not None]


def _content(message: Message, writer: PartWriter) -> Json | None:
    if not writer.home:
        writer.losses.unknown(message.extra, "messages")
    parts = writer.turn(message.parts)
    if not parts and not writer.home:
        return None
    out: Json = {"role": "model" if message.role is Role.ASSISTANT else "user", "parts": parts}
    if writer.home:
        overlay(out, message.extra)
    return out
