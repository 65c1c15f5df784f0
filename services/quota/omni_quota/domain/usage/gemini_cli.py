"""Gemini CLI: buckets by model, each with the share that is left, and sometimes how many requests that is."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import Asked, Usage, Window, ends, number, of_percent, only, parts, post, text


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return post(quota, secret, {"project": account.project} if account.project else {})


def read(answer: Mapping[str, Any], now: float) -> Usage:
    return Usage("", only(*(_window(bucket, now) for bucket in parts(answer, "buckets"))))


def _window(said: Mapping[str, Any], now: float) -> Window | None:
    model, left = text(said.get("modelId")), number(said.get("remainingFraction"))
    if not model or left is None:
        return None
    used = 100 * (1 - min(left, 1.0))
    return of_percent(f"day:{model}", used, ends(said.get("resetTime"), now), (model,))
