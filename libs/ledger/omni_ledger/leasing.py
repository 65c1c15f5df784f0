"""Admits and settles from slices of limits that are leased from Redis, and keeps these filled (``leases`` is the
arithmetic, ``lua/leases.lua`` the other side).

A purse that is asked often gets a slice; every twentieth of a second what was settled is told, what is short is asked
for, and which circuits are still spotless. Where a slice cannot pay, or anything is not known for certain, the answer
is None and the caller asks Redis.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import msgspec
from omni_core import clock
from omni_core.ids import new_id
from omni_wire.errors import DependencyUnavailable

from omni_ledger import leases, operations
from omni_ledger.batcher import Batcher, Entry
from omni_ledger.journal import Journal, Record
from omni_ledger.leases import NOTHING, Amounts, Demand, Name, Settled, Slice, Word
from omni_ledger.metrics import LeaseMetrics
from omni_ledger.model import Grant, Hold, Settlement
from omni_ledger.operations import Leased, Pot
from omni_ledger.places import Places
from omni_ledger.script import unavailable

TICK = 0.05
# Admissions within a second from which on a key gets slices.
HOT = 8
IDLE = 1.0  # seconds without an admission after which a slice goes back
# The same where it shall be there when Redis goes away; such a key is hot from its first admission on.
IDLE_OPEN = 60.0
REST = 1.0  # seconds without a slice after one was refused, or recalled
SAY_EVERY = 0.1  # seconds, of a slice that may be taken of, as it may be recalled; the others say that they live
TTL_MS = 60_000
RENEW_EVERY = TTL_MS / 4000
SAY_SOON = 64  # settlements
MAX_PENDING = 20_000
MAX_PURSES = 10_000


class Leasing(msgspec.Struct, frozen=True, kw_only=True):
    """How a ledger leases: for ``router_id``, whose events they are; ``lost`` makes the event of a slice that nobody
    says anything more of, from its id, its key, and the owners of the budgets that it is on. ``journal`` None notes
    nothing. A key is hot at so many admissions a second, at none where ``hot`` is 0: then the journal is for what
    waits for Redis."""

    router_id: str
    lost: Callable[[str, str, tuple[str, ...]], bytes]
    journal: Journal | None = None
    hot: int = HOT


class Purse:
    """All holds of one key under the same limits. ``slice`` is what may be taken of now, or will be when it is
    there."""

    __slots__ = (
        "bounded", "budgets", "count", "demand", "is_hot", "key", "not_before", "pots", "serves_away", "since",
        "slice", "used_at",
    )  # fmt: skip

    def __init__(self, hold: Hold, pots: tuple[Pot, ...], now: float) -> None:
        self.key = hold.key_id
        self.pots = operations.pots(pots)
        self.budgets = tuple(pot.owner for pot in pots if pot.of == "budget")
        self.bounded = any(pot.of == "budget" or (pot.of == "usd" and pot.refuses) for pot in pots)
        self.serves_away = hold.serves_away
        self.demand = Demand()
        self.slice: Slice | None = None
        self.count, self.since, self.is_hot = 0, now, False
        self.not_before = self.used_at = now


class Lessee:
    """One per ledger, whose ``batcher`` it uses. ``told`` is called when events have reached the outbox, ``overrun``
    when an attempt came to more than it had taken."""

    def __init__(
        self,
        leasing: Leasing,
        batcher: Batcher,
        metrics: LeaseMetrics,
        *,
        told: Callable[[], None] | None,
        overrun: Callable[[], None],
    ) -> None:
        self._leasing = leasing
        self._batcher = batcher
        self._metrics = metrics
        self._admitted = metrics.admissions.series()
        self._told = told
        self._on_overrun = overrun
        self._journal = leasing.journal
        self._purses: dict[Name, Purse] = {}
        self._slices: dict[Slice, Purse] = {}
        self._attempts: dict[str, tuple[Slice, Hold, Amounts]] = {}
        self._places = Places(batcher)
        self._pending = 0
        self._timer: asyncio.TimerHandle | None = None
        batcher.compact = self._compact
        metrics.slices.set_function(lambda: len(self._slices))

    # ---- on the way of a request ------------------------------------------------------------------------------------

    def admit(self, hold: Hold) -> Grant | None:
        """None: ask Redis. Raises ``DependencyUnavailable`` at once while Redis is away."""
        if not self._leasing.hot:
            return None
        known = self._attempts.get(hold.attempt_id)
        if known is not None:
            reserved = known[2][4] if self._slices[known[0]].bounded else 0
            return Grant(known[1].wanted_output, reserved, probe=False)
        asked = leases.ask(hold)
        if asked is None:
            return None
        name, amounts = asked
        now = clock.monotonic()
        purse = self._purses.get(name)
        if purse is None:
            purse = self._new(name, hold, amounts, now)
            if purse is None:
                return None
        purse.used_at, purse.serves_away = now, hold.serves_away
        down = self._batcher.is_down
        if down and not hold.serves_away:
            raise unavailable(None)
        part = purse.slice
        if (
            part is None
            or now >= part.good_until
            or not self._places.are_well(hold, now, down)
            or self._pending >= MAX_PENDING
            or not part.take(amounts)
        ):
            self._missed(purse, hold, amounts, now)
            return None
        if self._journal is not None:
            self._journal.write("n", part.id, hold.attempt_id, amounts, hold.abort_events)
            if self._journal.broken:
                self._unnoted(part, amounts)
                return None
        taken = part.taken
        taken[0] += amounts[0]
        taken[4] += amounts[4]
        if len(name) > 4:
            taken[1] += amounts[1]
            taken[2] += amounts[2]
            taken[3] += amounts[3]
        purse.demand.attempt = amounts
        part.used_at = now
        self._attempts[hold.attempt_id] = part, hold, amounts
        self._admitted.value += 1
        return Grant(hold.wanted_output, amounts[4] if purse.bounded else 0, probe=False)

    def settle(self, settlement: Settlement, done: Callable[[], None] | None) -> bool:
        """Whether the attempt was paid from a slice; Redis is told in a twentieth of a second."""
        taken = self._attempts.pop(settlement.attempt_id, None)
        if taken is None:
            return False
        part, _, amounts = taken
        used, cost = settlement.used, settlement.cost_nano_usd
        truth = (amounts[0], used[0], used[1], used[0] + used[1], cost)
        if self._slices[part].bounded and cost > amounts[4]:
            self._on_overrun()
        self._ended(part, settlement.attempt_id, Settled(amounts, truth, settlement.events, done))
        if settlement.news is not None or (settlement.evidence and _is_bad(settlement)):
            self._places.spoiled()
            told = msgspec.structs.replace(
                settlement, cost_nano_usd=0, events=(), tokens=-1, used=(0, 0), if_reaped=b""
            )
            with suppress(DependencyUnavailable):  # too much waits: others will find out for themselves
                self._batcher.submit(operations.settle(told), kept=True, wait=False)
        return True

    def release(self, attempt_id: str) -> bool:
        """As ``settle``, of an attempt that is not made. Its request stays counted."""
        taken = self._attempts.pop(attempt_id, None)
        if taken is None:
            return False
        part, _, amounts = taken
        self._ended(part, attempt_id, Settled(amounts, (amounts[0], 0, 0, 0, 0), ()))
        return True

    @property
    def in_flight(self) -> int:
        """Attempts that are paid from slices and have not ended."""
        return len(self._attempts)

    def has(self, attempt_id: str) -> bool:
        return attempt_id in self._attempts

    def _ended(self, part: Slice, attempt_id: str, settled: Settled) -> None:
        if self._journal is not None:
            self._journal.write("s", attempt_id, settled.truth, settled.events)
        part.settle(settled)
        self._pending += 1
        if len(part.pending) == SAY_SOON:
            self._say(part, self._slices[part], clock.monotonic())
        elif self._timer is None:
            self._tick_soon()

    def _unnoted(self, part: Slice, amounts: Amounts) -> None:
        """Without a journal nothing more is admitted: what is there is given back."""
        part.in_flight -= 1
        for kind in range(5):
            part.free[kind] += amounts[kind]
        self._metrics.broken.inc()
        for purse in self._purses.values():
            self._drain(purse)
            purse.not_before = inf

    # ---- which keys get slices --------------------------------------------------------------------------------------

    def _new(self, name: Name, hold: Hold, amounts: Amounts, now: float) -> Purse | None:
        if len(self._purses) >= MAX_PURSES:
            for idle in [each for each, one in self._purses.items() if one.slice is None and now - one.used_at > IDLE]:
                del self._purses[idle]
        if len(self._purses) >= MAX_PURSES:
            return None
        try:
            purse = self._purses[name] = Purse(hold, leases.pots_of(hold), now)
        except ValueError:
            return None  # the direct way says what is wrong with it
        return purse

    def _missed(self, purse: Purse, hold: Hold, amounts: Amounts, now: float) -> None:
        purse.demand.attempt = amounts
        if not purse.is_hot:
            if now - purse.since > 1:
                purse.count, purse.since = 0, now
            purse.count += 1
            if purse.count < self._leasing.hot and not purse.serves_away:
                return
            purse.is_hot = True
        self._places.wanted(hold, now)
        part = purse.slice
        if part is not None and -inf < part.good_until <= now:
            self._drain(purse)
            part = None
        if part is None:
            is_noted = self._journal is None or not self._journal.broken
            if now >= purse.not_before and is_noted and not self._batcher.is_down:
                self._open(purse, now)
        elif part.on_its_way is None:
            self._say(part, purse, now)

    def _open(self, purse: Purse, now: float) -> None:
        part = Slice(new_id(), now)
        part.good_until = -inf  # until it is known what it has
        purse.slice = part
        self._slices[part] = purse
        self._note("o", part.id, purse.key)
        self._say(part, purse, now)
        self._tick_soon()

    def _drain(self, purse: Purse) -> None:
        """Take no more of its slice."""
        if purse.slice is not None:
            purse.slice.draining = True
            purse.slice = None

    # ---- what is told -----------------------------------------------------------------------------------------------

    def _say(self, part: Slice, purse: Purse, now: float) -> None:
        if part.on_its_way is not None:
            return
        target = purse.demand.target(away=purse.serves_away)
        opens = part.seq == 0
        least = leases.times(purse.demand.attempt, leases.LEAST if opens else 1)
        wanted = leases.lacking(target, part.free)
        if not opens and not any(2 * lack > most for lack, most in zip(wanted, target, strict=True)):
            wanted, least = NOTHING, NOTHING  # half full is full enough
        elif not opens:
            least = leases.amounts([min(one, lack) for one, lack in zip(least, wanted, strict=True)])
        word = part.word(wanted, least, leases.times(target, 3))
        part.said_at = now
        self._note("f", part.id, word.seq, word.count, word.back, word.closes)
        operation = operations.lease(
            (part.id, self._leasing.router_id, purse.key),
            word.seq,
            TTL_MS,
            moved=(word.settled, word.truth, word.back),
            wanted=word.wanted,
            least=word.least,
            asked=operations.NO_POTS if part.draining else purse.pots,
            events=word.events,
            closes=word.closes,
            deposit=self._leasing.lost(part.id, purse.key, purse.budgets) if opens else None,
        )
        self._batcher.keep(operation, partial(self._heard, part, word, now))

    def _heard(self, part: Slice, word: Word, said_at: float, _: Entry, result: Any) -> None:
        purse = self._slices[part]
        self._note("k", part.id, word.seq)
        self._pending -= word.count
        is_refused = operations.failure(result) is not None
        said = Leased(NOTHING, known=False) if is_refused else operations.leased(result)
        part.heard(said)
        opens = word.seq == 1
        if opens:
            part.good_until = said_at + said.good_for if said.good_for else inf
        is_empty = opens and not any(said.added)
        if purse.slice is part and (is_empty or said.recalled or not said.known):
            self._drain(purse)
            purse.not_before = clock.monotonic() + REST
        for done in word.done:
            done()
        if word.events and self._told is not None:
            self._told()
        if word.count:
            self._metrics.settlements.inc(word.count)
        if word.closes or (is_empty and part.is_over) or (not said.known and part.is_over):
            del self._slices[part]
            self._note("c", part.id)
        elif part.draining or len(part.pending) >= SAY_SOON:
            self._say_rest(part, purse)

    def _say_rest(self, part: Slice, purse: Purse) -> None:
        if any(part.free) or part.pending or not part.in_flight:
            self._say(part, purse, clock.monotonic())

    def _note(self, *record: Any) -> None:
        if self._journal is not None:
            self._journal.write(*record)

    def _compact(self) -> None:
        if self._journal is not None:
            self._journal.rewrite(self._live())

    def _live(self) -> Iterator[Record]:
        """All that the journal must say, of what is so now."""
        for part, purse in self._slices.items():
            word = part.on_its_way
            yield "o", part.id, purse.key
            yield "q", part.id, part.seq - (1 if word is not None else 0)
            if word is not None:
                yield "p", part.id, word.settled, word.truth, word.events
                yield "f", part.id, word.seq, 1, word.back, word.closes
            for one in part.pending:
                yield "p", part.id, one.amounts, one.truth, one.events
        for attempt_id, (part, hold, amounts) in self._attempts.items():
            yield "n", part.id, attempt_id, amounts, hold.abort_events
        yield from self._batcher.spooled()

    # ---- every twentieth of a second --------------------------------------------------------------------------------

    def _tick_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = clock.monotonic()
        for part, purse in list(self._slices.items()):
            self._look(part, purse, now)
        self._places.ask(now)
        if self._slices:
            self._tick_soon()

    def _look(self, part: Slice, purse: Purse, now: float) -> None:
        if purse.slice is part:
            purse.demand.look(part.taken)
            longest = IDLE_OPEN if purse.serves_away else IDLE
            is_idle = now - part.used_at > longest and not self._batcher.is_down
            if part.good_until > -inf and (is_idle or part.good_until <= now):
                self._drain(purse)
                if is_idle:
                    purse.count, purse.is_hot = 0, False
        if part.on_its_way is not None:
            return
        busy = part.pending or (part.draining and (any(part.free) or not part.in_flight))
        if busy or now - part.said_at >= (RENEW_EVERY if part.draining else SAY_EVERY):
            self._say(part, purse, now)

    async def hand_over(self, timeout: float) -> bool:
        """Tell all that was settled and give back all that is free; false when ``timeout`` seconds did not suffice.
        What is in flight stays held."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        for purse in self._purses.values():
            self._drain(purse)
        while True:
            waiting = False
            for part, purse in list(self._slices.items()):
                if part.on_its_way is None and (any(part.free) or part.pending or not part.in_flight):
                    self._say(part, purse, clock.monotonic())
                waiting = waiting or part.on_its_way is not None
            if not waiting:
                return True
            if loop.time() > ends or not await self._batcher.flush(max(0.0, ends - loop.time())):
                return False
            await asyncio.sleep(0)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_bad(settlement: Settlement) -> bool:
    """Whether it has something to say of circuits that are spotless."""
    return any(each.outcome in ("failure", "cool") for each in settlement.evidence)
