"""A chat completion that came whole, both ways, and the words answers share with streams."""

from typing import Any, Final

import msgspec
from omni_wire.errors import WireError, upstream_message
from omni_wire.formats import WireFormat
from omni_wire.usage import Apart, Usage, apart, count_of, unreadable

from omni_translator.domain.choices import answers
from omni_translator.domain.citations import (
    KEY,
    are_annotations,
    from_chat,
    in_chat,
    take_citations,
    take_late,
    to_chat,
)
from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.openai_chat.content import HOME, read_content
from omni_translator.domain.codecs.openai_chat.decode import read_call
from omni_translator.domain.codecs.openai_chat.order import OrderWatch
from omni_translator.domain.fields import Fields, overlay, to_json
from omni_translator.domain.logprobs import are_tokens, take_from_part, take_told
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Choice,
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
from omni_translator.domain.plain import declare_call

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


def read_usage(value: Any, tier: Any = None) -> tuple[Usage | None, Json]:
    """Usage in our convention, and the keys of it that have no place there. None when there is none. ``tier`` is told
    beside it."""
    if not isinstance(value, dict):
        return None, {}
    rest = dict(value)
    told = rest.pop("prompt_tokens", 0), rest.pop("completion_tokens", 0)
    prompt, output = map(count_of, told)
    total = count_of(rest.pop("total_tokens", 0))
    cached, written = _details(rest, "prompt_tokens_details", "cached_tokens", "cache_write_tokens")
    reasoning, _ = _details(rest, "completion_tokens_details", "reasoning_tokens", "")
    if not cached:  # DeepSeek's name for it
        cached = count_of(rest.get("prompt_cache_hit_tokens"))
    if reasoning and total == prompt + output + reasoning:  # xAI counts thoughts beside the completion
        output += reasoning
    return Usage(
        max(prompt, cached + written),
        cached,
        written,
        max(output, reasoning),
        reasoning,
        apart=_apart(rest, tier),
        suspect=unreadable(*told),
    ), rest


def _apart(rest: Json, tier: Any) -> Apart | None:
    """Looked at only: they go on to a client of this format as they are."""
    inputs, outputs = rest.get("prompt_tokens_details", {}), rest.get("completion_tokens_details", {})
    return apart(
        audio_input=inputs.get("audio_tokens"),
        image_input=inputs.get("image_tokens"),
        audio_output=outputs.get("audio_tokens"),
        image_output=outputs.get("image_tokens"),
        tier=tier,
    )


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
    answer_id = top.text("id") or ""
    first, *others = [_read_choice(Fields(choice, ("choices", at)), answer_id, at) for at, choice in enumerate(choices)]
    if first.extra:
        top.put_back("choices", [first.extra])
    usage, usage_rest = read_usage(top.take("usage"), top.peek("service_tier"))
    if usage_rest:
        top.put_back("usage", usage_rest)
    return Response(
        origin=HOME,
        id=answer_id,
        model=top.text("model") or "",
        parts=first.parts,
        finish=first.finish,
        finish_detail=first.finish_detail,
        usage=usage,
        others=tuple(others),
        extra=top.rest(),
    )


def _read_choice(choice: Fields, answer_id: str, at: int) -> Choice:
    choice.take("index")
    word = choice.text("finish_reason")
    reason, detail = read_reason(word) if word else (None, "")
    message = choice.need_child("message")
    parts = _with_tokens(
        _with_citations(_read_message(message, f"{answer_id}_{at}" if at else answer_id), message), choice
    )
    return Choice(parts=parts, finish=reason, finish_detail=detail, extra=choice.rest())


def _with_citations(parts: tuple[Part, ...], message: Fields) -> tuple[Part, ...]:
    """Put the annotations of the message to its text."""
    listed = message.peek(KEY)
    at = _first_text(parts)
    if at < 0 or not are_annotations(listed):
        return parts
    message.take(KEY)
    return _noted(parts, at, {KEY: from_chat(listed)})


def _first_text(parts: tuple[Part, ...]) -> int:
    return next((at for at, part in enumerate(parts) if isinstance(part, Text)), -1)


def _noted(parts: tuple[Part, ...], at: int, more: Json) -> tuple[Part, ...]:
    text = parts[at]
    if isinstance(text, Text):
        text = msgspec.structs.replace(text, extra=text.extra | more)
    return (*parts[:at], text, *parts[at + 1 :])


