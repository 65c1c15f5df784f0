"""How rows are written to and read from ClickHouse. Nothing is changed in place: what stands is read, and what it comes
to is put in its stead. What the transaction itself has put counts as standing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from omni_wire.latency import added, packed, unpacked

from omni_analytics.adapters import limit_events
from omni_analytics.adapters.clickhouse import ClickhouseDatabase, Key, KnownId
from omni_analytics.adapters.retention import AT_ONCE, KEPT, kept_from
from omni_analytics.adapters.schema_clickhouse import TABLES
from omni_analytics.domain.notices import OWN, Notice, Recipients, claimed_until
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rollup import DAY_MS, MEASURES, ZERO, Cell, Row, Sums, Tally, Timed, by_grain
from omni_analytics.domain.rows import AttemptRow, RequestRow, parts

# Keys a question.
ASKED = 1000
_CELL = ", ".join(Cell.__struct_fields__)
_CELL_SIZE = len(Cell.__struct_fields__)
_SUMS = ", ".join(MEASURES)
_EVENT = ", ".join(TABLES["limit_event"].columns)
_REACHED = len(Reached.__struct_fields__)

T = TypeVar("T")


def _some(values: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), ASKED):
        yield [*values[start : start + ASKED]]


# ruff: noqa: S608 - names from this code only
class ClickhouseRows(Generic[Row]):
    """Satisfies ``RowTable``: the rows of one type, with what few of them have."""

    def __init__(self, database: ClickhouseDatabase, name: str, row: type[Row]) -> None:
        self._database = database
        self._row: type[Row] = row
        self._table = f"{name}_row"
        self._columns = tuple(TABLES[self._table].columns)
        every = f"SELECT {', '.join(self._columns)} FROM {self._table} WHERE "
        self._of = f"{every}id IN ?"
        self._behind = f"{every}id > ? ORDER BY id LIMIT ?"
        # What few have is not added up, and need not be read for that.
        self._within = f"SELECT {', '.join(parts(row).all)} FROM {self._table} WHERE started_ms >= ? AND started_ms < ?"
        self._began = f"SELECT id, started_ms FROM {self._table} WHERE id IN ?"

    def insert(self, rows: Sequence[Row], *, over: bool = False) -> None:
        began = self._stand([row.id for row in rows])
        if not over and (began or len({row.id for row in rows}) < len(rows)):
            raise KnownId
        for row in rows:
            before = began.get(row.id, row.started_ms)
            if before != row.started_ms:
                # Who looks only at that time must see that it is another now.
                self._database.drop(self._table, (row.id, before), {"id": row.id, "started_ms": before})
            self._database.put(self._table, (row.id,), tuple(getattr(row, name) for name in self._columns))

    def stored(self, rows: Sequence[Row]) -> dict[str, Row]:
        return self.of([row.id for row in rows])

    def of(self, ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for some in _some(ids):
            for values in self._database.execute(self._of, (some,)):
                found[values[0]] = self._made(values)
        for id_ in ids:
            if put := self._database.pending(self._table, (id_,)):
                found[id_] = self._made(put[:-1])
        return found

    def within(self, from_ms: int, until_ms: int) -> list[Row]:
        return [self._row(*found) for found in self._database.execute(self._within, (from_ms, until_ms))]

    def behind(self, id_: str, most: int) -> list[Row]:
        return [self._made(found) for found in self._database.execute(self._behind, (id_, most))]

    def _stand(self, ids: Sequence[str]) -> dict[str, int]:
        """When those that are there began."""
        found: dict[str, int] = {}
        for some in _some(ids):
            found.update(self._database.execute(self._began, (some,)))
        return found

    def _made(self, values: Sequence[Any]) -> Row:
        fields = dict(zip(self._columns, values, strict=True))
        if "tags" in fields:
            fields["tags"] = tuple(fields["tags"])
        return self._row(**fields)


class ClickhouseTables:
    """Satisfies ``Tables``."""

    def __init__(self, database: ClickhouseDatabase) -> None:
        self._database = database
        self.attempts = ClickhouseRows(database, "attempt", AttemptRow)
        self.requests = ClickhouseRows(database, "request", RequestRow)

    def decide(self, rows: Sequence[RequestRow], *, again: bool = False) -> None:
        """They are in the rows."""

    def forget(self) -> None:
        """Nothing is remembered."""

    def roll_up(self, found: Tally) -> None:
        for grain, tally in by_grain(found):
            self.add(grain, tally)

    def add(self, grain: str, found: Tally) -> None:
        usage, latency = f"usage_{grain}", f"latency_{grain}"
        cells = {_astuple(cell): sums for cell, sums in found.cells.items()}
        sums_there = self._standing(usage, _CELL, _SUMS, cells, ZERO)
        for key, sums in cells.items():
            after: Sums = tuple(map(sum, zip(sums_there[key], sums, strict=True)))
            # A cell that nothing counts in any more would show as a group of zeros.
            self._put(usage, key, after if after[0] or after[2] else None)
        timed = {(*_astuple(each.cell), each.measure): counts for each, counts in found.latencies.items()}
        counts_there = self._standing(latency, f"{_CELL}, measure", "counts", timed, (packed({}),))
        for key, counts in timed.items():
            both = added(unpacked(counts_there[key][0]), counts)
            self._put(latency, key, (packed(both),) if both else None)

    def rolled(self, grain: str, from_ms: int, until_ms: int) -> Tally:
        ask, bounds = self._database.execute, (from_ms, until_ms)
        span = "WHERE at_ms >= ? AND at_ms < ?"
        return Tally(
            {
                Cell(*row[:_CELL_SIZE]): tuple(row[_CELL_SIZE:])
                for row in ask(f"SELECT {_CELL}, {_SUMS} FROM usage_{grain} {span}", bounds)
            },
            {
                Timed(Cell(*cell), measure): unpacked(counts)
                for *cell, measure, counts in ask(
                    f"SELECT {_CELL}, measure, counts FROM latency_{grain} {span}", bounds
                )
            },
        )

    def clear(self, grain: str, from_ms: int, until_ms: int) -> None:
        for table, key in ((f"usage_{grain}", _CELL), (f"latency_{grain}", f"{_CELL}, measure")):
            sql = f"SELECT {key} FROM {table} WHERE at_ms >= ? AND at_ms < ?"
            for found in self._database.execute(sql, (from_ms, until_ms)):
                self._put(table, tuple(found), None)

    def note(self, name: str, value: int | None) -> None:
        self._put("meta", (name,), None if value is None else (value,))

    def forget_before(self, before_ms: int) -> bool:
        # Also where it says so already: the last entry of the journal must not bring back what is dropped.
        self.note(KEPT, max(before_ms, kept_from(self._database)))
        for table in ("attempt_row", "request_row"):
            self._database.forget_days(table, before_ms // DAY_MS)
        old = self._database.execute(
            "SELECT id FROM limit_event WHERE at_ms < ? ORDER BY at_ms, id LIMIT ?", (before_ms, AT_ONCE)
        ).fetchall()
        ids = [id_ for (id_,) in old]
        if ids:
            for found in self._database.execute("SELECT id, hook FROM limit_notice WHERE id IN ?", (ids,)):
                self._put("limit_notice", tuple(found), None)
        for id_ in ids:
            self._put("limit_event", (id_,), None)
        return len(old) >= AT_ONCE

    def keep_reached(self, reached: Sequence[Reached], notify: Recipients) -> list[Reached]:
        ids = [each.id for each in reached]
        known = {id_ for (id_,) in self._database.execute("SELECT id FROM limit_event WHERE id IN ?", (ids,))}
        news = list[Reached]()
        for each in reached:
            if each.id not in known:
                known.add(each.id)
                news.append(each)
                names = notify(each)
                values = (*msgspec.structs.astuple(each)[1:], "waiting" if OWN in names else "", 0, 0)
                self._put("limit_event", (each.id,), values)
                for name in names:
                    if name != OWN:
                        self._put("limit_notice", (each.id, name), ("waiting", 0, 0))
        return news

    def claim(self, now_ms: int, most: int, webhooks: Sequence[str]) -> list[Notice]:
        found = []
        if OWN in webhooks:
            due = self._database.execute(
                f"SELECT {_EVENT} FROM limit_event WHERE webhook = 'waiting' AND due_ms <= ? "
                "ORDER BY due_ms, id LIMIT ?",
                (now_ms, most),
            )
            for *event, webhook, tries, _ in due:
                until = claimed_until(now_ms, tries + 1)
                self._put("limit_event", (event[0],), (*event[1:], webhook, tries + 1, until))
                found.append(Notice(Reached(*event), tries + 1))
        for reached, hook, tries, _ in limit_events.due_of(self._database, now_ms, most - len(found), webhooks):
            until = claimed_until(now_ms, tries + 1)
            self._put("limit_notice", (reached.id, hook), ("waiting", tries + 1, until))
            found.append(Notice(reached, tries + 1, hook))
        return found

    def settle(self, notice: Notice, state: str) -> None:
        if notice.webhook != OWN:
            asked = "SELECT tries, due_ms FROM limit_notice WHERE id = ? AND hook = ? AND state = 'waiting'"
            key = (notice.event.id, notice.webhook)
            for tries, due_ms in self._database.execute(asked, key):
                self._put("limit_notice", key, (state, tries, due_ms))
            return
        waiting = self._database.execute(
            f"SELECT {_EVENT} FROM limit_event WHERE id = ? AND webhook = 'waiting'", (notice.event.id,)
        )
        for id_, *event in waiting:
            self._put("limit_event", (id_,), (*event[: _REACHED - 1], state, *event[_REACHED:]))

    def fill(self, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        names, key = columns.split(", "), TABLES[table].key
        for row in rows:
            fields = dict(zip(names, row, strict=True))
            values = tuple(fields[name] for name in TABLES[table].columns if name not in key)
            self._put(table, tuple(fields[name] for name in key), values)

    def empty(self, table: str) -> None:
        for found in self._database.execute(f"SELECT {', '.join(TABLES[table].key)} FROM {table}"):
            self._put(table, tuple(found), None)

    def _put(self, table: str, key: Key, values: tuple[Any, ...] | None) -> None:
        """Of a table whose columns begin with its key; None for nothing."""
        if values is None:
            self._database.drop(table, key, dict(zip(TABLES[table].key, key, strict=True)))
        else:
            self._database.put(table, key, (*key, *values))

    def _standing(
        self, table: str, key: str, columns: str, wanted: Mapping[Key, Any], nothing: tuple[Any, ...]
    ) -> dict[Key, tuple[Any, ...]]:
        """What is under each of the keys."""
        keys, size = [*wanted], key.count(",") + 1
        found = dict.fromkeys(keys, nothing)
        for some in _some(keys):
            sql = f"SELECT {key}, {columns} FROM {table} WHERE ({key}) IN ?"
            for row in self._database.execute(sql, (some,)):
                found[tuple(row[:size])] = tuple(row[size:])
        for each in keys:
            put = self._database.pending(table, each)
            if put is not None:
                found[each] = put[size:-1] or nothing
        return found


def _astuple(cell: Cell) -> tuple[str | int, ...]:
    return msgspec.structs.astuple(cell)
