"""Limits that have come to a percentage: each kept once, and listed newest first."""

from collections.abc import Sequence

import msgspec
from omni_core.ports.analytics import LimitEvent, LimitEvents

from omni_analytics.adapters.database import Database
from omni_analytics.domain.reached import Reached

_COLUMNS = "id, at_ms, percent, used, limit_id, name, organisation, measure, span, most"
_INSERT = (
    f"INSERT INTO limit_event ({_COLUMNS}) VALUES ({', '.join('?' * 10)}) "  # noqa: S608 - names from this code only
    "ON CONFLICT (id) DO NOTHING"
)


def keep(database: Database, reached: Sequence[Reached]) -> list[Reached]:
    """In a transaction of the caller's; gives those that are news."""
    return [each for each in reached if database.execute(_INSERT, msgspec.structs.astuple(each)).rowcount == 1]


def listed(database: Database, asked: LimitEvents) -> tuple[LimitEvent, ...]:
    conditions, values = list[str](), list[str | int]()
    for condition, value in (
        ("organisation = ?", asked.organisation),
        ("limit_id = ?", asked.limit_id),
        ("name = ?", asked.name),
        ("percent >= ?", asked.percent),
        ("at_ms >= ?", asked.from_ms),
        ("at_ms < ?", asked.until_ms),
    ):
        if value:
            conditions.append(condition)
            values.append(value)
    if asked.before_ms:
        conditions.append("(at_ms < ? OR (at_ms = ? AND id < ?))")
        values += [asked.before_ms, asked.before_ms, asked.before_id]
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    question = f"SELECT {_COLUMNS} FROM limit_event {where}ORDER BY at_ms DESC, id DESC LIMIT ?"  # noqa: S608 - as above
    return tuple(LimitEvent(*row) for row in database.execute(question, (*values, asked.most)))
