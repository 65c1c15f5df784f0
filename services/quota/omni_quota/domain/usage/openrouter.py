"""OpenRouter: what a key may spend (``/api/v1/key``), or what credits there are and were used (``/api/v1/credits``)."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import Asked, Usage, get, number, of_count, only, part, text

_RESETS = {"daily": "day", "weekly": "week", "monthly": "month"}


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return get(quota, secret)


def read(answer: Mapping[str, Any], now: float) -> Usage:
    data = part(answer, "data")
    if "total_credits" in data:
        return Usage("", only(of_count("once", "usd", data["total_credits"], 0.0, used=data.get("total_usage"))))
    plan = "free" if data.get("is_free_tier") is True else ""
    most = data.get("limit", "not told")
    if most is None:
        return Usage(plan, only(of_count("once", "usd", None, 0.0, used=data.get("usage"), unlimited=True)))
    if number(most) is None:
        return Usage(plan, ())
    name = _RESETS.get(text(data.get("limit_reset")), "once")
    left = data.get("limit_remaining")
    used = None if number(left) is not None else data.get("usage")
    return Usage(plan, only(of_count(name, "usd", most, 0.0, used=used, left=left)))
