"""Kiro: credits of a month, with parts of them, and those of a trial."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import Asked, Usage, Window, ends, of_count, only, part, parts, post, text

_TARGET = "AmazonCodeWhispererService.GetUsageLimits"


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    body = {"origin": "AI_EDITOR", "resourceType": "AGENTIC_REQUEST"}
    if account.project:
        body["profileArn"] = account.project
    asked = post(quota, secret, body, x_amz_target=_TARGET)
    return Asked("POST", asked.url, {**asked.headers, "content-type": "application/x-amz-json-1.0"}, asked.body)


def read(answer: Mapping[str, Any], now: float) -> Usage:
    found: list[Window | None] = []
    end = ends(answer.get("nextDateReset"), now)
    for said in parts(answer, "usageBreakdownList"):
        kind = text(said.get("resourceType")).lower()
        name = "month" if kind in ("credit", "agentic_request", "") else f"month:{kind}"
        found.append(_window(name, said, ends(said.get("nextDateReset"), now) or end))
        trial = part(said, "freeTrialInfo")
        if text(trial.get("freeTrialStatus")) == "ACTIVE":
            found.append(_window("once:trial", trial, ends(trial.get("freeTrialExpiry"), now)))
    return Usage(text(part(answer, "subscriptionInfo").get("subscriptionTitle")), only(*found))


def _window(name: str, said: Mapping[str, Any], end: float) -> Window | None:
    used = said.get("currentUsageWithPrecision", said.get("currentUsage"))
    total = said.get("usageLimitWithPrecision", said.get("usageLimit"))
    return of_count(name, "credits", total, end, used=used)
