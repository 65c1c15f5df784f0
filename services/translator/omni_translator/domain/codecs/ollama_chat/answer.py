"""An answer that came whole, both ways, and the words answers share with streams."""

from datetime import UTC, datetime
from typing import Any, Final

from omni_wire.errors import WireError, upstream_message
from omni_wire.usage import Usage, count_of

from omni_translator.domain import call_ids
from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.ollama_chat.content import HOME, VENDOR, read_call, write_call
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

# When it was, and how long it took: of no meaning anywhere else.
CLOCKS: Final = ("created_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration")

# Ollama says "stop" and "length" of an answer, "load" and "unload" where there was none to give. The field is an open
# text, so a filter is named there rather than hidden behind an end that it was not.
_REASONS: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_WORDS: Final = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.TOOL_CALLS: "stop",
    FinishReason.PAUSE: "stop",
    FinishReason.OTHER: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
}


def read_reason(word: str, *, calls: bool) -> tuple[FinishReason, str]:
    """Of an answer that is done; servers before 0.1.33 give no word. One that calls tools ends like any other."""
    if not word:
        word = "stop"
    known = _REASONS.get(word, FinishReason.OTHER)
    if known is FinishReason.STOP and calls:
        return FinishReason.TOOL_CALLS, ""
    return known, word if known is FinishReason.OTHER else ""


def write_reason(
    reason: FinishReason, detail: str, stop_sequence: str, *, home: bool, calls: bool, losses: Losses
) -> str:
    """``calls`` says whether the answer held any."""
    if detail and home:
        return detail
    word = _WORDS[reason]
    odd = reason in (FinishReason.PAUSE, FinishReason.OTHER) or (reason is FinishReason.TOOL_CALLS and not calls)
    if detail or odd:
        losses.approximated("finish_reason", f"{detail or reason.value} is said as {word}")
    if reason is FinishReason.STOP_SEQUENCE:
        losses.approximated("finish_reason", "Ollama does not tell a stop sequence from an end")
    if stop_sequence:
        losses.dropped("stop_sequence")
    return word


# ---- usage ----------------------------------------------------------------------------------------------------------


def read_usage(top: Fields) -> Usage | None:
    given, said = top.take("prompt_eval_count"), top.take("eval_count")
    if given is None and said is None:
        return None
    return Usage(count_of(given), output_tokens=count_of(said))


def write_usage(usage: Usage | None, losses: Losses) -> Json:
    if usage is None:
        return {}
    if usage.cached_input_tokens:
        losses.dropped("usage.prompt_tokens_details.cached_tokens")
    if usage.cache_write_tokens:
        losses.dropped("usage.cache_creation_input_tokens")
    if usage.reasoning_tokens:
        losses.dropped("usage.completion_tokens_details.reasoning_tokens")
    return {"prompt_eval_count": usage.input_tokens, "eval_count": usage.output_tokens}


# ---- parts ----------------------------------------------------------------------------------------------------------


class CallReader:
    """Reads an answer's calls. One without an id gets one from when it was made, what it says and its number."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def read(self, call: Fields, moment: Any) -> ToolCall:
        own, number = call.peek("id"), self.calls
        self.calls += 1
        if isinstance(own, str) and own:
            return read_call(call, own)
        place = to_json([moment, call.peek("function")]).decode("utf-8", "replace")
        return read_call(call, call_ids.made_id(VENDOR, place, number))


class PartsOut:
    """What Ollama can say of an answer's parts; the rest is declared."""

    __slots__ = ("_home", "_losses", "_order", "calls")

    def __init__(self, home: bool, losses: Losses) -> None:
        self._home = home
        self._losses = losses
        self._order = OrderWatch(losses, "content", joins_text=True)
        self.calls = 0  # written so far

    def declare(self, part: Part) -> bool:
        """Declare what ``part`` says that Ollama cannot; whether it can be said at all."""
        self._order.see(Text(part.text) if isinstance(part, Refusal) else part)
        match part:
            case Refusal():
                self._losses.approximated("content.refusal", "said as text")
            case Reasoning():
                if part.signature:
                    self._losses.signature()
            case Opaque():
                self._losses.dropped(f"content.{part.kind}")
                return False
            case Text() | ToolCall():
                pass
            case _:
                self._losses.unsayable(part, "content", "an answer")
                return False
        if not self._home or not isinstance(part, ToolCall):
            self._losses.unknown(part.extra, "content")
        return True

    def call(self, call: ToolCall) -> Json:
        """A whole call, with its id, made here or not: whoever gives it back need not be asked whose result it has.
        ``declare`` has been asked about it."""
        out = write_call(call, "content.tool_calls", self._losses)
        out["function"] = {"index": self.calls} | out["function"]
        self.calls += 1
        return overlay(out, call.extra) if self._home else out


# ---- a whole answer -------------------------------------------------------------------------------------------------


def moment(created: int) -> str:
    """Seconds of the epoch as Ollama writes a time."""
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but an answer with a message, errors included."""
    top = Fields.of_body(body)
    if top.peek("error"):
        raise WireError(upstream_message(body))
    top.take("error")
    created = top.peek("created_at")
    for clock in CLOCKS:
        top.take(clock)
    message, reader = top.need_child("message"), CallReader()
    parts = _read_message(message, reader, created)
    word, reason, detail = top.text("done_reason") or "", None, ""
    if top.flag("done"):
        reason, detail = read_reason(word, calls=reader.calls > 0)
    return Response(
        origin=HOME,
        id="",
        model=top.text("model") or "",
        parts=parts,
        finish=reason,
        finish_detail=detail,
        usage=read_usage(top),
        extra=top.rest(),
    )


def _read_message(message: Fields, reader: CallReader, created: Any) -> tuple[Part, ...]:
    message.take("role")
    parts: list[Part] = []
    thought, content = message.text("thinking"), message.text("content")
    if thought:
        parts.append(Reasoning(text=thought, origin=HOME))
    if content:
        parts.append(Text(content))
    parts += [reader.read(call, created) for call in message.each("tool_calls")]
    return tuple(parts)


def encode_response(response: Response, reply: Reply) -> Encoded:
    losses = Losses("Ollama")
    if response.others:
        losses.only_one()
    home = response.origin is HOME
    writer = PartsOut(home, losses)
    message = _write_message(response.parts, writer)
    body: Json = {
        "model": reply.model or response.model,
        "created_at": moment(reply.created),
        "message": message,
        "done": response.finish is not None,
    }
    if response.finish is not None:
        body["done_reason"] = write_reason(
            response.finish,
            response.finish_detail,
            response.stop_sequence,
            home=home,
            calls=writer.calls > 0,
            losses=losses,
        )
    body |= write_usage(response.usage, losses)
    if home:
        overlay(body, response.extra)
    else:
        losses.unknown(response.extra)
    return Encoded(to_json(body), losses.all())


def _write_message(parts: tuple[Part, ...], writer: PartsOut) -> Json:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for part in parts:
        if not writer.declare(part):
            continue
        match part:
            case Text() | Refusal():
                texts.append(part.text)
            case Reasoning():
                thoughts.append(part.text)
            case ToolCall():
                calls.append(writer.call(part))
            case _:
                pass
    message: Json = {"role": "assistant", "content": "".join(texts)}
    if any(thoughts):
        message["thinking"] = "\n\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message
