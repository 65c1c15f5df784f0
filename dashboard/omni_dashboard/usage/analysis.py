"""A question about usage, and what is made of the slices that answer it: lines in an order, the first so many of them
and the rest as one, each beside the same of the period before. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add

import msgspec
from omni_core.ports.analytics import Breakdown, Slice, UsageTotals
from omni_wire.errors import InvalidRequest
from omni_wire.latency import Counts, percentile

from omni_dashboard.usage import measures
from omni_dashboard.usage.measures import ALL, DIMENSIONS, FILTERS, GRAINS, MEASURES, OWNERS, Dimension, Measure, named

Values = tuple[str, ...]
MOST_LINES = 1000
MOST_VALUES = 200


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. ``order`` is a measure's name, behind "-" with the greatest first; percentiles go by p95. With
    ``compare`` the span of the same length that ended at ``from_ms`` is counted as well."""

    from_ms: int = 0
    until_ms: int = 0
    measures: tuple[Measure, ...] = (*MEASURES.values(),)
    dimensions: tuple[Dimension, ...] = ()
    filters: Mapping[str, Values] = {}
    grain: str = ""
    order: str = ""
    limit: int = 100
    compare: bool = False

    @property
    def names(self) -> Values:
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def sorted_by(self) -> tuple[Measure, bool]:
        """And whether the greatest comes first."""
        if not self.order:
            return self.measures[0], True
        return ALL[self.order.removeprefix("-")], self.order.startswith("-")

    @property
    def latency(self) -> Values:
        """Whose histograms it takes."""
        asked = (*self.measures, self.sorted_by[0])
        return tuple(dict.fromkeys(measure.histogram for measure in asked if measure.histogram))

    def before(self) -> "Analysis":
        """The same of the period before."""
        return msgspec.structs.replace(
            self, from_ms=2 * self.from_ms - self.until_ms, until_ms=self.from_ms, grain="", compare=False
        )

    def breakdown(self) -> Breakdown:
        """What analytics is asked: of owners it knows nothing, so their keys are told apart instead."""
        asked = [name for name in self.names if name not in OWNERS]
        if len(asked) < len(self.names) and "key" not in asked:
            asked.append("key")
        return Breakdown(self.from_ms, self.until_ms, tuple(asked), dict(self.filters), self.grain, self.latency)


def read(
    *,
    from_ms: int,
    until_ms: int,
    measures: str,
    by: str,
    filters: Sequence[str],
    grain: str,
    order: str,
    limit: int,
    compare: bool,
    now_ms: int,
) -> Analysis:
    """``measures`` and ``by`` are names with commas between, ``filters`` each "dimension:value". Raises
    ``InvalidRequest``, which says what there is."""
    found = named(ALL, _listed(measures), "measures") or (*MEASURES.values(),)
    if until_ms and from_ms > until_ms:
        raise InvalidRequest("from is after until", param="from")
    if grain and grain not in GRAINS:
        raise InvalidRequest(f"grain '{grain}' is not one of {', '.join(GRAINS)}", param="grain")
    if order:
        named(ALL, [order.removeprefix("-")], "order")
    if compare:
        until_ms = until_ms or now_ms
        if not from_ms or 2 * from_ms < until_ms:
            raise InvalidRequest("compare needs a from, and as much time before it", param="from")
    return Analysis(
        from_ms=from_ms,
        until_ms=until_ms,
        measures=found,
        dimensions=named(DIMENSIONS, _listed(by), "by"),
        filters=read_filters(filters),
        grain=grain,
        order=order,
        limit=limit,
        compare=compare,
    )


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")] if text.strip() else []


def read_filters(given: Sequence[str], known: dict[str, Dimension] = FILTERS) -> dict[str, Values]:
    """Of "dimension:value" each. Raises ``InvalidRequest``, which says what there is."""
    found: dict[str, Values] = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise InvalidRequest("a filter is 'dimension:value', such as provider:acme", param="filter")
        named(known, [name], "filter")
        found[name] = (*found.get(name, ()), value)
    if sum(map(len, found.values())) > MOST_VALUES:
        raise InvalidRequest(f"there are more than {MOST_VALUES} filters", param="filter")
    return found


