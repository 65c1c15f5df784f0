"""GLM (Z.AI, Zhipu): limits with a percentage, tokens of some hours or a week, and calls of tools in a month. What is
wrong it says under HTTP 200, with a code."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import (
    Asked,
    Usage,
    UsageUnreadable,
    Window,
    ends,
    get,
    number,
    of_percent,
    only,
    part,
    parts,
    text,
)

# By its numbers of units: a day, an hour, a month, a week.
_UNITS = {1: "d", 3: "h", 5: "mo", 6: "w"}
_NAMES = {"5h": "5h", "1d": "day", "1w": "week", "7d": "week", "1mo": "month"}
_OF_TOOLS = "TIME_LIMIT"


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return get(quota, secret, authorization=secret)


def read(answer: Mapping[str, Any], now: float) -> Usage:
    code = number(answer.get("code"))
    if answer.get("success") is False or (code is not None and code not in (0, 200)):
        raise UsageUnreadable(f"it answered: {text(answer.get('msg')) or f'code {code}'}")
    data = part(answer, "data")
    return Usage(text(data.get("level")), only(*(_window(said, now) for said in parts(data, "limits"))))


def _window(said: Mapping[str, Any], now: float) -> Window | None:
    unit, count = number(said.get("unit")), number(said.get("number"))
    lasts = f"{count or 1:g}{_UNITS.get(int(unit or 0), 'h')}"
    name = _NAMES.get(lasts, lasts)
    if said.get("type") == _OF_TOOLS:  # of searches and the like, whoever's model it is
        name += ":tools"
    return of_percent(name, said.get("percentage"), ends(said.get("nextResetTime"), now))
