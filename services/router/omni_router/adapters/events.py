"""Usage events as protobuf.

Theory of operation. Most fields of an event are the same from request to request (who asked, which account, which
model), so their bytes are kept, and only what differs is encoded: serialised protobufs that follow one another are
one message (protobuf.dev/programming-guides/encoding, "last one wins").
"""

from typing import Any, Final, TypeVar

import msgspec
from google.protobuf.descriptor import Descriptor
from omni_wire.errors import Internal
from omni_wire.usage import Apart, Usage
from omniroute_proto.common.v1 import common_pb2
from omniroute_proto.events.v1 import events_pb2

from omni_router.adapters.fields import bytes_tag, number_tag, text, varint
from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord

_EVENT: Final = events_pb2.Event.DESCRIPTOR
_ATTEMPT, _REQUEST = bytes_tag(_EVENT, "attempt"), bytes_tag(_EVENT, "request")
# Requested ids are part of what is remembered, and they come from clients.
_MEMO = 4096
_Kept = TypeVar("_Kept")


class _Tags:
    """Of the fields that both kinds of event have and that differ from one to the next."""

    __slots__ = ("cost", "duration", "first_byte", "id", "request_id", "seq", "started", "usage")

    def __init__(self, message: Descriptor) -> None:
        self.id = bytes_tag(message, "id")
        self.request_id = bytes_tag(message, "request_id")
        self.seq = number_tag(message, "seq")
        self.started = number_tag(message, "started_ms")
        self.duration = number_tag(message, "duration_ms")
        self.first_byte = number_tag(message, "first_byte_ms")
        self.cost = number_tag(message, "cost_nano_usd")
        self.usage = bytes_tag(message, "usage")

    def own(self, record: AttemptRecord | RequestRecord, usage: bytes) -> bytes:
        return b"".join(
            (
                self.id, text(record.id), self.request_id, text(record.request_id), self.seq, varint(record.seq),
                self.started, varint(record.started_ms), self.duration, varint(record.duration_ms),
                self.first_byte, varint(record.first_byte_ms), self.cost, varint(record.cost_nano_usd),
                self.usage, usage,
            )
        )  # fmt: skip

    def named(self, own_id: str, request_id: str, started_ms: int) -> bytes:
        return b"".join(
            (self.id, text(own_id), self.request_id, text(request_id), self.started, varint(started_ms))
        )  # fmt: skip


_OF_ATTEMPT, _OF_REQUEST = _Tags(events_pb2.AttemptEvent.DESCRIPTOR), _Tags(events_pb2.RequestEvent.DESCRIPTOR)
_PROVIDER_STATUS = number_tag(events_pb2.AttemptEvent.DESCRIPTOR, "provider_status")
_RESERVED = number_tag(events_pb2.AttemptEvent.DESCRIPTOR, "reserved_nano_usd")
_OVERRUN = number_tag(events_pb2.AttemptEvent.DESCRIPTOR, "overrun")
_TRACEPARENT = bytes_tag(events_pb2.RequestEvent.DESCRIPTOR, "traceparent")
_OVERHEAD = number_tag(events_pb2.RequestEvent.DESCRIPTOR, "overhead_us")
_DECISION = bytes_tag(events_pb2.RequestEvent.DESCRIPTOR, "decision")
_REQUEST_TAGS = bytes_tag(events_pb2.RequestEvent.DESCRIPTOR, "tags")
_USAGE_TAGS = tuple(
    number_tag(common_pb2.Usage.DESCRIPTOR, field)
    for field in Usage.__struct_fields__
    if field not in ("apart", "suspect")
)
_APART_TAG = bytes_tag(common_pb2.Usage.DESCRIPTOR, "apart")
_APART_TAGS = tuple(
    number_tag(common_pb2.Apart.DESCRIPTOR, field) for field in Apart.__struct_fields__ if field != "tier"
)
_TIER_TAG = bytes_tag(common_pb2.Apart.DESCRIPTOR, "tier")
_SUSPECT_TAG = bytes_tag(common_pb2.Usage.DESCRIPTOR, "suspect")


