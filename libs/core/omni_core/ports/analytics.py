"""AnalyticsPort: questions about recorded usage."""

from typing import Protocol

import msgspec


class UsageQuery(msgspec.Struct, frozen=True):
    """Times in epoch milliseconds, from inclusive, until exclusive; 0 leaves an end open.

    ``group_by`` is empty or one of "key", "model", "provider", "account", "status".
    """

    from_ms: int = 0
    until_ms: int = 0
    key_id: str = ""
    group_by: str = ""


class UsageTotals(msgspec.Struct, frozen=True):
    """Counts and nano-USD. ``unpriced_requests`` are of models without a price."""

    requests: int = 0
    errors: int = 0
    attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0
    unpriced_requests: int = 0


class UsageReport(msgspec.Struct, frozen=True):
    totals: UsageTotals
    groups: dict[str, UsageTotals]


class KeyUse(msgspec.Struct, frozen=True):
    """What a key was used for: requests that a router took. ``last_ms`` (epoch milliseconds) is exact within the newest
    hour there is usage of, else the hour in which the last one began."""

    requests: int
    last_ms: int


class AnalyticsPort(Protocol):
    async def query(self, query: UsageQuery) -> UsageReport:
        """Raises ``InvalidRequest`` for an unknown ``group_by``."""
        ...

    async def key_use(self) -> dict[str, KeyUse]:
        """By key id; keys that were never used are not in it."""
        ...
