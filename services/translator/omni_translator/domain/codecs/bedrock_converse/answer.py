"""An answer that came whole, both ways, and the words answers share with streams."""

from typing import Any, Final

from omni_wire.errors import WireError, upstream_message
from omni_wire.usage import Usage, count_of

from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.bedrock_converse.content import HOME, read_blocks, write_text, write_thought
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
    "content_filtered": FinishReason.CONTENT_FILTER,
}
_MORE_REASONS: Final = {
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "model_context_window_exceeded": FinishReason.LENGTH,
}
_WORDS: Final = {reason: word for word, reason in _REASONS.items()} | {
    FinishReason.PAUSE: "end_turn",
    FinishReason.OTHER: "end_turn",
}


def read_reason(word: str) -> tuple[FinishReason, str]:
    """The canonical reason, and the word itself where the reason does not say it all."""
    known = _REASONS.get(word)
    return (known, "") if known is not None else (_MORE_REASONS.get(word, FinishReason.OTHER), word)


def write_reason(
    reason: FinishReason, detail: str, stop_sequence: str, *, home: bool, calls: bool, refused: bool, losses: Losses
) -> str:
    """``calls`` and ``refused`` say what the answer held: Bedrock always names these ends, others may say "stop"."""
    if stop_sequence:
        losses.dropped("stop_sequence")
    if detail and home:
        return detail
    if detail or reason in (FinishReason.PAUSE, FinishReason.OTHER):
        losses.approximated("finish_reason", f"{detail or reason.value} is said as {_WORDS[reason]}")
    if reason is FinishReason.STOP and not home:
        if calls:
            return "tool_use"
        if refused:
            return "content_filtered"
    return _WORDS[reason]


# ---- usage ----------------------------------------------------------------------------------------------------------


def read_usage(value: Any) -> tuple[Usage | None, Json]:
    """Usage in our convention, and the keys that have no place there.

    Bedrock's input leaves out what was read from the cache and written to it; ours includes both.
    """
    if not isinstance(value, dict):
        return None, {}
    rest = dict(value)
    for again in ("totalTokens", "cacheReadInputTokenCount", "cacheWriteInputTokenCount"):
        rest.pop(again, None)
    fresh, cached = count_of(rest.pop("inputTokens", 0)), count_of(rest.pop("cacheReadInputTokens", 0))
    written, output = count_of(rest.pop("cacheWriteInputTokens", 0)), count_of(rest.pop("outputTokens", 0))
    return Usage(fresh + cached + written, cached, written, output), rest


def write_usage(usage: Usage, losses: Losses) -> Json:
    if usage.reasoning_tokens:
        losses.dropped("usage.completion_tokens_details.reasoning_tokens")
    return {
        "inputTokens": max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_input_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }


# ---- a whole answer -------------------------------------------------------------------------------------------------


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but an answer, errors included."""
    top = Fields.of_body(body)
    output = top.child("output")
    message = output.child("message") if output is not None else None
    if message is None:
        raise WireError(upstream_message(body) if top.peek("message") else "output.message must be given", "output")
    message.take("role")
    parts = read_blocks(message.each("content"))
    word = top.text("stopReason")
    reason, detail = read_reason(word) if word else (None, "")
    usage, usage_rest = read_usage(top.take("usage"))
    if usage_rest:
        top.put_back("usage", usage_rest)
    take_metrics(top)
    return Response(
        origin=HOME,
        id="",
        model="",
        parts=parts,
        finish=reason,
        finish_detail=detail,
        usage=usage,
        extra=top.rest(),
    )


def take_metrics(holder: Fields) -> None:
    """How long it took Bedrock is no part of an answer."""
    if isinstance(holder.peek("metrics"), dict):
        holder.need_child("metrics").take("latencyMs")


def encode_response(response: Response, reply: Reply) -> Encoded:
    losses = Losses("Bedrock Converse")
    if response.others:
        losses.only_one()
    home = response.origin is HOME
    content: list[Json] = []
    for part in response.parts:
        declare(part, home, losses)
        block = _block(part, home, losses)
        if block is not None:
            content.append(overlay(block, part.extra) if home and not isinstance(part, Opaque) else block)
    word = None
    if response.finish is not None:
        word = write_reason(
            response.finish,
            response.finish_detail,
            response.stop_sequence,
            home=home,
            calls=any(isinstance(part, ToolCall) for part in response.parts),
            refused=any(isinstance(part, Refusal) for part in response.parts),
            losses=losses,
        )
    body: Json = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": word,
        "usage": write_usage(response.usage or Usage(), losses),
    }
    if home:
        overlay(body, response.extra)
    else:
        losses.unknown(response.extra)
    return Encoded(to_json(body), losses.all())


def declare(part: Part, home: bool, losses: Losses) -> None:
    """Declare what an answer's part says that Bedrock cannot."""
    match part:
        case Opaque():
            if part.origin is not HOME:
                losses.dropped(f"content.{part.slot or part.kind}")
        case Refusal():
            losses.approximated("content.refusal", "said as text")
            losses.unknown(part.extra, "content")
        case Text() | Reasoning() | ToolCall():
            if isinstance(part, Reasoning | ToolCall) and part.signature and not home:
                losses.signature()
            if isinstance(part, ToolCall):
                declare_call(part, losses, "a tool's input")
            if not home:
                losses.unknown(part.extra, "content")
        case _:
            losses.unsayable(part, "content", "an answer")


def _block(part: Part, home: bool, losses: Losses) -> Json | None:
    match part:
        case Text():
            return write_text(part, home)
        case Refusal():
            return {"text": part.text}
        case Reasoning():
            return write_thought(part)
        case ToolCall():
            given: Any = {INPUT: part.arguments} if part.freeform else {}
            if part.arguments.strip() and not part.freeform:
                given = json_object(part.arguments)
            if given is None:
                losses.approximated("content.tool_calls.function.arguments", "not a JSON object; given empty")
                given = {}
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": given}}
        case Opaque() if part.origin is HOME:
            return part.data
        case _:
            return None
