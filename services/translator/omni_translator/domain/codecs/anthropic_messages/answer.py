"""A message that came whole, both ways, and the words answers share with streams."""

from typing import Any, Final

from omni_wire.errors import WireError, upstream_message
from omni_wire.usage import Usage, apart, count_of, unreadable

from omni_translator.domain.citations import BLOCKS_KEY, Citation, location, take_citations, take_late, tells_late
from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.anthropic_messages.content import HOME, read_content
from omni_translator.domain.fields import Fields, json_object, overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    FinishReason,
    Json,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
)
from omni_translator.domain.plain import INPUT, declare_call

_REASONS: Final = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "max_tokens": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
    "pause_turn": FinishReason.PAUSE,
}
_WORDS: Final = {reason: word for word, reason in _REASONS.items()} | {FinishReason.OTHER: "end_turn"}


def read_reason(word: str) -> tuple[FinishReason, str]:
    """The canonical reason, and the word itself where the reason does not say it all."""
    known = _REASONS.get(word)
    if known is not None:
        return known, ""
    return (FinishReason.LENGTH if word == "model_context_window_exceeded" else FinishReason.OTHER), word


def write_reason(reason: FinishReason, detail: str, *, home: bool, calls: bool, refused: bool, losses: Losses) -> str:
    """``calls`` and ``refused`` say what the answer held: Anthropic always names these ends, others may say "stop"."""
    if detail and home:
        return detail
    if detail:
        losses.approximated("finish_reason", f"{detail} is said as {_WORDS[reason]}")
    if reason is FinishReason.STOP and not home:
        if calls:
            return "tool_use"
        if refused:
            return "refusal"
    return _WORDS[reason]


# ---- usage ----------------------------------------------------------------------------------------------------------


def read_usage(value: Any) -> tuple[Usage | None, Json]:
    """Usage in our convention (input includes what the cache gave and took), and the keys that have no place there."""
    if not isinstance(value, dict):
        return None, {}
    rest = dict(value)
    told = rest.pop("input_tokens", 0), rest.pop("output_tokens", 0)
    fresh, output = map(count_of, told)
    cached = count_of(rest.pop("cache_read_input_tokens", 0))
    written, made = count_of(rest.pop("cache_creation_input_tokens", 0)), rest.get("cache_creation")
    hour = made.get("ephemeral_1h_input_tokens") if isinstance(made, dict) else 0
    told_apart = apart(cache_write_1h=hour, tier=rest.get("service_tier"))
    suspect = unreadable(*told)
    return Usage(fresh + cached + written, cached, written, output, apart=told_apart, suspect=suspect), rest


def write_usage(usage: Usage, losses: Losses) -> Json:
    if usage.reasoning_tokens:
        losses.dropped("usage.completion_tokens_details.reasoning_tokens")
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }


