"""AnalyticsPort over gRPC."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
from omni_wire.latency import Counts
from omniroute_proto.analytics.v1 import analytics_pb2 as pb

from omni_core import usage_message
from omni_core.kept_bodies import KeptBody
from omni_core.ports.analytics import (
    APART,
    REPRICE_TIMEOUT,
    AttemptFound,
    Breakdown,
    Charge,
    DeadLetter,
    DeadLetters,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Redriven,
    Repriced,
    RepricedGroup,
    RequestFound,
    Slice,
    Standing,
    StatementLine,
    Update,
    UsagePoint,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_core.rpc import Peer, ServiceChannel


class AnalyticsClient:
    """Satisfies ``AnalyticsPort``."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.analytics.v1.AnalyticsPort", "analytics")
        self._query = peer.unary("Query", pb.QueryResponse)
        self._breakdown = peer.unary("Breakdown", pb.BreakdownResponse)
        self._listed = peer.unary("Listed", pb.ListedResponse)
        self._errors = peer.errors
        self._live = peer.server_stream("Live", pb.LiveUpdate)
        self._key_use = peer.unary("KeyUse", pb.KeyUseResponse)
        self._limit_events = peer.unary("LimitEvents", pb.LimitEventsResponse)
        self._standing = peer.unary("Standing", pb.StandingResponse)
        self._reprice = peer.unary("Reprice", pb.RepriceResponse, REPRICE_TIMEOUT)
        self._charges = peer.unary("Charges", pb.ChargesResponse)
        self._statement = peer.unary("Statement", pb.StatementResponse)
        self._dead_letters = peer.unary("DeadLetters", pb.DeadLettersResponse)
        self._redrive = peer.unary("Redrive", pb.RedriveResponse)
        self._discard = peer.unary("Discard", pb.DiscardResponse)
        self._bodies = peer.unary("Bodies", pb.BodiesResponse)
        self._forget_bodies = peer.unary("ForgetBodies", pb.ForgetBodiesResponse)
        self._find_request = peer.unary("FindRequest", pb.FindRequestResponse)

    async def query(self, query: UsageQuery) -> UsageReport:
        response = await self._query(
            pb.QueryRequest(
                from_ms=query.from_ms,
                until_ms=query.until_ms,
                key_id=query.key_id,
                group_by=query.group_by,
                from_rows=query.from_rows,
                grain=query.grain,
                latency=query.latency,
            )
        )
        return UsageReport(
            totals=_totals(response.totals),
            groups={group.value: _totals(group.totals) for group in response.groups},
            points=tuple(map(_point, response.points)),
        )

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        response = await self._breakdown(
            pb.BreakdownRequest(
                from_ms=asked.from_ms,
                until_ms=asked.until_ms,
                dimensions=asked.dimensions,
                filters=_filters(asked.filters),
                grain=asked.grain,
                latency=asked.latency,
            )
        )
        return tuple(map(_slice, response.slices))

    async def live(self, key_ids: tuple[str, ...] | None, after: str = "") -> AsyncGenerator[Update, None]:
        call = self._live(pb.LiveRequest(key_ids=key_ids or (), any_key=key_ids is None, after=after))
        try:
            with self._errors():
                async for update in call:
                    yield Update(update.id, tuple(map(_request, update.requests)), update.missed)
        finally:
            call.cancel()

    async def listed(self, asked: Listing) -> Listed:
        response = await self._listed(
            pb.ListedRequest(
                kind=asked.kind,
                from_ms=asked.from_ms,
                until_ms=asked.until_ms,
                filters=_filters(asked.filters),
                text=asked.text,
                after=asked.after,
                limit=asked.limit,
                oldest=asked.oldest,
            )
        )
        return Listed(tuple(map(_request, response.requests)), tuple(map(_attempt, response.attempts)), response.next)

    async def key_use(self) -> dict[str, KeyUse]:
        response = await self._key_use(pb.KeyUseRequest())
        return {key.key_id: KeyUse(key.requests, key.last_ms) for key in response.keys}

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        response = await self._limit_events(pb.LimitEventsRequest(**msgspec.structs.asdict(asked)))
        fields = LimitEvent.__struct_fields__
        return tuple(LimitEvent(*(getattr(each, name) for name in fields)) for each in response.events)

    async def standing(self) -> Standing:
        response = await self._standing(pb.StandingRequest())
        return Standing(response.pending, response.kept_from_ms)

    async def dead_letters(self, after: int, limit: int) -> DeadLetters:
        found = await self._dead_letters(pb.DeadLettersRequest(after=after, limit=limit))
        letters = tuple(
            DeadLetter(one.id, one.at_ms, one.reason, one.deliveries, one.size, one.events, one.fault)
            for one in found.letters
        )
        return DeadLetters(letters, found.total, found.next)

    async def bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> tuple[KeptBody, ...]:
        found = await self._bodies(pb.BodiesRequest(id=id_, key_ids=key_ids or (), any_key=key_ids is None))
        names = pb.Body.DESCRIPTOR.fields_by_name
        return tuple(KeptBody(told_id="", **{name: getattr(body, name) for name in names}) for body in found.bodies)

    async def forget_bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        asked = pb.ForgetBodiesRequest(id=id_, key_ids=key_ids or (), any_key=key_ids is None)
        return int((await self._forget_bodies(asked)).forgotten)

    async def redrive(self, ids: tuple[int, ...]) -> Redriven:
        found = await self._redrive(pb.RedriveRequest(ids=ids))
        return Redriven(tuple(found.counted), dict(found.stayed))

    async def discard(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple((await self._discard(pb.DiscardRequest(ids=ids))).discarded)

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        response = await self._find_request(
            pb.FindRequestRequest(id=id_, key_ids=key_ids or (), any_key=key_ids is None)
        )
        return _request(response.request) if response.HasField("request") else None

    async def reprice(self, from_ms: int, until_ms: int, book: bytes, *, apply: bool) -> Repriced:
        found = await self._reprice(pb.RepriceRequest(from_ms=from_ms, until_ms=until_ms, apply=apply, book=book))
        groups = tuple(RepricedGroup(**_all(group, RepricedGroup)) for group in found.groups)
        return Repriced(groups, found.attempts, found.unknown, found.aborted, found.assumed)

    async def charges(self, from_ms: int, until_ms: int = 0) -> list[Charge]:
        found = await self._charges(pb.ChargesRequest(from_ms=from_ms, until_ms=until_ms))
        return [
            Charge(each.key_id, tuple(each.charged), each.told, each.nano_usd, each.cost_nano_usd)
            for each in found.charges
        ]

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        found = await self._statement(pb.StatementRequest(provider=provider, from_ms=from_ms, until_ms=until_ms))
        return [StatementLine(**_all(line, StatementLine)) for line in found.lines]


def _all(message: Any, struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {name: getattr(message, name) for name in struct.__struct_fields__}


def _filters(filters: Mapping[str, tuple[str, ...]]) -> list[pb.Filter]:
    return [pb.Filter(dimension=name, values=values) for name, values in filters.items()]


def _request(found: pb.Request) -> RequestFound:
    return RequestFound(
        **_same(found, RequestFound),
        usage=usage_message.read(found.usage),
        losses=tuple(found.losses),
        tags=tuple(found.tags),
        attempts=tuple(map(_attempt, found.attempts)),
    )


def _attempt(found: pb.Attempt) -> AttemptFound:
    return AttemptFound(
        **_same(found, AttemptFound), usage=usage_message.read(found.usage), charged=tuple(found.charged)
    )


def _same(message: pb.Request | pb.Attempt, struct: type[RequestFound] | type[AttemptFound]) -> dict[str, Any]:
    """The fields that are the same on both sides."""
    return {name: getattr(message, name) for name in struct.__struct_fields__ if name not in APART}


def _point(point: pb.Point) -> UsagePoint:
    return UsagePoint(point.at_ms, point.value, _totals(point.totals), _counts(point.total), _counts(point.ttft))


def _slice(found: pb.Slice) -> Slice:
    latency: dict[str, Counts] = {timed.measure: _counts(timed.histogram) for timed in found.latency}
    return Slice(found.at_ms, tuple(found.values), _totals(found.totals), latency)


def _counts(histogram: pb.Histogram) -> dict[int, int]:
    return dict(zip(histogram.buckets, histogram.counts, strict=True))


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
