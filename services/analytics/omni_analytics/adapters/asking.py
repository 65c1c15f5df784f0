"""Questions about usage. Whole days, hours and minutes are read from the rollups, the coarsest that fit; what is left
of a minute at either end of a span from the rows, as long as retention has not forgotten them: then all of that minute
counts."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from omni_core.ports.analytics import KeyUse, UsageQuery, UsageReport, UsageTotals

from omni_analytics.adapters.database import Database
from omni_analytics.adapters.retention import kept_from
from omni_analytics.domain.rollup import GRAINS, MEASURES, MINUTE_MS, ZERO, Sums

_COLUMN = {
    "key": "key_id",
    "model": "model",
    "provider": "provider",
    "account": "account_id",
    "status": "status",
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


def pieces(from_ms: int, until_ms: int, kept_from_ms: int = 0, *, from_rows: bool = False) -> list[Piece]:
    """How to read a span. With ``from_rows`` what is kept of it is read from the rows alone."""
    if from_rows:
        rest = max(from_ms, kept_from_ms)
        before = pieces(from_ms, min(kept_from_ms, until_ms or kept_from_ms), kept_from_ms) if kept_from_ms else []
        return before + ([Piece("", rest, until_ms)] if not until_ms or rest < until_ms else [])
    if until_ms and from_ms >= until_ms:
        return []
    # Nothing that is forgotten is read from the rows.
    if from_ms and from_ms < kept_from_ms:
        from_ms -= from_ms % MINUTE_MS
    if 0 < until_ms < kept_from_ms:
        until_ms = -(-until_ms // MINUTE_MS) * MINUTE_MS
    found: list[Piece] = []
    _divide(found, ["", *GRAINS], from_ms, until_ms)
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


def report(database: Database, query: UsageQuery) -> UsageReport:
    groups = _groups(database, query)
    totals = tuple(map(sum, zip(ZERO, *groups.values(), strict=True)))
    named = groups if query.group_by else {}
    return UsageReport(UsageTotals(*totals), {value: UsageTotals(*sums) for value, sums in named.items()})


def _groups(database: Database, query: UsageQuery) -> dict[str, Sums]:
    """Sums by the value of ``group_by`` (all under "" without one)."""
    column = _COLUMN[query.group_by] if query.group_by else "''"
    groups: dict[str, Sums] = {}
    for piece in pieces(query.from_ms, query.until_ms, kept_from(database), from_rows=query.from_rows):
        table, time_column = piece.source
        bounds = [(">=", piece.from_ms)] if piece.from_ms else []
        bounds += [("<", piece.until_ms)] if piece.until_ms else []
        where = [f"{time_column} {sign} ?" for sign, _ in bounds] + (["key_id = ?"] if query.key_id else [])
        values = [value for _, value in bounds] + ([query.key_id] if query.key_id else [])
        sql = f"SELECT {column}, {_SUMS} FROM {table}"  # noqa: S608 - names from this code only
        sql += f" WHERE {' AND '.join(where)}" if where else ""
        sql += " GROUP BY 1"
        for value, *sums in database.execute(sql, values):
            groups[value] = tuple(map(sum, zip(groups.get(value, ZERO), sums, strict=True)))
    return groups


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
