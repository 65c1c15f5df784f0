"""What only the quota service does with the ledger: reap, look, reset, and find outboxes nobody drains."""

from collections.abc import Sequence
from typing import Any

import msgspec
from omni_catalogue.windows import Window

from omni_ledger import operations
from omni_ledger.asking import WITHIN as WITHIN
from omni_ledger.asking import Asking
from omni_ledger.model import LaneStanding

CHUNK = 100


class Reaped(msgspec.Struct, frozen=True):
    reservations: int
    charged_nano_usd: int


class KeyStanding(msgspec.Struct, frozen=True):
    """Of one key, or of a limit that keys share, now; ``resets_at`` in epoch seconds, 0 for never. All is in
    ``spent_nano_usd`` that was reserved from ``since_ms`` on (epoch milliseconds of Redis): 0 where nothing was yet, -1
    where nobody knows."""

    requests_in_window: int
    spent_nano_usd: int
    held_nano_usd: int
    resets_at: int
    since_ms: int = 0


class AllowanceStanding(msgspec.Struct, frozen=True):
    """Of an allowance now: ``resets_at`` is when it begins anew, or when the first of a rolling window is free again,
    in epoch seconds, 0 for never. Attempts under way are ``held``."""

    used: int
    held: int
    resets_at: int


class BreakerStanding(msgspec.Struct, frozen=True):
    """``state`` is "closed", "open" or "half_open"; ``retry_after`` in seconds; ``cause`` and ``told`` are those of a
    refusal."""

    state: str
    failures: int
    retry_after: float
    cause: str = ""
    told: bool = False


class Standing(msgspec.Struct, frozen=True):
    open_reservations: int
    keys: tuple[KeyStanding, ...]
    breakers: tuple[BreakerStanding, ...]
    allowances: tuple[AllowanceStanding, ...] = ()


class Janitor(Asking):
    """All methods raise ``DependencyUnavailable`` when Redis is away. ``script`` is for tests."""

    async def reap(self, limit: int = CHUNK) -> Reaped:
        """Close up to ``limit`` reservations past their expiry, charge each in full, emit its abort events.

        In full, because nobody can prove that the provider was not asked: a router that died before it sent anything
        looks the same as one that died after. A true settlement that comes later (within a day) corrects the charge.
        Each is reaped once, however many janitors there are.
        """
        count, charged = await self._run(operations.reap(limit))
        return Reaped(count, charged)

    async def look(
        self,
        keys: Sequence[tuple[str, Window]],
        accounts: Sequence[str],
        allowances: Sequence[tuple[str, str, Window]] = (),
    ) -> Standing:
        """How the ``keys`` (id, budget window or ""), the ``accounts``' breakers and the ``allowances`` (owner, of,
        window) stand. The owner of a shared limit stands for a key's id."""
        open_reservations = 0
        found_keys: list[KeyStanding] = []
        found_breakers: list[BreakerStanding] = []
        found_allowances: list[AllowanceStanding] = []
        longest = max(len(keys), len(accounts), len(allowances), 1)
        for start in range(0, longest, CHUNK):  # in pieces: Redis does nothing else meanwhile
            end = start + CHUNK
            part = operations.look(keys[start:end], accounts[start:end], allowances[start:end])
            open_reservations, some_keys, some_breakers, some_allowances = await self._run(part)
            found_keys += [KeyStanding(*values) for values in some_keys]
            found_breakers += [_breaker(values) for values in some_breakers]
            found_allowances += [AllowanceStanding(*values) for values in some_allowances]
        return Standing(open_reservations, tuple(found_keys), tuple(found_breakers), tuple(found_allowances))

    async def circuits(self, most: int) -> list[tuple[str, BreakerStanding]]:
        """The circuits that failed of late, by name, at most so many."""
        return [(str(name), _breaker(values)) for name, *values in await self._run(operations.circuits(most))]

    async def reset(self, circuit: str) -> None:
        """Close the circuit's breaker and forget its failures; an account's, those of its models too."""
        await self._run(operations.reset(circuit))

    async def lanes(self, most: int) -> list[LaneStanding]:
        """The lanes that something is known of, by name, at most so many."""
        return [operations.lane_standing(values) for values in await self._run(operations.lanes(most))]

    async def forget(self, lane: str) -> bool:
        """Forget what was learned of a lane and what has gone through it; false where there was nothing."""
        return bool((await self._run(operations.forget(lane)))[0])

    async def waiting(self) -> int:
        """Events that are in outboxes, of whichever router."""
        return int((await self._run(operations.waiting()))[0])

    async def orphans(self) -> list[str]:
        """Routers that left events and show no sign of life."""
        return [str(router) for router in await self._run(operations.orphans())]


def _breaker(values: list[Any]) -> BreakerStanding:
    state, failures, wait, cause, told = values
    return BreakerStanding(state, failures, float(wait), cause, told == 1)
