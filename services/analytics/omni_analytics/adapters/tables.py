"""How rows are written to and read from the tables of ``adapters.schema``."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Generic

import msgspec

from omni_analytics.domain.rollup import MEASURES, Cell, Row, Sums
from omni_analytics.domain.rows import AttemptRow, RequestRow, parts

Values = tuple[str | int, ...]

# Rows a statement: fewer calls, and fewer times the interpreter is handed over in between. The number of values stays
# far below what SQLite takes in one statement (32,766).
AT_ONCE = 32
# Model names are part of a kind, and they come from clients.
MAX_KINDS = 4096

_CELL = ", ".join(Cell.__struct_fields__)
_ADD_CELL = (
    f"INSERT INTO usage_hour ({_CELL}, {', '.join(MEASURES)}) "  # noqa: S608 - names from this code only
    f"VALUES ({', '.join('?' * (len(Cell.__struct_fields__) + len(MEASURES)))}) "
    f"ON CONFLICT ({_CELL}) DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in MEASURES)}"
)
# A cell that nothing counts in any more would show as a group of zeros.
_SAME_CELL = " AND ".join(f"{name} = ?" for name in Cell.__struct_fields__)
_DROP_EMPTY = f"DELETE FROM usage_hour WHERE requests = 0 AND attempts = 0 AND {_SAME_CELL}"  # noqa: S608 - as above


class RowTable(Generic[Row]):
    """The rows of one type: ``{name}_row``, ``{name}_kind`` and the view of both, ``{name}_event``."""

    def __init__(self, connection: sqlite3.Connection, name: str, row: type[Row]) -> None:
        self._connection = connection
        self._row: type[Row] = row
        names = parts(row)
        self._single, self._end = len(names.single), len(names.all)
        self._kinds: dict[Values, int] = {}
        kind = ", ".join(names.kind)
        self._into = f"INTO {name}_row ({', '.join(names.single)}, kind) VALUES "
        self._marks = f"({', '.join('?' * (self._single + 1))})"
        self._learn = (
            f"INSERT INTO {name}_kind ({kind}) VALUES ({', '.join('?' * len(names.kind))}) "  # noqa: S608 - as above
            f"ON CONFLICT ({kind}) DO UPDATE SET router_id = router_id RETURNING kind"
        )
        self._find = (
            f"SELECT {', '.join(names.all)} FROM {name}_event "  # noqa: S608 - as above
            "WHERE id IN (SELECT value FROM json_each(?))"
        )

    def insert(self, rows: Sequence[Row], verb: str = "INSERT") -> None:
        """Write ``rows``. Raises ``sqlite3.IntegrityError`` for an id that is there, unless ``verb`` is REPLACE."""
        single, kinds = self._single, self._kinds
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            values: list[str | int] = []
            for row in map(msgspec.structs.astuple, some):
                kind = row[single : self._end]
                values += row[:single]
                values.append(kinds.get(kind) or self._kind(kind))
            self._connection.execute(f"{verb} {self._into}{', '.join([self._marks] * len(some))}", values)

    def stored(self, rows: Sequence[Row]) -> dict[str, Row]:
        """What is stored under the ids of ``rows``."""
        ids = msgspec.json.encode([row.id for row in rows]).decode()
        return {found[0]: self._row(*found) for found in self._connection.execute(self._find, (ids,))}

    def forget(self) -> None:
        """Kinds that were learned in a transaction that failed are not there."""
        self._kinds.clear()

    def _kind(self, values: Values) -> int:
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        (number,) = self._connection.execute(self._learn, values).fetchone()
        self._kinds[values] = number
        return int(number)


class Tables:
    """All that is written. Used in the store's thread, within its transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.attempts = RowTable(connection, "attempt", AttemptRow)
        self.requests = RowTable(connection, "request", RequestRow)

    def decide(self, rows: Sequence[RequestRow], *, again: bool = False) -> None:
        """Keep the decisions of ``rows``; ``again`` where others of the same ids may be there."""
        if again:
            self._connection.executemany("DELETE FROM decision WHERE id = ?", [(row.id,) for row in rows])
        if decided := [(row.id, row.decision) for row in rows if row.decision]:
            self._connection.executemany("INSERT INTO decision (id, document) VALUES (?, ?)", decided)

    def roll_up(self, cells: Mapping[Cell, Sums]) -> None:
        """Add the differences to the rollup."""
        added = [(*msgspec.structs.astuple(cell), *sums) for cell, sums in cells.items()]
        self._connection.executemany(_ADD_CELL, added)
        shrunk = [msgspec.structs.astuple(cell) for cell, sums in cells.items() if min(sums) < 0]
        if shrunk:
            self._connection.executemany(_DROP_EMPTY, shrunk)

    def forget(self) -> None:
        self.attempts.forget()
        self.requests.forget()
