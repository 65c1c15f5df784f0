"""What the quota service does with the ledger for providers' quotas: ask in turn, keep what was said, leave alone what
is used up."""

from collections.abc import Mapping, Sequence

from omni_ledger import quota_operations as operations
from omni_ledger.asking import Asking
from omni_ledger.quota_model import Counts, QuotaStanding, Told, Turn

_CHUNK = 50


class Quotas(Asking):
    """All methods raise ``DependencyUnavailable`` when Redis is away."""

    async def claim(self, account: str, lease: float, gap: float = -1.0) -> Turn:
        """The right to ask the account's provider, for ``lease`` seconds, of one process of the fleet at a time: when
        it is due, or with a ``gap`` that many seconds after it was last begun."""
        return operations.turn(await self._run(operations.fetching(account, lease, gap)))

    async def fetched(
        self, account: str, turn: Turn, again: float, plan: str, message: str, windows: Sequence[Told]
    ) -> bool:
        """Keep what was said, and let it be due ``again`` in so many seconds. False, and nothing is kept, where
        somebody else has asked since."""
        operation = operations.fetched(account, turn.fence, again, plan, message, windows)
        return bool((await self._run(operation))[0])

    async def failed(self, account: str, turn: Turn, again: float, reason: str) -> bool:
        """What was known stays, and why there is no more. As ``fetched``."""
        return bool((await self._run(operations.unfetched(account, turn.fence, again, reason)))[0])

    async def look(self, asked: Sequence[tuple[str, Sequence[Counts]]]) -> tuple[int, list[QuotaStanding]]:
        """Redis' time (ms), and what is known of each account."""
        found: list[QuotaStanding] = []
        now = 0
        for start in range(0, max(len(asked), 1), _CHUNK):  # in pieces: Redis does nothing else meanwhile
            now, some = operations.standings(await self._run(operations.quotas(asked[start : start + _CHUNK])))
            found += some
        return now, found

    async def left(self, shares: Mapping[str, float]) -> None:
        """Tell routers how much of each circuit's quota is left, from 0 to 1, for a minute; nothing of any other's."""
        await self._run(operations.left(shares))

    async def cut(self, circuits: Sequence[tuple[str, float]]) -> int:
        """Leave each circuit alone for so many seconds, 0 for no longer than others ask for, and no other one that was
        left alone by this; how many breakers that has opened or closed. What others opened is let be."""
        named = {name for name, _ in circuits}
        before = [str(name) for name in await self._run(operations.cuts())]
        circuits = [*circuits, *((name, 0.0) for name in before if name not in named)]
        done = 0
        for start in range(0, len(circuits), _CHUNK):
            done += int((await self._run(operations.cut(circuits[start : start + _CHUNK])))[0])
        return done
