"""From the stream of bodies to their store, and the sweep that ends them. Whatever fails here is told in the log and
tried again; neither usage nor a question waits for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from omni_core import kept_bodies
from omni_core.bus import Bus, Message
from omni_core.kept_bodies import KeptBody
from omni_wire.errors import DependencyUnavailable, GatewayError, WireError
from prometheus_client import CollectorRegistry, Counter, Gauge

from omni_analytics.ports import BodiesStore
from omni_analytics.settings import AnalyticsSettings

logger = logging.getLogger("omniroute.analytics")

_FETCH, _WAIT = 32, 5.0
_AGAIN = 5.0
# After which a body is given up; the stream has a day of them.
_MOST_DELIVERIES = 100


class BodiesMeter:
    """What becomes of bodies, in numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.taken = Counter(
            "omniroute_analytics_bodies",
            "Bodies taken from their stream, by what became of them.",
            ["result"],
            registry=registry,
        )
        self.removed = Counter(
            "omniroute_analytics_bodies_removed",
            "Bodies that are kept no more: their time was over, or there was no room.",
            ["why"],
            registry=registry,
        )
        for result in ("stored", "refused"):
            self.taken.labels(result)
        for why in ("time", "room"):
            self.removed.labels(why)
        self.kept = Gauge("omniroute_analytics_bodies_kept", "Bodies that are kept.", registry=registry)
        self.size = Gauge("omniroute_analytics_bodies_kept_bytes", "What they take, sealed.", registry=registry)


class BodiesConsumer:
    """Two loops, from ``start`` to ``stop``."""

    def __init__(
        self,
        bus: Bus,
        store: BodiesStore,
        meter: BodiesMeter,
        settings: AnalyticsSettings,
        now_ms: Callable[[], int],
    ) -> None:
        self._bus, self._store, self._meter = bus, store, meter
        self._settings, self._now_ms = settings, now_ms
        self._tasks: list[asyncio.Task[None]] = []
        self._told = ""

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._take_all(), name="analytics-bodies"),
            asyncio.create_task(self._sweep_all(), name="analytics-bodies-sweep"),
        ]

    async def stop(self) -> None:
        """What was fetched and not acknowledged comes again."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _take_all(self) -> None:
        while True:
            try:
                await self._bus.connect()
                await self._bus.ensure_stream(
                    kept_bodies.STREAM,
                    [kept_bodies.SUBJECTS],
                    max_age=kept_bodies.MAX_AGE,
                    max_bytes=kept_bodies.MAX_BYTES,
                )
                source = await self._bus.pull(kept_bodies.STREAM, kept_bodies.DURABLE, kept_bodies.SUBJECTS)
                while True:
                    if messages := await source.fetch(_FETCH, _WAIT):
                        await self._take(messages)
                    self._told = ""
            except GatewayError as error:
                self._troubled(error.message)
            except Exception as error:  # noqa: BLE001 - bodies must go on being taken after any failure
                self._troubled(f"{type(error).__name__}: {error}")
            await asyncio.sleep(_AGAIN)

    async def _take(self, messages: Sequence[Message]) -> None:
        found: list[tuple[Message, KeptBody]] = []
        for message in messages:
            try:
                found.append((message, kept_bodies.unpack(message.data)))
            except WireError:
                self._meter.taken.labels("refused").inc()
                await message.term()
        now = self._now_ms()
        try:
            await self._store.store([body for _, body in found if body.until_ms > now])
        except DependencyUnavailable:
            for message, _ in found:
                await (message.nak(_AGAIN) if message.num_delivered < _MOST_DELIVERIES else message.term())
            raise
        for message, _ in found:
            await message.ack()
        self._meter.taken.labels("stored").inc(len(found))

    async def sweep(self) -> None:
        """Until nothing is left whose time is over. Raises ``DependencyUnavailable``."""
        more = True
        while more:
            swept = await self._store.sweep(self._now_ms(), self._settings.bodies_most_bytes)
            self._meter.removed.labels("time").inc(swept.expired)
            self._meter.removed.labels("room").inc(swept.crowded)
            self._meter.kept.set(swept.bodies)
            self._meter.size.set(swept.size)
            more = swept.more

    async def _sweep_all(self) -> None:
        while True:
            try:
                await self.sweep()
            except GatewayError as error:
                self._troubled(error.message)
            except Exception as error:  # noqa: BLE001 - as above
                self._troubled(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._settings.bodies_sweep_every)

    def _troubled(self, why: str) -> None:
        """Told once."""
        if self._told != why:
            logger.warning("bodies are not being kept; trying again", extra={"fields": {"why": why}})
        self._told = why
