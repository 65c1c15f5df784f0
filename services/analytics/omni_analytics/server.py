"""AnalyticsPort on a gRPC listener."""

from omni_core.ports.analytics import AnalyticsPort, AttemptFound, RequestFound, UsageQuery, UsageTotals
from omni_core.rpc import RpcServer, unary
from omni_wire.usage import Usage
from omniroute_proto.analytics.v1 import analytics_pb2 as pb
from omniroute_proto.common.v1 import common_pb2


def register(server: RpcServer, port: AnalyticsPort) -> None:
    async def query(request: pb.QueryRequest) -> pb.QueryResponse:
        report = await port.query(UsageQuery(request.from_ms, request.until_ms, request.key_id, request.group_by))
        return pb.QueryResponse(
            totals=_totals(report.totals),
            groups=[pb.Group(value=value, totals=_totals(totals)) for value, totals in report.groups.items()],
        )

    async def key_use(_: pb.KeyUseRequest) -> pb.KeyUseResponse:
        found = await port.key_use()
        return pb.KeyUseResponse(
            keys=[pb.UsedKey(key_id=key, requests=use.requests, last_ms=use.last_ms) for key, use in found.items()]
        )

    async def find_request(request: pb.FindRequestRequest) -> pb.FindRequestResponse:
        found = await port.find_request(request.id, None if request.any_key else tuple(request.key_ids))
        return pb.FindRequestResponse(request=_request(found) if found is not None else None)

    server.add(
        "omniroute.analytics.v1.AnalyticsPort",
        {
            "Query": unary(pb.QueryRequest, query),
            "KeyUse": unary(pb.KeyUseRequest, key_use),
            "FindRequest": unary(pb.FindRequestRequest, find_request),
        },
    )


def _request(found: RequestFound) -> pb.Request:
    return pb.Request(
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
        losses=found.losses,
        config_revision=found.config_revision,
        router_id=found.router_id,
        attempts=map(_attempt, found.attempts),
        decision=found.decision,
    )


def _attempt(found: AttemptFound) -> pb.Attempt:
    return pb.Attempt(
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


def _usage(found: Usage) -> common_pb2.Usage:
    return common_pb2.Usage(
        input_tokens=found.input_tokens,
        cached_input_tokens=found.cached_input_tokens,
        cache_write_tokens=found.cache_write_tokens,
        output_tokens=found.output_tokens,
        reasoning_tokens=found.reasoning_tokens,
        estimated=found.estimated,
    )


def _totals(totals: UsageTotals) -> pb.Totals:
    return pb.Totals(
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
