"""AnalyticsPort on a gRPC listener."""

from omni_core.ports.analytics import AnalyticsPort, UsageQuery, UsageTotals
from omni_core.rpc import RpcServer, unary
from omniroute_proto.analytics.v1 import analytics_pb2 as pb


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

    server.add(
        "omniroute.analytics.v1.AnalyticsPort",
        {"Query": unary(pb.QueryRequest, query), "KeyUse": unary(pb.KeyUseRequest, key_use)},
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
