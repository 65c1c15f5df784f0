"""The words that requests and answers of Kiro's share."""

import hashlib
from typing import Any, Final

from omni_wire.formats import WireFormat
from omni_wire.usage import Usage, count_of

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import FinishReason, Json

HOME: Final = WireFormat.KIRO_CONVERSATION
TRIGGER: Final = "MANUAL"
ORIGIN: Final = "AI_EDITOR"
IMAGES: Final = ("png", "jpeg", "gif", "webp")

_REASONS: Final = {
    "END_TURN": FinishReason.STOP,
    "TOOL_USE": FinishReason.TOOL_CALLS,
    "MAX_TOKENS": FinishReason.LENGTH,
    "CONTENT_FILTERED": FinishReason.CONTENT_FILTER,
    "PAUSE_TURN": FinishReason.PAUSE,
}
_WORDS: Final = {reason: word for word, reason in _REASONS.items()} | {
    FinishReason.STOP_SEQUENCE: "END_TURN",
    FinishReason.OTHER: "UNKNOWN",
}


def conversation_id(first: str) -> str:
    """The same for every request of one conversation, without a memory: made of its first turn's words."""
    digest = hashlib.sha256(first.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def read_reason(word: str) -> tuple[FinishReason, str]:
    """The canonical reason, and the word itself where the reason does not say it all."""
    known = _REASONS.get(word)
    if known is not None:
        return known, ""
    return (FinishReason.LENGTH if word == "MODEL_CONTEXT_WINDOW_EXCEEDED" else FinishReason.OTHER), word


def write_reason(
    reason: FinishReason, detail: str, stop_sequence: str, *, home: bool, calls: bool, losses: Losses
) -> str:
    if stop_sequence:
        losses.dropped("stop_sequence")
    if detail and home:
        return detail
    word = _WORDS[reason]
    if detail or reason in (FinishReason.STOP_SEQUENCE, FinishReason.OTHER):
        losses.approximated("finish_reason", f"{detail or reason.value} is said as {word}")
    return "TOOL_USE" if reason is FinishReason.STOP and calls and not home else word


def read_usage(value: Any) -> tuple[Usage | None, Json]:
    """Usage in our convention, where it is told at all, and the keys that have no place there."""
    if not isinstance(value, dict) or not value:
        return None, {}
    rest = dict(value)
    rest.pop("totalTokens", None)
    fresh, cached = count_of(rest.pop("uncachedInputTokens", 0)), count_of(rest.pop("cacheReadInputTokens", 0))
    written, output = count_of(rest.pop("cacheWriteInputTokens", 0)), count_of(rest.pop("outputTokens", 0))
    return Usage(fresh + cached + written, cached, written, output), rest


def write_usage(usage: Usage, losses: Losses) -> Json:
    if usage.reasoning_tokens:
        losses.dropped("usage.completion_tokens_details.reasoning_tokens")
    return {
        "uncachedInputTokens": max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens),
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_input_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }
