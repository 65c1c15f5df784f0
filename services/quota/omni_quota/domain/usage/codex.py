"""Codex: a short and a long window in percent, of a person's plan or, by its id, of a workspace (Team, Business)."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import Asked, Usage, Window, ends, ends_in, get, number, of_percent, only, part, text

_HOUR = 3_600
_NAMES = {5 * _HOUR: "5h", 24 * _HOUR: "day", 168 * _HOUR: "week", 720 * _HOUR: "month"}


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return get(quota, secret, chatgpt_account_id=quota.workspace)


def read(answer: Mapping[str, Any], now: float) -> Usage:
    limits, reviews = part(answer, "rate_limit"), part(answer, "code_review_rate_limit")
    return Usage(
        text(answer.get("plan_type")),
        only(
            _window("5h", "", part(limits, "primary_window"), now),
            _window("week", "", part(limits, "secondary_window"), now),
            _window("week", ":code-review", part(reviews, "primary_window"), now),
        ),
    )


def _window(usual: str, suffix: str, said: Mapping[str, Any], now: float) -> Window | None:
    lasts = number(said.get("limit_window_seconds"))
    name = _NAMES.get(round(lasts), usual) if lasts else usual
    end = ends(said.get("reset_at"), now) or ends_in(said.get("reset_after_seconds"), now)
    return of_percent(name + suffix, said.get("used_percent"), end)
