"""Limits that have come to a percentage: each kept once, listed newest first, and told to a webhook.

``webhook`` is "" where there was none, "waiting" until ``due_ms`` for the next of its ``tries``, "delivered" or "dead".
"""

from collections.abc import Sequence

import msgspec
from omni_core.ports.analytics import LimitEvent, LimitEvents

from omni_analytics.adapters.database import Database
from omni_analytics.domain.notices import Notice, claimed_until
from omni_analytics.domain.reached import Reached

_REACHED = "id, at_ms, percent, used, limit_id, name, organisation, measure, span, most"
_COLUMNS = f"{_REACHED}, webhook, tries"
COLUMNS = f"{_COLUMNS}, due_ms"  # all that there are
_SIZE = len(Reached.__struct_fields__)
_INSERT = (
    f"INSERT INTO limit_event ({COLUMNS}) VALUES ({', '.join('?' * (_SIZE + 3))}) "  # noqa: S608 - our names
    "ON CONFLICT (id) DO NOTHING"
)
_DUE = (
    f"SELECT {_REACHED}, tries, due_ms FROM limit_event "  # noqa: S608 - as above
    "WHERE webhook = 'waiting' AND due_ms <= ? ORDER BY due_ms, id LIMIT ?"
)
# Only whoever saw the time that it was due at has it.
_CLAIM = "UPDATE limit_event SET tries = tries + 1, due_ms = ? WHERE id = ? AND webhook = 'waiting' AND due_ms = ?"
_SETTLE = "UPDATE limit_event SET webhook = ? WHERE id = ? AND webhook = 'waiting'"


def keep(database: Database, reached: Sequence[Reached], *, notify: bool) -> list[Reached]:
    """In a transaction of the caller's; gives those that are news. With ``notify`` a webhook is to be told."""
    state = ("waiting" if notify else "", 0, 0)
    return [
        each for each in reached if database.execute(_INSERT, (*msgspec.structs.astuple(each), *state)).rowcount == 1
    ]


def claim(database: Database, now_ms: int, most: int) -> list[Notice]:
    """Those to be sent now, by whoever gets them; should it die meanwhile, they are due again after their pause. In a
    transaction of the caller's."""
    found = []
    for *event, tries, due_ms in database.execute(_DUE, (now_ms, most)).fetchall():
        if database.execute(_CLAIM, (claimed_until(now_ms, tries + 1), event[0], due_ms)).rowcount == 1:
            found.append(Notice(Reached(*event), tries + 1))
    return found


def settle(database: Database, event_id: str, state: str) -> None:
    """In a transaction of the caller's."""
    database.execute(_SETTLE, (state, event_id))


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