class Counted(msgspec.Struct, frozen=True):
    totals: UsageTotals = UsageTotals()
    latency: Mapping[str, Counts] = {}

    def value(self, measure: Measure) -> measures.Value:
        """A number to put in order by, or text."""
        if measure.histogram:
            return percentile(self.latency.get(measure.histogram, {}), 0.95)
        return measure.of(self.totals)


class Line(msgspec.Struct, frozen=True):
    """``values`` are one a dimension; ``before`` None where nothing is compared."""

    values: Values
    now: Counted
    before: Counted | None = None


class Point(msgspec.Struct, frozen=True):
    """Of a line, or of the others where ``values`` is None."""

    at_ms: int
    values: Values | None
    counted: Counted


class Answer(msgspec.Struct, frozen=True):
    """``others`` lines are one, ``other``: None where there are none."""

    total: Line
    lines: tuple[Line, ...]
    other: Line | None
    others: int
    points: tuple[Point, ...]


def together(found: Iterable[Counted]) -> Counted:
    sums = [0] * len(UsageTotals.__struct_fields__)
    latency: dict[str, dict[int, int]] = {}
    for one in found:
        sums = [*map(add, sums, msgspec.structs.astuple(one.totals))]
        for measure, counts in one.latency.items():
            known = latency.setdefault(measure, {})
            for bucket, count in counts.items():
                known[bucket] = known.get(bucket, 0) + count
    return Counted(UsageTotals(*sums), {**latency})


Named = Callable[[Slice], Values]


def answer(asked: Analysis, now: Sequence[Slice], before: Sequence[Slice] | None, values_of: Named) -> Answer:
    """``values_of`` says what a slice has for each dimension that was asked for."""
    spent = _by_line(now, values_of)
    earlier = None if before is None else _by_line(before, values_of)
    lines = [
        Line(values, spent.get(values, Counted()), None if earlier is None else earlier.get(values, Counted()))
        for values in (spent | (earlier or {}) if asked.dimensions else ())
    ]
    measure, falling = asked.sorted_by
    lines.sort(key=lambda line: line.values)
    lines.sort(key=lambda line: _rank(line.now, measure), reverse=falling)
    shown, rest = lines[: asked.limit], lines[asked.limit :]
    total = Line((), together(spent.values()), None if earlier is None else together(earlier.values()))
    return Answer(
        total,
        tuple(shown),
        _as_one(rest, compared=earlier is not None) if rest else None,
        len(rest),
        _points(now, values_of, frozenset(line.values for line in shown)) if asked.grain else (),
    )


def _by_line(slices: Sequence[Slice], values_of: Named) -> dict[Values, Counted]:
    found: dict[Values, list[Counted]] = {}
    for one in slices:
        found.setdefault(values_of(one), []).append(Counted(one.totals, one.latency))
    return {values: together(counted) for values, counted in found.items()}


def _rank(counted: Counted, measure: Measure) -> float:
    """What has no value comes behind what has one, whichever way."""
    if measure.name == "cost_usd":
        return counted.totals.cost_nano_usd
    value = counted.value(measure)
    return value if isinstance(value, int | float) else -1


def _as_one(lines: Sequence[Line], *, compared: bool) -> Line:
    before = together(line.before for line in lines if line.before is not None) if compared else None
    return Line((), together(line.now for line in lines), before)


def _points(slices: Sequence[Slice], values_of: Named, shown: frozenset[Values]) -> tuple[Point, ...]:
    found: dict[tuple[int, Values | None], list[Counted]] = {}
    for one in slices:
        values = values_of(one)
        found.setdefault((one.at_ms, values if values in shown or not values else None), []).append(
            Counted(one.totals, one.latency)
        )
    ordered = sorted(found, key=lambda place: (place[0], place[1] is None, place[1] or ()))
    return tuple(Point(at, values, together(found[at, values])) for at, values in ordered)
