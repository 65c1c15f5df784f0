"""The rollups made anew from the rows, day by day: what recording left there must be the same, bit for bit."""

import msgspec

from omni_analytics.adapters.database import Database
from omni_analytics.adapters.retention import kept_from
from omni_analytics.domain.rollup import DAY_MS, GRAINS, HOUR_MS, Tally, coarser, merge, tally


class Rebuilt(msgspec.Struct, frozen=True):
    """``days`` were looked at, since ``from_ms`` (epoch milliseconds; 0: all there ever were); ``cells`` were in the
    rollups, of which ``wrong`` were not what their rows say."""

    days: int = 0
    cells: int = 0
    wrong: int = 0
    from_ms: int = 0


def rebuild(database: Database, *, check: bool = False) -> Rebuilt:
    """In a transaction of the caller's. With ``check`` nothing is written.

    Days whose rows retention has forgotten stay as they are.
    """
    tables = database.tables()
    begin = kept_from(database)
    days = cells = wrong = 0
    day = _next_day(database, begin)
    while day is not None:
        days += 1
        minutes, hours = Tally({}, {}), Tally({}, {})
        for hour in range(day, day + DAY_MS, HOUR_MS):
            span = (hour, hour + HOUR_MS)
            found = merge(tally(tables.attempts.within(*span)), tally(tables.requests.within(*span)))
            minutes, hours = merge(minutes, found), merge(hours, coarser(found, HOUR_MS))
        for grain, wanted in zip(GRAINS, (minutes, hours, coarser(hours, DAY_MS)), strict=True):
            stands = tables.rolled(grain, day, day + DAY_MS)
            cells += len(wanted.cells)
            if stands == wanted:
                continue
            wrong += sum(stands.cells.get(cell) != wanted.cells.get(cell) for cell in stands.cells | wanted.cells)
            wrong += sum(
                stands.latencies.get(timed) != wanted.latencies.get(timed)
                for timed in stands.latencies | wanted.latencies
            )
            if not check:
                tables.clear(grain, day, day + DAY_MS)
                tables.add(grain, wanted)
        day = _next_day(database, day + DAY_MS)
    return Rebuilt(days, cells, wrong, begin)


_STARTS = (
    *(f"SELECT min(started_ms) FROM {kind}_row WHERE started_ms >= ?" for kind in ("attempt", "request")),  # noqa: S608
    *(f"SELECT min(at_ms) FROM {name}_{grain} WHERE at_ms >= ?" for name in ("usage", "latency") for grain in GRAINS),  # noqa: S608
)


def _next_day(database: Database, from_ms: int) -> int | None:
    """The first day with anything in it, from there on."""
    found = [database.execute(sql, (from_ms,)).fetchone()[0] for sql in _STARTS]
    first = min((at for at in found if at is not None), default=None)
    return None if first is None else first - first % DAY_MS
