"""Counting the tokens of a request that is not made: what to ask a provider that can count, and a guess where none can.

Anthropic counts at ``/v1/messages/count_tokens`` (docs.anthropic.com/en/api/messages-count-tokens), Google at
``:countTokens`` (ai.google.dev/api/tokens), where the request may stand whole in ``generateContentRequest``, Bedrock at
``/count-tokens`` (its API reference, ConverseTokensRequest), OpenAI at ``/responses/input_tokens`` (its API reference);
others that have its Responses may not have that, and then there is the guess. Google's Cloud Code counts contents and
nothing else (google-gemini/gemini-cli, code_assist/converter.ts at 04fbf50): there, what a request says besides is put
among them.
"""

from typing import Any

import msgspec
from omni_wire.body import Body
from omni_wire.errors import UpstreamFailed
from omni_wire.formats import WireFormat

from omni_router.domain.request import nested

_BYTES_A_TOKEN = 4
# What an image, a page or a short sound takes, in the middle: Anthropic's images have up to some 1,600, OpenAI's 765 at
# a usual size, Google's 258 a tile.
_MEDIUM = 1_000
_MEDIA = frozenset(("media_type", "mimeType", "mime_type", "format"))
# What base64 stands behind, and where it does.
_ENCODED = (b";base64,", b'"data"', b'"bytes"')
_IN_FIELDS = ("data", "bytes")
_SHORT = 4096  # bytes; a thousand tokens of text
_LONG = 256  # characters, from which it is no text
_FIELDS = {
    WireFormat.OPENAI_RESPONSES: "input_tokens",
    WireFormat.ANTHROPIC_MESSAGES: "input_tokens",
    WireFormat.GEMINI_GENERATE: "totalTokens",
    WireFormat.CLOUDCODE_GENERATE: "totalTokens",
    WireFormat.BEDROCK_CONVERSE: "inputTokens",
}
_WRAPPED = ("generateContentRequest", "generate_content_request")
_MESSAGES = ("messages", "system", "tools", "tool_choice", "thinking")
_RESPONSES = ("input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text")
_CONVERSE = ("messages", "system", "toolConfig", "additionalModelRequestFields")
_OF_THOUGHT = ("thought", "thoughtSignature")  # parts that have one are no parts to Cloud Code's count


def question(wire_format: WireFormat, body: Body, model: str) -> bytes:
    """The body with the provider's own model id. Raises ``WireError``."""
    if wire_format is not WireFormat.GEMINI_GENERATE:
        return body.with_fields({"model": model})
    named = f"models/{model}"
    changes: dict[str, Any] = {"model": named} if body.has("model") else {}
    for field in _WRAPPED:
        whole = nested(body, field)
        if whole is not None:
            changes[field] = msgspec.Raw(whole.with_fields({"model": named}))
    return body.with_fields(changes)


def asked(wire_format: WireFormat, body: Body) -> bytes:
    """The request that a client of that format wants counted, as it would make it. Raises ``WireError``."""
    if wire_format is WireFormat.GEMINI_GENERATE:
        for field in _WRAPPED:
            if (whole := nested(body, field)) is not None:
                return whole.whole
    return body.whole


def question_of(wire_format: WireFormat, request: bytes, model: str) -> bytes:
    """What to ask about a ``request`` that was written for a provider of that format. Raises ``WireError``."""
    body = Body(request)
    if wire_format is WireFormat.GEMINI_GENERATE:
        return b'{"generateContentRequest":%b}' % body.with_fields({"model": f"models/{model}"})
    if wire_format is WireFormat.CLOUDCODE_GENERATE:
        return msgspec.json.encode({"request": {"model": f"models/{model}", "contents": _contents(body)}})
    if wire_format is WireFormat.BEDROCK_CONVERSE:
        return msgspec.json.encode({"input": {"converse": _parts_of(body, _CONVERSE)}})
    fields = _RESPONSES if wire_format is WireFormat.OPENAI_RESPONSES else _MESSAGES
    return msgspec.json.encode({"model": model} | _parts_of(body, fields))


def _parts_of(body: Body, fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: msgspec.Raw(body.raw(field)) for field in fields if body.has(field)}


def _contents(body: Body) -> list[Any]:
    inner = body.get("request")
    besides = list(inner.get("systemInstruction", {}).get("parts", ()))
    if inner.get("tools"):
        besides.append({"text": msgspec.json.encode(inner["tools"]).decode()})
    told = [{"role": "user", "parts": besides}] if besides else []
    return told + [
        content | {"parts": [_without_thought(part) for part in content["parts"]]} for content in inner["contents"]
    ]


def _without_thought(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _OF_THOUGHT} or {"text": ""}


def read_count(wire_format: WireFormat, answer: bytes) -> int:
    """Raises ``UpstreamFailed`` for what is no count."""
    try:
        told = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamFailed("the provider's answer is not JSON") from error
    count = told.get(_FIELDS[wire_format]) if isinstance(told, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise UpstreamFailed("the provider's answer holds no count")
    return count


def rough(raw: bytes) -> int:
    """As ``estimate``, and of a body without media, or too short for any that would matter, by its length alone, which
    takes no reading."""
    if len(raw) > _SHORT and any(mark in raw for mark in _ENCODED):
        return estimate_of(raw)
    return max(1, -(-len(raw) // _BYTES_A_TOKEN))


def estimate(body: Body) -> int:
    """About how many tokens a body has: a token for four bytes of its texts and names, a thousand for what is no text.
    Never 0."""
    return estimate_of(body.whole)


def estimate_of(raw: bytes) -> int:
    """As ``estimate``."""
    try:
        left: list[Any] = [msgspec.json.decode(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return max(1, len(raw) // _BYTES_A_TOKEN)
    size = media = 0
    while left:
        value = left.pop()
        if isinstance(value, str):
            if value.startswith("data:"):
                media += 1
            else:
                size += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            size += sum(map(len, value))
            for name in _IN_FIELDS:  # base64: its length says nothing of its tokens
                told = value.get(name)
                if isinstance(told, str) and (len(told) > _LONG or not value.keys().isdisjoint(_MEDIA)):
                    media += 1
                    value = {key: inner for key, inner in value.items() if key != name}
            left += value.values()
    return max(1, -(-size // _BYTES_A_TOKEN) + media * _MEDIUM)
