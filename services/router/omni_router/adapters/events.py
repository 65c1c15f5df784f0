"""Usage events as protobuf."""

from omni_wire.usage import Usage
from omniroute_proto.common.v1 import common_pb2
from omniroute_proto.events.v1 import events_pb2

from omni_router.domain.records import AttemptRecord, RequestRecord


class ProtobufEvents:
    """``EventCodec``: one serialized ``events.v1.Event`` a record."""

    def attempt(self, record: AttemptRecord) -> bytes:
        event = events_pb2.AttemptEvent(
            id=record.id,
            request_id=record.request_id,
            seq=record.seq,
            started_ms=record.started_ms,
            duration_ms=record.duration_ms,
            first_byte_ms=record.first_byte_ms,
            key_id=record.key_id,
            provider=record.provider,
            account_id=record.account_id,
            model=record.model,
            provider_format=record.provider_format,
            outcome=record.outcome,
            error_kind=record.error_kind,
            provider_status=record.provider_status,
            usage=_usage(record.usage),
            cost_nano_usd=record.cost_nano_usd,
            reserved_nano_usd=record.reserved_nano_usd,
            pricing=record.pricing,
            overrun=record.overrun,
            config_revision=record.config_revision,
            router_id=record.router_id,
        )
        return events_pb2.Event(attempt=event).SerializeToString()

    def request(self, record: RequestRecord) -> bytes:
        event = events_pb2.RequestEvent(
            id=record.id,
            seq=record.seq,
            started_ms=record.started_ms,
            duration_ms=record.duration_ms,
            first_byte_ms=record.first_byte_ms,
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
            usage=_usage(record.usage),
            cost_nano_usd=record.cost_nano_usd,
            pricing=record.pricing,
            outcome=record.outcome,
            losses=record.losses,
            config_revision=record.config_revision,
            router_id=record.router_id,
            request_id=record.request_id,
        )
        return events_pb2.Event(request=event).SerializeToString()


def _usage(usage: Usage) -> common_pb2.Usage:
    return common_pb2.Usage(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        estimated=usage.estimated,
    )
