"""An answer that came whole, both ways, and the words answers share with streams."""

from typing import Any, Final

from omni_wire.errors import WireError, upstream_message
from omni_wire.usage import Usage, count_of

from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.cohere_chat.content import HOME, PLAN, read_call, read_content, read_plan, write_call
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

# Those without a word of their own in version 2 (a filter, the model's window) have one in version 1, and the field is
# an open one.
_REASONS: Final = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP_SEQUENCE,
    "MAX_TOKENS": FinishReason.LENGTH,
    "ERROR_LIMIT": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
    "ERROR_TOXIC": FinishReason.CONTENT_FILTER,
}
_WORDS: Final = {
    FinishReason.STOP: "COMPLETE",
    FinishReason.STOP_SEQUENCE: "STOP_SEQUENCE",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.TOOL_CALLS: "TOOL_CALL",
    FinishReason.CONTENT_FILTER: "ERROR_TOXIC",
    FinishReason.PAUSE: "COMPLETE",
    FinishReason.OTHER: "COMPLETE",
}
FAILURES: Final = {
    "ERROR": "the provider could not complete the answer",
    "TIMEOUT": "the provider ran out of time before the answer was complete",
}


def read_reason(word: str) -> tuple[FinishReason, str]:
    """The canonical reason, and the word itself where the reason does not say it all."""
    known = _REASONS.get(word, FinishReason.OTHER)
    return known, "" if _WORDS[known] == word and known is not FinishReason.OTHER else word


def write_reason(reason: FinishReason, detail: str, stop_sequence: str, *, home: bool, losses: Losses) -> str:
    if detail and home:
        return detail
    word = _WORDS[reason]
    if detail or reason in (FinishReason.PAUSE, FinishReason.OTHER):
        losses.approximated("finish_reason", f"{detail or reason.value} is said as {word}")
    if stop_sequence:
        losses.dropped("stop_sequence")
    return word


# ---- usage ----------------------------------------------------------------------------------------------------------


def _count(value: Any) -> int:
    """A count, or 0: a provider's odd usage is no reason to lose its answer. Cohere's counts may be floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return count_of(value)


def read_usage(value: Any) -> tuple[Usage | None, Json]:
    """Usage in our convention, and the keys of it that have no place there.

    Cohere counts twice: what it bills, which counts here, and all tokens, those of its own instructions too.
    """
    if not isinstance(value, dict):
        return None, {}
    rest = dict(value)
    billed, tokens = rest.pop("billed_units", None), rest.pop("tokens", None)
    units = dict(billed) if isinstance(billed, dict) else {}
    whole = dict(tokens) if isinstance(tokens, dict) else {}
    counted = units if "input_tokens" in units or "output_tokens" in units else whole
    given, said = _count(counted.get("input_tokens")), _count(counted.get("output_tokens"))
    cached = _count(rest.pop("cached_tokens", None))
    if whole and whole != {"input_tokens": given, "output_tokens": said}:
        rest["tokens"] = whole
    units = {key: count for key, count in units.items() if key not in ("input_tokens", "output_tokens")}
    if units:
        rest["billed_units"] = units
    return Usage(max(given, cached), cached, output_tokens=said), rest


def write_usage(usage: Usage, rest: Json, losses: Losses) -> Json:
    """``rest`` is what ``read_usage`` left over, for an answer that goes home."""
    if usage.cache_write_tokens:
        losses.dropped("usage.cache_creation_input_tokens")
    if usage.reasoning_tokens:
        losses.dropped("usage.completion_tokens_details.reasoning_tokens")
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    out: Json = {"billed_units": dict(counts), "tokens": rest.get("tokens", counts)}
    if usage.cached_input_tokens:
        out["cached_tokens"] = usage.cached_input_tokens
    return overlay(out, rest)


# ---- parts ----------------------------------------------------------------------------------------------------------


class PartsOut:
    """What Cohere can say of an answer's parts; the rest is declared."""

    __slots__ = ("_calls", "_home", "_losses")

    def __init__(self, home: bool, losses: Losses) -> None:
        self._home = home
        self._losses = losses
        self._calls = False

    def declare(self, part: Part) -> bool:
        """Declare what ``part`` says that Cohere cannot; whether it can be said at all."""
        if self._calls and isinstance(part, Text | Reasoning | Refusal):
            self._losses.approximated("content", "order of thoughts, text and calls")
        match part:
            case Opaque():
                if part.origin is not HOME:
                    self._losses.dropped(f"content.{part.kind}")
                    return False
                return True
            case Refusal():
                self._losses.approximated("content.refusal", "said as text")
            case Reasoning():
                if part.signature:
                    self._losses.signature()
            case ToolCall():
                self._calls = True
            case Text():
                pass
            case _:
                self._losses.unsayable(part, "content", "an answer")
                return False
        if not self._home:
            self._losses.unknown(part.extra, "content")
        return True

    def block(self, part: Part) -> Json | None:
        """A block of the content without its text."""
        match part:
            case Text():
                return self._with(part.extra, {"type": "text", "text": ""})
            case Refusal():
                return {"type": "text", "text": ""}
            case Reasoning() if not self.is_plan(part):
                return self._with(part.extra, {"type": "thinking", "thinking": ""})
            case Opaque(slot=""):
                return part.data
            case _:
                return None

    def call(self, part: Part) -> Json | None:
        if isinstance(part, ToolCall):
            return self._with(part.extra, write_call(part, "content.tool_calls", self._losses))
        return part.data if isinstance(part, Opaque) and part.slot else None

    def is_plan(self, part: Part) -> bool:
        return self._home and isinstance(part, Reasoning) and part.item == PLAN

    def _with(self, extra: Json, block: Json) -> Json:
        return overlay(block, extra) if self._home else block


