"""QuotaPort: limits, budgets and breakers as they stand. Never on the request path."""

from typing import Protocol

import msgspec
from omni_catalogue.quota_states import AccountQuota as AccountQuota
from omni_catalogue.quota_states import QuotaWindowState as QuotaWindowState

# Seconds that asking a provider for an account's quota may take; its own deadline is within.
REFRESH_TIMEOUT = 20.0


class KeyState(msgspec.Struct, frozen=True):
    """Money in nano-USD; 0 for a limit means there is none; ``budget_resets_at`` in epoch seconds, 0 for never. All is
    in ``spent_nano_usd`` that was reserved from ``budget_since_ms`` on (epoch milliseconds): 0 where nothing was yet,
    -1 where nobody knows. ``limit_ids`` are those that it shares."""

    key_id: str
    requests_in_window: int
    requests_per_minute: int
    spent_nano_usd: int
    held_nano_usd: int
    budget_nano_usd: int
    budget_window: str
    budget_resets_at: int
    budget_since_ms: int = 0
    limit_ids: tuple[str, ...] = ()


class AllowanceState(msgspec.Struct, frozen=True):
    """Of a limit: ``most`` ``of`` "requests", "tokens", "input", "output" or "usd" (nano-USD) in a ``window``, or
    "concurrent" attempts, which are ``held``. ``resets_at`` is when it begins anew, or, where it rolls ("minute",
    "5h"), when the first of it is free again; epoch seconds, 0 for never. ``mode`` is "hard", "soft" or "shadow"."""

    of: str
    most: int
    window: str
    used: int
    held: int
    resets_at: int
    mode: str = "hard"


class LimitState(msgspec.Struct, frozen=True):
    """A limit that keys share, as ``KeyState``. ``name`` is what the management API calls it, "team/core/monthly"."""

    limit_id: str
    name: str
    organisation: str
    requests_in_window: int
    requests_per_minute: int
    spent_nano_usd: int
    held_nano_usd: int
    budget_nano_usd: int
    budget_window: str
    budget_resets_at: int
    budget_since_ms: int = 0
    allowances: tuple[AllowanceState, ...] = ()


class BreakerState(msgspec.Struct, frozen=True):
    """Of an account; with ``model`` of the account for that one, with ``combo`` of its target ``model``, which is
    "provider/model" then, and no account. ``state`` is "closed", "open" or "half_open"; ``retry_after`` in seconds;
    ``cause`` "failing", "rate_limit", "quota" or "refused"; ``told`` whether the provider told how long."""

    account_id: str
    state: str
    failures: int
    retry_after: float
    model: str = ""
    combo: str = ""
    cause: str = ""
    told: bool = False


class RateState(msgspec.Struct, frozen=True):
    """How fast a provider may be asked; with ``account_id`` an account of it, with ``model`` too the account for that
    one. 0 is any; ``min_gap`` in seconds. ``learned`` is how what is not configured came to be known: "told" by the
    provider, "refused" from its refusals, "" where nothing is. The rest is what there is of it: in the last minute,
    ``under_way``, and ``waiting`` to be let through."""

    provider: str
    account_id: str
    model: str
    requests_per_minute: int
    tokens_per_minute: int
    min_gap: float
    concurrent: int
    learned: str
    requests_in_window: int
    tokens_in_window: int
    under_way: int
    waiting: int


class QuotaSnapshot(msgspec.Struct, frozen=True):
    """``waiting_events`` are settled and not in the stream yet. ``accounts`` are those of which the quota is looked
    after."""

    keys: tuple[KeyState, ...]
    breakers: tuple[BreakerState, ...]
    open_reservations: int
    limits: tuple[LimitState, ...] = ()
    rates: tuple[RateState, ...] = ()
    waiting_events: int = 0
    accounts: tuple[AccountQuota, ...] = ()


class QuotaPort(Protocol):
    async def snapshot(self, key_id: str = "") -> QuotaSnapshot:
        """All keys, limits and accounts' quotas when ``key_id`` is empty, else that key and the limits that it
        shares."""
        ...

    async def reset(self, account_id: str) -> None:
        """Close an account's breaker, and those of its models and of combos' targets at its provider."""
        ...

    async def refresh_quota(self, account_id: str) -> AccountQuota:
        """Ask the account's provider now. Raises ``InvalidRequest`` (404) where nobody can be asked, ``RateLimited``
        where that was only just done."""
        ...

    async def forget_rates(self, account_id: str) -> None:
        """Forget what was learned of the rate limits of an account and its models; they are learned anew."""
        ...
