"""What ``omniroute audit usage`` prints."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any


def lines(found: dict[str, Any]) -> Iterator[str]:
    """From what ``GET /api/audit/usage`` answers."""
    budgets = found["budgets"]
    for budget in budgets:
        difference = budget["difference_nano_usd"]
        mark = "=" if not difference else "~" if budget["explained"] else "≠"
        yield (
            f"{mark} {budget['level']} {budget['name']} ({budget['window']}{_since(budget['since_ms'])}): "
            f"ledger {usd(budget['ledger_nano_usd'])}, events {usd(budget['events_nano_usd'])}"
            + (f", difference {usd(difference)}" if difference else "")
        )
        for cause in budget["causes"]:
            yield f"    {cause}"
    if more := found["rollup_difference_nano_usd"]:
        most = "more" if more > 0 else "less"
        yield f"≠ rollups: {usd(abs(more))} {most} than their rows. 'omniroute analytics rebuild'"
    if not found["from_rows"]:
        yield "There are too many rows to add up here: their rollups were taken. 'omniroute analytics rebuild --check'"
    wrong = sum(not budget["explained"] for budget in budgets)
    if wrong:
        yield f"{wrong} of {len(budgets)} budgets differ from their events, and nothing says why"
    elif found["rollup_difference_nano_usd"]:
        yield f"{len(budgets)} budgets agree with their events, and the rollups do not"
    elif found["settled"]:
        yield f"{len(budgets)} budgets: what the ledger has as spent is what the recorded attempts were settled at"
    else:
        way = f"{found['waiting_events']} events and {found['pending_messages']} messages under way"
        yield f"{len(budgets)} budgets, with {way}: no difference without a cause"


def _since(ms: int) -> str:
    return f" since {datetime.fromtimestamp(ms / 1000, UTC).strftime('%Y-%m-%d %H:%M:%SZ')}" if ms > 0 else ""


def usd(nano: int) -> str:
    """All nine places: here every nano-USD counts."""
    sign, whole = "-" if nano < 0 else "", abs(nano)
    return f"{sign}${whole // 10**9}.{whole % 10**9:09d}"