# ---- a whole answer -------------------------------------------------------------------------------------------------


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but an answer with a message, errors included."""
    top = Fields.of_body(body)
    word = top.text("finish_reason") or ""
    if word in FAILURES:
        raise WireError(FAILURES[word])
    if isinstance(top.peek("message"), str) or top.peek("error"):
        raise WireError(upstream_message(body))
    top.take("error")
    message = top.need_child("message")
    message.take("role")
    parts = [*read_plan(message), *read_content(message.take("content"), (message.place, "content"))]
    parts += [read_call(call) for call in message.each("tool_calls")]
    usage, usage_rest = read_usage(top.take("usage"))
    if usage_rest:
        top.put_back("usage", usage_rest)
    reason, detail = read_reason(word) if word else (None, "")
    return Response(
        origin=HOME,
        id=top.text("id") or "",
        model="",
        parts=tuple(parts),
        finish=reason,
        finish_detail=detail,
        usage=usage,
        extra=top.rest(),
    )


def encode_response(response: Response, reply: Reply) -> Encoded:
    losses = Losses("Cohere")
    if response.others:
        losses.only_one()
    home = response.origin is HOME
    body: Json = {"id": reply.id or response.id}
    if response.finish is not None:
        body["finish_reason"] = write_reason(
            response.finish, response.finish_detail, response.stop_sequence, home=home, losses=losses
        )
    body["message"] = _write_message(response.parts, PartsOut(home, losses))
    if response.usage is not None:
        rest = response.extra.get("usage", {}) if home else {}
        body["usage"] = write_usage(response.usage, rest if isinstance(rest, dict) else {}, losses)
    if home:
        overlay(body, response.extra)
    else:
        losses.unknown(response.extra)
    return Encoded(to_json(body), losses.all())


def _write_message(parts: tuple[Part, ...], writer: PartsOut) -> Json:
    plans: list[str] = []
    content: list[Json] = []
    calls: list[Json] = []
    for part in parts:
        if not writer.declare(part):
            continue
        if isinstance(part, Reasoning) and writer.is_plan(part):
            plans.append(part.text)
            continue
        block = writer.block(part)
        if block is None:
            call = writer.call(part)
            calls += [] if call is None else [call]
            continue
        if isinstance(part, Text | Reasoning | Refusal):
            block["thinking" if isinstance(part, Reasoning) else "text"] = part.text
        content.append(block)
    message: Json = {"role": "assistant"}
    if content or not calls:
        message["content"] = content
    if plans:
        message[PLAN] = "".join(plans)
    if calls:
        message["tool_calls"] = calls
    return message
