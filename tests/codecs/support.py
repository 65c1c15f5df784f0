"""Transcripts, streams as event lists, and the form in which two canonical values are compared."""

import json
from pathlib import Path
from typing import Any

import msgspec
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import Event
from omni_translator.domain.losses import says_something
from omni_translator.domain.model import (
    Conversation,
    Document,
    FinishReason,
    Image,
    Opaque,
    Part,
    Reasoning,
    Response,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.normal import merged
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
CHAT, MESSAGES = CODECS[WireFormat.OPENAI_CHAT], CODECS[WireFormat.ANTHROPIC_MESSAGES]
RESPONSES = CODECS[WireFormat.OPENAI_RESPONSES]
GEMINI = CODECS[WireFormat.GEMINI_GENERATE]
ALL = list(CODECS.values())
PAIRS = [(one, other) for one in ALL for other in ALL]
CROSS = [(one, other) for one, other in PAIRS if one is not other]
REPLY = Reply("id-1", "model-1", 1_700_000_000, True)
UNSAID = {
    "n": 1,
    "logprobs": False,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "truncation": "disabled",
}


def transcripts() -> list[Any]:
    """Every stream there is, with its codec."""
    found = []
    for codec in ALL:
        found += [(codec, path) for path in sorted((TRANSCRIPTS / codec.format).glob("*.sse"))]
    return found


def name(value: Any) -> str:
    """A test id."""
    return value.format if hasattr(value, "decode_request") else getattr(value, "stem", str(value))


def events_of(codec: Codec, chunks: list[bytes]) -> tuple[list[Event], str]:
    """All events of a stream, and the error it ended in, if any."""
    decoder, events = codec.stream_decoder(), []
    try:
        for chunk in chunks:
            events += decoder.feed(chunk)
        events += decoder.end()
    except WireError as error:
        return events, str(error)
    return events, ""


def write_stream(codec: Codec, events: Any, reply: Reply = REPLY) -> bytes:
    encoder = codec.stream_encoder(reply)
    return b"".join([encoder.emit(event) for event in events])


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def addressed(codec: Codec, decoded: Conversation, conversation: Conversation) -> Conversation:
    """Gemini's requests name model and delivery in their address, so what is read of a body lacks both."""
    if codec is not GEMINI:
        return decoded
    return msgspec.structs.replace(decoded, model=conversation.model, stream=conversation.stream)


# ---- comparing ------------------------------------------------------------------------------------------------------


def _arguments(text: str) -> Any:
    try:
        return msgspec.json.decode(text or "{}")
    except msgspec.MsgspecError:
        return text


def _said(extra: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in extra.items() if says_something(value)}


def _part(part: Part) -> Any:
    if isinstance(part, Opaque):
        return part
    changes: dict[str, Any] = {"extra": _said(part.extra), "item": ""}
    if isinstance(part, ToolCall):
        said = _arguments(part.arguments), part.freeform, part.namespace
        return "call", part.id, part.name, said, part.cache, part.signature, changes["extra"]
    if isinstance(part, Image | Document) and part.url:
        changes["media_type"] = ""  # a hint: whoever fetches it is told
    if isinstance(part, ToolResult):
        changes["parts"] = tuple(_part(inner) for inner in part.parts if inner != Text(""))
    if isinstance(part, Reasoning):
        changes |= {"origin": WireFormat.OPENAI_CHAT, "full": False}
    return msgspec.structs.replace(part, **changes)


def same_request(conversation: Conversation) -> Any:
    """What a conversation means: without its origin, and with what formats spell differently made equal."""
    messages = tuple(
        (message.role, tuple(_part(part) for part in message.parts), message.extra)
        for message in merged(
            tuple(msgspec.structs.replace(message, extra=_said(message.extra)) for message in conversation.messages)
        )
    )
    tools = tuple(
        msgspec.structs.replace(
            tool,
            schema=tool.schema or {"type": "object", "properties": {}},
            strict=tool.strict or None,
            extra=_said(tool.extra),
        )
        if isinstance(tool, Tool)
        else tool
        for tool in conversation.tools
    )
    choice = conversation.tool_choice
    return msgspec.structs.replace(
        conversation,
        origin=WireFormat.OPENAI_CHAT,
        messages=messages,
        tools=tools,
        tool_choice=None if choice is None or (choice.mode == "auto" and not choice.allowed) else choice,
        parallel_tools=conversation.parallel_tools and None,  # every format's default is true
        extra={key: value for key, value in _said(conversation.extra).items() if UNSAID.get(key) != value},
    )


def same_answer(response: Response) -> Any:
    """What an answer means, without its address."""
    finish = response.finish
    if finish is FinishReason.STOP and any(isinstance(part, ToolCall) for part in response.parts):
        finish = FinishReason.TOOL_CALLS
    return msgspec.structs.replace(
        response,
        origin=WireFormat.OPENAI_CHAT,
        id="",
        model="",
        finish=finish,
        parts=tuple(_part(part) for part in response.parts if part != Text("")),
        extra=_said(response.extra),
    )
