"""``/api/analytics``: any measures by any dimensions, and how they are shown."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel
from starlette.requests import Request

from omni_dashboard.domain.access import DEVELOPER
from omni_dashboard.domain.values import epoch_ms
from omni_dashboard.server.routes import Row, identity_of, management_of
from omni_dashboard.server.schemas import Percentiles
from omni_dashboard.server.usage_meta import USAGE_META, UsageMeta
from omni_dashboard.usage.analysis import MOST_LINES, Analysis, Answer, Counted, Line, read
from omni_dashboard.usage.measures import Measure

Shown = dict[str, int | float | str | Percentiles | None]
_TIME = "ISO 8601 or epoch ms"


class LineOut(BaseModel):
    """``values`` by dimension; null of those that are summed up. ``before`` is null where nothing is compared."""

    values: dict[str, str] | None
    measures: Shown
    before: Shown | None = None


class PointOut(LineOut):
    """In the minute, hour or day (of UTC) that begins at ``at_ms``, epoch milliseconds."""

    at_ms: int


class Span(BaseModel):
    from_ms: int
    until_ms: int


class AnalyticsAnswer(BaseModel):
    """Of what started in [from_ms, until_ms); null is open. ``lines`` in the ``order`` that was asked for, ``other``
    what is behind the last of them as one, and ``others`` how many these are. ``points`` in the order of time, of the
    lines shown, and of the others as one; what a time has none of was not used in it. A measure is null where nothing
    was counted that it could be of. ``before`` is the span compared with."""

    from_ms: int | None
    until_ms: int | None
    before: Span | None
    by: list[str]
    grain: str | None
    order: str
    total: LineOut
    lines: list[LineOut]
    other: LineOut | None
    others: int
    points: list[PointOut]


def rows() -> tuple[Row, ...]:
    return (
        Row("GET", "/api/analytics", DEVELOPER, analytics, AnalyticsAnswer, area="usage"),
        Row("GET", "/api/analytics/meta", DEVELOPER, usage_meta, UsageMeta, area="usage"),
    )


async def analytics(
    request: Request,
    from_: Annotated[str, Query(alias="from", max_length=40, description=f"{_TIME}, inclusive")] = "",
    until: Annotated[str, Query(max_length=40, description=f"{_TIME}, exclusive")] = "",
    measures: Annotated[str, Query(max_length=1000, description="names, with commas between; else all sums")] = "",
    by: Annotated[str, Query(max_length=200, description="dimensions, with commas between")] = "",
    filter_: Annotated[
        list[Annotated[str, Query(max_length=600)]],
        Query(alias="filter", description="dimension:value; of one dimension any, of several all"),
    ] = [],  # noqa: B006 - never written to
    grain: Annotated[str, Query(max_length=20, description="minute, hour or day of UTC: points of each")] = "",
    order: Annotated[str, Query(max_length=64, description="a measure; with - before it the greatest first")] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LINES, description="lines; what is behind them is one")] = 100,
    compare: Annotated[bool, Query(description="with the span of the same length before")] = False,
) -> AnalyticsAnswer:
    """Usage by whatever `/api/analytics/meta` lists. An admin sees all keys, a developer their own."""
    asked = read(
        from_ms=epoch_ms(from_, "from") if from_ else 0,
        until_ms=epoch_ms(until, "until") if until else 0,
        measures=measures,
        by=by,
        filters=filter_,
        grain=grain,
        order=order,
        limit=limit,
        compare=compare,
        now_ms=management_of(request).now_ms(),
    )
    return shown(asked, await management_of(request).analyse(identity_of(request), asked))


async def usage_meta() -> UsageMeta:
    """What usage may be asked for: measures, by which dimensions, and how fine."""
    return USAGE_META


def shown(asked: Analysis, answer: Answer) -> AnalyticsAnswer:
    names, chosen = asked.names, asked.measures
    measure, falling = asked.sorted_by
    before = asked.before()
    return AnalyticsAnswer(
        from_ms=asked.from_ms or None,
        until_ms=asked.until_ms or None,
        before=Span(from_ms=before.from_ms, until_ms=before.until_ms) if asked.compare else None,
        by=[*names],
        grain=asked.grain or None,
        order=f"{'-' if falling else ''}{measure.name}",
        total=_line(answer.total, {}, chosen),
        lines=[_line(line, dict(zip(names, line.values, strict=True)), chosen) for line in answer.lines],
        other=_line(answer.other, None, chosen) if answer.other is not None else None,
        others=answer.others,
        points=[
            PointOut(
                at_ms=point.at_ms,
                values=None if point.values is None else dict(zip(names, point.values, strict=True)),
                measures=_measures(point.counted, chosen),
            )
            for point in answer.points
        ],
    )


def _line(line: Line, values: dict[str, str] | None, chosen: Sequence[Measure]) -> LineOut:
    before = None if line.before is None else _measures(line.before, chosen)
    return LineOut(values=values, measures=_measures(line.now, chosen), before=before)


def _measures(counted: Counted, chosen: Sequence[Measure]) -> Shown:
    found: Shown = {}
    for one in chosen:
        counts = counted.latency.get(one.histogram, {})
        found[one.name] = Percentiles.of(counts) if one.histogram else one.of(counted.totals)
    return found
