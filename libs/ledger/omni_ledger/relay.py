"""The relay: what settling left in this router's outbox goes to JetStream, each batch once."""

import asyncio
import logging

from omni_core.bus import Bus
from omni_core.tracing import Tracer
from omni_wire.errors import DependencyUnavailable
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from omni_ledger.metrics import RelayMetrics
from omni_ledger.outbox import Outbox, drain, ensure_stream

LINGER = 0.1  # after a wake-up, so that one message carries what several requests settle
BUSY_POLL = 0.2
IDLE_POLL = 1.0
BUSY_FOR = 5.0
PAUSES = (0.1, 0.25, 0.5, 1.0)
STOP_WITHIN = 5.0

log = logging.getLogger("omniroute.ledger")


class Relay:
    """Wakes when told (``wake``), and by itself every 0.2 s while there is traffic, every second when there is none.

    It also shows the router's sign of life: the outbox of a router without one is drained by the quota service.
    """

    def __init__(
        self, redis: Redis, bus: Bus, router_id: str, metrics: CollectorRegistry, *, tracer: Tracer | None = None
    ) -> None:
        self._outbox = Outbox(redis)
        self._tracer = tracer
        self._bus = bus
        self._router_id = router_id
        self._metrics = RelayMetrics(metrics)
        self._wake = asyncio.Event()
        self._stream_known = False
        self._last_batch = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """There are new events. Cheap; any number of times."""
        self._wake.set()

    async def start(self) -> None:
        """Returns at once; Redis and NATS may come later."""
        self._task = asyncio.create_task(self._run(), name="ledger-relay")

    async def stop(self) -> None:
        """Publish what is there, for up to five seconds, and withdraw the sign of life: the rest is quota's."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            try:
                async with asyncio.timeout(STOP_WITHIN):
                    try:
                        await self._drain()
                    finally:
                        await self._outbox.turn(self._router_id, seal=False, alive="down")
            except (DependencyUnavailable, TimeoutError):
                log.warning("events are left in the outbox", extra={"fields": {"router": self._router_id}})
        await self._outbox.close()

    async def _run(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            try:
                await self._drain()
            except DependencyUnavailable as error:
                self._stream_known = False
                self._metrics.failures.inc()
                if failures == 0:
                    log.warning("events wait in the outbox", extra={"fields": {"error": error.message}})
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
                continue
            failures = 0
            await self._rest()

    async def _drain(self) -> None:
        if not self._stream_known:
            await self._outbox.turn(self._router_id, seal=False, alive="up")  # alive even while NATS is away
            await ensure_stream(self._bus)
            self._stream_known = True
        await drain(self._outbox, self._bus, self._router_id, alive="up", on_batch=self._on_batch, tracer=self._tracer)

    def _on_batch(self, published: int, waiting: int) -> None:
        self._metrics.waiting.set(waiting)
        if published:
            self._metrics.events.inc(published)
            self._metrics.batches.inc()
            self._last_batch = asyncio.get_running_loop().time()

    async def _rest(self) -> None:
        busy = asyncio.get_running_loop().time() - self._last_batch < BUSY_FOR
        try:
            async with asyncio.timeout(BUSY_POLL if busy else IDLE_POLL):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(LINGER)
