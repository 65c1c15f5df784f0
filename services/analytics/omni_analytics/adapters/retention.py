"""Rows are kept for a while; what they added up to stays. ``kept_from_ms`` says since when they are all there: whole
days (UTC), so that each cell of a rollup is of rows that are all there, or of none that count on being there."""

from omni_analytics.adapters.database import Database
from omni_analytics.domain.rollup import DAY_MS

# Rows a transaction: recording waits meanwhile.
AT_ONCE = 2000
KEPT = "kept_from_ms"


_ROWS = "DELETE FROM {0}_row WHERE id IN (SELECT id FROM {0}_row WHERE started_ms < ? ORDER BY started_ms, id LIMIT ?)"
_LIMITS = "DELETE FROM limit_event WHERE id IN (SELECT id FROM limit_event WHERE at_ms < ? ORDER BY at_ms, id LIMIT ?)"
_NOTICES = (
    "DELETE FROM limit_notice WHERE id IN (SELECT id FROM limit_event WHERE at_ms < ? ORDER BY at_ms, id LIMIT ?)"
)
_BESIDE = (
    "DELETE FROM {0} WHERE id IN (SELECT id FROM request_row WHERE started_ms < ? ORDER BY started_ms, id LIMIT ?)"
)


def kept_from(database: Database) -> int:
    """Epoch milliseconds; 0: nothing was ever forgotten."""
    found = database.execute("SELECT value FROM meta WHERE name = ?", (KEPT,)).fetchone()
    return int(found[0]) if found else 0


def horizon(now_ms: int, days: int) -> int:
    """Where the rows begin that are to be kept: at the beginning of a day, ``days`` whole days ago or more."""
    return max(0, now_ms - now_ms % DAY_MS - days * DAY_MS)


def forget_some(database: Database, before_ms: int) -> bool:
    """Forget some of the rows that started before then; whether there may be more. In a transaction of the caller's."""
    for table in ("decision", "request_tag"):
        database.execute(_BESIDE.format(table), (before_ms, AT_ONCE))
    database.execute(_NOTICES, (before_ms, AT_ONCE))
    more = database.execute(_LIMITS, (before_ms, AT_ONCE)).rowcount >= AT_ONCE
    for kind in ("attempt", "request"):
        gone = database.execute(_ROWS.format(kind), (before_ms, AT_ONCE))
        more |= gone.rowcount >= AT_ONCE
    return more
