"""Calendar windows by Python's own calendar: what the scripts' arithmetic must agree with."""

import calendar
import datetime
from itertools import pairwise

from omni_catalogue.windows import Window


def name_of(window: Window) -> str:
    return window if isinstance(window, str) else window[0]


def window_of(window: Window, now_ms: int) -> tuple[int, int]:
    """Start and end in epoch seconds."""
    if not isinstance(window, str):
        _, *borders = window
        held = [(start, end) for start, end in pairwise(borders) if start <= now_ms // 1000 < end]
        return (
            held[0] if held else (borders[0], borders[1]) if now_ms // 1000 < borders[0] else (borders[2], borders[3])
        )
    today = datetime.datetime.fromtimestamp(now_ms // 1000, datetime.UTC).replace(hour=0, minute=0, second=0)
    if window == "total":
        return 0, 0
    if window == "day":
        start, days = today, 1
    elif window == "week":
        start, days = today - datetime.timedelta(days=today.weekday()), 7
    else:
        start, days = today.replace(day=1), calendar.monthrange(today.year, today.month)[1]
    return int(start.timestamp()), int((start + datetime.timedelta(days=days)).timestamp())
