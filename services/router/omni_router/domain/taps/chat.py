"""OpenAI Chat (platform.openai.com/docs/api-reference/chat-streaming): chunks, and ``[DONE]`` at the end.

Only a usage chunk that the client did not ask for (the gateway did) is left out.
"""

from typing import Annotated, Any

import msgspec
from omni_wire.errors import UpstreamFailed
from omni_wire.sse import parse_event
from omni_wire.surrogates import decode
from omni_wire.usage import Apart, Usage, apart, count_of, unreadable

from omni_router.domain.taps.base import (
    NOT_JSON,
    StreamTap,
    broke_off,
    decode_answer,
    inner,
    not_json,
    refuse_error,
    tokens_in,
)


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    tool_calls: msgspec.Raw = msgspec.Raw()
    # Of these it is only looked at whether they say something: before an answer has begun.
    refusal: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    function_call: Any = None
    audio: Any = None
    images: Any = None


class _Choice(msgspec.Struct):
    index: Any = None
    delta: _Delta | None = None
    message: msgspec.Raw = msgspec.Raw()
    finish_reason: str | None = None


_Count = Annotated[int, msgspec.Meta(ge=0)] | None


class _Inputs(msgspec.Struct):
    cached_tokens: _Count = None
    cache_write_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None


class _Outputs(msgspec.Struct):
    reasoning_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None


class _Used(msgspec.Struct):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_cache_hit_tokens: _Count = None
    prompt_tokens_details: _Inputs | None = None
    completion_tokens_details: _Outputs | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: Any = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_USED = msgspec.json.Decoder(_Used)
_NO_INPUTS, _NO_OUTPUTS = _Inputs(), _Outputs()


def _usage(raw: msgspec.Raw, tier: Any) -> Usage | None:
    """``tier`` is told beside it."""
    if bytes(raw) == b"null":  # on every chunk but the last
        return None
    try:
        used = _USED.decode(raw)
    except msgspec.ValidationError:
        return _odd_usage(msgspec.json.decode(raw), tier)
    inputs, outputs = used.prompt_tokens_details or _NO_INPUTS, used.completion_tokens_details or _NO_OUTPUTS
    return _summed(
        used.prompt_tokens or 0,
        used.completion_tokens or 0,
        used.total_tokens or 0,
        inputs.cached_tokens or used.prompt_cache_hit_tokens or 0,  # the other: DeepSeek
        inputs.cache_write_tokens or 0,
        outputs.reasoning_tokens or 0,
        apart(
            audio_input=inputs.audio_tokens,
            image_input=inputs.image_tokens,
            audio_output=outputs.audio_tokens,
            image_output=outputs.image_tokens,
            tier=tier,
        ),
    )


def _odd_usage(found: Any, tier: Any) -> Usage | None:
    """Of one whose fields are not all what they should be: what can be read of it."""
    if not isinstance(found, dict):
        return None
    inputs, outputs = inner(found, "prompt_tokens_details"), inner(found, "completion_tokens_details")
    return _summed(
        count_of(found.get("prompt_tokens")),
        count_of(found.get("completion_tokens")),
        count_of(found.get("total_tokens")),
        count_of(inputs.get("cached_tokens")) or count_of(found.get("prompt_cache_hit_tokens")),
        count_of(inputs.get("cache_write_tokens")),
        count_of(outputs.get("reasoning_tokens")),
        apart(
            audio_input=inputs.get("audio_tokens"),
            image_input=inputs.get("image_tokens"),
            audio_output=outputs.get("audio_tokens"),
            image_output=outputs.get("image_tokens"),
            tier=tier,
        ),
        unreadable(found.get("prompt_tokens"), found.get("completion_tokens")),
    )


def _summed(
    given: int, said: int, total: int, cached: int, written: int, reasoning: int, told: Apart | None, suspect: str = ""
) -> Usage:
    if reasoning and total == given + said + reasoning:
        said += reasoning  # xAI counts thoughts beside the completion
    return Usage(
        max(given, cached + written), cached, written, max(said, reasoning), reasoning, apart=told, suspect=suspect
    )


class ChatStreamTap(StreamTap):
    __slots__ = ("_ended", "_open", "_relay_usage")

    def __init__(self, *, relay_usage: bool) -> None:
        super().__init__()
        self._relay_usage = relay_usage
        self._open: set[int] = set()  # choices begun and not ended
        self._ended: set[int] = set()

    @property
    def complete(self) -> bool:
        return self._done or (self._finished and not self._open)

    def _closing(self) -> bytes:
        return b"data: [DONE]\n\n"

    def _keep(self, raw: bytes) -> bool:
        if self._done:
            return False
        data = parse_event(raw).data
        if data is None:
            return True
        if data == b"[DONE]":
            self._done = True
            return True
        try:
            chunk = decode(_CHUNK, data)
        except msgspec.ValidationError:
            self.begun = True  # JSON of another shape: a vendor's own event, none of our business
            return True
        except NOT_JSON as error:
            not_json(data, error)
            return True
        if chunk.error is not None:
            raise broke_off(data)
        for choice in chunk.choices or ():
            self._watch(choice)
        if bytes(chunk.usage) != b"null":
            self._used(_usage(chunk.usage, chunk.service_tier))
            return self._relay_usage or bool(chunk.choices)
        return True

    def _watch(self, choice: _Choice) -> None:
        index = count_of(choice.index)
        if not choice.finish_reason:  # some spell "not yet" as an empty one
            if index not in self._ended:
                self._open.add(index)
        else:
            self._finished = True
            self._open.discard(index)
            self._ended.add(index)
            self.finish_reason = choice.finish_reason
            self.begun = True
        delta = choice.delta
        if delta is None:
            return
        size = 0
        for text in (delta.content, delta.reasoning_content):
            if isinstance(text, str):
                size += len(text.encode())
        if len(delta.tool_calls) > len(b"null"):
            size += len(delta.tool_calls)
        if size:
            self._events += 1
            self._bytes += size
            self.begun = True
        elif not self.begun:
            self.begun = _says_something(delta)


def _says_something(delta: _Delta) -> bool:
    """Whether a delta without a text or a call of ours is more than the announcement of a role."""
    found = (delta.content, delta.refusal, delta.reasoning, delta.reasoning_details, delta.function_call)
    return any(found) or bool(delta.audio or delta.images)


def read_answer(body: bytes) -> tuple[Usage | None, int]:
    """See ``taps.read_answer``."""
    answer = decode_answer(_CHUNK, body, "a chat completion")
    if answer.error is not None:
        refuse_error(body)
    if not answer.choices:
        raise UpstreamFailed("the provider's answer has no choices")
    return _usage(answer.usage, answer.service_tier), tokens_in(sum(len(choice.message) for choice in answer.choices))
