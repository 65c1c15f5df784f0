"""Questions about usage. Whole days, hours and minutes are read from the rollups, the coarsest that fit; what is left
of a minute at either end of a span from the rows, as long as retention has not forgotten them: then all of that minute
counts. Of a unit that is asked for in its greater part all is read, and the rest taken from it again, exactly."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from omni_core.ports.analytics import (
    OF_ATTEMPTS,
    TAG,
    Breakdown,
    KeyUse,
    Slice,
    UsagePoint,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_wire.errors import InvalidRequest
from omni_wire.latency import BUCKETS, OVERHEAD, TOTAL, TTFT, Counts, bucket_of

from omni_analytics.adapters.database import Database
from omni_analytics.adapters.histograms import Histograms
from omni_analytics.adapters.retention import kept_from
from omni_analytics.domain.rollup import DAY_MS, GOOD_OUTCOMES, GRAINS, MEASURES, MINUTE_MS, ZERO, Sums


# ruff: noqa: S608 - names from this code only
def status_class(column: str) -> str:
    """As ``domain.rollup`` has it. Its first digit: not all databases divide without a rest."""
    return f"CASE WHEN {column} BETWEEN 100 AND 599 THEN substr(CAST({column} AS TEXT), 1, 1) || 'xx' ELSE 'none' END"


_COLUMN = {
    "key": "key_id",
    "model": "model",
    "provider": "provider",
    "account": "account_id",
    "status": "status",
}
# The same of a request's row, as ``usage_fact`` has them, and what only that has.
OF_REQUEST = {
    **_COLUMN,
    "model": "CASE WHEN model_served <> '' THEN model_served ELSE model_requested END",
    "status": status_class("status"),
    "requested": "model_requested",
    "combo": "combo",
    "surface": "client_format",
    "outcome": "outcome",
    "error": "error_kind",
    "stream": "CASE WHEN stream <> 0 THEN 'true' ELSE 'false' END",
    "router": "router_id",
}
# The same of an attempt's.
OF_ATTEMPT = {
    **{name: OF_REQUEST[name] for name in OF_ATTEMPTS},
    "model": "model",
    "status": status_class("provider_status"),
}
_SUMS = ", ".join(f"sum({name})" for name in MEASURES)
_GOOD = ", ".join(f"'{outcome}'" for outcome in GOOD_OUTCOMES)
# What a request's row says of each measure.
_TOLD = {
    "requests": "1",
    "errors": f"CASE WHEN outcome IN ({_GOOD}) THEN 0 ELSE 1 END",
    "unpriced_requests": "CASE WHEN pricing = 'unpriced' THEN 1 ELSE 0 END",
}
_SUMS_TOLD = ", ".join(f"sum({_TOLD.get(name, name)})" for name in MEASURES)
# What a request's and an attempt's row add to the rollups.
_SUMS_OF_REQUEST = ", ".join(f"sum({_TOLD.get(name, '0')})" for name in MEASURES)
_SUMS_OF_ATTEMPT = ", ".join(
    f"sum({'1' if name == 'attempts' else '0' if name in _TOLD else name})" for name in MEASURES
)
# What of a request's row is counted in which histogram, and what it has where that did not come about.
_TIMED = {TOTAL: "duration_ms", TTFT: "first_byte_ms", OVERHEAD: "overhead_us"}
_NONE = {TOTAL: None, TTFT: -1, OVERHEAD: 0}


class Piece(msgspec.Struct, frozen=True):
    """A part of a span (epoch milliseconds, 0 for an open end), and where it is read: a grain, or "" for the rows. It
    counts ``times``: 1, or -1 where it is taken from what was read too much."""

    grain: str
    from_ms: int
    until_ms: int
    times: int = 1

    @property
    def source(self) -> tuple[str, str]:
        return (f"usage_{self.grain}", "at_ms") if self.grain else ("usage_fact", "started_ms")


def pieces(
    from_ms: int,
    until_ms: int,
    kept_from_ms: int = 0,
    *,
    from_rows: bool = False,
    grain: str = "",
    exactly: bool = False,
) -> list[Piece]:
    """How to read a span. With ``from_rows`` what is kept of it is read from the rows alone; with a ``grain`` nothing
    is read that is coarser; ``exactly`` for nothing that is not asked for."""
    if from_rows:
        rest, end = max(from_ms, kept_from_ms), min(kept_from_ms, until_ms or kept_from_ms)
        before = pieces(from_ms, end, kept_from_ms, grain=grain, exactly=exactly) if kept_from_ms else []
        return before + ([Piece("", rest, until_ms)] if not until_ms or rest < until_ms else [])
    if until_ms and from_ms >= until_ms:
        return []
    # Nothing that is forgotten is read from the rows.
    if from_ms and from_ms < kept_from_ms:
        from_ms -= from_ms % MINUTE_MS
    if 0 < until_ms < kept_from_ms:
        until_ms = -(-until_ms // MINUTE_MS) * MINUTE_MS
    found: list[Piece] = []
    grains = [*GRAINS]
    _divide(found, ["", *(grains[: grains.index(grain) + 1] if grain else grains)], from_ms, until_ms, exactly=exactly)
    return sorted(found, key=lambda piece: piece.from_ms)


def _divide(found: list[Piece], grains: list[str], from_ms: int, until_ms: int, *, exactly: bool) -> None:
    """The finest grain reads what is before and after the whole units of the next, or what is not asked of these."""
    finest, coarser = grains[0], grains[1:]
    if not coarser:
        found.append(Piece(finest, from_ms, until_ms))
        return
    unit = GRAINS[coarser[0]]
    first, last = -(-from_ms // unit) * unit, until_ms // unit * unit
    if not exactly:
        first -= unit if 2 * (first - from_ms) > unit else 0
        last += unit if 2 * (until_ms - last) > unit else 0
    if until_ms and last <= first:
        found.append(Piece(finest, from_ms, until_ms))
        return
    if from_ms != first:
        found.append(Piece(finest, min(from_ms, first), max(from_ms, first), 1 if from_ms < first else -1))
    if last != until_ms:
        found.append(Piece(finest, min(last, until_ms), max(last, until_ms), 1 if last < until_ms else -1))
    _divide(found, coarser, first, last if until_ms else 0, exactly=exactly)


# What one answer may hold. A histogram has some hundred bytes, and while it is added up a place for each bucket.
MOST_POINTS = 20_000
MOST_HISTOGRAMS = 10_000

Place = tuple[int, tuple[str, ...]]
"""Where a grain of time begins (0 without one), and a value for each dimension."""


class Source(msgspec.Struct, frozen=True):
    """Where a piece is read: what its columns are called, and what is added up; ``request`` has a request's id."""

    table: str
    time_column: str
    column: Mapping[str, str]
    sums: str
    request: str = ""


