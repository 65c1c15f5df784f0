"""QuotaPort: limits, budgets and breakers as they stand. Never on the request path."""

from typing import Protocol

import msgspec


class KeyState(msgspec.Struct, frozen=True):
    """Money in nano-USD; 0 for a limit means there is none; ``budget_resets_at`` in epoch seconds, 0 for never."""

    key_id: str
    requests_in_window: int
    requests_per_minute: int
    spent_nano_usd: int
    held_nano_usd: int
    budget_nano_usd: int
    budget_window: str
    budget_resets_at: int


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


class QuotaSnapshot(msgspec.Struct, frozen=True):
    keys: tuple[KeyState, ...]
    breakers: tuple[BreakerState, ...]
    open_reservations: int


class QuotaPort(Protocol):
    async def snapshot(self, key_id: str = "") -> QuotaSnapshot:
        """All keys when ``key_id`` is empty."""
        ...

    async def reset(self, account_id: str) -> None:
        """Close an account's breaker, and those of its models and of combos' targets at its provider."""
        ...
