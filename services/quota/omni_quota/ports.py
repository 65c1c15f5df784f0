"""What the service needs from outside."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from omni_catalogue.proxies import Egress
from omni_catalogue.windows import Window
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.web import WebAnswer
from omni_ledger import BreakerStanding, Counts, LaneStanding, QuotaStanding, QuotaTurn, Reaped, Standing, Told

from omni_quota.domain.usage import Asked


class Books(Protocol):
    """The ledger (``omni_ledger.Janitor``). All methods raise ``DependencyUnavailable``."""

    async def reap(self, limit: int) -> Reaped: ...

    async def look(
        self,
        keys: Sequence[tuple[str, Window]],
        accounts: Sequence[str],
        allowances: Sequence[tuple[str, str, Window]] = (),
    ) -> Standing: ...

    async def circuits(self, most: int) -> list[tuple[str, BreakerStanding]]: ...

    async def reset(self, circuit: str) -> None: ...

    async def lanes(self, most: int) -> list[LaneStanding]: ...

    async def forget(self, lane: str) -> bool: ...

    async def waiting(self) -> int: ...

    async def orphans(self) -> list[str]: ...


class Lanes(Protocol):
    async def lanes(self, most: int) -> list[LaneStanding]:
        """Raises ``DependencyUnavailable``."""
        ...


class QuotaBook(Protocol):
    """What the ledger keeps of accounts' quotas (``omni_ledger.Quotas``). All methods raise
    ``DependencyUnavailable``."""

    async def claim(self, account: str, lease: float, gap: float = -1.0) -> QuotaTurn: ...

    async def fetched(
        self, account: str, turn: QuotaTurn, again: float, plan: str, message: str, windows: Sequence[Told]
    ) -> bool: ...

    async def failed(self, account: str, turn: QuotaTurn, again: float, reason: str) -> bool: ...

    async def look(self, asked: Sequence[tuple[str, Sequence[Counts]]]) -> tuple[int, list[QuotaStanding]]: ...

    async def cut(self, circuits: Sequence[tuple[str, float]]) -> int: ...

    async def left(self, shares: Mapping[str, float]) -> None: ...


class Secrets(Protocol):
    async def credential(self, context: CallContext, account_id: str) -> Credential:
        """Raises ``CredentialUnavailable`` or ``DependencyUnavailable``."""
        ...


class Web(Protocol):
    async def fetch_for(
        self, ways: Sequence[Egress], asked: Asked, *, allow_private: bool, within: float
    ) -> WebAnswer:  # fmt: skip
        """One call, no redirect followed, by an account's ways out, to an address that was looked at. Raises
        ``UpstreamUnreachable``, ``UpstreamTimeout`` after ``within`` seconds, ``UpstreamFailed`` for what is no HTTP,
        or too much, and ``ProxyFailed``."""
        ...


class AccountMeter(Protocol):
    def remaining(self, shares: Mapping[tuple[str, str], float]) -> None:
        """What is left (0 to 1), by account and window; of all that there are."""
        ...

    def asked(self, vendor: str, outcome: str) -> None:
        """``outcome`` is "answered" or "failed"."""
        ...


class Courier(Protocol):
    async def deliver(self, router_id: str) -> int:
        """Publish all that a router left; how many events. Raises ``DependencyUnavailable``."""
        ...


class Meter(Protocol):
    def reaped(self, reservations: int, charged_nano_usd: int) -> None: ...

    def open_reservations(self, count: int) -> None: ...

    def adopted(self, events: int) -> None: ...

    def failed(self, task: str) -> None:
        """``task`` is "reap", "adopt", "watch", "quotas" (to look at those of accounts) or "poll" (to ask for them)."""
        ...

    def breakers(self, states: Sequence[str]) -> None:
        """The states of all breakers: "closed", "open", "half_open", or "cooling" for as long as a provider told."""
        ...