_REQUESTS_TOLD = Source("request_event", "started_ms", OF_REQUEST, _SUMS_TOLD, "id")
_REQUESTS = Source("request_event", "started_ms", OF_REQUEST, _SUMS_OF_REQUEST, "id")
_ATTEMPTS = Source("attempt_event", "started_ms", OF_ATTEMPT, _SUMS_OF_ATTEMPT, "request_id")


class Question(msgspec.Struct, frozen=True):
    """What is asked of each piece. With ``told`` the rows of requests are asked, and nothing else."""

    dimensions: tuple[str, ...]
    filters: dict[str, tuple[str, ...]]
    grain: str
    told: bool = False

    def at(self, time_column: str) -> str:
        return f"{time_column} - {time_column} % {GRAINS[self.grain]}" if self.grain else "0"

    def sources(self, piece: Piece) -> tuple[Source, ...]:
        if self.told:
            return (_REQUESTS_TOLD,)
        return (_REQUESTS, _ATTEMPTS) if TAG in self.filters else (Source(*piece.source, _COLUMN, _SUMS),)


def slices(database: Database, histograms: Histograms, asked: Breakdown) -> tuple[Slice, ...]:
    """Raises ``InvalidRequest`` for too many of them, and for rows that are not kept."""
    kept = kept_from(database)
    told = any(name not in (*_COLUMN, TAG) for name in (*asked.dimensions, *asked.filters))
    of_rows = told or TAG in asked.filters
    if of_rows and asked.from_ms < kept:
        raise InvalidRequest(
            f"only {', '.join(_COLUMN)} are known of what began before {kept}: ask for a later from", param="from"
        )
    question = Question(asked.dimensions, asked.filters, asked.grain, told)
    span = (asked.from_ms, asked.until_ms)
    plans = (
        [[Piece("", *span)]]
        if of_rows
        else [pieces(*span, kept, grain=asked.grain, exactly=exactly) for exactly in (False, True)]
    )
    sums, timed = _answered(database, histograms, question, plans, MOST_POINTS, asked.latency)
    return tuple(Slice(*place, UsageTotals(*sums[place]), timed.get(place, {})) for place in sorted(sums))


