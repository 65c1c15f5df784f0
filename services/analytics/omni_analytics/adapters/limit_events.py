"""Limits that have come to a percentage: each kept once, listed newest first, and told to webhooks.

``webhook`` is "" where there was none, "waiting" until ``due_ms`` for the next of its ``tries``, "delivered" or "dead".
It is of the environment's; what each of the configuration's is told is in ``limit_notice``, in the same words.
"""

from collections.abc import Sequence

import msgspec
from omni_core.ports.analytics import LimitEvent, LimitEvents

from omni_analytics.adapters.database import Database
from omni_analytics.domain.notices import OWN, Notice, Recipients, claimed_until
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

NOTICE_COLUMNS = "id, hook, state, tries, due_ms"
_TELL = f"INSERT INTO limit_notice ({NOTICE_COLUMNS}) VALUES (?, ?, 'waiting', 0, 0)"  # noqa: S608 - as above
_CLAIM_OF = (
    "UPDATE limit_notice SET tries = tries + 1, due_ms = ? "
    "WHERE id = ? AND hook = ? AND state = 'waiting' AND due_ms = ?"
)
_SETTLE_OF = "UPDATE limit_notice SET state = ? WHERE id = ? AND hook = ? AND state = 'waiting'"
# What is not told yet is what must be seen of several; then what was given up.
_WORST = ("waiting", "dead", "delivered", "")


def keep(database: Database, reached: Sequence[Reached], notify: Recipients) -> list[Reached]:
    """In a transaction of the caller's; gives those that are news. The webhooks that ``notify`` says are to be told."""
    news = []
    for each in reached:
        names = notify(each)
        state = ("waiting" if OWN in names else "", 0, 0)
        if database.execute(_INSERT, (*msgspec.structs.astuple(each), *state)).rowcount == 1:
            news.append(each)
            for name in names:
                if name != OWN:
                    database.execute(_TELL, (each.id, name))
    return news


def claim(database: Database, now_ms: int, most: int, webhooks: Sequence[str]) -> list[Notice]:
    """Those to be sent now, by whoever gets them; should it die meanwhile, they are due again after their pause. In a
    transaction of the caller's."""
    found = []
    if OWN in webhooks:
        for *event, tries, due_ms in database.execute(_DUE, (now_ms, most)).fetchall():
            if database.execute(_CLAIM, (claimed_until(now_ms, tries + 1), event[0], due_ms)).rowcount == 1:
                found.append(Notice(Reached(*event), tries + 1))
    for event, hook, tries, due_ms in due_of(database, now_ms, most - len(found), webhooks):
        until = claimed_until(now_ms, tries + 1)
        if database.execute(_CLAIM_OF, (until, event.id, hook, due_ms)).rowcount == 1:
            found.append(Notice(event, tries + 1, hook))
    return found


def due_of(database: Database, now_ms: int, most: int, webhooks: Sequence[str]) -> list[tuple[Reached, str, int, int]]:
    """What is due for webhooks of the configuration: the event, whom to tell, after how many tries, since when."""
    named = [name for name in webhooks if name != OWN]
    if not named or most <= 0:
        return []
    where, values = database.among("hook", named)
    asked = (
        f"SELECT id, hook, tries, due_ms FROM limit_notice WHERE state = 'waiting' AND due_ms <= ? AND {where} "  # noqa: S608 - as above
        "ORDER BY due_ms, id, hook LIMIT ?"
    )
    due = database.execute(asked, (now_ms, *values, most)).fetchall()
    if not due:
        return []
    where, values = database.among("id", [row[0] for row in due])
    events = f"SELECT {_REACHED} FROM limit_event WHERE {where}"  # noqa: S608 - as above
    reached = {row[0]: Reached(*row) for row in database.execute(events, values)}
    return [(reached[id_], hook, tries, due_ms) for id_, hook, tries, due_ms in due if id_ in reached]


def settle(database: Database, notice: Notice, state: str) -> None:
    """In a transaction of the caller's."""
    if notice.webhook == OWN:
        database.execute(_SETTLE, (state, notice.event.id))
    else:
        database.execute(_SETTLE_OF, (state, notice.event.id, notice.webhook))


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
    found = [LimitEvent(*row) for row in database.execute(question, (*values, asked.most))]
    return _with_notices(database, found)


def _with_notices(database: Database, events: list[LimitEvent]) -> tuple[LimitEvent, ...]:
    """With what became of them at all webhooks: the worst of it, and the most tries that one took."""
    if not events:
        return ()
    where, values = database.among("id", [event.id for event in events])
    asked = f"SELECT id, state, tries FROM limit_notice WHERE {where}"  # noqa: S608 - as above
    told: dict[str, list[tuple[str, int]]] = {}
    for id_, state, tries in database.execute(asked, values):
        told.setdefault(id_, []).append((state, tries))
    found = []
    for event in events:
        every = [(event.webhook, event.tries), *told.get(event.id, ())]
        worst = min((state for state, _ in every), key=_WORST.index)
        found.append(msgspec.structs.replace(event, webhook=worst, tries=max(tries for _, tries in every)))
    return tuple(found)
