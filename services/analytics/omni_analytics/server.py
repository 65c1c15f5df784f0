"""AnalyticsPort on a gRPC listener."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from omni_core import usage_message
from omni_core.ports.analytics import (
    APART,
    AnalyticsPort,
    AttemptFound,
    Breakdown,
    Listing,
    RequestFound,
    Slice,
    UsagePoint,
    UsageQuery,
    UsageTotals,
)
from omni_core.rpc import RpcServer, server_stream, unary
from omni_wire.latency import Counts
from omniroute_proto.analytics.v1 import analytics_pb2 as pb


def register(server: RpcServer, port: AnalyticsPort) -> None:
    async def query(request: pb.QueryRequest) -> pb.QueryResponse:
        asked = UsageQuery(
            request.from_ms,
            request.until_ms,
            request.key_id,
            request.group_by,
            from_rows=request.from_rows,
            grain=request.grain,
            latency=request.latency,
        )
        report = await port.query(asked)
        return pb.QueryResponse(
            totals=_totals(report.totals),
            groups=[pb.Group(value=value, totals=_totals(totals)) for value, totals in report.groups.items()],
            points=map(_point, report.points),
        )

    async def breakdown(request: pb.BreakdownRequest) -> pb.BreakdownResponse:
        asked = Breakdown(
            request.from_ms,
            request.until_ms,
            tuple(request.dimensions),
            {each.dimension: tuple(each.values) for each in request.filters},
            request.grain,
            tuple(request.latency),
        )
        return pb.BreakdownResponse(slices=map(_slice, await port.breakdown(asked)))

    async def listed(request: pb.ListedRequest) -> pb.ListedResponse:
        asked = Listing(
            request.kind,
            request.from_ms,
            request.until_ms,
            {each.dimension: tuple(each.values) for each in request.filters},
            request.text,
            request.after,
            request.limit,
            request.oldest,
        )
        found = await port.listed(asked)
        return pb.ListedResponse(
            requests=map(_request, found.requests), attempts=map(_attempt, found.attempts), next=found.next
        )

    async def live(request: pb.LiveRequest) -> AsyncGenerator[pb.LiveUpdate, None]:
        keys = None if request.any_key else tuple(request.key_ids)
        async with aclosing(port.live(keys, request.after)) as updates:
            async for update in updates:
                yield pb.LiveUpdate(id=update.id, requests=map(_request, update.requests), missed=update.missed)

    async def key_use(_: pb.KeyUseRequest) -> pb.KeyUseResponse:
        found = await port.key_use()
        return pb.KeyUseResponse(
            keys=[pb.UsedKey(key_id=key, requests=use.requests, last_ms=use.last_ms) for key, use in found.items()]
        )

    async def standing(_: pb.StandingRequest) -> pb.StandingResponse:
        found = await port.standing()
        return pb.StandingResponse(pending=found.pending, kept_from_ms=found.kept_from_ms)

    async def find_request(request: pb.FindRequestRequest) -> pb.FindRequestResponse:
        found = await port.find_request(request.id, None if request.any_key else tuple(request.key_ids))
        return pb.FindRequestResponse(request=_request(found) if found is not None else None)

    server.add(
        "omniroute.analytics.v1.AnalyticsPort",
        {
            "Query": unary(pb.QueryRequest, query),
            "Breakdown": unary(pb.BreakdownRequest, breakdown),
            "Listed": unary(pb.ListedRequest, listed),
            "Live": server_stream(pb.LiveRequest, live),
            "KeyUse": unary(pb.KeyUseRequest, key_use),
            "Standing": unary(pb.StandingRequest, standing),
            "FindRequest": unary(pb.FindRequestRequest, find_request),
        },
    )


def _request(found: RequestFound) -> pb.Request:
    return pb.Request(
        **_same(found),
        usage=usage_message.written(found.usage),
        losses=found.losses,
        attempts=map(_attempt, found.attempts),
    )


def _attempt(found: AttemptFound) -> pb.Attempt:
    return pb.Attempt(**_same(found), usage=usage_message.written(found.usage))


def _same(found: RequestFound | AttemptFound) -> dict[str, Any]:
    """The fields that are the same on both sides."""
    return {name: getattr(found, name) for name in found.__struct_fields__ if name not in APART}


def _point(point: UsagePoint) -> pb.Point:
    return pb.Point(
        at_ms=point.at_ms,
        value=point.value,
        totals=_totals(point.totals),
        total=_histogram(point.total),
        ttft=_histogram(point.ttft),
    )


def _slice(found: Slice) -> pb.Slice:
    latency = [pb.Timed(measure=name, histogram=_histogram(counts)) for name, counts in found.latency.items()]
    return pb.Slice(at_ms=found.at_ms, values=found.values, totals=_totals(found.totals), latency=latency)


def _histogram(counts: Counts) -> pb.Histogram:
    return pb.Histogram(buckets=counts.keys(), counts=counts.values())


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
