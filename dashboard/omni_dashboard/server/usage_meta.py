"""What usage can be asked for, told to whoever builds questions, and how an answer's groups and points are shown."""

from collections.abc import Container, Iterable

from omni_core.ports.analytics import UsagePoint, UsageTotals
from pydantic import BaseModel

from omni_dashboard.server.schemas import Group, Latency, Point, Totals
from omni_dashboard.usage.measures import ALL, DIMENSIONS, GRAINS


class MeasureOut(BaseModel):
    """With ``histogram`` its value is percentiles."""

    name: str
    unit: str
    about: str
    histogram: bool = False


class DimensionOut(BaseModel):
    """``kept`` says where it is known: in the "rollups", for ever (then it is a ``group_by`` of ``/api/usage``, too);
    in the "rows" of requests, while these are kept; of the "keys" that there are."""

    name: str
    about: str
    kept: str


class UsageMeta(BaseModel):
    """Each measure can be had by any dimensions (``by``), of what passes any filters (``filter``), in each grain."""

    measures: list[MeasureOut]
    dimensions: list[DimensionOut]
    grains: list[str]
    percentiles: list[str]


USAGE_META = UsageMeta(
    measures=[
        MeasureOut(name=one.name, unit=one.unit, about=one.about, histogram=bool(one.histogram)) for one in ALL.values()
    ],
    dimensions=[DimensionOut(name=one.name, about=one.about, kept=one.kept) for one in DIMENSIONS.values()],
    grains=[*GRAINS],
    percentiles=["p50", "p95", "p99"],
)


def usage_groups(shown: Iterable[tuple[str, UsageTotals]], points: Iterable[UsagePoint]) -> list[Group]:
    """With their latency where there are points."""
    of: dict[str, list[UsagePoint]] = {}
    for point in points:
        of.setdefault(point.value, []).append(point)
    return [
        Group(value=value, totals=Totals.of(totals), latency=Latency.of(of[value]) if value in of else None)
        for value, totals in shown
    ]


def usage_points(points: Iterable[UsagePoint], shown: Container[str] | None, latency: bool) -> list[Point]:
    """Those of the groups ``shown``, or all."""
    return [
        Point(
            at_ms=point.at_ms,
            value=point.value,
            totals=Totals.of(point.totals),
            latency=Latency.of([point]) if latency else None,
        )
        for point in points
        if shown is None or point.value in shown
    ]
