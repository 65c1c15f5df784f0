"""Anthropic Messages (docs.anthropic.com/en/api/messages-streaming): named events, ``message_stop`` at the end.

``message_start`` holds the input's usage, ``message_delta`` what was used up to it. An answer is whole once a stop
reason has come: the reason comes after all content.
"""

from typing import Any

import msgspec
from omni_wire.errors import UpstreamFailed
from omni_wire.sse import parse_event
from omni_wire.surrogates import decode
from omni_wire.usage import Usage, apart, count_of, unreadable

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
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    stop_reason: Any = None


class _Message(msgspec.Struct):
    usage: Any = None


class _Block(msgspec.Struct):
    type: Any = None
    text: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    delta: _Delta | None = None
    message: _Message | None = None
    content_block: _Block | None = None
    usage: Any = None
    error: Any = None


class _Answer(msgspec.Struct):
    type: Any = None
    content: msgspec.Raw = msgspec.Raw()
    usage: Any = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_ANSWER = msgspec.json.Decoder(_Answer)
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def _usage(found: Any) -> Usage | None:
    """Anthropic's input leaves out what was read from the cache and written to it."""
    if not isinstance(found, dict):
        return None
    cached, written = count_of(found.get("cache_read_input_tokens")), count_of(found.get("cache_creation_input_tokens"))
    told = found.get("input_tokens"), found.get("output_tokens")
    fresh, said = map(count_of, told)
    hour = inner(found, "cache_creation").get("ephemeral_1h_input_tokens") if written else None
    return Usage(
        fresh + cached + written,
        cached,
        written,
        said,
        apart=apart(cache_write_1h=hour, tier=found.get("service_tier")),
        suspect="" if fresh and said else unreadable(*told),
    )


class MessagesStreamTap(StreamTap):
    __slots__ = ()

    def _closing(self) -> bytes:
        return _STOP

    def _keep(self, raw: bytes) -> bool:
        if self._done:
            return False
        data = parse_event(raw).data
        if data is None:
            return True
        try:
            event = decode(_EVENT, data)
        except msgspec.ValidationError:
            self.begun = True  # a vendor's own event
            return True
        except NOT_JSON as error:
            not_json(data, error)
            return True
        kind, delta = event.type, event.delta
        if kind == "content_block_delta":
            self.begun = True
            if delta is not None:
                self._said(delta.text, delta.thinking, delta.partial_json)
        elif kind == "message_start":
            self._used(_usage(event.message.usage) if event.message is not None else None)
        elif kind == "message_delta":
            self.begun = True
            self._used(_usage(event.usage))
            if delta is not None and isinstance(delta.stop_reason, str) and delta.stop_reason:
                self._finished = True
                self.finish_reason = delta.stop_reason
        elif kind == "message_stop":
            self._done = True
        elif kind == "error" or (kind is None and event.error is not None):
            raise broke_off(data)
        elif kind == "content_block_start" and (block := event.content_block) is not None:
            self.begun = self.begun or block.type != "text" or bool(block.text)
        elif kind != "ping":
            self.begun = True
        return True


def read_answer(body: bytes) -> tuple[Usage | None, int]:
    """See ``taps.read_answer``."""
    answer = decode_answer(_ANSWER, body, "a message")
    if answer.type == "error" or answer.error is not None:
        refuse_error(body)
    if not bytes(answer.content).startswith(b"["):
        raise UpstreamFailed("the provider's answer has no content")
    return _usage(answer.usage), tokens_in(len(answer.content))
