"""Operations that arrive while a call to Redis is under way go out together in the next one.

Theory of operation. One task (the pump) makes one call at a time; whatever was submitted meanwhile, or in the same turn
of the event loop, is its next batch. A call costs the same whether it carries one operation or sixty, so the cost of
each falls as load rises, without any timer.

Every operation is idempotent (it is named by its attempt), so a batch whose connection broke is sent again on a new
connection until the deadline of its oldest operation, or until Redis has refused connections for as long as that is
waited for: one that restarts within that time goes unnoticed. After it Redis is *down*: operations that somebody waits
for fail at once, and so do new ones, until a call succeeds again. Operations that are *kept* (settlements, releases)
stay in the queue, in their order, and are what the pump tries again with; those that Redis is not quick to take are
written to the *spool* as well, where there is one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from omni_wire.errors import DependencyUnavailable, Internal
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from omni_ledger import operations
from omni_ledger.journal import Journal, Record
from omni_ledger.metrics import LedgerMetrics
from omni_ledger.operations import Operation
from omni_ledger.script import FAILURES, ScriptConnection, unavailable

MAX_BATCH = 64
MAX_BATCH_BYTES = 256 * 1024
MAX_KEPT = 20_000
MAX_KEPT_BYTES = 64 * 1024 * 1024
MAX_WAITING = 10_000
DEADLINE = 1.8  # seconds; callers are promised two
RESEND_PAUSES = (0.0, 0.02, 0.05, 0.1)
DOWN_PAUSES = (0.05, 0.1, 0.25)
PROBE_EVERY = 1.0
SPOOL_AFTER = 0.1  # seconds that a call may take before what it has to keep is on the disk

# What Redis says inside a script when it is full, a replica, or not itself yet: the whole of it is away, not one key.
_NOT_NOW = ("OOM", "MISCONF", "READONLY", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "LOADING")

log = logging.getLogger("omniroute.ledger")


class Entry:
    """One submitted operation. ``sent`` once it may have reached Redis, ``resent`` once it may do so again later,
    from a connection that broke. ``future`` gets the script's result; ``lost`` is called where there is none.
    ``spooled`` is its number in the spool, 0 where it is not there, -1 where it need not be."""

    __slots__ = ("born", "future", "kept", "lost", "note", "operation", "resent", "sent", "size", "spooled")

    def __init__(
        self,
        operation: Operation,
        born: float,
        future: "asyncio.Future[Any] | None",
        kept: bool,
        note: "Callable[[Entry, Any], None] | None",
    ) -> None:
        self.operation = operation
        self.size = sum(map(len, operation))
        self.born = born
        self.future = future
        self.kept = kept
        self.note = note
        self.lost: Callable[[], None] | None = None
        self.spooled = 0
        self.sent = self.resent = False

    @property
    def abandoned(self) -> bool:
        """Nobody waits for it any more, and nobody needs it done."""
        return not self.kept and self.future is not None and self.future.done()

    def answer(self) -> "asyncio.Future[Any]":
        if self.future is None:
            raise RuntimeError("this operation was submitted without wait")
        return self.future

    def resolve(self, result: Any) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)
        if self.lost is not None:
            self.lost()


class Batcher:
    """``refused_within`` is for how many seconds a Redis that refuses connections is asked again before it is down."""

    def __init__(
        self,
        connection: ScriptConnection,
        metrics: LedgerMetrics,
        spool: Journal | None = None,
        *,
        refused_within: float = DEADLINE,
    ) -> None:
        self._connection = connection
        self._metrics = metrics
        self._spool = spool
        self._spooled: dict[int, Entry] = {}
        self._spool_number = 0
        self.compact: Callable[[], None] | None = None  # called when the spool is large
        self._refused_within = refused_within
        self._queue: deque[Entry] = deque()
        self._wake = asyncio.Event()
        self._probe = True
        self._busy = False
        self._down = False
        self._up = False
        self._kept = 0
        self._kept_bytes = 0
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        metrics.kept.set_function(lambda: self._kept)

    @property
    def healthy(self) -> bool:
        """Whether the last call succeeded; there is one at least every second."""
        return self._up

    @property
    def is_down(self) -> bool:
        """Whether Redis is known to be away."""
        return self._down

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._pump(), name="ledger-pump")
        self._wake.set()
        self._tick(self._loop)

    async def stop(self) -> None:
        """End the pump; whatever still waits fails. ``flush`` first."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._connection.close()

    def submit(
        self,
        operation: Operation,
        *,
        kept: bool = False,
        wait: bool = True,
        note: Callable[[Entry, Any], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> Entry:
        """Queue ``operation``. Raises ``DependencyUnavailable`` at once when Redis is down (unless it is ``kept``),
        when too much waits already, or when the pump does not run."""
        loop = self._loop
        if loop is None or self._task is None:
            raise DependencyUnavailable("the quota ledger is not running", retry_after=1.0)
        if kept:
            if self._kept >= MAX_KEPT or self._kept_bytes >= MAX_KEPT_BYTES:
                raise unavailable(None)
        elif self._down or len(self._queue) >= MAX_WAITING + self._kept:
            raise unavailable(None)
        entry = Entry(operation, loop.time(), loop.create_future() if wait else None, kept, note)
        entry.lost = lost
        if kept and (self._down or (self._spool is not None and self._spool.synced)):
            self._keep_safe(entry)
        self._append(entry)
        return entry

    def keep(
        self, operation: Operation, note: Callable[[Entry, Any], None] | None = None, *, wait: bool = False
    ) -> Entry:
        """Queue what is on the disk already, and must not be dropped however much waits."""
        loop = asyncio.get_running_loop()
        entry = Entry(operation, loop.time(), loop.create_future() if wait else None, True, note)
        entry.spooled = -1
        self._append(entry)
        return entry

    def _append(self, entry: Entry) -> None:
        if entry.kept:
            self._kept += 1
            self._kept_bytes += entry.size
        self._queue.append(entry)
        if not self._busy:
            self._wake.set()

    # ---- the spool --------------------------------------------------------------------------------------------------

    def spooled(self) -> Iterator[Record]:
        """What the spool must say: of each operation that waits its number and itself."""
        for number, entry in self._spooled.items():
            yield "w", number, entry.operation

    def _keep_safe(self, entry: Entry) -> None:
        if self._spool is not None and entry.kept and entry.spooled == 0:
            self._spool_number += 1
            entry.spooled = self._spool_number
            self._spooled[entry.spooled] = entry
            self._spool.write("w", entry.spooled, entry.operation)

    def _keep_all_safe(self, batch: list[Entry]) -> None:
        if self._spool is not None:
            self._spool.synced = True
            for entry in (*batch, *self._queue):
                self._keep_safe(entry)

    def _is_safe(self, entry: Entry) -> None:
        """Redis has it."""
        if self._spool is not None and entry.spooled > 0:
            del self._spooled[entry.spooled]
            self._spool.write("d", entry.spooled)

    async def flush(self, timeout: float) -> bool:
        """Wait until nothing is queued or under way; false when ``timeout`` seconds did not suffice."""
        if not self._queue and not self._busy:
            return True
        if self._task is None:
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._idle_waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return False
        return True

    # ---- the pump ---------------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        failures = 0
        try:
            while True:
                if not self._queue and not self._probe:
                    self._rest_idle()
                    await self._wake.wait()
                    continue
                self._probe = False
                batch = self._take()
                self._busy = True
                try:
                    results = await self._step(batch)
                except (*FAILURES, DependencyUnavailable) as error:
                    self._failed(batch, error)
                    self._busy = False
                    await asyncio.sleep(DOWN_PAUSES[min(failures, len(DOWN_PAUSES) - 1)])
                    failures += 1
                    self._probe = True
                else:
                    failures = 0
                    self._succeeded(batch, results)
                    self._busy = False
        finally:
            self._up = False
            self._metrics.up.set(0)
            for entry in self._queue:
                entry.fail(unavailable(None))

    def _rest_idle(self) -> None:
        self._wake.clear()
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask Redis something every second at least, so that ``healthy`` is true to life and a connection that broke
        while nothing was going on is not the next request's trouble."""
        if not self._busy and not self._queue:
            self._probe = True
            self._wake.set()
        self._timer = loop.call_later(PROBE_EVERY, self._tick, loop)

    def _take(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        queue = self._queue
        while queue and len(batch) < MAX_BATCH:
            entry = queue[0]
            if entry.abandoned:
                queue.popleft()
                continue
            size += entry.size
            if batch and size > MAX_BATCH_BYTES:
                break
            entry.sent = True
            batch.append(queue.popleft())
        return batch

    async def _step(self, batch: list[Entry]) -> list[Any]:
        clock = asyncio.get_running_loop().time
        started = clock()
        deadline = min((entry.born for entry in batch if not entry.kept), default=started) + DEADLINE
        arguments = [argument for entry in batch for argument in entry.operation]
        slow = None
        if self._spool is not None and not self._down:
            slow = asyncio.get_running_loop().call_later(SPOOL_AFTER, self._keep_all_safe, batch)
        try:
            async with asyncio.timeout_at(max(deadline, started + 0.1)):
                reply = await self._call(batch, arguments)
            results = _read(reply, len(batch))
        except BaseException:  # also cancelled: an answer may still be under way on this connection
            await self._connection.drop()
            raise
        finally:
            if slow is not None:
                slow.cancel()
        self._metrics.step_seconds.observe(clock() - started)
        self._metrics.step_operations.add((), len(batch))
        return results

    async def _call(self, batch: list[Entry], arguments: list[bytes]) -> object:
        tries, clock = 0, asyncio.get_running_loop().time
        refused_at = 0.0
        while True:
            try:
                return await self._connection.call(arguments)
            except (RedisConnectionError, OSError):
                await self._connection.drop()
                refused_at = refused_at or clock()
                pause = RESEND_PAUSES[min(tries, len(RESEND_PAUSES) - 1)]
                if self._down or clock() + pause - refused_at > self._refused_within:
                    raise
                self._keep_all_safe(batch)
                for entry in batch:
                    entry.resent = True
                await asyncio.sleep(pause)
                tries += 1

    def _succeeded(self, batch: list[Entry], results: list[Any]) -> None:
        if not self._up:
            self._metrics.up.set(1)
            if self._down:
                log.warning("redis is back", extra={"fields": {"kept": self._kept}})
        self._up, self._down = True, False
        if self._spool is not None:
            self._spool.synced = False
        is_large = self._spool is not None and self._spool.is_large
        if is_large and self.compact is not None:
            self.compact()
        for entry, result in zip(batch, results, strict=True):
            if entry.kept:
                self._kept -= 1
                self._kept_bytes -= entry.size
                self._is_safe(entry)
            if entry.note is not None:
                entry.note(entry, result)
            message = operations.failure(result)
            if message is None:
                entry.resolve(result)
            else:
                log.error("redis refused an operation", extra={"fields": {"error": message}})
                entry.fail(Internal("the quota ledger refused an operation"))

    def _failed(self, batch: list[Entry], error: Exception) -> None:
        if not self._down:
            detail = str(error) if isinstance(error, ResponseError) else type(error).__name__
            log.error("redis is away", extra={"fields": {"error": detail, "kept": self._kept}})
        self._up, self._down = False, True
        self._metrics.up.set(0)
        self._keep_all_safe(batch)
        waiting = [*batch, *self._queue]
        self._queue.clear()
        for entry in waiting:
            if entry.kept:
                self._queue.append(entry)
            else:
                entry.fail(unavailable(error))


def _read(reply: object, count: int) -> list[Any]:
    """Raises ``DependencyUnavailable`` when this is no answer to ``count`` operations, or says "not now"."""
    results = operations.results(reply)
    if len(results) != count:
        raise unavailable(None)
    for result in results:
        message = operations.failure(result)
        if message is not None and any(word in message for word in _NOT_NOW):
            raise unavailable(None)
    return results
