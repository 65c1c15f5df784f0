"""A chat completion that came whole, both ways, and the words answers share with streams."""

from typing import Any, Final

from omni_wire.errors import WireError, upstream_message
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.openai_chat.content import HOME, read_content
from omni_translator.domain.codecs.openai_chat.decode import read_call
from omni_translator.domain.codecs.openai_chat.order import OrderWatch
from omni_translator.domain.fields import Fields, overlay, to_json
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

_REASONS: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_WORDS: Final = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.PAUSE: "stop",
    FinishReason.OTHER: "stop",
}


def read_reason(word: str) -> tuple[FinishReason, str]:
    """The canonical reason, and the word itself where the reason does not say it all."""
    known = _REASONS.get(word)
    if known is not None:
        return known, ""
    # The deprecated functions API, still spoken by some providers.
    return (FinishReason.TOOL_CALLS if word == "function_call" else FinishReason.OTHER), word


def write_reason(reason: FinishReason, detail: str, stop_sequence: str, home: bool, losses: Losses) -> str:
    if detail and home:
        return detail
    if detail or reason is FinishReason.PAUSE:
        losses.approximated("stop_reason", f"{detail or reason.value} is said as {_WORDS[reason]}")
    if reason is FinishReason.STOP_SEQUENCE:
        losses.approximated("stop_reason", "chat does not tell a stop sequence from an end")
    if stop_sequence:
        losses.dropped("stop_sequence")
    return _WORDS[reason]


# ---- usage ----------------------------------------------------------------------------------------------------------


def _count(value: Any) -> int:
    """A count, or 0: a provider's odd usage is no reason to lose its answer."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def read_usage(value: Any) -> tuple[Usage | None, Json]:
    """Usage in our convention, and the keys of it that have no place there. None when there is none."""
    if not isinstance(value, dict):
        return None, {}
    rest = dict(value)
    prompt, output = _count(rest.pop("prompt_tokens", 0)), _count(rest.pop("completion_tokens", 0))
    total = _count(rest.pop("total_tokens", 0))
    cached, written = _details(rest, "prompt_tokens_details", "cached_tokens", "cache_write_tokens")
    reasoning, _ = _details(rest, "completion_tokens_details", "reasoning_tokens", "")
    if not cached:  # DeepSeek's name for it
        cached = _count(rest.get("prompt_cache_hit_tokens"))
    if reasoning and total == prompt + output + reasoning:  # xAI counts thoughts beside the completion
        output += reasoning
    return Usage(max(prompt, cached + written), cached, written, max(output, reasoning), reasoning), rest


def _details(rest: Json, key: str, first: str, second: str) -> tuple[int, int]:
    details = rest.pop(key, None)
    if not isinstance(details, dict):
        return 0, 0
    left = dict(details)
    counts = _count(left.pop(first, 0)), _count(left.pop(second, 0))
    if left:
        rest[key] = left
    return counts


def write_usage(usage: Usage) -> Json:
    prompt: Json = {"cached_tokens": usage.cached_input_tokens}
    if usage.cache_write_tokens:  # OpenRouter's name; OpenAI has none
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


# ---- a whole completion ---------------------------------------------------------------------------------------------


def error_of(body: Json) -> str | None:
    """The message of a body or a chunk that is an error though the status said otherwise."""
    if body.get("error") or body.get("object") == "error":
        return upstream_message(to_json(body))
    return None


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but a completion with at least one choice, errors included."""
    top = Fields.of_body(body)
    error = error_of({"error": top.peek("error"), "object": top.peek("object"), "message": top.peek("message")})
    if error is not None:
        raise WireError(error)
    for envelope in ("object", "created", "error"):
        top.take(envelope)
    choices = top.items("choices")
    if not choices:
        raise WireError("choices must hold at least one choice", "choices")
    choice = Fields(choices[0], "choices[0]")
    choice.take("index")
    word = choice.text("finish_reason")
    reason, detail = read_reason(word) if word else (None, "")
    parts = _read_message(choice.need_child("message"))
    left = choice.rest()
    if left or len(choices) > 1:
        top.put_back("choices", [left, *choices[1:]])
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
        usage=usage,
        extra=top.rest(),
    )


def _read_message(message: Fields) -> tuple[Part, ...]:
    message.take("role")
    parts: list[Part] = []
    thought = message.text("reasoning_content")
    if thought is None and isinstance(message.peek("reasoning"), str):
        thought = message.text("reasoning")
    if thought:
        parts.append(Reasoning(text=thought, origin=HOME))
    parts.extend(read_content(message.take("content"), message.at("content")))
    refusal = message.text("refusal")
    if refusal:
        parts.append(Refusal(refusal))
    parts.extend(read_call(call) for call in message.each("tool_calls"))
    return tuple(parts)


def encode_response(response: Response, reply: Reply) -> Encoded:
    losses = Losses("OpenAI Chat")
    home = response.origin is HOME
    message = _write_message(response.parts, home, losses)
    word = None
    if response.finish is not None:
        word = write_reason(response.finish, response.finish_detail, response.stop_sequence, home, losses)
    body: Json = {
        "id": reply.id or response.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model or response.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": word}],
    }
    if response.usage is not None:
        body["usage"] = write_usage(response.usage)
    if home:
        if _says_logprobs(response.extra):
            del body["choices"][0]["logprobs"]
        overlay(body, response.extra)
    else:
        losses.unknown(response.extra)
    return Encoded(to_json(body), losses.all())


def _says_logprobs(extra: Json) -> bool:
    choices = extra.get("choices")
    return isinstance(choices, list) and bool(choices) and "logprobs" in choices[0]


def _write_message(parts: tuple[Part, ...], home: bool, losses: Losses) -> Json:
    order = OrderWatch(losses, "content", joins_text=True)
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    calls: list[Json] = []
    for part in parts:
        order.see(part)
        declare(part, home, losses)
        match part:
            case Text():
                texts.append(part.text)
            case Reasoning():
                thoughts.append(part.text)
            case Refusal():
                refusals.append(part.text)
            case ToolCall():
                function = {"name": part.name, "arguments": part.arguments}
                call: Json = {"id": part.id, "type": "function", "function": function}
                calls.append(overlay(call, part.extra) if home else call)
            case Opaque(slot="tool_calls") if home and part.origin is HOME:
                calls.append(part.data)
            case _:
                pass
    message: Json = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) or None,
    }
    if thoughts:
        message["reasoning_content"] = "\n\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def declare(part: Part, home: bool, losses: Losses) -> None:
    """Declare what an answer's part says that chat cannot."""
    match part:
        case Text() | Refusal():
            if not home or isinstance(part, Refusal):
                losses.unknown(part.extra, "content")
        case Reasoning():
            if part.signature:
                losses.dropped("content.signature", "a signature is worth something to its origin only")
            losses.unknown(part.extra, "content")
        case ToolCall():
            if part.signature:
                losses.dropped("content.signature", "a signature is worth something to its origin only")
            if part.namespace:
                losses.dropped("content.function_call.namespace")
            if part.freeform:
                losses.approximated("content.custom_tool_call", "its text is given as a function's arguments")
            if not home:
                losses.unknown(part.extra, "content")
        case Opaque():
            if part.origin is not WireFormat.OPENAI_CHAT or part.slot != "tool_calls":
                losses.dropped(f"content.{part.kind}")
        case _:
            losses.dropped(f"content.{type(part).__name__.lower()}", "not sayable in an answer")
