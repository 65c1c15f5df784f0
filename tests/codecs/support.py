"""Transcripts, streams as event lists, and the form in which two canonical values are compared."""

import json
from pathlib import Path
from typing import Any

import msgspec
from omni_translator.domain.choices import take_count, within
from omni_translator.domain.citations import Citation, noted, take_citations, take_late
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import Event
from omni_translator.domain.logprobs import take_from_part, take_told, take_wish
from omni_translator.domain.losses import says_something
from omni_translator.domain.model import (
    Choice,
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
    ToolChoice,
    ToolResult,
)
from omni_translator.domain.normal import merged
from omni_wire.errors import WireError
from omni_wire.formats import CLIENT_FORMATS, WireFormat
from omni_wire.usage import Usage

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
CHAT, MESSAGES = CODECS[WireFormat.OPENAI_CHAT], CODECS[WireFormat.ANTHROPIC_MESSAGES]
RESPONSES = CODECS[WireFormat.OPENAI_RESPONSES]
GEMINI = CODECS[WireFormat.GEMINI_GENERATE]
CLOUDCODE, CURSOR = CODECS[WireFormat.CLOUDCODE_GENERATE], CODECS[WireFormat.CURSOR_CHAT]
BEDROCK, KIRO = CODECS[WireFormat.BEDROCK_CONVERSE], CODECS[WireFormat.KIRO_CONVERSATION]
OLLAMA, COHERE = CODECS[WireFormat.OLLAMA_CHAT], CODECS[WireFormat.COHERE_CHAT]
ALL = list(CODECS.values())
PAIRS = [(one, other) for one in ALL for other in ALL]
CLIENTS = [CODECS[known] for known in CLIENT_FORMATS if known in CODECS]
SERVED = [(client, provider) for client in CLIENTS for provider in ALL]  # what a client speaks, and a provider
CROSS = [(one, other) for one, other in PAIRS if one is not other]
REPLY = Reply("id-1", "model-1", 1_700_000_000, True)
UNSAID = {
    "n": 1,
    "logprobs": False,
    "store": False,
    "service_tier": "auto",
    "include": ["reasoning.encrypted_content"],
    "truncation": "disabled",
}


def transcripts() -> list[Any]:
    """Every stream there is, with its codec."""
    found = []
    for codec in ALL:
        found += [(codec, path) for path in sorted((TRANSCRIPTS / codec.format).glob(f"*{ending(codec)}"))]
    return found


