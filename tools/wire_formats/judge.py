"""What becomes of one example on its way from one format to another: asked of the codecs, not written down.

A verdict is "kept" (the other format says it by the same keys), "mapped" (it says the same in its own words),
"approximated" or "lost" (what the codec declares), "refused" (it raises), or "SILENT": nothing was declared, and yet
it does not come back the same. The last is a bug, and so is ``unheard``, an example that its own codec does not hear.
"""

from typing import Any, Final

import msgspec
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import fold, unfold
from omni_translator.domain.losses import Loss
from omni_translator.domain.model import Conversation, Response
from omni_translator.domain.plain import client_tools
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from tests.codecs.support import addressed, events_of, same_answer, same_request
from tools.wire_formats.probe import (
    ANSWER,
    BEDROCK,
    CHAT,
    CLOUDCODE,
    COHERE,
    CURSOR,
    GEMINI,
    KIRO,
    MESSAGES,
    OLLAMA,
    REQUEST,
    RESPONSES,
    Json,
    Row,
    example,
)

KEPT, MAPPED, APPROXIMATED, LOST, REFUSED, SILENT = "kept", "mapped", "approximated", "lost", "refused", "SILENT"

# The model that a provider is asked for; codecs go by its name where a vendor's models differ.
MODELS: Final = {
    CHAT: "gpt-6.1",
    RESPONSES: "gpt-6.1",
    MESSAGES: "claude-opus-5-5",
    GEMINI: "gemini-3.8-flash",
    CLOUDCODE: "gemini-3.8-flash",
    CURSOR: "claude-4.5-sonnet",
    BEDROCK: "eu.anthropic.claude-opus-5-5-v1:0",
    KIRO: "claude-sonnet-4.5",
    OLLAMA: "qwen3:8b",
    COHERE: "command-a-reasoning-08-2025",
}
OLDER: Final = (
    (MESSAGES, "claude-sonnet-4-5"),
    (GEMINI, "gemini-2.5-flash"),
    (GEMINI, "gemini-2.0-flash"),
    (COHERE, "command-a-03-2025"),
)
_REPLY: Final = Reply("a", "m", 1)


class Verdict(msgspec.Struct, frozen=True):
    """``reasons`` in words, each once."""

    word: str
    reasons: tuple[str, ...] = ()


def _bytes(value: Json) -> bytes:
    return msgspec.json.encode(value)


def _decode(source: Codec, body: Json, model: str) -> Conversation:
    return msgspec.structs.replace(source.decode_request(_bytes(body)), model=model)


def judge_request(row: Row, source: WireFormat, target: WireFormat, model: str = "") -> Verdict:
    """Raises ``KeyError`` where ``source`` cannot say it."""
    body = example(REQUEST[source], row.says[source])
    client, provider = CODECS[source], CODECS[target]
    conversation = _decode(client, body, model or MODELS[target])
    try:
        encoded = provider.encode_request(conversation)
    except WireError as error:
        return Verdict(REFUSED, (str(error),))
    # What the plainest request loses, its output limit, would hide what this row does.
    plain = _decode(client, REQUEST[source], conversation.model)
    plainest = provider.encode_request(plain).losses if plain.max_output == conversation.max_output else ()
    losses = tuple(loss for loss in encoded.losses if loss not in plainest)
    if losses:
        return _declared(losses)
    back = _unasked(addressed(provider, provider.decode_request(encoded.body), conversation), conversation)
    if plainest:
        back = msgspec.structs.replace(back, max_output=conversation.max_output)
    if same_request(back) != same_request(conversation):
        return Verdict(SILENT)
    if target is CURSOR:  # protobuf, which has no keys in common with JSON
        return Verdict(MAPPED)
    return _undeclared(body, REQUEST[source], msgspec.json.decode(encoded.body), source is target)


def _unasked(back: Conversation, sent: Conversation) -> Conversation:
    """Gemini tells no thought unless asked to, so whoever wants it to think asks for that as well: more than was said,
    and nothing less."""
    if back.thinking is None or sent.thinking is None or sent.thinking.summary:
        return back
    return msgspec.structs.replace(back, thinking=msgspec.structs.replace(back.thinking, summary=""))


def judge_answer(row: Row, source: WireFormat, target: WireFormat) -> tuple[Verdict, Verdict]:
    """Given whole, and streamed. ``source`` is the provider's format here, ``target`` the client's."""
    body = example(ANSWER[source], row.says[source])
    provider, client = CODECS[source], CODECS[target]
    answer = provider.decode_response(_bytes(body))
    wanted = _meaning(answer)
    reply = msgspec.structs.replace(_REPLY, tools=_tools(row) if target is RESPONSES else {})
    encoded = client.encode_response(answer, reply)
    if encoded.losses:
        whole = _declared(encoded.losses)
    elif _meaning(client.decode_response(encoded.body)) != wanted:
        whole = Verdict(SILENT)
    else:
        whole = _undeclared(body, ANSWER[source], msgspec.json.decode(encoded.body), source is target)
    encoder = client.stream_encoder(reply)
    events, error = events_of(client, [b"".join([encoder.emit(event) for event in unfold(answer)])])
    if encoder.losses:
        return whole, _declared(encoder.losses)
    streamed = not error and _meaning(fold(events)) == wanted
    return whole, Verdict(whole.word if whole.word == KEPT else MAPPED) if streamed else Verdict(SILENT)


def _meaning(answer: Response) -> Any:
    """As the laws compare answers, and with the nulls left out that a format spells."""
    said = same_answer(answer)
    return msgspec.structs.replace(said, extra=_without_nulls(said.extra))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _tools(row: Row) -> Any:
    """What a Responses client had called the tools that the row's calls name."""
    said = row.says.get(RESPONSES, {}).get("tools")
    if said is None:
        return {}
    return client_tools(CODECS[RESPONSES].decode_request(_bytes(example(REQUEST[RESPONSES], {"tools": said}))))


def unheard_request(row: Row, source: WireFormat) -> bool:
    """Whether the example's codec reads it as if it were the plainest request."""
    body = example(REQUEST[source], row.says[source])
    return _decode(CODECS[source], body, "m") == _decode(CODECS[source], REQUEST[source], "m")


def unheard_answer(row: Row, source: WireFormat) -> bool:
    codec = CODECS[source]
    body = example(ANSWER[source], row.says[source])
    return codec.decode_response(_bytes(body)) == codec.decode_response(_bytes(ANSWER[source]))


def _declared(losses: tuple[Loss, ...]) -> Verdict:
    word = LOST if any(loss.kind == "dropped" for loss in losses) else APPROXIMATED
    return Verdict(word, tuple(dict.fromkeys(f"`{loss.field}`: {loss.reason}" for loss in losses)))


def _undeclared(body: Json, base: Json, written: Json, home: bool) -> Verdict:
    """ "kept" where every leaf the example adds stands at the same place of what was written."""
    added = _leaves(body) - _leaves(base)
    return Verdict(KEPT if home or added <= _leaves(written) else MAPPED)


def _leaves(value: Any, path: str = "") -> set[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return {leaf for key, inner in value.items() for leaf in _leaves(inner, f"{path}.{key}")}
    if isinstance(value, list) and value:
        return {leaf for index, inner in enumerate(value) for leaf in _leaves(inner, f"{path}[{index}]")}
    return {(path, repr(value))}
