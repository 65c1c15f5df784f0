"""An answer that came whole, both ways, and the words answers share with streams.

A ``response`` object also repeats the request's settings. They say nothing about the answer, so they are left behind.
"""

from typing import Final

import msgspec
from omni_wire.errors import WireError, upstream_message
from omni_wire.usage import Usage, apart, count_of, unreadable

from omni_translator.domain.citations import take_citations
from omni_translator.domain.codecs.openai_responses.content import HOME, read_part
from omni_translator.domain.codecs.openai_responses.items import ITEM, read_call, read_reasoning
from omni_translator.domain.fields import Fields, to_json
from omni_translator.domain.logprobs import take_from_part
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

_REASONS: Final = {"max_output_tokens": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}
_WORDS: Final = {reason: word for word, reason in _REASONS.items()}

# The object's own frame, and the request's settings that it repeats.
ENVELOPE: Final = frozenset(
    {
        *("id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output"),
        *("usage", "background", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "moderation"),
        *("parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_retention"),
        *("prompt_cache_options", "reasoning", "safety_identifier", "store", "temperature", "text", "tool_choice"),
        *("tools", "top_logprobs", "top_p", "truncation", "user", "conversation", "billing"),
    }
)
_NO_TIER: Final = ("default", "auto")
SHARED: Final = ("message", "reasoning")  # items of several parts


def residue(response: Json) -> Json:
    """What a ``response`` object says beyond its frame."""
    left = {key: value for key, value in response.items() if key not in ENVELOPE and value is not None}
    if left.get("service_tier") in _NO_TIER:
        del left["service_tier"]
    return left


# ---- how it ended ---------------------------------------------------------------------------------------------------


def read_end(response: Json, called: bool) -> tuple[FinishReason | None, str]:
    """The canonical reason, and the provider's word where the reason does not say it all. None: not ended yet."""
    status = response.get("status")
    if status in (None, "completed"):
        return (FinishReason.TOOL_CALLS if called else FinishReason.STOP), ""
    details = response.get("incomplete_details")
    word = details.get("reason") if isinstance(details, dict) else None
    if status != "incomplete" or not isinstance(word, str):
        return None, ""
    known = _REASONS.get(word)
    return (FinishReason.OTHER, word) if known is None else (known, "")


def write_end(
    reason: FinishReason | None, detail: str, stop_sequence: str, *, home: bool, called: bool, losses: Losses
) -> tuple[str, Json | None]:
    """``status`` and ``incomplete_details``."""
    if stop_sequence:
        losses.dropped("stop_sequence")
    if reason is None:
        return "incomplete", None
    if detail and home:
        return "incomplete", {"reason": detail}
    word = _WORDS.get(reason)
    if detail:
        losses.approximated("finish_reason", f"{detail} is said as {word or 'completed'}")
    elif reason in (FinishReason.STOP_SEQUENCE, FinishReason.PAUSE, FinishReason.OTHER):
        losses.approximated("finish_reason", f"{reason.value} is said as completed")
    if reason is FinishReason.TOOL_CALLS and not called:
        losses.approximated("finish_reason", "only a call says that calls ended it")
    return ("completed", None) if word is None else ("incomplete", {"reason": word})


def error_of(response: Json) -> str | None:
    """The message of a ``response`` (or an error body) that says it failed."""
    if response.get("error") or response.get("status") == "failed" or response.get("object") == "error":
        message = upstream_message(to_json({key: response.get(key) for key in ("error", "message")}))
        return message if response.get("error") or response.get("message") else "the provider says that it failed"
    return None


# ---- usage ----------------------------------------------------------------------------------------------------------


def read_usage(response: Json) -> tuple[Usage | None, Json]:
    """Usage in our convention (it is OpenAI's: input includes the cached, output the thoughts), and its other keys."""
    value = response.get("usage")
    if not isinstance(value, dict):
        return None, {}
    rest = dict(value)
    told = rest.pop("input_tokens", 0), rest.pop("output_tokens", 0)
    given, said = map(count_of, told)
    rest.pop("total_tokens", None)
    cached, written = _details(rest, "input_tokens_details", "cached_tokens", "cache_write_tokens")
    reasoning, _ = _details(rest, "output_tokens_details", "reasoning_tokens", "")
    return Usage(
        max(given, cached + written),
        cached,
        written,
        max(said, reasoning),
        reasoning,
        apart=apart(tier=response.get("service_tier")),
        suspect=unreadable(*told),
    ), rest


def _details(rest: Json, key: str, first: str, second: str) -> tuple[int, int]:
    details = rest.pop(key, None)
    if not isinstance(details, dict):
        return 0, 0
    left = dict(details)
    counts = count_of(left.pop(first, 0)), count_of(left.pop(second, 0))
    if left:
        rest[key] = left
    return counts


def write_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


# ---- a whole response -----------------------------------------------------------------------------------------------


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but a response with its output, errors included."""
    top = Fields.of_body(body)
    whole = top.rest()
    error = error_of(whole)
    if error is not None:
        raise WireError(error)
    outputs = top.items("output")
    if outputs is None:
        raise WireError("output must be given", "output")
    name, model = top.text("id") or "", top.text("model") or ""
    parts: list[Part] = []
    residues: list[Json] = []
    for index, output in enumerate(outputs):
        item = Fields(output, ("output", index))
        shared = item.peek("type") in SHARED  # else the part has all of the item
        parts += read_output(item, f"call_{name}_{index}")
        residues.append(item.rest() if shared else {})
    called = any(isinstance(part, ToolCall) for part in parts)
    reason, detail = read_end(whole, called)
    usage, usage_rest = read_usage(whole)
    extra = residue(whole)
    if any(residues):
        extra["output"] = residues
    if usage_rest:
        extra["usage"] = usage_rest
    return Response(
        origin=HOME,
        id=name,
        model=model,
        parts=tuple(parts),
        finish=reason,
        finish_detail=detail,
        usage=usage,
        extra=extra,
    )


def read_output(item: Fields, call_id: str) -> tuple[Part, ...]:
    """The parts of an output item, at least one; what of the item is not theirs is left in it. ``call_id`` names a call
    that came without a name of its own."""
    match item.peek("type"):
        case "message":
            return _read_message(item)
        case "function_call" | "custom_tool_call" if isinstance(item.peek("name"), str) and item.peek("name"):
            call = read_call(item)
            if call.id:
                return (call,)
            return (msgspec.structs.replace(call, id=call_id),)
        case "reasoning":
            return read_reasoning(item)
        case _:
            return (Opaque(origin=HOME, data=item.rest(), slot=ITEM),)


def _read_message(item: Fields) -> tuple[Part, ...]:
    name = item.text("id") or ""
    for envelope in ("type", "role", "status"):
        item.take(envelope)
    content = item.take("content")
    if isinstance(content, str):
        return (Text(content, item=name),)
    if content is not None and not isinstance(content, list):
        raise item.wrong("content", "a list of parts")
    place = (item.place, "content")
    parts = [read_part(Fields(part, (place, index)), name) for index, part in enumerate(content or ())]
    return tuple(parts) or (Text("", item=name),)


def declare(part: Part, home: bool, losses: Losses) -> None:
    """Declare what an answer's part says that Responses cannot."""
    match part:
        case Opaque():
            if part.origin is not HOME:
                losses.dropped(f"content.{part.kind}")
        case Text() | Refusal() | Reasoning() | ToolCall():
            if isinstance(part, ToolCall) and part.signature:
                losses.signature()
            if not home:
                losses.unknown(take_citations(part, take_from_part(part)[1])[1], "content")
        case _:
            losses.unsayable(part, "content", "an answer")
