"""OpenAI Chat (platform.openai.com/docs/api-reference/chat-streaming): chunks, and ``[DONE]`` at the end.

Only a usage chunk that the client did not ask for (the gateway did) is left out.
"""

from typing import Any

import msgspec
from omni_wire.errors import UpstreamFailed
from omni_wire.sse import parse_event
from omni_wire.usage import Usage

from omni_router.domain.taps.base import (
    NOT_JSON,
    StreamTap,
    broke_off,
    decode_answer,
    inner,
    not_json,
    number,
    refuse_error,
    tokens_in,
)


class _Delta(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    tool_calls: msgspec.Raw = msgspec.Raw()


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: msgspec.Raw = msgspec.Raw()
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Any = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def _usage(found: Any) -> Usage | None:
    if not isinstance(found, dict):
        return None
    given, said = number(found.get("prompt_tokens")), number(found.get("completion_tokens"))
    inputs, outputs = inner(found, "prompt_tokens_details"), inner(found, "completion_tokens_details")
    written, reasoning = number(inputs.get("cache_write_tokens")), number(outputs.get("reasoning_tokens"))
    cached = number(inputs.get("cached_tokens")) or number(found.get("prompt_cache_hit_tokens"))  # the other: DeepSeek
    if reasoning and number(found.get("total_tokens")) == given + said + reasoning:
        said += reasoning  # xAI counts thoughts beside the completion
    return Usage(max(given, cached + written), cached, written, max(said, reasoning), reasoning)


class ChatStreamTap(StreamTap):
    __slots__ = ("_relay_usage",)

    def __init__(self, *, relay_usage: bool) -> None:
        super().__init__()
        self._relay_usage = relay_usage

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
            chunk = _CHUNK.decode(data)
        except msgspec.ValidationError:
            self.begun = True  # JSON of another shape: a vendor's own event, none of our business
            return True
        except NOT_JSON as error:
            not_json(data, error)
            return True
        if chunk.error is not None:
            raise broke_off(data)
        self.begun = True
        for choice in chunk.choices:
            self._watch(choice)
        if chunk.usage is not None:
            self._used(_usage(chunk.usage))
            return self._relay_usage or bool(chunk.choices)
        return True

    def _watch(self, choice: _Choice) -> None:
        if choice.finish_reason is not None:
            self._finished = True
            self.finish_reason = choice.finish_reason
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


def read_answer(body: bytes) -> tuple[Usage | None, int]:
    """See ``taps.read_answer``."""
    answer = decode_answer(_CHUNK, body, "a chat completion")
    if answer.error is not None:
        refuse_error(body)
    if not answer.choices:
        raise UpstreamFailed("the provider's answer has no choices")
    return _usage(answer.usage), tokens_in(sum(len(choice.message) for choice in answer.choices))
