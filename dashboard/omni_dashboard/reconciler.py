"""The books, looked at again and again, by whichever dashboard runs: what comes of it is a metric, and remembered."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import msgspec
from omni_wire.errors import GatewayError

from omni_dashboard.domain.reconciliation import Proof

logger = logging.getLogger("omniroute.dashboard")

# Looks that are remembered: a day of them, at the usual interval.
KEPT = 288
# What is under way comes, and two clocks may have been read a moment apart: so a difference is looked at again.
_LOOKS, _AGAIN = 3, 2.0
_SOON = 30.0


class Look(msgspec.Struct, frozen=True):
    """What was found at that time (epoch milliseconds): ``drift`` in nano-USD by level, all 0 where the books are
    right; or why nothing could be."""

    at_ms: int
    drift: dict[str, int]
    budgets: int = 0
    settled: bool = True
    from_rows: bool = True
    failed: str = ""

    @property
    def ok(self) -> bool:
        return not self.failed and not any(self.drift.values())


class Meter(Protocol):
    def looked(self, look: Look) -> None: ...


class Reconciler:
    """``audit`` looks at the books; ``every`` is in seconds, 0 for never."""

    def __init__(
        self, audit: Callable[[], Awaitable[Proof]], meter: Meter, every: float, now_ms: Callable[[], int]
    ) -> None:
        self._audit = audit
        self._meter = meter
        self._every = every
        self._now_ms = now_ms
        self._task: asyncio.Task[None] | None = None
        self.looks: deque[Look] = deque(maxlen=KEPT)
        """The newest first."""

    def start(self) -> None:
        if self._every:
            self._task = asyncio.create_task(self._run(), name="dashboard-reconciler")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> Look:
        """Look now, and remember it."""
        try:
            proof = await self._settled()
        except GatewayError as error:
            found = Look(self._now_ms(), {}, failed=error.message)
            logger.warning("the books cannot be looked at", extra={"fields": {"error": error.message}})
        except Exception as error:  # a mistake of ours: it is told like any other failure, and ends no watch
            found = Look(self._now_ms(), {}, failed=type(error).__name__)
            logger.exception("looking at the books failed")
        else:
            found = Look(self._now_ms(), proof.drift(), len(proof.verdicts), proof.settled, proof.from_rows)
            if not found.ok:
                logger.error("the books do not agree", extra={"fields": {"drift_nano_usd": found.drift}})
        self.looks.appendleft(found)
        self._meter.looked(found)
        return found

    async def _settled(self) -> Proof:
        proof = await self._audit()
        for _ in range(_LOOKS - 1):
            if proof.holds:
                break
            await asyncio.sleep(_AGAIN)
            proof = await self._audit()
        return proof

    async def _run(self) -> None:
        await asyncio.sleep(min(_SOON, self._every))
        while True:
            await self.look()
            await asyncio.sleep(self._every)