def report(database: Database, histograms: Histograms, query: UsageQuery) -> UsageReport:
    """Raises ``InvalidRequest`` for too many points."""
    kept = kept_from(database)
    span = (query.from_ms, query.until_ms, kept)
    plans = [pieces(*span, from_rows=query.from_rows, grain=query.grain, exactly=exactly) for exactly in (False, True)]
    filters: dict[str, tuple[str, ...]] = {"key": (query.key_id,)} if query.key_id else {}
    question = Question((query.group_by,) if query.group_by else (), filters, query.grain)
    most = MOST_POINTS if query.grain or query.latency else None
    sums, timed = _answered(database, histograms, question, plans, most, (TOTAL, TTFT) if query.latency else ())
    groups: dict[str, Sums] = {}
    for (_, values), counted in sums.items():
        value = "".join(values)
        groups[value] = tuple(map(sum, zip(groups.get(value, ZERO), counted, strict=True)))
    totals = tuple(map(sum, zip(ZERO, *groups.values(), strict=True)))
    points = [
        UsagePoint(at, "".join(values), UsageTotals(*sums[at, values]), times.get(TOTAL, {}), times.get(TTFT, {}))
        for at, values in (sorted(sums) if query.grain or query.latency else ())
        for times in (timed.get((at, values), {}),)
    ]
    named = groups if query.group_by else {}
    return UsageReport(
        UsageTotals(*totals), {value: UsageTotals(*counted) for value, counted in named.items()}, tuple(points)
    )


def _answered(
    database: Database,
    histograms: Histograms,
    question: Question,
    plans: Sequence[list[Piece]],
    most: int | None,
    measures: Sequence[str],
) -> tuple[dict[Place, Sums], dict[Place, dict[str, Counts]]]:
    """By the first of the plans for which there are not too many places: one that reads more than is asked for may find
    more of them."""
    for found in plans:
        sums = _summed_up(database, question, found, most)
        if sums is not None:
            return sums, _added_up(database, histograms, question, found, measures) if measures else {}
    raise _too_many(f"{most} points")


def _too_many(what: str) -> InvalidRequest:
    told = f"more than {what}: take a coarser grain, a shorter span or fewer dimensions"
    return InvalidRequest(told, param="grain")


def _summed_up(
    database: Database, question: Question, found: list[Piece], most: int | None
) -> dict[Place, Sums] | None:
    """None where there are too many places."""
    sums: dict[Place, Sums] = {}
    for piece in found:
        if not _sum_up(database, question, piece, sums, most):
            return None
    counted = {place: each for place, each in sums.items() if any(each)}
    return counted if most is None or len(counted) <= most else None