# ---- a whole message ------------------------------------------------------------------------------------------------


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but a message, errors included."""
    top = Fields.of_body(body)
    if top.peek("type") == "error" or top.peek("error"):
        raise WireError(upstream_message(body))
    for envelope in ("type", "role"):
        top.take(envelope)
    content = top.take("content")
    if content is None:
        raise WireError("content must be given", "content")
    parts = read_content(content, "content")
    word = top.text("stop_reason")
    reason, detail = read_reason(word) if word else (None, "")
    usage, usage_rest = read_usage(top.take("usage"))
    if usage_rest:
        top.put_back("usage", usage_rest)
    return Response(
        origin=HOME,
        id=top.text("id") or "",
        model=top.text("model") or "",
        parts=parts,
        finish=reason,
        finish_detail=detail,
        stop_sequence=top.text("stop_sequence") or "",
        usage=usage,
        extra=top.rest(),
    )


def encode_response(response: Response, reply: Reply) -> Encoded:
    losses = Losses("Anthropic Messages")
    if response.others:
        losses.only_one()
    home = response.origin is HOME
    content: list[Json] = []
    for part in response.parts:
        declare(part, home, losses)
        block = _block(part, losses)
        if block is not None:
            content.append(overlay(block, part.extra) if home and not isinstance(part, Opaque) else block)
            if not home and isinstance(part, Text) and (cited := take_citations(part)[0]):
                block[BLOCKS_KEY] = locations(cited, len(part.text), losses)
    rest = response.extra
    if not home:
        texts = [part.text for part in response.parts if isinstance(part, Text)]
        late, rest = take_late(rest, response.origin, texts)
        is_open = tells_late(response.origin) and bool(response.parts) and isinstance(response.parts[-1], Text)
        if late_ones := late_locations(late, texts, is_open, losses):
            content[-1].setdefault(BLOCKS_KEY, []).extend(late_ones)
    word = None
    if response.finish is not None:
        calls = any(isinstance(part, ToolCall) for part in response.parts)
        refused = any(isinstance(part, Refusal) for part in response.parts)
        word = write_reason(
            response.finish, response.finish_detail, home=home, calls=calls, refused=refused, losses=losses
        )
    body: Json = {
        "id": reply.id or response.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model or response.model,
        "content": content,
        "stop_reason": word,
        "stop_sequence": response.stop_sequence or None,
        "usage": write_usage(response.usage or Usage(), losses),
    }
    if home:
        overlay(body, response.extra)
    else:
        losses.unknown(rest)
    return Encoded(to_json(body), losses.all())


def declare(part: Part, home: bool, losses: Losses) -> None:
    """Declare what an answer's part says that Anthropic cannot."""
    match part:
        case Opaque():
            if part.origin is not HOME:
                losses.dropped(f"choices.message.{part.slot or 'content'}.{part.kind}")
        case Refusal():
            losses.approximated("choices.message.refusal", "said as text")
            losses.unknown(part.extra, "choices.message")
        case Text() | Reasoning() | ToolCall():
            if isinstance(part, Reasoning | ToolCall) and part.signature and not home:
                losses.signature("choices.message")
            if isinstance(part, ToolCall):
                declare_call(part, losses, "a tool's input", "choices.message")
            if not home:
                losses.unknown(take_citations(part)[1], "choices.message")
        case _:
            losses.unsayable(part, "choices.message.content", "an answer")


def locations(cited: list[Citation], length: int, losses: Losses) -> list[Json]:
    """``citations`` of a block of ``length`` characters."""
    for citation in cited:
        if citation.span(length) != (0, length):
            losses.approximated("choices.message.annotations", "Anthropic cites with a whole block of text")
        losses.unknown(citation.extra, "choices.message.annotations")
    return [location(citation) for citation in cited]


def late_locations(late: list[tuple[int, Citation]], texts: list[str], is_open: bool, losses: Losses) -> list[Json]:
    """``citations`` of the last text, of what is told of all of them when the answer has ended. ``is_open``: whether no
    other block has followed it."""
    last = len(texts) - 1
    if any(number != last or not is_open for number, _ in late):
        losses.dropped("choices.message.annotations", "told only after the block had ended")
    cited = [citation for number, citation in late if number == last] if is_open else []
    return locations(cited, len(texts[last]), losses) if cited else []


def _block(part: Part, losses: Losses) -> Json | None:
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Reasoning():  # a signature is never made up: an empty one says that there is none
            signature = part.signature if part.origin is HOME else ""
            return {"type": "thinking", "thinking": part.text, "signature": signature}
        case ToolCall():
            arguments: Json | None = {INPUT: part.arguments} if part.freeform else {}
            if part.arguments.strip() and not part.freeform:
                arguments = json_object(part.arguments)
            if arguments is None:
                losses.approximated("choices.message.tool_calls.function.arguments", "not a JSON object; given empty")
                arguments = {}
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
        case Opaque() if part.origin is HOME:
            return part.data
        case _:
            return None
