"""Usage events as protobuf.

Theory of operation. Most fields of an event are the same from request to request (who asked, which account, which
model), so their bytes are kept, and only what differs is encoded: serialised protobufs that follow one another are
one message (protobuf.dev/programming-guides/encoding, "last one wins").
"""

from typing import TypeVar

from omni_wire.errors import Internal
from omni_wire.usage import Usage
from omniroute_proto.common.v1 import common_pb2
from omniroute_proto.events.v1 import events_pb2

from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord

# The fields of events.v1.Event, as tags of length-delimited values.
_ATTEMPT, _REQUEST = b"\x0a", b"\x12"
# Their ``usage``, fields 15 and 17, likewise.
_ATTEMPT_USAGE, _REQUEST_USAGE = b"\x7a", b"\x8a\x01"
# Requested ids are part of what is remembered, and they come from clients.
_MEMO = 4096
_Kept = TypeVar("_Kept")


class ProtobufEvents:
    """``EventCodec``: one serialized ``events.v1.Event`` a record."""

    def __init__(self, router_id: str) -> None:
        self._router_id = router_id
        self._attempts: dict[tuple[object, ...], bytes] = {}
        self._requests: dict[tuple[object, ...], bytes] = {}
        self._aborted: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
        self._last_usage = Usage()
        self._last_bytes = b"\x00"

    def attempt(self, record: AttemptRecord) -> bytes:
        key = (
            record.key_id, record.provider, record.account_id, record.model, record.provider_format, record.outcome,
            record.error_kind, record.pricing, record.config_revision, record.router_id,
        )  # fmt: skip
        same = self._attempts.get(key)
        if same is None:
            same = _remember(self._attempts, key, _same_of_attempt(record))
        rest = events_pb2.AttemptEvent(
            id=record.id,
            request_id=record.request_id,
            seq=record.seq,
            started_ms=record.started_ms,
            duration_ms=record.duration_ms,
            first_byte_ms=record.first_byte_ms,
            provider_status=record.provider_status,
            cost_nano_usd=record.cost_nano_usd,
            reserved_nano_usd=record.reserved_nano_usd,
            overrun=record.overrun,
        )
        return _wrap(_ATTEMPT, same, rest.SerializeToString(), _ATTEMPT_USAGE + self._usage(record.usage))

    def request(self, record: RequestRecord) -> bytes:
        key = (
            record.key_id, record.client_format, record.model_requested, record.combo, record.provider,
            record.account_id, record.model_served, record.stream, record.status, record.outcome, record.error_kind,
            record.attempts, record.pricing, record.losses, record.config_revision, record.router_id,
        )  # fmt: skip
        same = self._requests.get(key)
        if same is None:
            same = _remember(self._requests, key, _same_of_request(record))
        rest = events_pb2.RequestEvent(
            id=record.id,
            request_id=record.request_id,
            seq=record.seq,
            started_ms=record.started_ms,
            duration_ms=record.duration_ms,
            first_byte_ms=record.first_byte_ms,
            cost_nano_usd=record.cost_nano_usd,
        )
        if record.traceparent:
            rest.traceparent = record.traceparent
        return _wrap(_REQUEST, same, rest.SerializeToString(), _REQUEST_USAGE + self._usage(record.usage))

    def _usage(self, usage: Usage) -> bytes:
        """Length and bytes. A request of one attempt has its attempt's usage, the very object, so it is kept."""
        if usage is not self._last_usage:
            message = common_pb2.Usage(
                input_tokens=usage.input_tokens,
                cached_input_tokens=usage.cached_input_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                estimated=usage.estimated,
            ).SerializeToString()
            self._last_usage, self._last_bytes = usage, _varint(len(message)) + message
        return self._last_bytes

    def aborted(self, facts: AbortFacts) -> tuple[bytes, bytes]:
        same = self._aborted.get(facts.same)
        if same is None:
            same = _remember(self._aborted, facts.same, _same_of_aborted(facts, self._router_id))
        attempt = events_pb2.AttemptEvent(
            id=facts.attempt_id, request_id=facts.event_id, started_ms=facts.attempt_started_ms
        )
        request = events_pb2.RequestEvent(id=facts.event_id, request_id=facts.request_id, started_ms=facts.started_ms)
        return (
            _wrap(_ATTEMPT, same[0], attempt.SerializeToString()),
            _wrap(_REQUEST, same[1], request.SerializeToString()),
        )


def _same_of_attempt(record: AttemptRecord) -> bytes:
    return events_pb2.AttemptEvent(
        key_id=record.key_id,
        provider=record.provider,
        account_id=record.account_id,
        model=record.model,
        provider_format=record.provider_format,
        outcome=record.outcome,
        error_kind=record.error_kind,
        pricing=record.pricing,
        config_revision=record.config_revision,
        router_id=record.router_id,
    ).SerializeToString()


def _same_of_request(record: RequestRecord) -> bytes:
    return events_pb2.RequestEvent(
        key_id=record.key_id,
        client_format=record.client_format,
        model_requested=record.model_requested,
        combo=record.combo,
        provider=record.provider,
        account_id=record.account_id,
        model_served=record.model_served,
        stream=record.stream,
        status=record.status,
        error_kind=record.error_kind,
        attempts=record.attempts,
        pricing=record.pricing,
        outcome=record.outcome,
        losses=record.losses,
        config_revision=record.config_revision,
        router_id=record.router_id,
    ).SerializeToString()


def _same_of_aborted(facts: AbortFacts, router_id: str) -> tuple[bytes, bytes]:
    key, asked, combo, client, stream, attempts, revision, provider, account, model, provider_format, priced = (
        facts.same
    )
    attempt = events_pb2.AttemptEvent(
        first_byte_ms=-1,
        key_id=key,
        provider=provider,
        account_id=account,
        model=model,
        provider_format=provider_format,
        outcome="aborted",
        error_kind=Internal.kind,
        pricing=priced,
        config_revision=revision,
        router_id=router_id,
    )
    request = events_pb2.RequestEvent(
        first_byte_ms=-1,
        key_id=key,
        client_format=client,
        model_requested=asked,
        combo=combo,
        provider=provider,
        account_id=account,
        model_served=model,
        stream=stream,
        status=Internal.status,
        error_kind=Internal.kind,
        attempts=attempts,
        pricing=priced,
        outcome="failed",
        config_revision=revision,
        router_id=router_id,
    )
    return attempt.SerializeToString(), request.SerializeToString()


def _remember(memo: dict[tuple[object, ...], _Kept], key: tuple[object, ...], value: _Kept) -> _Kept:
    if len(memo) >= _MEMO:
        memo.clear()
    memo[key] = value
    return value


def _wrap(tag: bytes, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    length = len(payload)
    return tag + (_SIZES[length] if length < len(_SIZES) else _varint(length)) + payload


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SIZES = tuple(_varint(length) for length in range(2048))