def ending(codec: Codec) -> str:
    """Of the names of its streams' files."""
    return {OLLAMA: ".ndjson", CURSOR: ".frames", BEDROCK: ".events", KIRO: ".events"}.get(codec, ".sse")


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
    """``value`` as JSON, unless it is what goes over the wire already."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def convert(
    source: Codec, target: Codec, request: dict[str, Any], model: str = "m"
) -> tuple[dict[str, Any], dict[str, str]]:
    """The request in the other format, and its losses as field -> kind."""
    conversation = msgspec.structs.replace(source.decode_request(body(request)), model=model, max_output=4096)
    encoded = target.encode_request(conversation)
    return msgspec.json.decode(encoded.body), {loss.field: loss.kind for loss in encoded.losses}


def convert_answer(source: Codec, target: Codec, answer: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """The same of a whole answer."""
    encoded = target.encode_response(source.decode_response(answer), REPLY)
    return msgspec.json.decode(encoded.body), {loss.field: loss.kind for loss in encoded.losses}


def stored(codec: Codec, case: str) -> bytes:
    return (TRANSCRIPTS / codec.format / case).read_bytes()


def addressed(codec: Codec, decoded: Conversation, conversation: Conversation) -> Conversation:
    """Gemini's and Bedrock's requests name model and delivery in their address, so what is read of a body lacks both;
    Cloud Code's name the delivery there, and hold Gemini's own within; Cursor's and Kiro's do not name it at all. And
    an Ollama that is to think tells what it thinks."""
    if codec is CLOUDCODE and conversation.origin is not CLOUDCODE.format:
        inner = decoded.extra.get("request", {})
        decoded = msgspec.structs.replace(decoded, origin=GEMINI.format, extra=inner)
    if codec in (CLOUDCODE, CURSOR, KIRO):
        return msgspec.structs.replace(decoded, stream=conversation.stream)
    if codec is OLLAMA and decoded.thinking is not None and conversation.thinking is not None:
        told = msgspec.structs.replace(decoded.thinking, summary=conversation.thinking.summary)
        return msgspec.structs.replace(decoded, thinking=told)
    if codec not in (GEMINI, BEDROCK):
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
    cited, rest = take_citations(part)
    changes: dict[str, Any] = {"extra": _said(rest), "item": ""}
    if cited and isinstance(part, Text):
        changes["extra"]["cited"] = sorted(_address([part.text], 0, address) for address in cited)
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
            tuple(
                msgspec.structs.replace(noted(message), extra=_said(noted(message).extra))
                for message in conversation.messages
            )
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
    extra = dict(conversation.extra)
    wanted = take_wish(extra, conversation.origin)
    extra |= {} if wanted is None else {"logprobs wanted": wanted}
    count = take_count(extra, conversation.origin)
    extra |= {} if count is None else {"answers wanted": count}
    return msgspec.structs.replace(
        conversation,
        origin=WireFormat.OPENAI_CHAT,
        messages=messages,
        tools=tools,
        tool_choice=None if _says_nothing(choice, tools) else choice,
        parallel_tools=conversation.parallel_tools and None,  # every format's default is true
        extra={key: value for key, value in _said(extra).items() if UNSAID.get(key) != value},
    )


def _says_nothing(choice: ToolChoice | None, tools: tuple[Any, ...]) -> bool:
    """Whether it is what holds anyway: any tool may be called, or none where there are none."""
    return choice is None or (choice.mode == "auto" and not choice.allowed) or (choice.mode == "none" and not tools)


def _likely(token: dict[str, Any]) -> Any:
    others = [(other.get("token"), other.get("logprob")) for other in token.get("top_logprobs") or ()]
    return token.get("token"), token.get("logprob"), others


def _address(texts: list[str], number: int, cited: Citation) -> Any:
    """Where an address is cited, in characters of the whole answer's text."""
    before = len("".join(texts[:number]))
    start, end = cited.span(len(texts[number]))
    return cited.url, cited.title, before + start, before + end, cited.quote, str(sorted(cited.extra.items()))


def _alone(response: Response, other: Choice) -> Response:
    """A further answer as if it were the only one."""
    return Response(
        origin=response.origin,
        id="",
        model="",
        parts=other.parts,
        finish=other.finish,
        finish_detail=other.finish_detail,
        stop_sequence=other.stop_sequence,
        extra=within(_said(other.extra), response.origin),
    )


def same_answer(response: Response) -> Any:
    """What an answer means, without its address."""
    finish = response.finish
    if finish is FinishReason.STOP and any(isinstance(part, ToolCall) for part in response.parts):
        finish = FinishReason.TOOL_CALLS
    tokens, extra = take_told(response.extra, response.origin)
    parts = []
    texts: list[str] = []
    cited: list[tuple[int, Citation]] = []
    for part in response.parts:
        told, rest = take_from_part(part)
        tokens = tokens + told
        addresses, rest = take_citations(part, rest)
        cited += [(len(texts), address) for address in addresses]
        texts += [part.text] if isinstance(part, Text) else []
        parts.append(part if isinstance(part, Opaque) else msgspec.structs.replace(part, extra=rest))
    late, extra = take_late(extra, response.origin, texts)
    addresses = sorted(_address(texts, number, address) for number, address in cited + late)
    return msgspec.structs.replace(
        response,
        origin=WireFormat.OPENAI_CHAT,
        id="",
        model="",
        finish=finish,
        parts=tuple(_part(part) for part in parts if part != Text("")),
        usage=response.usage if response.usage != Usage() else None,  # some must say one, and say none so
        others=(),
        extra=_said(extra)
        | ({"others": [same_answer(_alone(response, other)) for other in response.others]} if response.others else {})
        | ({"tokens": [_likely(token) for token in tokens]} if tokens else {})
        | ({"cited": addresses} if addresses else {}),
    )
