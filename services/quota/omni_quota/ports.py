"""What the service needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from omni_catalogue.windows import Window
from omni_ledger import BreakerStanding, LaneStanding, Reaped, Standing


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


class Courier(Protocol):
    async def deliver(self, router_id: str) -> int:
        """Publish all that a router left; how many events. Raises ``DependencyUnavailable``."""
        ...


class Meter(Protocol):
    def reaped(self, reservations: int, charged_nano_usd: int) -> None: ...

    def open_reservations(self, count: int) -> None: ...

    def adopted(self, events: int) -> None: ...

    def failed(self, task: str) -> None:
        """``task`` is "reap", "adopt" or "watch"."""
        ...

    def breakers(self, states: Sequence[str]) -> None:
        """The states of all breakers: "closed", "open", "half_open", or "cooling" for as long as a provider told."""
        ...
