"""AnalyticsPort on a gRPC listener."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from omni_core import usage_message
from omni_core.ports.analytics import (
    APART,
    AnalyticsPort,
    AttemptFound,
    Breakdown,
    DeadLetter,
    LimitEvents,
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

    async def limit_events(request: pb.LimitEventsRequest) -> pb.LimitEventsResponse:
        asked = LimitEvents(**{name: getattr(request, name) for name in LimitEvents.__struct_fields__})
        events = [pb.LimitEvent(**msgspec.structs.asdict(each)) for each in await port.limit_events(asked)]
        return pb.LimitEventsResponse(events=events)

    async def standing(_: pb.StandingRequest) -> pb.StandingResponse:
        found = await port.standing()
        return pb.StandingResponse(pending=found.pending, kept_from_ms=found.kept_from_ms)

    async def find_request(request: pb.FindRequestRequest) -> pb.FindRequestResponse:
        found = await port.find_request(request.id, None if request.any_key else tuple(request.key_ids))
        return pb.FindRequestResponse(request=_request(found) if found is not None else None)

    async def reprice(request: pb.RepriceRequest) -> pb.RepriceResponse:
        found = await port.reprice(request.from_ms, request.until_ms, request.book, apply=request.apply)
        return pb.RepriceResponse(
            groups=[pb.RepricedGroup(**msgspec.structs.asdict(group)) for group in found.groups],
            attempts=found.attempts,
            unknown=found.unknown,
            aborted=found.aborted,
            assumed=found.assumed,
        )

    async def charges(request: pb.ChargesRequest) -> pb.ChargesResponse:
        found = await port.charges(request.from_ms, request.until_ms)
        return pb.ChargesResponse(charges=[pb.Charge(**msgspec.structs.asdict(charge)) for charge in found])

    async def statement(request: pb.StatementRequest) -> pb.StatementResponse:
        found = await port.statement(request.provider, request.from_ms, request.until_ms)
        return pb.StatementResponse(lines=[pb.StatementLine(**msgspec.structs.asdict(line)) for line in found])

    async def dead_letters(request: pb.DeadLettersRequest) -> pb.DeadLettersResponse:
        found = await port.dead_letters(request.after, request.limit)
        letters = [pb.DeadLetter(**_same(letter)) for letter in found.letters]
        return pb.DeadLettersResponse(letters=letters, total=found.total, next=found.next)

    async def redrive(request: pb.RedriveRequest) -> pb.RedriveResponse:
        found = await port.redrive(tuple(request.ids))
        return pb.RedriveResponse(counted=found.counted, stayed=found.stayed)

    async def discard(request: pb.DiscardRequest) -> pb.DiscardResponse:
        return pb.DiscardResponse(discarded=await port.discard(tuple(request.ids)))

    async def bodies(request: pb.BodiesRequest) -> pb.BodiesResponse:
        found = await port.bodies(request.id, None if request.any_key else tuple(request.key_ids))
        return pb.BodiesResponse(
            bodies=[
                pb.Body(**{name: getattr(body, name) for name in pb.Body.DESCRIPTOR.fields_by_name}) for body in found
            ]
        )

    async def forget_bodies(request: pb.ForgetBodiesRequest) -> pb.ForgetBodiesResponse:
        gone = await port.forget_bodies(request.id, None if request.any_key else tuple(request.key_ids))
        return pb.ForgetBodiesResponse(forgotten=gone)

    server.add(
        "omniroute.analytics.v1.AnalyticsPort",
        {
            "Query": unary(pb.QueryRequest, query),
            "Breakdown": unary(pb.BreakdownRequest, breakdown),
            "Listed": unary(pb.ListedRequest, listed),
            "Live": server_stream(pb.LiveRequest, live),
            "KeyUse": unary(pb.KeyUseRequest, key_use),
            "LimitEvents": unary(pb.LimitEventsRequest, limit_events),
            "Standing": unary(pb.StandingRequest, standing),
            "FindRequest": unary(pb.FindRequestRequest, find_request),
            "Reprice": unary(pb.RepriceRequest, reprice),
            "Charges": unary(pb.ChargesRequest, charges),
            "Statement": unary(pb.StatementRequest, statement),
            "DeadLetters": unary(pb.DeadLettersRequest, dead_letters),
            "Redrive": unary(pb.RedriveRequest, redrive),
            "Discard": unary(pb.DiscardRequest, discard),
            "Bodies": unary(pb.BodiesRequest, bodies),
            "ForgetBodies": unary(pb.ForgetBodiesRequest, forget_bodies),
        },
    )


def _request(found: RequestFound) -> pb.Request:
    return pb.Request(
        **_same(found),
        usage=usage_message.written(found.usage),
        losses=found.losses,
        tags=found.tags,
        attempts=map(_attempt, found.attempts),
    )


def _attempt(found: AttemptFound) -> pb.Attempt:
    return pb.Attempt(**_same(found), usage=usage_message.written(found.usage), charged=found.charged)


def _same(found: RequestFound | AttemptFound | DeadLetter) -> dict[str, Any]:
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
