"""Questions about usage. Whole days, hours and minutes are read from the rollups, the coarsest that fit; what is left
of a minute at either end of a span from the rows, as long as retention has not forgotten them: then all of that minute
counts."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from omni_core.ports.analytics import KeyUse, UsagePoint, UsageQuery, UsageReport, UsageTotals
from omni_wire.errors import InvalidRequest
from omni_wire.latency import TOTAL, TTFT, Counts, bucket_of, unpacked

from omni_analytics.adapters.database import Database
from omni_analytics.adapters.retention import kept_from
from omni_analytics.domain.rollup import GRAINS, MEASURES, MINUTE_MS, ZERO, Sums

# ruff: noqa: S608 - names from this code only
_COLUMN = {
    "key": "key_id",
    "model": "model",
    "provider": "provider",
    "account": "account_id",
    "status": "status",
}
# As ``usage_fact`` has them.
_OF_REQUEST = {
    "model": "CASE WHEN model_served <> '' THEN model_served ELSE model_requested END",
    "status": "CASE WHEN status BETWEEN 100 AND 599 THEN (status / 100) || 'xx' ELSE 'none' END",
}
_SUMS = ", ".join(f"sum({name})" for name in MEASURES)


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

Place = tuple[int, str]
"""Where a grain of time begins (0 without one), and a value of ``group_by`` ("" without one)."""


def report(database: Database, query: UsageQuery) -> UsageReport:
    """Raises ``InvalidRequest`` for too many points."""
    kept = kept_from(database)
    found = pieces(query.from_ms, query.until_ms, kept, from_rows=query.from_rows, grain=query.grain)
    points: dict[Place, Sums] = {}
    for piece in found:
        _sum_up(database, query, piece, points)
    groups: dict[str, Sums] = {}
    for (_, value), sums in points.items():
        groups[value] = tuple(map(sum, zip(groups.get(value, ZERO), sums, strict=True)))
    totals = tuple(map(sum, zip(ZERO, *groups.values(), strict=True)))
    named = groups if query.group_by else {}
    return UsageReport(
        UsageTotals(*totals),
        {value: UsageTotals(*sums) for value, sums in named.items()},
        _points(database, query, found, points) if query.grain or query.latency else (),
    )


def _points(
    database: Database, query: UsageQuery, found: list[Piece], points: dict[Place, Sums]
) -> tuple[UsagePoint, ...]:
    if len(points) > MOST_POINTS:
        raise InvalidRequest(f"more than {MOST_POINTS} points: take a coarser grain or a shorter span", param="grain")
    timed: dict[Place, dict[str, dict[int, int]]] = {}
    for piece in found if query.latency else ():
        for place, measure, counts in _times(database, query, piece):
            known = timed.setdefault(place, {TOTAL: {}, TTFT: {}})[measure]
            for bucket, count in counts.items():
                known[bucket] = known.get(bucket, 0) + count
    none: dict[str, dict[int, int]] = {TOTAL: {}, TTFT: {}}
    return tuple(
        UsagePoint(*place, UsageTotals(*points[place]), times[TOTAL], times[TTFT])
        for place in sorted(points)
        for times in (timed.get(place, none),)
    )


def _sum_up(database: Database, query: UsageQuery, piece: Piece, points: dict[Place, Sums]) -> None:
    table, time_column = piece.source
    column = _COLUMN[query.group_by] if query.group_by else "''"
    where, values = _where(query, piece, time_column)
    sql = f"SELECT {_at(query, time_column)}, {column}, {_SUMS} FROM {table}{where} GROUP BY 1, 2"
    for at, value, *sums in database.execute(sql, values):
        points[at, value] = tuple(map(sum, zip(points.get((at, value), ZERO), sums, strict=True)))


def _times(database: Database, query: UsageQuery, piece: Piece) -> Iterator[tuple[Place, str, Counts]]:
    """Histograms of a piece: as they are kept, or of the requests themselves."""
    if piece.grain:
        column = _COLUMN[query.group_by] if query.group_by else "''"
        where, values = _where(query, piece, "at_ms")
        sql = f"SELECT {_at(query, 'at_ms')}, {column}, measure, counts FROM latency_{piece.grain}{where}"
        for at, value, measure, counts in database.execute(sql, values):
            yield (at, value), measure, unpacked(counts)
        return
    column = _OF_REQUEST.get(query.group_by) or _COLUMN.get(query.group_by, "''")
    where, values = _where(query, piece, "started_ms")
    sql = f"SELECT {_at(query, 'started_ms')}, {column}, duration_ms, first_byte_ms FROM request_event{where}"
    for at, value, spent, first in database.execute(sql, values):
        yield (at, value), TOTAL, {bucket_of(spent): 1}
        if first >= 0:
            yield (at, value), TTFT, {bucket_of(first): 1}


def _at(query: UsageQuery, time_column: str) -> str:
    return f"{time_column} / {GRAINS[query.grain]} * {GRAINS[query.grain]}" if query.grain else "0"


def _where(query: UsageQuery, piece: Piece, time_column: str) -> tuple[str, list[str | int]]:
    bounds = [(">=", piece.from_ms)] if piece.from_ms else []
    bounds += [("<", piece.until_ms)] if piece.until_ms else []
    where = [f"{time_column} {sign} ?" for sign, _ in bounds] + (["key_id = ?"] if query.key_id else [])
    values = [value for _, value in bounds] + ([query.key_id] if query.key_id else [])
    return (f" WHERE {' AND '.join(where)}" if where else ""), values


_USED = "SELECT key_id, sum(requests), max(at_ms) FROM usage_hour WHERE requests > 0 GROUP BY key_id"
_RECENT = "SELECT key_id, max(started_ms) FROM usage_fact WHERE started_ms >= ? AND requests > 0 GROUP BY key_id"


def key_use(database: Database) -> dict[str, KeyUse]:
    """From the rollup, and the rows of its newest hour alone."""
    return _key_use(database)


def _key_use(connection: Any) -> dict[str, KeyUse]:
    found = connection.execute(_USED).fetchall()
    newest = max([hour for _, _, hour in found], default=0)
    exact = dict(connection.execute(_RECENT, (newest,)).fetchall())
    return {key: KeyUse(requests, exact.get(key, hour)) for key, requests, hour in found}


def read_key_use(path: Path) -> dict[str, KeyUse]:
    """What is in a file that may be another process's; nothing where it is missing or cannot be read."""
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return _key_use(connection)
    except sqlite3.Error:
        return {}
