"""MiniMax' coding plan: prompts of five hours and of a week, by model. Its "usage" is what is left, as its address,
"remains", has it; where there is a percentage that is taken."""

from collections.abc import Iterator, Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import (
    Asked,
    Usage,
    UsageUnreadable,
    Window,
    ends,
    ends_in,
    get,
    number,
    of_count,
    of_percent,
    only,
    part,
    parts,
    text,
)


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return get(quota, secret)


def read(answer: Mapping[str, Any], now: float) -> Usage:
    said = part(answer, "base_resp")
    if number(said.get("status_code", 0)) != 0:
        raise UsageUnreadable(f"it answered: {text(said.get('status_msg')) or 'an error'}")
    data = answer if "model_remains" in answer else part(answer, "data")
    found = [window for each in parts(data, "model_remains") for window in _windows(each, now)]
    return Usage(text(data.get("current_subscribe_title")) or text(data.get("plan_name")), only(*found))


def _windows(said: Mapping[str, Any], now: float) -> Iterator[Window | None]:
    model = text(said.get("model_name"))
    # Of the models that it writes with, whatever they are called, there is one account; others are named.
    suffix = "" if model.startswith("MiniMax-M") or model in ("", "general") else f":{model}"
    end = ends(said.get("end_time"), now) or ends_in(_seconds(said.get("remains_time")), now)
    week = ends(said.get("weekly_end_time"), now) or ends_in(_seconds(said.get("weekly_remains_time")), now)
    yield _window(f"5h{suffix}", "current_interval", said, end)
    yield _window(f"week{suffix}", "current_weekly", said, week)


def _window(name: str, prefix: str, said: Mapping[str, Any], end: float) -> Window | None:
    share = number(said.get(f"{prefix}_remaining_percent"))
    if share is not None:
        return of_percent(name, 100 - min(share, 100.0), end)
    total, left = said.get(f"{prefix}_total_count"), said.get(f"{prefix}_usage_count")
    return of_count(name, "requests", total, end, left=left) if number(total) else None


def _seconds(milliseconds: object) -> float | None:
    found = number(milliseconds)
    return found / 1000 if found is not None else None
