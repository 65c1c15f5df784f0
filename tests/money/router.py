"""A router process of ``reserve``: 64 clients that reserve and settle, as fast as the ledger lets them.

Some settlements come twice, some before their admission, some after their reservation has expired; and one that starts
where another was killed sends what that one had noted last once more. See ``Orders`` for its arguments, JSON on stdin.
"""

import asyncio
import random
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from omni_ledger import Grant, Hold, Ledger, Refusal, Settlement
from omni_wire.errors import DependencyUnavailable, Internal
from omniroute_proto.events.v1 import events_pb2

from tests.money import levels
from tests.money.notes import Notes, Progress, noted
from tests.support.leasing import leaser
from tests.support.ledger import open_ledger

TTL_MS = 2_000
AGAIN = 200


class Orders(msgspec.Struct):
    redis: str
    folder: str
    number: int
    routers: int
    life: int  # 0 at first, one more each time it is started again
    clients: int
    attempts: int  # of this router, over all its lives
    all_attempts: int
    now_s: int
    seed: int
    leased: bool  # from slices, with a journal; else each reservation by itself

    @property
    def home(self) -> Path:
        return Path(self.folder)

    @property
    def name(self) -> str:
        return f"router-{self.number}.{self.life}"


def event(attempt: str, key: str, router: str, *, seq: int, cost: int, reserved: int = 0) -> bytes:
    told = events_pb2.AttemptEvent(
        id=attempt, request_id=attempt, seq=seq, key_id=key, router_id=router, cost_nano_usd=cost,
        reserved_nano_usd=reserved, outcome="ok" if seq else "aborted",
    )  # fmt: skip
    return events_pb2.Event(attempt=told).SerializeToString()


class Router:
    def __init__(self, orders: Orders, ledger: Ledger, progress: Progress) -> None:
        self._orders, self._ledger, self._progress = orders, ledger, progress
        self._id = orders.name
        self._notes = Notes(orders.home / f"notes-{orders.number}.{orders.life}")
        made = levels.branches(orders.all_attempts, orders.now_s)
        self._branches = {tree: [branch for branch in made if branch.tree == tree] for tree in levels.TREES}
        self._chance = random.Random(f"{orders.seed} {orders.number} {orders.life}")
        # Some are asked more often than others, and reach the limits of their own first.
        self._weights = {tree: [self._chance.choice((1, 2, 3)) for _ in of] for tree, of in self._branches.items()}
        self._made = 0
        self._late: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        self._repeat_what_was_noted_last()
        await asyncio.gather(*(self._client() for _ in range(self._orders.clients)))
        await asyncio.gather(*self._late)
        await self._ledger.flush(20.0)
        self._notes.close()

    def _repeat_what_was_noted_last(self) -> None:
        if not self._orders.life:
            return
        before = noted(notes_of(self._orders.home, self._orders.number, self._orders.life - 1))
        for attempt, one in deque(before.items(), AGAIN):
            # Of one that was paid from a slice nobody but the journal can tell what it came to; this would be invented.
            if self._chance.random() < 0.5 and (one.settled or not self._orders.leased):
                self._settle_soon(attempt, one.key, one.truth)

    async def _client(self) -> None:
        asked, mine, chance = self._progress.asked, self._orders.number, self._chance
        while asked[mine] < self._orders.attempts:
            asked[mine] += 1
            self._made += 1
            attempt = f"{mine}.{self._orders.life}.{self._made}"
            tree = chance.choice(levels.TREES)
            branch = chance.choices(self._branches[tree], self._weights[tree])[0]
            wanted = levels.ask(branch, chance)
            if chance.random() < 0.002:  # it overtakes the admission, which then comes too late
                self._ledger.release_soon(attempt, ("acme/first",))
            try:
                answer = await self._ledger.admit(self._hold(attempt, wanted))
            except DependencyUnavailable:
                await asyncio.sleep(0.05)
                continue
            except Internal:
                continue
            if isinstance(answer, Grant):
                await self._attempt(attempt, wanted, answer)
            else:
                await self._refused(answer)

    @staticmethod
    async def _refused(answer: Refusal) -> None:
        if answer.reason not in ("budget_exhausted", "tokens_exhausted"):
            await asyncio.sleep(0.001)

    def _hold(self, attempt: str, wanted: levels.Asked) -> Hold:
        key = wanted.branch.key
        return Hold(
            attempt_id=attempt, request_id=attempt, key_id=key.name, account_id="acme/first", count_request=True,
            requests_per_minute=key.requests_per_minute, budget=wanted.budget, wanted_output=wanted.wanted_output,
            breaker=None, ttl_ms=TTL_MS, router_id=self._id, levels=wanted.levels,
            abort_events=(event(attempt, key.name, self._id, seq=0, cost=0),),
        )  # fmt: skip

    async def _attempt(self, attempt: str, wanted: levels.Asked, grant: Grant) -> None:
        chance, reserved, key = self._chance, grant.reserved_nano_usd, wanted.branch.key.name
        truth = reserved if wanted.branch.tree == "fixed" else chance.randint(0, reserved)
        self._notes.granted(attempt, key, reserved, truth)
        kind = chance.random()
        if kind < 0.0005:
            await asyncio.sleep(chance.uniform(1.0, 2.0) * TTL_MS / 1000)  # the reaper may come first
        elif kind < 0.05:
            await asyncio.sleep(chance.uniform(0.001, 0.1))
        if chance.random() < 0.5:
            await self._ledger.settle(self._settlement(attempt, key, truth))
            self._notes.settled(attempt)
        else:
            self._settle_soon(attempt, key, truth)
        if chance.random() < 0.05:
            self._settle_soon(attempt, key, truth)
        elif chance.random() < 0.03:
            later = asyncio.create_task(self._once_more(attempt, key, truth, chance.uniform(0, 0.5)))
            self._late.add(later)
            later.add_done_callback(self._late.discard)

    async def _once_more(self, attempt: str, key: str, truth: int, after: float) -> None:
        await asyncio.sleep(after)
        self._settle_soon(attempt, key, truth)

    def _settle_soon(self, attempt: str, key: str, truth: int) -> None:
        self._ledger.settle_soon(self._settlement(attempt, key, truth), done=lambda: self._notes.settled(attempt))

    def _settlement(self, attempt: str, key: str, truth: int) -> Settlement:
        told = event(attempt, key, self._id, seq=1, cost=truth)
        return Settlement(
            attempt_id=attempt, cost_nano_usd=truth, breaker=None, events=(told,), router_id=self._id, used=(1, 1)
        )


def notes_of(home: Path, number: int, *lives: int) -> list[Path]:
    """Of those lives that came as far as to note anything."""
    return [file for life in lives if (file := home / f"notes-{number}.{life}").exists()]


@asynccontextmanager
async def opened(orders: Orders) -> AsyncIterator[Ledger]:
    if not orders.leased:
        async with open_ledger(orders.redis) as (ledger, _, _):
            yield ledger
        return
    folder = orders.home / f"journals-{orders.number}"
    folder.mkdir(exist_ok=True)
    async with leaser(orders.redis, orders.name, folder, hot=8) as made:
        yield made.ledger


async def main() -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    with Progress(orders.home / "asked", orders.routers) as progress:
        async with opened(orders) as ledger:
            await Router(orders, ledger, progress).run()


if __name__ == "__main__":
    asyncio.run(main())
