"""Questions about usage. Whole days, hours and minutes are read from the rollups, the coarsest that fit; what is left
of a minute at either end of a span from the rows, as long as retention has not forgotten them: then all of that minute
counts."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from omni_core.ports.analytics import (
    Breakdown,
    KeyUse,
    Slice,
    UsagePoint,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_wire.errors import InvalidRequest
from omni_wire.latency import BUCKETS, OVERHEAD, TOTAL, TTFT, Counts, bucket_of, numbers

from omni_analytics.adapters.database import Database
from omni_analytics.adapters.retention import kept_from
from omni_analytics.domain.rollup import DAY_MS, GOOD_OUTCOMES, GRAINS, MEASURES, MINUTE_MS, ZERO, Sums

# ruff: noqa: S608 - names from this code only
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
    "status": "CASE WHEN status BETWEEN 100 AND 599 THEN (status / 100) || 'xx' ELSE 'none' END",
    "requested": "model_requested",
    "combo": "combo",
    "surface": "client_format",
    "outcome": "outcome",
    "error": "error_kind",
    "stream": "CASE WHEN stream <> 0 THEN 'true' ELSE 'false' END",
    "router": "router_id",
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
# What of a request's row is counted in which histogram, and what it has where that did not come about.
_TIMED = {TOTAL: "duration_ms", TTFT: "first_byte_ms", OVERHEAD: "overhead_us"}
_NONE = {TOTAL: None, TTFT: -1, OVERHEAD: 0}


class Piece(msgspec.Struct, frozen=True):
    """A part of a span (epoch milliseconds, 0 for an open end), and where it is read: a grain, or "" for the rows."""

    grain: str
    from_ms: int
    until_ms: int

    @property
    def source(self) -> tuple[str, str]:
        return (f"usage_{self.grain}", "at_ms") if self.grain else ("usage_fact", "started_ms")


def pieces(
    from_ms: int, until_ms: int, kept_from_ms: int = 0, *, from_rows: bool = False, grain: str = ""
) -> list[Piece]:
    """How to read a span. With ``from_rows`` what is kept of it is read from the rows alone; with a ``grain`` nothing
    is read that is coarser."""
    if from_rows:
        rest, end = max(from_ms, kept_from_ms), min(kept_from_ms, until_ms or kept_from_ms)
        before = pieces(from_ms, end, kept_from_ms, grain=grain) if kept_from_ms else []
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
    _divide(found, ["", *(grains[: grains.index(grain) + 1] if grain else grains)], from_ms, until_ms)
    return sorted(found, key=lambda piece: piece.from_ms)


def _divide(found: list[Piece], grains: list[str], from_ms: int, until_ms: int) -> None:
    """The finest grain reads what is before and after the whole units of the next."""
    finest, coarser = grains[0], grains[1:]
    if not coarser:
        found.append(Piece(finest, from_ms, until_ms))
        return
    unit = GRAINS[coarser[0]]
    first, last = -(-from_ms // unit) * unit, until_ms // unit * unit
    if until_ms and last <= first:
        found.append(Piece(finest, from_ms, until_ms))
        return
    if from_ms < first:
        found.append(Piece(finest, from_ms, first))
    if last < until_ms:
        found.append(Piece(finest, last, until_ms))
    _divide(found, coarser, first, last if until_ms else 0)


# What one answer may hold; a histogram has some hundred bytes.
MOST_POINTS = 20_000

Place = tuple[int, tuple[str, ...]]
"""Where a grain of time begins (0 without one), and a value for each dimension."""


class Question(msgspec.Struct, frozen=True):
    """What is asked of each piece. With ``told`` the rows of requests are asked, and nothing else."""

    dimensions: tuple[str, ...]
    filters: dict[str, tuple[str, ...]]
    grain: str
    told: bool = False

    def at(self, time_column: str) -> str:
        return f"{time_column} / {GRAINS[self.grain]} * {GRAINS[self.grain]}" if self.grain else "0"


def slices(database: Database, asked: Breakdown) -> tuple[Slice, ...]:
    """Raises ``InvalidRequest`` for too many of them, and for rows that are not kept."""
    kept = kept_from(database)
    told = any(name not in _COLUMN for name in (*asked.dimensions, *asked.filters))
    if told and asked.from_ms < kept:
        raise InvalidRequest(
            f"only {', '.join(_COLUMN)} are known of what began before {kept}: ask for a later from", param="from"
        )
    found = (
        [Piece("", asked.from_ms, asked.until_ms)]
        if told
        else pieces(asked.from_ms, asked.until_ms, kept, grain=asked.grain)
    )
    question = Question(asked.dimensions, asked.filters, asked.grain, told)
    sums, timed = _answered(database, question, found, MOST_POINTS, asked.latency)
    return tuple(Slice(*place, UsageTotals(*sums[place]), timed.get(place, {})) for place in sorted(sums))


def report(database: Database, query: UsageQuery) -> UsageReport:
    """Raises ``InvalidRequest`` for too many points."""
    kept = kept_from(database)
    found = pieces(query.from_ms, query.until_ms, kept, from_rows=query.from_rows, grain=query.grain)
    filters: dict[str, tuple[str, ...]] = {"key": (query.key_id,)} if query.key_id else {}
    question = Question((query.group_by,) if query.group_by else (), filters, query.grain)
    most = MOST_POINTS if query.grain or query.latency else None
    sums, timed = _answered(database, question, found, most, (TOTAL, TTFT) if query.latency else ())
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
    database: Database, question: Question, found: list[Piece], most: int | None, measures: Sequence[str]
) -> tuple[dict[Place, Sums], dict[Place, dict[str, Counts]]]:
    sums: dict[Place, Sums] = {}
    for piece in found:
        _sum_up(database, question, piece, sums, most)
        if most is not None and len(sums) > most:
            raise InvalidRequest(
                f"more than {most} points: take a coarser grain, a shorter span or fewer dimensions",
                param="grain",
            )
    # Thousands of histograms make one answer: they are added up in lists, a place for each bucket.
    added: dict[tuple[Place, str], list[int]] = {}
    for piece in found if measures else ():
        for place, measure, found_there in _times(database, question, piece, measures):
            counts = added.get((place, measure))
            if counts is None:
                counts = added[place, measure] = [0] * BUCKETS
            each = iter(found_there)
            for bucket, count in zip(each, each, strict=True):
                counts[bucket] += count
    timed: dict[Place, dict[str, Counts]] = {}
    for (place, measure), counts in added.items():
        timed.setdefault(place, {})[measure] = {bucket: count for bucket, count in enumerate(counts) if count}
    return sums, timed


def _sum_up(database: Database, question: Question, piece: Piece, sums: dict[Place, Sums], most: int | None) -> None:
    table, time_column = ("request_event", "started_ms") if question.told else piece.source
    column = OF_REQUEST if question.told else _COLUMN
    where, values = _where(database, question, piece, time_column, column)
    names = [column[name] for name in question.dimensions]
    by = ", ".join(str(number + 1) for number in range(1 + len(names)))
    counted = _SUMS_TOLD if question.told else _SUMS
    sql = f"SELECT {', '.join([question.at(time_column), *names])}, {counted} FROM {table}{where} GROUP BY {by}"
    if most is not None:
        sql += f" LIMIT {most + 1}"  # enough to know that they are too many
    for at, *rest in database.execute(sql, values):
        place = (at, tuple(rest[: len(names)]))
        sums[place] = tuple(map(sum, zip(sums.get(place, ZERO), rest[len(names) :], strict=True)))


def _times(
    database: Database, question: Question, piece: Piece, measures: Sequence[str]
) -> Iterator[tuple[Place, str, Sequence[int]]]:
    """Histograms of a piece, bucket, count, bucket, …: as they are kept, or of the requests themselves."""
    rolled = piece.grain and not question.told
    column, time_column = (_COLUMN, "at_ms") if rolled else (OF_REQUEST, "started_ms")
    where, values = _where(database, question, piece, time_column, column)
    names = [column[name] for name in question.dimensions]
    placed = ", ".join([question.at(time_column), *names])
    if rolled:
        wanted = f"measure IN ({', '.join('?' * len(measures))})"
        sql = f"SELECT {placed}, measure, counts FROM latency_{piece.grain}{where or ' WHERE 1 = 1'} AND {wanted}"
        for at, *rest, measure, counts in database.execute(sql, [*values, *measures]):
            yield (at, tuple(rest)), measure, numbers(counts)
        return
    sql = f"SELECT {placed}, {', '.join(_TIMED[measure] for measure in measures)} FROM request_event{where}"
    for at, *rest in database.execute(sql, values):
        place = (at, tuple(rest[: len(names)]))
        for measure, spent in zip(measures, rest[len(names) :], strict=True):
            if spent != _NONE[measure]:
                yield place, measure, (bucket_of(spent), 1)


def _where(
    database: Database, question: Question, piece: Piece, time_column: str, column: Mapping[str, str]
) -> tuple[str, list[Any]]:
    bounds = [(">=", piece.from_ms)] if piece.from_ms else []
    bounds += [("<", piece.until_ms)] if piece.until_ms else []
    where = [f"{time_column} {sign} ?" for sign, _ in bounds]
    passing, given = filtered(database, question.filters, column)
    where += passing
    return (f" WHERE {' AND '.join(where)}" if where else ""), [*(value for _, value in bounds), *given]


def filtered(
    database: Database, filters: Mapping[str, tuple[str, ...]], column: Mapping[str, str]
) -> tuple[list[str], list[Any]]:
    """Conditions of what passes, and their values."""
    where: list[str] = []
    values: list[Any] = []
    for name, wanted in filters.items():
        if len(wanted) == 1:
            where.append(f"{column[name]} = ?")
            values += wanted
        else:
            among, given = database.among(column[name], wanted)
            where.append(among)
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
