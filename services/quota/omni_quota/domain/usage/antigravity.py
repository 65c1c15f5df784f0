"""Antigravity: its models, each with the share that is left and when all is back. A share that is left out is none."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import Asked, Usage, Window, ends, named, number, of_percent, only, part, post


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return post(quota, secret, {"project": account.project} if account.project else {}, user_agent="antigravity/1.11.5")


def read(answer: Mapping[str, Any], now: float) -> Usage:
    return Usage("", only(*(_window(model, part(said, "quotaInfo"), now) for model, said in named(answer, "models"))))


def _window(model: str, said: Mapping[str, Any], now: float) -> Window | None:
    end = ends(said.get("resetTime"), now)
    left = number(said.get("remainingFraction", 0 if end else None))
    return of_percent(f"5h:{model}", 100 * (1 - min(left, 1.0)), end, (model,)) if left is not None else None