class ProtobufEvents:
    """``EventCodec``: one serialized ``events.v1.Event`` a record."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[object, ...], bytes] = {}
        self._requests: dict[tuple[object, ...], bytes] = {}
        self._aborted: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
        self._last_usage: Usage | None = None
        self._last_bytes = b""

    def attempt(self, record: AttemptRecord) -> bytes:
        key: tuple[object, ...] = (record.source, record.outcome, record.error_kind)
        if record.proxy:
            key = (*key, record.proxy, record.proxy_level)
        same = self._attempts.get(key)
        if same is None:
            same = _remember(self._attempts, key, _same_of_attempt(record))
        own = _OF_ATTEMPT.own(record, self._usage(record.usage))
        rest = (
            _PROVIDER_STATUS, varint(record.provider_status), _RESERVED, varint(record.reserved_nano_usd),
            _OVERRUN, varint(record.overrun),
        )  # fmt: skip
        return _wrap(_ATTEMPT, same, own, *rest)

    def request(self, record: RequestRecord) -> bytes:
        key = (
            record.source, record.client_format, record.stream, record.status, record.outcome, record.error_kind,
            record.attempts, record.losses,
        )  # fmt: skip
        same = self._requests.get(key)
        if same is None:
            same = _remember(self._requests, key, _same_of_request(record))
        own = _OF_REQUEST.own(record, self._usage(record.usage))
        spent = (_OVERHEAD, varint(record.overhead_us)) if record.overhead_us else ()
        if record.traceparent or record.decision or record.tags:
            traced = (_TRACEPARENT, text(record.traceparent)) if record.traceparent else ()
            told = (_DECISION, varint(len(record.decision)), record.decision) if record.decision else ()
            return _wrap(_REQUEST, same, own, *spent, *traced, *told, *_tag_fields(record.tags))
        return _wrap(_REQUEST, same, own, *spent)

    def _usage(self, usage: Usage) -> bytes:
        """Length and bytes. A request of one attempt has its attempt's usage, the very object, so it is kept."""
        if usage is not self._last_usage:
            message = b"".join(
                [part for tag, count in zip(_USAGE_TAGS, _counts(usage), strict=True) if count
                 for part in (tag, varint(count))]
            )  # fmt: skip
            if usage.apart is not None or usage.suspect:
                message += _besides(usage)
            self._last_usage, self._last_bytes = usage, varint(len(message)) + message
        return self._last_bytes

    def aborted(self, facts: AbortFacts) -> tuple[bytes, bytes]:
        key = (facts.source, facts.client_format, facts.stream, facts.number)
        same = self._aborted.get(key)
        if same is None:
            same = _remember(self._aborted, key, _same_of_aborted(facts))
        attempt = _OF_ATTEMPT.named(facts.attempt_id, facts.event_id, facts.attempt_started_ms)
        request = _OF_REQUEST.named(facts.event_id, facts.request_id, facts.started_ms)
        return _wrap(_ATTEMPT, same[0], attempt), _wrap(_REQUEST, same[1], request, *_tag_fields(facts.tags))


def _tag_fields(tags: tuple[str, ...]) -> list[bytes]:
    return [part for tag in tags for part in (_REQUEST_TAGS, text(tag))]


def _counts(usage: Usage) -> tuple[Any, ...]:
    return (
        usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens, usage.output_tokens,
        usage.reasoning_tokens, usage.estimated,
    )  # fmt: skip


def _besides(usage: Usage) -> bytes:
    """What few answers have."""
    parts = []
    if usage.apart is not None:
        counts = zip(_APART_TAGS, msgspec.structs.astuple(usage.apart)[:-1], strict=True)
        apart = b"".join([tag + varint(count) for tag, count in counts if count])
        if usage.apart.tier:
            apart += _TIER_TAG + text(usage.apart.tier)
        parts += [_APART_TAG, varint(len(apart)), apart]
    if usage.suspect:
        parts += [_SUSPECT_TAG, text(usage.suspect)]
    return b"".join(parts)


def _same_of_attempt(record: AttemptRecord) -> bytes:
    source = record.source
    return events_pb2.AttemptEvent(
        key_id=source.key_id,
        provider=source.provider,
        account_id=source.account_id,
        model=source.model,
        provider_format=source.provider_format,
        outcome=record.outcome,
        error_kind=record.error_kind,
        pricing=source.pricing,
        config_revision=source.config_revision,
        router_id=source.router_id,
        price_version=source.price_version,
        charged=" ".join(source.charged),
        proxy=record.proxy,
        proxy_level=record.proxy_level,
    ).SerializeToString()


def _same_of_request(record: RequestRecord) -> bytes:
    source = record.source
    return events_pb2.RequestEvent(
        key_id=source.key_id,
        client_format=record.client_format,
        model_requested=source.model_requested,
        combo=source.combo,
        provider=source.provider,
        account_id=source.account_id,
        model_served=source.model,
        stream=record.stream,
        status=record.status,
        error_kind=record.error_kind,
        attempts=record.attempts,
        pricing=source.pricing,
        outcome=record.outcome,
        losses=record.losses,
        config_revision=source.config_revision,
        router_id=source.router_id,
    ).SerializeToString()


def _same_of_aborted(facts: AbortFacts) -> tuple[bytes, bytes]:
    source, none = facts.source, Usage()
    attempt = AttemptRecord("", "", 0, 0, 0, -1, source, "aborted", Internal.kind, 0, none, 0, 0, False)
    request = RequestRecord(
        "", "", 0, 0, 0, -1, source, facts.client_format, facts.stream, Internal.status, Internal.kind, facts.number,
        none, 0, "failed", (),
    )  # fmt: skip
    return (
        events_pb2.AttemptEvent(first_byte_ms=-1).SerializeToString() + _same_of_attempt(attempt),
        events_pb2.RequestEvent(first_byte_ms=-1).SerializeToString() + _same_of_request(request),
    )


def _remember(memo: dict[tuple[object, ...], _Kept], key: tuple[object, ...], value: _Kept) -> _Kept:
    if len(memo) >= _MEMO:
        memo.clear()
    memo[key] = value
    return value


def _wrap(tag: bytes, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return tag + varint(len(payload)) + payload
