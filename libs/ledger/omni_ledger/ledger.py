"""The ledger: reserve before an attempt, settle after it, each in one atomic step in Redis."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omni_core import clock
from omni_wire.errors import DependencyUnavailable, Internal
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from omni_ledger import operations, quota_operations
from omni_ledger.batcher import DEADLINE, Batcher, Entry
from omni_ledger.leasing import Leasing, Lessee
from omni_ledger.metrics import LeaseMetrics, LedgerMetrics
from omni_ledger.model import Grant, Hold, Pick, Picked, Refusal, Settlement
from omni_ledger.operations import Operation
from omni_ledger.quota_model import Told
from omni_ledger.recovery import Recovery
from omni_ledger.script import STEP_LUA, ScriptConnection

STOP_WITHIN = 5.0
# Who is refused what routers hold slices of asks so many times again, after so many seconds: they give them back at
# their next word.
RECALLS, RECALLED_WITHIN = 2, 0.12


class Ledger:
    """One per process. ``on_events`` is called (often) after events have reached the outbox: a relay's ``wake``.

    With ``leasing`` keys that are asked for often are admitted and settled from slices of their limits, in memory; its
    journal also takes what waits for a Redis that is away, and ``recovers`` is the folder to look in for what killed
    processes left. A Redis that refuses connections is taken for away after ``refused_within`` seconds. ``script`` is
    for tests, which bring their own clock.
    """

    def __init__(
        self,
        redis: Redis,
        metrics: CollectorRegistry,
        *,
        on_events: Callable[[], None] | None = None,
        script: str = STEP_LUA,
        leasing: Leasing | None = None,
        recovers: Path | None = None,
        refused_within: float = DEADLINE,
    ) -> None:
        self._metrics = LedgerMetrics(metrics)
        self._granted = self._metrics.admissions.series(("granted",))
        self._journal = leasing.journal if leasing is not None else None
        connection = ScriptConnection(redis, script)
        self._batcher = batcher = Batcher(connection, self._metrics, self._journal, refused_within=refused_within)
        self._on_events = on_events
        self._lessee: Lessee | None = None
        self._recovery: Recovery | None = None
        if leasing is not None:
            measured, overrun = LeaseMetrics(metrics), self._metrics.overruns.inc
            self._lessee = Lessee(leasing, batcher, measured, told=on_events, overrun=overrun)
            if recovers is not None:
                self._recovery = Recovery(recovers, leasing.router_id, batcher, measured)

    @property
    def healthy(self) -> bool:
        """Whether Redis answered the last time it was asked, at most a few seconds ago."""
        return self._batcher.healthy

    async def start(self) -> None:
        """Returns at once; Redis may come later."""
        self._batcher.start()
        if self._recovery is not None:
            self._recovery.start()

    async def stop(self) -> None:
        """Send what is queued, for up to five seconds; reservations not settled by then are left to the reaper, or to
        who finds the journal."""
        if self._recovery is not None:
            await self._recovery.stop()
        is_done = await self.flush(STOP_WITHIN)
        if self._lessee is not None:
            self._lessee.stop()
            is_done = is_done and not self._lessee.in_flight
        await self._batcher.stop()
        if self._journal is not None:
            await self._journal.close(remove=is_done)

    async def flush(self, timeout: float) -> bool:
        """Wait until everything queued is in Redis, and give back what is free of slices; false when ``timeout``
        seconds did not suffice."""
        ends = clock.monotonic() + timeout
        if self._lessee is not None and not await self._lessee.hand_over(timeout):
            return False
        return await self._batcher.flush(max(0.0, ends - clock.monotonic()))

    async def admit(self, hold: Hold) -> Grant | Refusal:
        """Check rate limits, budgets and breakers, in this order, and take all of them or none.

        Raises ``DependencyUnavailable`` within two seconds when Redis is away, and then, or when the caller is
        cancelled, the reservation is given back as soon as Redis is there, whether or not it had been taken; this
        attempt id is then closed. (A request counted towards its rate limit stays counted.) Raises ``Internal`` when
        the attempt is closed already, ``ValueError`` when a field of ``hold`` is wrong.
        """
        counts = self._metrics.admissions
        if self._lessee is not None:
            try:
                grant = self._lessee.admit(hold)
            except DependencyUnavailable:
                counts.add(("unavailable",))
                raise
            if grant is not None:
                self._granted.value += 1
                return grant
        outcome, resent = await self._ask(hold)
        try:
            for _ in range(RECALLS):
                if isinstance(outcome, Grant) or not outcome.recalled:
                    break
                await asyncio.sleep(RECALLED_WITHIN)
                outcome, again = await self._ask(hold)
                resent |= again
        except BaseException:
            if resent:
                self._give_back(hold)
            raise
        if resent and isinstance(outcome, Refusal):
            self._give_back(hold)
        counts.add(("granted",) if isinstance(outcome, Grant) else (outcome.reason,))
        return outcome

    def _give_back(self, hold: Hold) -> None:
        """What was sent may still be under way, and would be granted to nobody."""
        self.release_soon(hold.attempt_id, (hold.account_id, *hold.circuits))

    async def _ask(self, hold: Hold) -> tuple[Grant | Refusal, bool]:
        """And whether it was sent more than once."""
        operation = operations.admit(hold)
        counts = self._metrics.admissions
        try:
            entry = self._batcher.submit(operation)
        except DependencyUnavailable:
            counts.add(("unavailable",))
            raise
        try:
            result = await entry.answer()
        except (DependencyUnavailable, asyncio.CancelledError) as error:
            counts.add(("unavailable" if isinstance(error, DependencyUnavailable) else "failed",))
            if entry.sent:
                self._give_back(hold)
            raise
        outcome = operations.admitted(result)
        if outcome is None:
            counts.add(("failed",))
            raise Internal("this attempt is closed already")
        return outcome, entry.resent

    async def settle(self, settlement: Settlement) -> None:
        """Release the reservation, add the cost to the window it was taken in, take the evidence, emit the events.

        Returns when Redis has it; while Redis is away it is kept and tried again, also when the caller is cancelled.
        Once per attempt: a repetition has no effect. A cost above what was reserved is charged in full. Raises
        ``DependencyUnavailable`` when too many wait already, ``ValueError`` when a field is wrong.
        """
        if self._lessee is not None and self._lessee.has(settlement.attempt_id):
            told = asyncio.Event()
            self._lessee.settle(settlement, told.set)
            await told.wait()
            return
        await self._enqueue(settlement, wait=True).answer()

    def settle_soon(self, settlement: Settlement, done: Callable[[], None] | None = None) -> None:
        """``settle`` without waiting for Redis, in the order of the calls; ``done`` is called when Redis has it.

        When too many wait already it is dropped and counted: the reaper then charges the reservation in full and emits
        the events that were deposited with it. Raises ``ValueError`` when a field is wrong.
        """
        if self._lessee is not None and self._lessee.settle(settlement, done):
            return
        with contextlib.suppress(DependencyUnavailable):  # counted where it was raised
            self._enqueue(settlement, wait=False, done=done)

    def release_soon(self, attempt_id: str, circuits: tuple[str, ...]) -> None:
        """Give back what was reserved for an attempt that is not made: it leaves nothing behind, and is closed.
        ``circuits`` are those of its hold, the account first. Kept and dropped as a settlement."""
        if self._lessee is not None and self._lessee.release(attempt_id):
            return
        try:
            self._batcher.submit(operations.release(attempt_id, circuits), kept=True, wait=False)
        except DependencyUnavailable:
            self._metrics.dropped.inc()

    async def renew(self, attempt_id: str, ttl_ms: int) -> bool:
        """Let the reservation live ``ttl_ms`` from now; false when it is not held any more.

        Raises ``DependencyUnavailable`` within two seconds when Redis is away.
        """
        if self._lessee is not None and self._lessee.has(attempt_id):
            return True  # as its slice does
        entry = self._batcher.submit(operations.renew(attempt_id, ttl_ms))
        return bool((await entry.answer())[0])

    def renew_soon(self, attempt_id: str, ttl_ms: int) -> None:
        """``renew`` without waiting; when Redis is away nothing is renewed, and the caller asks again later."""
        if self._lessee is None or not self._lessee.has(attempt_id):
            self._soon(operations.renew(attempt_id, ttl_ms))

    async def pick(self, wanted: Pick) -> Picked:
        """What the fleet knows for a choice. Not idempotent: one that is lost and sent again counts twice, which skips
        a turn and does no other harm.

        Raises ``DependencyUnavailable`` within two seconds when Redis is away, ``Internal`` when it refuses.
        """
        return operations.picked(await self._batcher.submit(operations.pick(wanted)).answer(), wanted)

    def dry(self) -> "DryLedger":
        """What this one would answer, while it changes nothing."""
        return DryLedger(self)

    def cleared_soon(self, attempt_id: str, circuits: tuple[str, ...]) -> None:
        """The attempt, a probe, has shown that its circuits are well. Its settlement tells it again, should Redis be
        away now."""
        self._soon(operations.cleared(attempt_id, circuits))

    def keep_soon(self, attempts: tuple[str, ...]) -> None:
        """Say that attempts in lanes are under way still; without a word they are taken for gone in a minute."""
        self._soon(operations.keep(attempts))

    def leave_soon(self, ticket: str, lanes: tuple[str, ...]) -> None:
        """Wait no more in the queues of ``lanes``; while Redis is away the ticket's lease ends it."""
        self._soon(operations.leave(ticket, lanes))

    def told_soon(self, account: str, windows: Sequence[Told]) -> None:
        """Tell the fleet what a provider says of an account's quota; not while Redis is away."""
        self._soon(quota_operations.told(account, windows))

    def used_soon(self, uses: str, member: str) -> None:
        """Count a use that no ``pick`` counted; not while Redis is away."""
        self._soon(operations.used(uses, member))

    def warmed_soon(self, conversation: str, place: str, tokens: int, ttl_ms: int) -> None:
        """Remember that the prompt cache of ``place`` holds a conversation; not while Redis is away."""
        self._soon(operations.warmed(conversation, place, tokens, ttl_ms))

    def _soon(self, operation: Operation) -> None:
        with contextlib.suppress(DependencyUnavailable):
            self._batcher.submit(operation, wait=False)

    def _enqueue(self, settlement: Settlement, *, wait: bool, done: Callable[[], None] | None = None) -> Entry:
        operation = operations.settle(settlement)
        note = self._settled if done is None else self._telling(done)
        try:
            return self._batcher.submit(operation, kept=True, wait=wait, note=note)
        except DependencyUnavailable:
            self._metrics.dropped.inc()
            raise

    def _settled(self, entry: Entry, result: Any) -> None:
        if operations.failure(result) is not None:
            self._metrics.settlements.add(("failed",))
            return
        self._metrics.settlements.add((result[0],))
        if result[1]:
            self._metrics.overruns.inc()
        if self._on_events is not None and len(entry.operation) > 1:
            self._on_events()

    def _telling(self, done: Callable[[], None]) -> Callable[[Entry, Any], None]:
        def note(entry: Entry, result: Any) -> None:
            self._settled(entry, result)
            done()

        return note


class DryLedger(Ledger):
    """What an admission or a pick would come to now, by the same script; nothing is reserved, counted or told."""

    def __init__(self, ledger: Ledger) -> None:
        self._batcher, self._metrics, self._on_events = ledger._batcher, ledger._metrics, None
        self._lessee = self._recovery = self._journal = None

    async def admit(self, hold: Hold) -> Grant | Refusal:
        outcome = operations.admitted(await self._batcher.submit(operations.admit(hold, dry=True)).answer())
        if outcome is None:
            raise Internal("the attempt is closed already")
        return outcome

    async def pick(self, wanted: Pick) -> Picked:
        return operations.picked(await self._batcher.submit(operations.pick(wanted, dry=True)).answer(), wanted)

    def _soon(self, operation: Operation) -> None:
        return

    def _enqueue(self, settlement: Settlement, *, wait: bool, done: Callable[[], None] | None = None) -> Entry:
        raise Internal("nothing was reserved that could be settled")