def _added_up(
    database: Database, histograms: Histograms, question: Question, found: list[Piece], measures: Sequence[str]
) -> dict[Place, dict[str, Counts]]:
    """Thousands of histograms make one answer: they are added up in lists, a place for each bucket."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for piece in found:
        times = piece.times
        for where, counts in _times(database, histograms, question, piece, measures):
            buckets = sums.get(where)
            if buckets is None:
                if len(sums) == MOST_HISTOGRAMS:
                    raise _too_many(f"{MOST_HISTOGRAMS} histograms")
                buckets = sums[where] = [0] * BUCKETS
            each = iter(counts)
            if times > 0:
                for bucket, count in zip(each, each, strict=True):
                    buckets[bucket] += count
            else:
                for bucket, count in zip(each, each, strict=True):
                    buckets[bucket] -= count
    timed: dict[Place, dict[str, Counts]] = {}
    for (at, *values, measure), buckets in sums.items():
        if counted := {bucket: count for bucket, count in enumerate(buckets) if count}:
            timed.setdefault((at, tuple(values)), {})[measure] = counted
    return timed


def _sum_up(database: Database, question: Question, piece: Piece, sums: dict[Place, Sums], most: int | None) -> bool:
    """Whether there are not too many places in it."""
    many = False
    for source in question.sources(piece):
        where, values = _where(database, question, piece, source)
        names = [source.column[name] for name in question.dimensions]
        placed = [question.at(source.time_column), *names]
        by = ", ".join(str(number + 1) for number in range(len(placed)))
        sql = f"SELECT {', '.join(placed)}, {source.sums} FROM {source.table}{where} GROUP BY {by}"
        if most is not None:
            sql += f" LIMIT {most + 1}"  # enough to know that they are too many
        found = database.execute(sql, values).fetchall()
        for at, *rest in found:
            place = (at, tuple(rest[: len(names)]))
            there = rest[len(names) :] if piece.times > 0 else [-each for each in rest[len(names) :]]
            sums[place] = tuple(map(sum, zip(sums.get(place, ZERO), there, strict=True)))
        many |= most is not None and len(found) > most
    return not many


def _times(
    database: Database, histograms: Histograms, question: Question, piece: Piece, measures: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], Sequence[int]]]:
    """Histograms of a piece, bucket, count, bucket, …: as they are kept, or of the requests themselves. Before each
    stands where it belongs: its time, a value for each dimension, and what was measured."""
    source = Source(f"latency_{piece.grain}", "at_ms", _COLUMN, _SUMS) if piece.grain else _REQUESTS
    where, values = _where(database, question, piece, source)
    placed = ", ".join([question.at(source.time_column), *(source.column[name] for name in question.dimensions)])
    if piece.grain:
        wanted = f"measure IN ({', '.join('?' * len(measures))})"
        sql = f"SELECT {placed}, measure, counts FROM {source.table}{where or ' WHERE 1 = 1'} AND {wanted}"
        yield from histograms.by_place(database.execute(sql, [*values, *measures]))
        return
    sql = f"SELECT {placed}, {', '.join(_TIMED[measure] for measure in measures)} FROM {source.table}{where}"
    size = 1 + len(question.dimensions)
    for row in database.execute(sql, values):
        for measure, spent in zip(measures, row[size:], strict=True):
            if spent != _NONE[measure]:
                yield (*row[:size], measure), (bucket_of(spent), 1)


def _where(database: Database, question: Question, piece: Piece, source: Source) -> tuple[str, list[Any]]:
    bounds = [(">=", piece.from_ms)] if piece.from_ms else []
    bounds += [("<", piece.until_ms)] if piece.until_ms else []
    where = [f"{source.time_column} {sign} ?" for sign, _ in bounds]
    passing, given = filtered(database, question.filters, source.column, source.request)
    where += passing
    return (f" WHERE {' AND '.join(where)}" if where else ""), [*(value for _, value in bounds), *given]


def filtered(
    database: Database, filters: Mapping[str, tuple[str, ...]], column: Mapping[str, str], request: str
) -> tuple[list[str], list[Any]]:
    """Conditions of what passes, and their values; ``request`` is the column that has the id of the request."""
    where: list[str] = []
    values: list[Any] = []
    for name, wanted in filters.items():
        of = "tag" if name == TAG else column[name]
        one = len(wanted) == 1
        passes, given = (f"{of} = ?", wanted) if one else database.among(of, wanted)
        where.append(f"{request} IN (SELECT id FROM request_tag WHERE {passes})" if name == TAG else passes)
        values += given
    return where, values


_USED = "SELECT key_id, sum(requests), max(at_ms) FROM usage_day WHERE requests > 0 GROUP BY key_id"
_HOURS = "SELECT key_id, max(at_ms) FROM usage_hour WHERE at_ms >= ? AND at_ms < ? AND requests > 0 GROUP BY key_id"
_RECENT = "SELECT key_id, max(started_ms) FROM usage_fact WHERE started_ms >= ? AND requests > 0 GROUP BY key_id"


def key_use(database: Database) -> dict[str, KeyUse]:
    """From the rollup of days, the hours of those days on which keys were used last, and the rows of the newest hour
    alone."""
    return _key_use(database)


def _key_use(connection: Any) -> dict[str, KeyUse]:
    found = connection.execute(_USED).fetchall()
    last: dict[str, int] = {}
    for day in {day for _, _, day in found}:
        hours = dict(connection.execute(_HOURS, (day, day + DAY_MS)).fetchall())
        last |= {key: hours.get(key, day) for key, _, newest in found if newest == day}
    exact = dict(connection.execute(_RECENT, (max(last.values(), default=0),)).fetchall())
    return {key: KeyUse(requests, exact.get(key, last[key])) for key, requests, _ in found}


def read_key_use(path: Path) -> dict[str, KeyUse]:
    """What is in a file that may be another process's; nothing where it is missing or cannot be read."""
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return _key_use(connection)
    except sqlite3.Error:
        return {}
