"""OpenAI Responses (platform.openai.com/docs/api-reference/responses-streaming): typed events; one of them ends it.

``response.completed`` and ``response.incomplete`` hold the whole answer with its usage, ``response.failed`` an error.
"""

from typing import Any

import msgspec
from omni_wire.errors import UpstreamError, UpstreamFailed
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

_ENDS = frozenset({"response.completed", "response.incomplete", "response.done"})
_FAILURES = frozenset({"response.failed", "response.cancelled"})
# They say that an answer is to come, and nothing of it.
_ANNOUNCE = frozenset({"response.created", "response.in_progress", "response.queued", "keepalive", "ping"})
# So do these, of a message or a text: what it says follows.
_OPENINGS = {"response.output_item.added": "message", "response.content_part.added": "output_text"}


class _Response(msgspec.Struct):
    status: Any = None
    output: msgspec.Raw = msgspec.Raw()
    incomplete_details: Any = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None


class _Opened(msgspec.Struct):
    type: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    delta: Any = None
    item: _Opened | None = None
    part: _Opened | None = None
    response: _Response | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_ANSWER = msgspec.json.Decoder(_Response)


def _usage(response: _Response) -> Usage | None:
    found = response.usage
    if not isinstance(found, dict):
        return None
    inputs, outputs = inner(found, "input_tokens_details"), inner(found, "output_tokens_details")
    cached, written = count_of(inputs.get("cached_tokens")), count_of(inputs.get("cache_write_tokens"))
    reasoning = count_of(outputs.get("reasoning_tokens"))
    told = found.get("input_tokens"), found.get("output_tokens")
    given, said = map(count_of, told)
    suspect = "" if given and said else unreadable(*told)
    told_apart = apart(tier=response.service_tier)
    return Usage(
        max(given, cached + written),
        cached,
        written,
        max(said, reasoning),
        reasoning,
        apart=told_apart,
        suspect=suspect,
    )


class ResponsesStreamTap(StreamTap):
    __slots__ = ()

    def _keep(self, raw: bytes) -> bool:
        if self._done:
            return False
        parsed = parse_event(raw)
        data = parsed.data
        if data is None or data == b"[DONE]":
            return True
        try:
            event = decode(_EVENT, data)
        except msgspec.ValidationError:
            self.begun = True  # a vendor's own event
            return True
        except NOT_JSON as error:
            not_json(data, error)
            return True
        kind = event.type if isinstance(event.type, str) else parsed.event.decode("utf-8", "replace")
        if kind.endswith(".delta"):
            self.begun = True
            self._said(event.delta)
        elif kind == "error" or (not kind and event.error is not None):
            raise broke_off(data)
        elif kind in _FAILURES:
            self._used(_usage(event.response) if event.response is not None else None)
            raise _failed(event.response)
        elif kind in _ENDS:
            self._finish(kind, event.response)
        elif kind not in _ANNOUNCE and not self.begun:
            opened = event.item or event.part
            self.begun = opened is None or _OPENINGS.get(kind) != opened.type
        return True

    def _finish(self, kind: str, response: _Response | None) -> None:
        self.begun = self._done = True
        self.finish_reason = "completed"
        if response is None:
            return
        self._used(_usage(response))
        if kind == "response.incomplete" or response.status == "incomplete":
            details = response.incomplete_details
            reason = details.get("reason") if isinstance(details, dict) else None
            self.finish_reason = reason if isinstance(reason, str) else "incomplete"


def _failed(response: _Response | None) -> UpstreamError:
    error = response.error if response is not None else None
    if not isinstance(error, dict | str):
        return UpstreamFailed("the provider broke off: no reason given")
    return broke_off(msgspec.json.encode({"error": error}))


def read_answer(body: bytes) -> tuple[Usage | None, int]:
    """See ``taps.read_answer``."""
    answer = decode_answer(_ANSWER, body, "a response")
    if answer.error is not None:
        refuse_error(body)
    if not bytes(answer.output).startswith(b"["):
        raise UpstreamFailed("the provider's answer has no output")
    if answer.status not in (None, "completed", "incomplete"):
        raise UpstreamFailed(f"the provider gave an incomplete answer: it is {str(answer.status)[:40]}")
    return _usage(answer), tokens_in(len(answer.output))
