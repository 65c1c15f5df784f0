"""Kimi for Coding: a week, and limits of shorter times, with figures written as texts."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import (
    Asked,
    Usage,
    Window,
    ends,
    ends_in,
    get,
    number,
    of_count,
    only,
    part,
    parts,
    text,
)

_MINUTES = {"TIME_UNIT_MINUTE": 1, "TIME_UNIT_HOUR": 60, "TIME_UNIT_DAY": 1_440}
_NAMES = {300: "5h", 1_440: "day", 10_080: "week"}


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return get(quota, secret)


def read(answer: Mapping[str, Any], now: float) -> Usage:
    found = [_window("week", part(answer, "usage"), now)]
    for said in parts(answer, "limits"):
        span = part(said, "window")
        minutes = (number(span.get("duration")) or 300) * _MINUTES.get(text(span.get("timeUnit")), 1)
        found.append(_window(_NAMES.get(round(minutes), f"{minutes:g}m"), part(said, "detail") or said, now))
    return Usage(text(part(part(answer, "user"), "membership").get("level")), only(*found))


def _window(name: str, said: Mapping[str, Any], now: float) -> Window | None:
    end = ends(said.get("resetTime", said.get("reset_at")), now) or ends_in(said.get("reset_in"), now)
    return of_count(name, "requests", said.get("limit"), end, used=said.get("used"), left=said.get("remaining"))
