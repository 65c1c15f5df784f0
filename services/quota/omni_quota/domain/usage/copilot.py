"""GitHub Copilot: of what is paid for, snapshots by kind; of what is free, what there is a month and what is left.

Of a free plan chat is all that there is for us. Of one that is paid for, premium requests are only those of some
models, and which ones nobody tells: the configuration can, by a window of that name.
"""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import (
    Asked,
    Usage,
    Window,
    ends,
    get,
    named,
    number,
    of_count,
    only,
    part,
    text,
)

_KINDS = {"premium_interactions": "month:premium", "chat": "month:chat", "completions": "month:completions"}
_FREE = {"chat": "month", "completions": "month:completions"}
# As its editors say who they are; without, GitHub answers nobody.
_EDITOR = "vscode/1.107.0"
_PLUGIN = "copilot-chat/0.35.0"


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return get(
        quota,
        secret,
        authorization=f"token {secret}",
        editor_version=_EDITOR,
        editor_plugin_version=_PLUGIN,
        user_agent=f"GitHubCopilotChat/{_PLUGIN.partition('/')[2]}",
        x_github_api_version="2025-04-01",
    )


def read(answer: Mapping[str, Any], now: float) -> Usage:
    plan = text(answer.get("copilot_plan")) or text(answer.get("access_type_sku"))
    end = ends(answer.get("quota_reset_date_utc"), now) or ends(answer.get("quota_reset_date"), now)
    paid = [_paid(kind, said, end) for kind, said in named(answer, "quota_snapshots")]
    if any(paid):
        return Usage(plan, only(*paid))
    left = part(answer, "limited_user_quotas")
    end = ends(answer.get("limited_user_reset_date"), now)
    free = [
        of_count(_FREE[kind], "requests", most, end, left=left.get(kind))
        for kind, most in part(answer, "monthly_quotas").items()
        if kind in _FREE
    ]
    return Usage(plan, only(*free))


def _paid(kind: str, said: Mapping[str, Any], end: float) -> Window | None:
    name, unlimited = _KINDS.get(kind), said.get("unlimited") is True
    if name is None:
        return None
    left = said.get("remaining", said.get("quota_remaining"))
    window = of_count(name, "requests", said.get("entitlement"), end, left=left, unlimited=unlimited)
    if said.get("overage_permitted") is True and window is not None and number(left) == 0:
        return None  # what is beyond is sold one by one, so that nothing is used up
    return window
