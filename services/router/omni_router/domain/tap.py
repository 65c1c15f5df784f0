"""Watching an OpenAI Chat answer go by unconverted: usage, its end, and whether it tells the truth.

Bytes are relayed as they are, whole events at a time, so that an error frame can follow at any moment. Only a usage
chunk the client did not ask for (the gateway did) is left out.
"""

from typing import Any

import msgspec
from omni_wire.errors import StreamInterrupted, UpstreamFailed, WireError, upstream_message
from omni_wire.sse import SseSplitter, parse_event
from omni_wire.usage import Usage


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


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
    usage: _Usage | None = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
# What a token is taken to be where the provider gives no count: four bytes of text, the common rule of thumb.
_BYTES_A_TOKEN = 4


def _usage(found: _Usage) -> Usage:
    inputs, outputs = found.prompt_tokens_details, found.completion_tokens_details
    return Usage(
        found.prompt_tokens or 0,
        (inputs.cached_tokens or 0) if inputs else 0,
        0,
        found.completion_tokens or 0,
        (outputs.reasoning_tokens or 0) if outputs else 0,
    )


class ChatStreamTap:
    """``feed`` chunks, then ``end`` at a clean end. ``usage`` is the provider's own count, None until it comes."""

    __slots__ = (
        "_bytes", "_done", "_events", "_finished", "_relay_usage", "_splitter", "begun", "failure", "finish_reason",
        "usage",
    )  # fmt: skip

    def __init__(self, *, relay_usage: bool) -> None:
        self._splitter = SseSplitter()
        self._relay_usage = relay_usage
        self._done = self._finished = self.begun = False
        self._events = self._bytes = 0
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.failure: UpstreamFailed | None = None

    @property
    def complete(self) -> bool:
        """The answer's end has been seen; whatever breaks now takes nothing from it."""
        return self._done or self._finished

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that ``chunk`` completes.

        At the provider's own error event, and at bytes that are not Chat, the events before it are returned and the
        ``UpstreamFailed`` waits in ``failure``, so that nothing that arrived well is lost.
        """
        try:
            events = self._splitter.feed(chunk)
        except WireError as error:
            self.failure = UpstreamFailed(f"the provider's stream is malformed: {error}")
            return b""
        kept = []
        for event in events:
            try:
                if self._keep(event):
                    kept.append(event)
            except UpstreamFailed as error:
                self.failure = error
                break
        return kept[0] if len(kept) == 1 else b"".join(kept)

    def end(self) -> bytes:
        """What is left at a clean end of the body. Raises ``StreamInterrupted`` when the answer had not ended,
        ``UpstreamFailed`` when its last event is malformed."""
        rest, self._splitter.rest = self._splitter.rest.strip(b"\r\n"), b""
        tail = b""
        if rest and not self._done:
            tail = rest + b"\n\n" if self._keep(rest + b"\n\n") else b""
        if not self.complete:
            raise StreamInterrupted("the provider ended the stream before the answer was complete")
        return tail if self._done else tail + b"data: [DONE]\n\n"

    def estimate(self) -> int:
        """Output tokens so far, when the provider gave no count."""
        return max(self._events, -(-self._bytes // _BYTES_A_TOKEN))

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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamFailed("the provider's stream is malformed: an event is not JSON") from error
        if chunk.error is not None:
            raise UpstreamFailed(f"the provider broke off: {upstream_message(data)}")
        self.begun = True
        for choice in chunk.choices:
            self._watch(choice)
        if chunk.usage is not None:
            found = _usage(chunk.usage)
            self.usage = found if self.usage is None else self.usage.merge(found)
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
    """Usage of a whole Chat answer, and output tokens estimated from its size.

    Raises ``UpstreamFailed`` for what is no Chat answer: not JSON, an error object under status 200, no choices.
    """
    try:
        answer = _CHUNK.decode(body)
    except msgspec.ValidationError as error:
        raise UpstreamFailed(f"the provider's answer is not a chat completion: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamFailed("the provider's answer is not JSON") from error
    if answer.error is not None:
        raise UpstreamFailed(f"the provider answered an error under status 200: {upstream_message(body)}")
    if not answer.choices:
        raise UpstreamFailed("the provider's answer has no choices")
    size = sum(len(choice.message) for choice in answer.choices)
    return (_usage(answer.usage) if answer.usage is not None else None), -(-size // _BYTES_A_TOKEN)
