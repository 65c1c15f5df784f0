"""Windows of the calendar in a time zone, or from an anchor, by their borders.

Whoever counts in them has a clock of its own, and no calendar of zones: it is told four borders, and takes the window
between two of them that holds its own time. So a clock may be wrong by a whole window without counting in none.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

# Its name, and where the window before it begins, it itself, the next, and the one after that (epoch seconds).
Bordered = tuple[str, int, int, int, int]
# Its name, and for how many seconds it lasts from when something is first used in it.
Lasting = tuple[str, int]
Window = str | Bordered | Lasting

CALENDAR = ("day", "week", "month")
_STEP = 900  # seconds for which the same borders are good, which are those of a window more on either side
_MONDAY = datetime(2024, 1, 1)  # a first of the month as well


def is_known(zone: str) -> bool:
    """Whether this machine knows the time zone."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # not there, no such name, a directory
        return False
    return True


def window_at(name: str, zone: str, anchor: str, now: float) -> Window:
    """The window ``name`` as the ledger is asked for it, at about ``now`` (epoch seconds).

    ``zone`` "" is UTC. ``anchor`` is the local time "2026-01-15T10:00" at which one of them begins, "" for the first
    of the month and Monday, at midnight; where a month has no such day it begins on its last. What the clock leaps over
    begins that much later.
    """
    if name not in CALENDAR or not (zone or anchor):
        return name
    return _borders(name, zone, anchor, int(now) // _STEP)


@lru_cache(4096)
def _borders(name: str, zone: str, anchor: str, step: int) -> Bordered:
    place = ZoneInfo(zone) if zone else UTC
    start = datetime.fromisoformat(anchor) if anchor else _MONDAY
    now = step * _STEP
    today = datetime.fromtimestamp(now, place).date()
    begins = [_seconds(day, start.time(), place) for day in _days(name, today, start.date())]
    # The middle one is of today or the last before it, by its date; by the clock it may not have come yet.
    before = 1 if begins[2] <= now else 0
    first, second, third, last = begins[before : before + 4]
    return name, first, second, third, last


def _days(name: str, today: date, anchor: date) -> list[date]:
    """Five dates on which windows begin, the middle one being today or the last before it."""
    if name == "day":
        return [today + timedelta(days=each) for each in range(-2, 3)]
    if name == "week":
        latest = today - timedelta(days=(today.weekday() - anchor.weekday()) % 7)
        return [latest + timedelta(weeks=each) for each in range(-2, 3)]
    months = today.year * 12 + today.month - 1
    months -= _of_month(months, anchor.day) > today
    return [_of_month(months + each, anchor.day) for each in range(-2, 3)]


def _of_month(months: int, day: int) -> date:
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day, monthrange(year, month + 1)[1]))


def _seconds(day: date, at: time, place: tzinfo) -> int:
    return int(datetime.combine(day, at, tzinfo=place).timestamp())
