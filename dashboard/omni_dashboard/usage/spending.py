"""What a calendar month has cost, and whom. Pure."""

import re
from datetime import UTC, datetime

from omni_wire.errors import InvalidRequest

from omni_dashboard.usage.analysis import Analysis
from omni_dashboard.usage.measures import DIMENSIONS, MEASURES, Dimension, named

# What a line of a report says.
SPENT = (
    "requests", "errors", "attempts", "input_tokens", "cached_input_tokens", "output_tokens", "total_tokens",
    "unpriced_requests", "cost_nano_usd", "cost_usd",
)  # fmt: skip
OF = ("organisation", "team", "user", "key", "model", "provider", "account")
MOST_LINES = 20_000
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def month(text: str) -> tuple[int, int]:
    """Where a month such as "2026-11" begins and ends (UTC), in epoch milliseconds. Raises ``InvalidRequest``."""
    found = _MONTH.fullmatch(text)
    if found is None or not "1970-01" <= text < "9999-12":
        raise InvalidRequest("month is not one like 2026-11", param="month")
    year, number = int(found[1]), int(found[2])
    return _begin(year, number), _begin(year + number // 12, number % 12 + 1)


def month_before(text: str) -> str:
    """The first one there is has itself before it: nothing was used then."""
    if text == "1970-01":
        return text
    year, number = map(int, text.split("-"))
    return f"{year - (number == 1):04}-{(number - 2) % 12 + 1:02}"


def month_of(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m")


def report(text: str, by: str) -> Analysis:
    """The question whose answer is the report of a month, dearest line first. Raises ``InvalidRequest``."""
    from_ms, until_ms = month(text)
    known: dict[str, Dimension] = {name: DIMENSIONS[name] for name in OF}
    asked = named(known, [name.strip() for name in by.split(",") if name.strip()], "by")
    return Analysis(
        from_ms=from_ms,
        until_ms=until_ms,
        measures=tuple(MEASURES[name] for name in SPENT),
        dimensions=asked,
        order="-cost_nano_usd",
        limit=MOST_LINES,
    )


def _begin(year: int, number: int) -> int:
    return int(datetime(year, number, 1, tzinfo=UTC).timestamp()) * 1000
