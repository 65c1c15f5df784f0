"""Claude Code: each window with its use in percent and its end, one of all models and some of one family's."""

from collections.abc import Mapping
from typing import Any

from omni_catalogue.quotas import Quota
from omni_catalogue.snapshot import Account

from omni_quota.domain.usage.base import Asked, Usage, Window, ends, get, named, of_percent, only

_BETA = "oauth-2025-04-20"
_WINDOWS = {"five_hour": "5h", "seven_day": "week"}
_OF_MODELS = "seven_day_"
# Of a week that is not models' but of a way to use them.
_NO_MODELS = frozenset({"oauth_apps", "cowork", "omelette"})


def ask(quota: Quota, account: Account, secret: str) -> Asked:
    return get(quota, secret, anthropic_beta=_BETA)


def read(answer: Mapping[str, Any], now: float) -> Usage:
    found = (_window(key, said, now) for key, said in named({"all": answer}, "all"))
    return Usage("", only(*found))


def _window(key: str, said: Mapping[str, Any], now: float) -> Window | None:
    models: tuple[str, ...] = ()
    name = _WINDOWS.get(key, "")
    if not name and key.startswith(_OF_MODELS):
        family = key.removeprefix(_OF_MODELS)
        name = f"week:{family}"
        if family in _NO_MODELS:
            return None
        models = (f"*{family}*",)
    return of_percent(name, said.get("utilization"), ends(said.get("resets_at"), now), models) if name else None