def _with_tokens(parts: tuple[Part, ...], choice: Fields) -> tuple[Part, ...]:
    """Put the log probabilities of the choice's content to the text they are of."""
    told = choice.peek("logprobs")
    if not isinstance(told, dict) or not are_tokens(told.get("content")):
        return parts
    at = _first_text(parts)
    return parts if at < 0 else _noted(parts, at, {"logprobs": choice.need_child("logprobs").take("content")})


def made_id(answer_id: str, number: int) -> str:
    """The id of the ``number``-th call of an answer whose provider gives calls none, or empty ones: others could not
    tell two such calls apart."""
    return f"call_{answer_id}_{number}"


def _read_message(message: Fields, answer_id: str) -> tuple[Part, ...]:
    message.take("role")
    parts: list[Part] = []
    thought = message.text("reasoning_content")
    if thought is None and isinstance(message.peek("reasoning"), str):
        thought = message.text("reasoning")
    if thought:
        parts.append(Reasoning(text=thought, origin=HOME))
    parts.extend(read_content(message.take("content"), (message.place, "content")))
    refusal = message.text("refusal")
    if refusal:
        parts.append(Refusal(refusal))
    for number, item in enumerate(message.each("tool_calls")):
        call = read_call(item)
        nameless = isinstance(call, ToolCall) and not call.id
        parts.append(msgspec.structs.replace(call, id=made_id(answer_id, number)) if nameless else call)
    return tuple(parts)


def encode_response(response: Response, reply: Reply) -> Encoded:
    losses = Losses("OpenAI Chat")
    home = response.origin is HOME
    choices = [_write_choice(at, choice, response.origin, losses) for at, choice in enumerate(answers(response))]
    body: Json = {
        "id": reply.id or response.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model or response.model,
        "choices": choices,
    }
    if response.usage is not None:
        body["usage"] = write_usage(response.usage)
    if home:
        overlay(body, {key: value for key, value in response.extra.items() if key != "choices"})
    return Encoded(to_json(body), losses.all())


def _write_choice(at: int, choice: Choice, origin: WireFormat, losses: Losses) -> Json:
    """One of the answers, its ``extra`` as in a whole one."""
    home = origin is HOME
    message = _write_message(choice.parts, home, losses)
    word = None
    if choice.finish is not None:
        word = write_reason(choice.finish, choice.finish_detail, choice.stop_sequence, home, losses)
    out: Json = {"index": at, "message": message, "logprobs": None, "finish_reason": word}
    tokens, rest = take_told(choice.extra, origin)
    for part in choice.parts:
        tokens = tokens + take_from_part(part)[0]
    if tokens:
        out["logprobs"] = {"content": tokens}
    if home:
        own = _own(choice.extra)
        if not tokens and "logprobs" in own:
            del out["logprobs"]
        overlay(out, own)
    else:
        texts = [part.text for part in choice.parts if isinstance(part, Text)]
        cited, rest = take_late(rest, origin, texts)
        if cited:
            message[KEY] = message.get(KEY, []) + in_chat(texts, cited)
        losses.unknown(rest)
    if tokens:
        out["logprobs"].setdefault("refusal", None)
    return out


def _own(extra: Json) -> Json:
    choices = extra.get("choices")
    own = choices[0] if isinstance(choices, list) and choices else {}
    return own if isinstance(own, dict) else {}


def _write_message(parts: tuple[Part, ...], home: bool, losses: Losses) -> Json:
    order = OrderWatch(losses, "content", joins_text=True)
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    calls: list[Json] = []
    notes: list[Json] = []
    for part in parts:
        order.see(part)
        declare(part, home, losses)
        match part:
            case Text():
                texts.append(part.text)
                listed = part.extra.get(KEY)
                if not home:
                    notes += in_chat(texts, [(len(texts) - 1, cited) for cited in take_citations(part)[0]])
                elif are_annotations(listed):
                    notes += to_chat(part.extra[KEY], sum(map(len, texts[:-1])))
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
    if notes:
        message[KEY] = notes
    return message


def declare(part: Part, home: bool, losses: Losses) -> None:
    """Declare what an answer's part says that chat cannot."""
    match part:
        case Text() | Refusal():
            if not home or isinstance(part, Refusal):
                losses.unknown(take_citations(part, take_from_part(part)[1])[1], "content")
        case Reasoning():
            if part.signature:
                losses.signature()
            losses.unknown(part.extra, "content")
        case ToolCall():
            if part.signature:
                losses.signature()
            declare_call(part, losses, "a function's arguments")
            if not home:
                losses.unknown(part.extra, "content")
        case Opaque():
            if part.origin is not WireFormat.OPENAI_CHAT or part.slot != "tool_calls":
                losses.dropped(f"content.{part.kind}")
        case _:
            losses.unsayable(part, "content", "an answer")
