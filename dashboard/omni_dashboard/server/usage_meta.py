"""What usage can be asked for, told to whoever builds questions, and how an answer's groups and points are shown."""

from collections.abc import Container, Iterable

from omni_core.ports.analytics import UsagePoint, UsageTotals
from pydantic import BaseModel

from omni_dashboard.server.schemas import Group, Latency, Point, Totals


class Measure(BaseModel):
    """A field of ``totals``, or of ``latency`` (then ``histogram``, and percentiles of it)."""

    name: str
    unit: str
    about: str
    histogram: bool = False


class Named(BaseModel):
    name: str
    about: str


class UsageMeta(BaseModel):
    """Each measure can be had by each dimension (``group_by``) and in each grain."""

    measures: list[Measure]
    dimensions: list[Named]
    grains: list[str]
    percentiles: list[str]


_TOTALS = (
    ("requests", "requests", "requests that a router took"),
    ("errors", "requests", "those that came to a bad end; a client that went away is none"),
    ("attempts", "attempts", "calls to accounts of providers"),
    ("input_tokens", "tokens", "of attempts, those from caches included"),
    ("cached_input_tokens", "tokens", "of the input, what came from the provider's cache"),
    ("cache_write_tokens", "tokens", "of the input, what was written there"),
    ("output_tokens", "tokens", "of attempts, those of reasoning included"),
    ("reasoning_tokens", "tokens", "of the output, what was thought"),
    ("total_tokens", "tokens", "input and output"),
    ("unpriced_requests", "requests", "of a model without a price"),
    ("cost_nano_usd", "nano-USD", "what the attempts were settled at"),
    ("cost_usd", "USD", "the same, as a decimal text"),
)
_TIMES = (
    ("total_ms", "from a request's start to the end of its answer"),
    ("ttft_ms", "from a request's start to the first byte of its answer"),
)
_DIMENSIONS = (
    ("key", "the API key, by id"),
    ("model", "what served it, or was asked for where nothing did"),
    ("provider", "empty where none served it"),
    ("account", "of the provider, by id"),
    ("status", "its class: 2xx, 4xx, …; none where no status came"),
)

USAGE_META = UsageMeta(
    measures=[
        *(Measure(name=name, unit=unit, about=about) for name, unit, about in _TOTALS),
        *(Measure(name=name, unit="ms", about=about, histogram=True) for name, about in _TIMES),
    ],
    dimensions=[Named(name=name, about=about) for name, about in _DIMENSIONS],
    grains=["minute", "hour", "day"],
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
