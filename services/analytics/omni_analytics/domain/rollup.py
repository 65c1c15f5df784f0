"""The rollups: what a row adds to which cell, and what changes when a newer row replaces an older.

The invariant: a rollup always equals the sum of the stored rows. It is fed only with the difference that storing
really made, so a redelivered event adds nothing and a superseding one adds the difference alone. Rows are added up by
the minute; hours and days are sums of minutes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import add, attrgetter, sub
from typing import Any, Generic, TypeVar

import msgspec
from omni_wire.latency import OVERHEAD, TOTAL, TTFT, Counts, added, bucket_of

from omni_analytics.domain.rows import AttemptRow, RequestRow, UsageRow

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
# From fine to coarse, each a multiple of the one before. Days are those of UTC.
GRAINS = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}

# A client that went away is not an error; an outcome of a later version is.
GOOD_OUTCOMES = ("ok", "cancelled", "replayed", "cached")


class Cell(msgspec.Struct, frozen=True):
    """Where a row counts. ``at_ms`` is where its minute (or hour, or day) begins; ``status`` is a class ("2xx"),
    "none" where no status came."""

    at_ms: int
    key_id: str
    provider: str
    account_id: str
    model: str
    status: str


# requests, errors, attempts, input, cached input, cache write, output, reasoning tokens, nano-USD, unpriced requests:
# the order of ports.analytics.UsageTotals.
Sums = tuple[int, ...]
MEASURES = (
    "requests",
    "errors",
    "attempts",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nano_usd",
    "unpriced_requests",
)
ZERO: Sums = (0,) * len(MEASURES)


class Timed(msgspec.Struct, frozen=True):
    """What a histogram is of: the requests of a cell, and what of them is measured (``omni_wire.latency``)."""

    cell: Cell
    measure: str


class Tally(msgspec.Struct, frozen=True):
    """What some rows add to the cells of one grain, and to the histograms beside them, bucket by bucket."""

    cells: dict[Cell, Sums] = {}
    latencies: dict[Timed, Counts] = {}


def status_class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status <= 599 else "none"


def cell_of(row: UsageRow) -> Cell:
    """A request counts under what served it (the model asked for, where nothing did) and the status its client got;
    an attempt under its own account and model and the status its provider gave."""
    minute = row.started_ms - row.started_ms % MINUTE_MS
    if isinstance(row, AttemptRow):
        return Cell(minute, row.key_id, row.provider, row.account_id, row.model, status_class(row.provider_status))
    model = row.model_served or row.model_requested
    return Cell(minute, row.key_id, row.provider, row.account_id, model, status_class(row.status))


def sums_of(row: UsageRow) -> Sums:
    """Tokens and cost come from attempts: that is what was settled, on the account that billed it, under an id of its
    own. A request says the same again in sum, so counting both would double, and counting it alone would lose what an
    earlier try of the edge spent. Requests, errors and missing prices come from requests."""
    if isinstance(row, AttemptRow):
        return (
            0,
            0,
            1,
            row.input_tokens,
            row.cached_input_tokens,
            row.cache_write_tokens,
            row.output_tokens,
            row.reasoning_tokens,
            row.cost_nano_usd,
            0,
        )
    return (1, 0 if row.outcome in GOOD_OUTCOMES else 1, 0, 0, 0, 0, 0, 0, 0, 1 if row.pricing == "unpriced" else 0)


Row = TypeVar("Row", AttemptRow, RequestRow)


class Change(msgspec.Struct, Generic[Row], frozen=True):
    """What storing some rows means: the rows to write, the difference in each cell, and how many rows said nothing
    new."""

    write: list[Row]
    tally: Tally
    ignored: int


def newest(rows: Iterable[Row]) -> dict[str, Row]:
    """One row an id: the one of the highest ``seq``, the first of several with the same."""
    best: dict[str, Row] = {}
    for row in rows:
        known = best.get(row.id)
        if known is None or row.seq > known.seq:
            best[row.id] = row
    return best


# What the cell follows from, but for the minute, and what a request adds to it.
_LIKENESS: dict[type[AttemptRow] | type[RequestRow], Callable[[Any], tuple[str | int, ...]]] = {
    AttemptRow: attrgetter("key_id", "provider", "account_id", "model", "provider_status"),
    RequestRow: attrgetter(
        "key_id", "provider", "account_id", "model_served", "model_requested", "status", "outcome", "pricing"
    ),
}
_SPENT = attrgetter(*MEASURES[3:9])
_STARTED = attrgetter("started_ms")


def _alike(rows: Sequence[Row]) -> Iterator[list[Row]]:
    if not rows:
        return
    likeness = _LIKENESS[type(rows[0])]
    groups: dict[tuple[str | int, ...], list[Row]] = {}
    for row in rows:
        same = likeness(row)
        if same in groups:
            groups[same].append(row)
        else:
            groups[same] = [row]
    group: list[Row]
    for group in groups.values():
        started = [*map(_STARTED, group)]
        if min(started) // MINUTE_MS == max(started) // MINUTE_MS:
            yield group
            continue
        minutes: dict[int, list[Row]] = {}
        for row in group:
            minutes.setdefault(row.started_ms // MINUTE_MS, []).append(row)
        yield from minutes.values()


def tally(rows: Sequence[Row]) -> Tally:
    """The sum of ``sums_of`` each row in its ``cell_of``, worked out once for all rows that are alike, and the
    latencies of those that are requests."""
    cells: dict[Cell, Sums] = {}
    latencies: dict[Timed, Counts] = {}
    group: list[Row]
    for group in _alike(rows):
        first = group[0]
        cell = cell_of(first)
        if isinstance(first, AttemptRow):
            sums: Sums = (0, 0, len(group), *map(sum, zip(*map(_SPENT, group), strict=True)), 0)
        else:
            sums = tuple(len(group) * value for value in sums_of(first))
            _time(latencies, cell, group)
        known = cells.get(cell)
        cells[cell] = sums if known is None else tuple(map(add, known, sums))
    return Tally(cells, latencies)


def _time(latencies: dict[Timed, Counts], cell: Cell, group: Sequence[RequestRow]) -> None:
    spent = Counter([bucket_of(row.duration_ms) for row in group])
    first = Counter([bucket_of(row.first_byte_ms) for row in group if row.first_byte_ms >= 0])
    ours = Counter([bucket_of(row.overhead_us) for row in group if row.overhead_us])
    for measure, counts in ((TOTAL, spent), (TTFT, first), (OVERHEAD, ours)):
        if counts:
            timed = Timed(cell, measure)
            known = latencies.get(timed)
            latencies[timed] = dict(counts) if known is None else added(known, counts)


def plan(stored: Mapping[str, Row], incoming: Sequence[Row]) -> Change[Row]:
    """A row of an unknown id, or of a higher ``seq`` than the stored one, is written; any other is ignored."""
    write: list[Row] = []
    replaced: list[Row] = []
    for row in newest(incoming).values():
        old = stored.get(row.id)
        if old is not None:
            if row.seq <= old.seq:
                continue
            replaced.append(old)
        write.append(row)
    return Change(write, less(tally(write), tally(replaced)), len(incoming) - len(write))


def less(one: Tally, other: Tally) -> Tally:
    """What is in ``one`` and not in ``other``, and the other way round below zero; without what is in both alike."""
    cells, latencies = dict(one.cells), dict(one.latencies)
    for cell, sums in other.cells.items():
        cells[cell] = tuple(map(sub, cells.get(cell, ZERO), sums))
    for timed, counts in other.latencies.items():
        latencies[timed] = added(latencies.get(timed, {}), {bucket: -count for bucket, count in counts.items()})
    return Tally(
        {cell: sums for cell, sums in cells.items() if any(sums)},
        {timed: counts for timed, counts in latencies.items() if counts},
    )


def merge(one: Tally, other: Tally) -> Tally:
    """Both together, cell by cell."""
    merged = Tally(dict(one.cells), dict(one.latencies))
    _add_to(merged, other.cells.items(), other.latencies.items())
    return merged


def coarser(found: Tally, grain_ms: int) -> Tally:
    """The same by the hour, or by the day."""

    def moved(cell: Cell) -> Cell:
        return msgspec.structs.replace(cell, at_ms=cell.at_ms - cell.at_ms % grain_ms)

    result = Tally({}, {})
    _add_to(
        result,
        ((moved(cell), sums) for cell, sums in found.cells.items()),
        ((Timed(moved(timed.cell), timed.measure), counts) for timed, counts in found.latencies.items()),
    )
    return result


def by_grain(found: Tally) -> Iterator[tuple[str, Tally]]:
    """What is by the minute, by each grain."""
    hours = coarser(found, HOUR_MS)
    yield from (("minute", found), ("hour", hours), ("day", coarser(hours, DAY_MS)))


def _add_to(found: Tally, cells: Iterable[tuple[Cell, Sums]], latencies: Iterable[tuple[Timed, Counts]]) -> None:
    for cell, sums in cells:
        known = found.cells.get(cell)
        found.cells[cell] = sums if known is None else tuple(map(add, known, sums))
    for timed, counts in latencies:
        known_counts = found.latencies.get(timed)
        found.latencies[timed] = counts if known_counts is None else added(known_counts, counts)
