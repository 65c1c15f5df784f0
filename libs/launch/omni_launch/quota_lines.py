"""How accounts' quotas stand, for people to read. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_HEAD = ("ACCOUNT", "PLAN", "WINDOW", "USED", "LEFT", "ANEW IN", "USED UP IN", "KNOWN", "")
_STATES = {"low": "low", "used_up": "USED UP"}


def lines(accounts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of what ``GET /api/quota`` has under ``accounts``."""
    if not accounts:
        yield "no account has a quota that is looked after: give one a quota: in the configuration"
        return
    rows = [row for account in accounts for row in _rows(account)]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for account in accounts:
        if account["message"]:
            yield f"{account['account']}: {account['message']}"
        if account["reason"]:
            yield f"{account['account']}: its provider gave no answer {account['failures']} times: {account['reason']}"


def _rows(account: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    name, plan, state = account["account"], account["plan"], _STATES.get(account["state"], "")
    if not account["windows"]:
        yield name, plan, "-", "", "", "", "", "nothing yet", ""
    for window in account["windows"]:
        left, lasts, foreseen = window["remaining_percent"], window["resets_in"], window["forecast_exhausted_at"]
        known = f"{window['source']}, stale" if window["stale"] else window["source"]
        yield (
            name,
            plan,
            window["name"],
            _used(window),
            "any" if window["unlimited"] else f"{left:g} %" if left is not None else "",
            lasting(lasts) if lasts is not None else "",
            lasting(foreseen - _now(window)) if foreseen and lasts is not None else "",
            known,
            state,
        )
        name = plan = state = ""


def _now(window: Mapping[str, Any]) -> float:
    """When that was answered, by its own clock."""
    now: float = window["resets_at"] - window["resets_in"]
    return now


def _used(window: Mapping[str, Any]) -> str:
    of, used, total = window["of"], window["used"], window["total"]
    if of == "percent":
        return f"{used:g} %"
    unit = "USD" if of == "usd" else of
    return f"{used:,g} of {total:,g} {unit}" if total is not None else f"{used:,g} {unit}"


def lasting(seconds: float) -> str:
    """ "3 h 05 min", "40 min", "6 d 2 h"; less than a minute is "now"."""
    minutes = max(0, round(seconds)) // 60
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else "now"
