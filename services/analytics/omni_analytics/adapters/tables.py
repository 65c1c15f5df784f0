"""How rows are written to and read from the tables of ``adapters.schema``, by SQL."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic

import msgspec
from omni_wire.latency import Counts, added, packed, unpacked

from omni_analytics.adapters import limit_events, retention
from omni_analytics.adapters.database import SqlDatabase
from omni_analytics.domain.notices import Notice, Recipients
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rollup import GRAINS, MEASURES, Cell, Row, Tally, Timed, by_grain
from omni_analytics.domain.rows import AttemptRow, Parts, RequestRow, parts

Values = tuple[str | int, ...]

# Rows a statement: fewer calls, and fewer times the interpreter is handed over in between. The number of values stays
# far below what SQLite takes in one statement (32,766).
AT_ONCE = 32
# Model names are part of a kind, and they come from clients.
MAX_KINDS = 4096

CELL = ", ".join(Cell.__struct_fields__)
_TIMED_COLUMNS = (*Cell.__struct_fields__, "measure")
_TIMED = ", ".join(_TIMED_COLUMNS)
_CELL_SIZE = len(Cell.__struct_fields__)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


# ruff: noqa: S608 - names from this code only
def _add_cell(grain: str) -> str:
    table = f"usage_{grain}"
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in MEASURES)
    return (
        f"INSERT INTO {table} ({CELL}, {', '.join(MEASURES)}) VALUES ({_marks(_CELL_SIZE + len(MEASURES))}) "
        f"ON CONFLICT ({CELL}) DO UPDATE SET {added}"
    )


def _put_latency(grain: str) -> str:
    return (
        f"INSERT INTO latency_{grain} ({_TIMED}, counts) VALUES ({_marks(_CELL_SIZE + 2)}) "
        f"ON CONFLICT ({_TIMED}) DO UPDATE SET counts = excluded.counts"
    )


def _same(names: Iterable[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in names)


_ADD_CELL = {grain: _add_cell(grain) for grain in GRAINS}
_PUT_LATENCY = {grain: _put_latency(grain) for grain in GRAINS}
# A cell that nothing counts in any more would show as a group of zeros.
_DROP_EMPTY = {
    grain: f"DELETE FROM usage_{grain} WHERE requests = 0 AND attempts = 0 AND {_same(Cell.__struct_fields__)}"
    for grain in GRAINS
}
_DROP_UNCOUNTED = {grain: f"DELETE FROM latency_{grain} WHERE {_same(_TIMED_COLUMNS)}" for grain in GRAINS}


# A lookup for each of ``wanted``: SQLite would read the whole table for a row that is one of several.
_STANDING = {
    grain: f"SELECT {', '.join(f'wanted.{name}' for name in _TIMED_COLUMNS)}, counts "
    f"FROM wanted CROSS JOIN latency_{grain} AS standing "
    f"WHERE {' AND '.join(f'standing.{name} = wanted.{name}' for name in _TIMED_COLUMNS)}"
    for grain in GRAINS
}


class SqlRows(Generic[Row]):
    """Satisfies ``RowTable``: ``{name}_row``, ``{name}_kind`` and the view of both, ``{name}_event``."""

    def __init__(self, database: SqlDatabase, name: str, row: type[Row]) -> None:
        self._database = database
        self._row: type[Row] = row
        names: Parts = parts(row)
        self._single, self._end = len(names.single), len(names.all)
        self._kinds: dict[Values, int] = {}
        kind = ", ".join(names.kind)
        self._into = f"INSERT INTO {name}_row ({', '.join(names.single)}, kind) VALUES "
        self._marks = f"({_marks(self._single + 1)})"
        put = ", ".join(f"{column} = excluded.{column}" for column in (*names.single[1:], "kind"))
        self._over = f" ON CONFLICT (id) DO UPDATE SET {put}"
        self._learn = f"INSERT INTO {name}_kind ({kind}) VALUES ({_marks(len(names.kind))}) RETURNING kind"
        self._known = f"SELECT kind FROM {name}_kind WHERE {_same(names.kind)}"
        self._find = f"SELECT {', '.join(names.all)} FROM {name}_event WHERE "
        self._within = f"{self._find}started_ms >= ? AND started_ms < ?"
        self._behind = f"{self._find}id > ? ORDER BY id LIMIT ?"

    def insert(self, rows: Sequence[Row], *, over: bool = False) -> None:
        single, kinds = self._single, self._kinds
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            values: list[str | int] = []
            for row in map(msgspec.structs.astuple, some):
                kind = row[single : self._end]
                values += row[:single]
                values.append(kinds.get(kind) or self._kind(kind))
            sql = f"{self._into}{', '.join([self._marks] * len(some))}{self._over if over else ''}"
            self._database.execute(sql, values)

    def stored(self, rows: Sequence[Row]) -> dict[str, Row]:
        return self.of([row.id for row in rows])

    def of(self, ids: Sequence[str]) -> dict[str, Row]:
        where, values = self._database.among("id", ids)
        return {found[0]: self._row(*found) for found in self._database.execute(self._find + where, values)}

    def within(self, from_ms: int, until_ms: int) -> list[Row]:
        return [self._row(*found) for found in self._database.execute(self._within, (from_ms, until_ms))]

    def behind(self, id_: str, most: int) -> list[Row]:
        return [self._row(*found) for found in self._database.execute(self._behind, (id_, most))]

    def forget(self) -> None:
        """Kinds that were learned in a transaction that failed are not there."""
        self._kinds.clear()

    def _kind(self, values: Values) -> int:
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        found = self._database.execute(self._known, values).fetchone()
        (number,) = found or self._database.execute(self._learn, values).fetchone()
        self._kinds[values] = number
        return int(number)


class SqlTables:
    """Satisfies ``Tables``."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self.attempts = SqlRows(database, "attempt", AttemptRow)
        self.requests = SqlRows(database, "request", RequestRow)

    def decide(self, rows: Sequence[RequestRow], *, again: bool = False) -> None:
        if again:
            for table in ("decision", "request_tag"):
                self._database.executemany(f"DELETE FROM {table} WHERE id = ?", [(row.id,) for row in rows])
        if tagged := [(row.id, tag) for row in rows for tag in row.tags]:
            self._database.executemany("INSERT INTO request_tag (id, tag) VALUES (?, ?)", tagged)
        if decided := [(row.id, row.decision) for row in rows if row.decision]:
            self._database.executemany("INSERT INTO decision (id, document) VALUES (?, ?)", decided)

    def roll_up(self, found: Tally) -> None:
        for grain, tally in by_grain(found):
            self.add(grain, tally)

    def add(self, grain: str, found: Tally) -> None:
        run = self._database.executemany
        run(_ADD_CELL[grain], [(*msgspec.structs.astuple(cell), *sums) for cell, sums in found.cells.items()])
        if shrunk := [msgspec.structs.astuple(cell) for cell, sums in found.cells.items() if min(sums) < 0]:
            run(_DROP_EMPTY[grain], shrunk)
        if found.latencies:
            stands = self._latencies(grain, found.latencies)
            after = {timed: added(stands.get(timed, {}), counts) for timed, counts in found.latencies.items()}
            put = [(*_values(timed), packed(counts)) for timed, counts in after.items() if counts]
            run(_PUT_LATENCY[grain], put)
            if gone := [_values(timed) for timed, counts in after.items() if not counts]:
                run(_DROP_UNCOUNTED[grain], gone)

    def _latencies(self, grain: str, wanted: Iterable[Timed]) -> dict[Timed, Counts]:
        """Those of the histograms that are there."""
        found: dict[Timed, Counts] = {}
        keys = [*map(_values, wanted)]
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            within = ", ".join([f"({_marks(_CELL_SIZE + 1)})"] * len(some))
            sql = f"WITH wanted ({_TIMED}) AS (VALUES {within}) {_STANDING[grain]}"
            found.update(map(_timed, self._database.execute(sql, [value for key in some for value in key])))
        return found

    def rolled(self, grain: str, from_ms: int, until_ms: int) -> Tally:
        span = "at_ms >= ? AND at_ms < ?"
        cells, timed = f"SELECT {CELL}, {', '.join(MEASURES)}", f"SELECT {_TIMED}, counts"
        ask, bounds = self._database.execute, (from_ms, until_ms)
        return Tally(
            {
                Cell(*row[:_CELL_SIZE]): tuple(row[_CELL_SIZE:])
                for row in ask(f"{cells} FROM usage_{grain} WHERE {span}", bounds)
            },
            dict(map(_timed, ask(f"{timed} FROM latency_{grain} WHERE {span}", bounds))),
        )

    def clear(self, grain: str, from_ms: int, until_ms: int) -> None:
        for table in ("usage", "latency"):
            sql = f"DELETE FROM {table}_{grain} WHERE at_ms >= ? AND at_ms < ?"
            self._database.execute(sql, (from_ms, until_ms))

    def note(self, name: str, value: int | None) -> None:
        self._database.execute("DELETE FROM meta WHERE name = ?", (name,))
        if value is not None:
            self._database.execute("INSERT INTO meta (name, value) VALUES (?, ?)", (name, value))

    def forget_before(self, before_ms: int) -> bool:
        if before_ms > retention.kept_from(self._database):
            self.note(retention.KEPT, before_ms)
        return retention.forget_some(self._database, before_ms)

    def keep_reached(self, reached: Sequence[Reached], notify: Recipients) -> list[Reached]:
        return limit_events.keep(self._database, reached, notify)

    def claim(self, now_ms: int, most: int, webhooks: Sequence[str]) -> list[Notice]:
        return limit_events.claim(self._database, now_ms, most, webhooks)

    def settle(self, notice: Notice, state: str) -> None:
        limit_events.settle(self._database, notice, state)

    def fill(self, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        marks = _marks(columns.count(",") + 1)
        self._database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    def empty(self, table: str) -> None:
        self._database.execute(f"DELETE FROM {table}")

    def forget(self) -> None:
        self.attempts.forget()
        self.requests.forget()


def _values(timed: Timed) -> tuple[str | int, ...]:
    return (*msgspec.structs.astuple(timed.cell), timed.measure)


def _timed(row: Sequence[Any]) -> tuple[Timed, Counts]:
    return Timed(Cell(*row[:_CELL_SIZE]), row[_CELL_SIZE]), unpacked(row[-1])
