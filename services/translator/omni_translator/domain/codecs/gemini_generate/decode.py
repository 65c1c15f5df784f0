"""A generateContent request, read.

Google's requests name the model and the way of delivery in their address, not in their body. Whoever knows the address
may put both into the body as ``model`` and ``stream``; they are read from there.
"""

from typing import Any, Final

from omni_wire.errors import WireError

from omni_translator.domain.codecs.gemini_generate.calls import pair
from omni_translator.domain.codecs.gemini_generate.config import read_output_format, read_sampling, read_thinking
from omni_translator.domain.codecs.gemini_generate.content import PartReader, read_text
from omni_translator.domain.codecs.gemini_generate.spelling import HOME, ProtoFields
from omni_translator.domain.codecs.gemini_generate.tools import read_choice, read_tools
from omni_translator.domain.model import Conversation, Message, Role, Sampling, Text

_ROLES: Final = {"user": Role.USER, "model": Role.ASSISTANT, "function": Role.USER}  # the last: as it once was


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = ProtoFields.of_body(body)
    contents = top.items("contents")
    if not contents:
        raise WireError("contents must hold at least one content", "contents")
    talk = [_read_talk(item) for item in contents]
    reader = PartReader({} if all(talk) else pair(contents))
    turns = [
        message or _message(ProtoFields(contents[turn], ("contents", turn)), turn, reader)
        for turn, message in enumerate(talk)
    ]
    config = top.child("generationConfig")
    if config is not None and config.peek("candidateCount") == 1:
        config.take("candidateCount")
    return Conversation(
        origin=HOME,
        model=(top.text("model") or "").removeprefix("models/"),
        messages=(*_system(top), *turns),
        tools=read_tools(top),
        tool_choice=read_choice(top),
        sampling=read_sampling(config) if config is not None else Sampling(),
        max_output=config.whole("maxOutputTokens") if config is not None else None,
        output_format=read_output_format(config) if config is not None else None,
        thinking=read_thinking(config) if config is not None else None,
        stream=top.flag("stream") or False,
        extra=top.rest(),
    )


def _system(top: ProtoFields) -> list[Message]:
    given = top.take("systemInstruction")
    if given is None:
        return []
    if isinstance(given, str):
        return [Message(role=Role.SYSTEM, parts=(Text(given),))] if given else []
    content = ProtoFields(given, "systemInstruction")
    content.text("role")  # means nothing here
    parts = PartReader({}).read(content, 0)
    extra = content.rest()
    return [Message(role=Role.SYSTEM, parts=parts, extra=extra)] if parts or extra else []


def _read_talk(item: Any) -> Message | None:
    """The message that a role and one text are, which most contents are; None for anything else."""
    try:
        if len(item) == 2 and len(parts := item["parts"]) == 1:
            role, text = _ROLES.get(item["role"]), read_text(parts[0])
            if role is not None and text is not None:
                return Message(role=role, parts=(text,))
    except (KeyError, TypeError):
        pass  # a part of another kind, or nothing that is right: to be read in full
    return None


def _message(content: ProtoFields, turn: int, reader: PartReader) -> Message:
    word = content.text("role") or "user"
    role = _ROLES.get(word.lower())  # Vertex AI's documentation writes USER
    if role is None:
        raise WireError(f"{content.at('role')} {word[:40]!r} is neither user nor model", content.at("role"))
    return Message(role=role, parts=reader.read(content, turn), extra=content.rest())
