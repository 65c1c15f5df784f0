"""All of one usage database into another that is empty: rows a page at a time, so that a copy that was cut short goes
on where it was; then, in one transaction, what they add up to; and in the end the proof that both have the same."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest

from omni_analytics.adapters import limit_events
from omni_analytics.adapters.database import Database, RowTable, Tables
from omni_analytics.adapters.tables import CELL
from omni_analytics.domain.rollup import GRAINS, MEASURES
from omni_analytics.domain.rows import RequestRow

# Rows a transaction.
PAGE = 2000
# In the target's ``meta``, until all is there.
MARK = "copying"

_SUMMED = "cost_nano_usd, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens"
# What goes along with a page of requests, by their ids; and what comes in the end.
BESIDE = {"decision": "id, document", "request_tag": "id, tag"}
AT_THE_END = {
    "limit_event": limit_events.COLUMNS,
    "limit_notice": limit_events.NOTICE_COLUMNS,
    **{f"usage_{grain}": f"{CELL}, {', '.join(MEASURES)}" for grain in GRAINS},
    **{f"latency_{grain}": f"{CELL}, measure, counts" for grain in GRAINS},
    "meta": "name, value",
}
# What must be the same on both sides, by table.
_PROOFS = {
    "attempt_row": f"{_SUMMED}, reserved_nano_usd, repriced_nano_usd, seq, duration_ms",
    "request_row": f"{_SUMMED}, overhead_us, seq, duration_ms",
    "limit_event": "used, percent",
    "limit_notice": "tries, due_ms",
    **{f"usage_{grain}": ", ".join(MEASURES) for grain in GRAINS},
    **dict.fromkeys(("decision", "request_tag", *(f"latency_{grain}" for grain in GRAINS)), ""),
}


class Copied(msgspec.Struct, frozen=True):
    """How many rows are there now, of which so many were ``found`` there from a copy that was cut short; and how many
    cells of rollups."""

    attempts: int
    requests: int
    cells: int
    found: int


def copy(source: Database, target: Database, told: Callable[[int], None]) -> Copied:
    """Both are open. What ``source`` has to record meanwhile waits. ``told`` hears how many rows there are.

    Raises ``InvalidRequest`` where the target has usage of its own, and where both are not the same in the end, as the
    source has changed since a copy of it was cut short.
    """
    with source.writing():
        here, there = source.tables(), target.tables()
        found = _begin(target, there)
        for name, table, into in (
            ("attempt", here.attempts, there.attempts),
            ("request", here.requests, there.requests),
        ):
            _rows(source, target, name, table, into, there, told)
        with target.writing():
            for name, columns in AT_THE_END.items():
                there.empty(name)  # of a copy that was cut short in the end
                there.fill(name, columns, source.execute(f"SELECT {columns} FROM {name}"))  # noqa: S608 - as above
            there.note(MARK, 1)
        _prove(source, target)
        with target.writing():
            there.note(MARK, None)
        attempts, requests = _count(target, "attempt_row"), _count(target, "request_row")
        return Copied(attempts, requests, sum(_count(target, f"usage_{grain}") for grain in GRAINS), found)


def _begin(target: Database, there: Tables) -> int:
    """How many rows an earlier copy has brought."""
    if target.execute("SELECT value FROM meta WHERE name = ?", (MARK,)).fetchone():
        return _count(target, "attempt_row") + _count(target, "request_row")
    with target.writing():
        if any(_count(target, name) for name in (*_PROOFS, "meta")):
            raise InvalidRequest(f"there is usage in {target.shown} already: a copy goes into an empty database")
        there.note(MARK, 1)
    return 0


def _rows(
    source: Database,
    target: Database,
    name: str,
    table: RowTable[Any],
    into: RowTable[Any],
    there: Tables,
    told: Callable[[int], None],
) -> None:
    """By id, in the order of the source: in the target another collation may hold."""
    count = _count(target, f"{name}_row")
    at = f"SELECT id FROM {name}_row ORDER BY id LIMIT 1 OFFSET ?"  # noqa: S608 - names from this code only
    last = source.execute(at, (count - 1,)).fetchone() if count else None
    after = last[0] if last else ""
    while page := table.behind(after, PAGE):
        after, count = page[-1].id, count + len(page)
        if name == "request":
            page = _whole(source, page)
        with target.writing():
            into.insert(page)
            if name == "request":
                there.decide(page)
        told(count)


def _whole(source: Database, rows: Sequence[RequestRow]) -> list[RequestRow]:
    """With what goes along with them."""
    beside: dict[str, dict[str, list[Any]]] = {}
    where, values = source.among("id", [row.id for row in rows])
    for name, columns in BESIDE.items():
        asked = f"SELECT {columns} FROM {name} WHERE {where}"  # noqa: S608 - names from this code only
        for id_, value in source.execute(asked, values):
            beside.setdefault(name, {}).setdefault(id_, []).append(value)
    decided, tagged = beside.get("decision", {}), beside.get("request_tag", {})
    return [
        msgspec.structs.replace(
            row, decision=bytes(decided.get(row.id, [b""])[0]), tags=tuple(sorted(tagged.get(row.id, ())))
        )
        for row in rows
    ]


def _prove(source: Database, target: Database) -> None:
    for name, summed in _PROOFS.items():
        wanted, found = _figures(source, name, summed), _figures(target, name, summed)
        if wanted != found:
            raise InvalidRequest(
                f"{name} has {wanted} there and {found} in {target.shown}: it has changed since a copy was cut short; "
                "empty that database and copy again"
            )


def _figures(database: Database, name: str, summed: str) -> tuple[int, ...]:
    """How many, and the sum of each column."""
    sums = "".join(f", coalesce(sum({column.strip()}), 0)" for column in summed.split(",") if column)
    (found,) = database.execute(f"SELECT count(*){sums} FROM {name}").fetchall()  # noqa: S608 - as above
    return tuple(map(int, found))


def _count(database: Database, name: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {name}").fetchone()[0])  # noqa: S608 - as above
