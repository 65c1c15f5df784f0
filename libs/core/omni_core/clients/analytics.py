"""AnalyticsPort over gRPC."""

from omni_wire.usage import Usage
from omniroute_proto.analytics.v1 import analytics_pb2 as pb
from omniroute_proto.common.v1 import common_pb2

from omni_core.ports.analytics import AttemptFound, KeyUse, RequestFound, UsageQuery, UsageReport, UsageTotals
from omni_core.rpc import Peer, ServiceChannel


class AnalyticsClient:
    """Satisfies ``AnalyticsPort``."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.analytics.v1.AnalyticsPort", "analytics")
        self._query = peer.unary("Query", pb.QueryResponse)
        self._key_use = peer.unary("KeyUse", pb.KeyUseResponse)
        self._find_request = peer.unary("FindRequest", pb.FindRequestResponse)

    async def query(self, query: UsageQuery) -> UsageReport:
        response = await self._query(
            pb.QueryRequest(
                from_ms=query.from_ms, until_ms=query.until_ms, key_id=query.key_id, group_by=query.group_by
            )
        )
        return UsageReport(
            totals=_totals(response.totals),
            groups={group.value: _totals(group.totals) for group in response.groups},
        )

    async def key_use(self) -> dict[str, KeyUse]:
        response = await self._key_use(pb.KeyUseRequest())
        return {key.key_id: KeyUse(key.requests, key.last_ms) for key in response.keys}

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        response = await self._find_request(
            pb.FindRequestRequest(id=id_, key_ids=key_ids or (), any_key=key_ids is None)
        )
        return _request(response.request) if response.HasField("request") else None


def _request(found: pb.Request) -> RequestFound:
    return RequestFound(
        id=found.id,
        request_id=found.request_id,
        started_ms=found.started_ms,
        duration_ms=found.duration_ms,
        first_byte_ms=found.first_byte_ms,
        key_id=found.key_id,
        client_format=found.client_format,
        model_requested=found.model_requested,
        combo=found.combo,
        provider=found.provider,
        account_id=found.account_id,
        model_served=found.model_served,
        stream=found.stream,
        status=found.status,
        error_kind=found.error_kind,
        usage=_usage(found.usage),
        cost_nano_usd=found.cost_nano_usd,
        pricing=found.pricing,
        outcome=found.outcome,
        losses=tuple(found.losses),
        config_revision=found.config_revision,
        router_id=found.router_id,
        attempts=tuple(map(_attempt, found.attempts)),
        decision=found.decision,
    )


def _attempt(found: pb.Attempt) -> AttemptFound:
    return AttemptFound(
        id=found.id,
        started_ms=found.started_ms,
        duration_ms=found.duration_ms,
        first_byte_ms=found.first_byte_ms,
        provider=found.provider,
        account_id=found.account_id,
        model=found.model,
        provider_format=found.provider_format,
        outcome=found.outcome,
        error_kind=found.error_kind,
        provider_status=found.provider_status,
        usage=_usage(found.usage),
        cost_nano_usd=found.cost_nano_usd,
        reserved_nano_usd=found.reserved_nano_usd,
        pricing=found.pricing,
        overrun=found.overrun,
        router_id=found.router_id,
    )


def _usage(found: common_pb2.Usage) -> Usage:
    return Usage(
        found.input_tokens,
        found.cached_input_tokens,
        found.cache_write_tokens,
        found.output_tokens,
        found.reasoning_tokens,
        found.estimated,
    )


def _totals(totals: pb.Totals) -> UsageTotals:
    return UsageTotals(
        requests=totals.requests,
        errors=totals.errors,
        attempts=totals.attempts,
        input_tokens=totals.input_tokens,
        cached_input_tokens=totals.cached_input_tokens,
        cache_write_tokens=totals.cache_write_tokens,
        output_tokens=totals.output_tokens,
        reasoning_tokens=totals.reasoning_tokens,
        cost_nano_usd=totals.cost_nano_usd,
        unpriced_requests=totals.unpriced_requests,
    )
