"""From the usage stream to the service, for ever: NATS may come late, go away and come back."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from omni_core.bus import Bus, PullConsumer
from omni_wire.errors import DependencyUnavailable, GatewayError

from omni_analytics import settings as names
from omni_analytics.ports import Letter, Meter, UsageMessage
from omni_analytics.settings import AnalyticsSettings

logger = logging.getLogger("omniroute.analytics")

# A NATS message holds 1 MiB unless configured otherwise; base64 and the wrapper must fit as well.
MAX_WRAPPED = 700_000


class Consumer:
    """Fetches messages and hands them to ``take``. ``state`` is empty while all is well."""

    def __init__(
        self,
        bus: Bus,
        take: Callable[[Sequence[UsageMessage]], Awaitable[None]],
        meter: Meter,
        settings: AnalyticsSettings,
    ) -> None:
        self._bus = bus
        self._take = take
        self._meter = meter
        self._settings = settings
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._source: PullConsumer | None = None
        self.state = "not started"

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="analytics-consumer")

    async def drain(self) -> None:
        """Finish the fetch in hand and take no other."""
        self._ending.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """End at once. What was fetched and not acknowledged is delivered again to the next consumer."""
        self._ending.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.state = "stopped"

    async def backlog(self) -> int:
        """Messages in the stream that nobody has acknowledged. Raises ``DependencyUnavailable``."""
        if self._source is None:
            raise DependencyUnavailable(f"the usage stream cannot be asked: {self.state}", retry_after=1.0)
        return await self._source.backlog()

    async def _run(self) -> None:
        while not self._ending.is_set():
            try:
                await self._consume()
            except GatewayError as error:
                self._troubled(error.message)
            except Exception as error:  # noqa: BLE001 - usage must go on being counted after any failure
                self._troubled(f"{type(error).__name__}: {error}", error)
            if not self._ending.is_set():
                await self._pause(self._settings.reconnect_delay)

    async def _consume(self) -> None:
        await self._bus.connect()
        await self._bus.ensure_stream(names.USAGE_STREAM, [names.USAGE_SUBJECTS])
        await self._bus.ensure_stream(names.DEAD_STREAM, [names.DEAD_SUBJECTS])
        self._meter.dead(await self._bus.count(names.DEAD_STREAM))
        source = self._source = await self._bus.pull(names.USAGE_STREAM, names.DURABLE, names.USAGE_SUBJECTS)
        while not self._ending.is_set():
            messages = await source.fetch(self._settings.fetch_messages, self._settings.fetch_wait)
            if messages:
                await self._take(messages)
            else:
                self._meter.behind(0.0)
            self.state = ""
            if 0 < len(messages) < self._settings.fetch_messages:
                await self._pause(self._settings.linger)

    def _troubled(self, why: str, unforeseen: Exception | None = None) -> None:
        """Told once, what nobody foresaw with its traceback."""
        if self.state != why:
            level = logging.WARNING if unforeseen is None else logging.ERROR
            told = {"fields": {"why": why}}
            logger.log(level, "usage is not being counted; trying again", exc_info=unforeseen, extra=told)
        self.state = why

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            return


class _Wrapper(msgspec.Struct):
    """What else there is beside these is for those who look at the stream by other means."""

    data: bytes
    reason: str
    deliveries: int
    at_ms: int


_unwrap = msgspec.json.Decoder(_Wrapper)


class BusDeadLetters:
    """Satisfies ``DeadLetters``: JSON with the reason and the bytes in base64, or the bare bytes where that is too
    large. The same message buried twice within the stream's duplicate window is kept once."""

    def __init__(self, bus: Bus, now_ms: Callable[[], int]) -> None:
        self._bus = bus
        self._now_ms = now_ms

    async def bury(self, data: bytes, reason: str, deliveries: int) -> None:
        letter = data
        if len(data) <= MAX_WRAPPED:
            wrapper = {
                "stream": names.USAGE_STREAM,
                "durable": names.DURABLE,
                "reason": reason[:1000],
                "deliveries": deliveries,
                "at_ms": self._now_ms(),
                "data": data,
            }
            letter = msgspec.json.encode(wrapper)  # bytes become base64
        digest = hashlib.sha256(data).hexdigest()
        await self._bus.publish(names.DEAD_SUBJECT, letter, msg_id=f"dead-{digest}")

    async def behind(self, id_: int) -> Letter | None:
        found = await self._bus.stored(names.DEAD_STREAM, names.DEAD_SUBJECT, id_)
        if found is None:
            return None
        try:
            kept = _unwrap.decode(found.data)
        except (msgspec.DecodeError, UnicodeDecodeError):  # bare, as it was too large
            return Letter(found.number, found.data)
        return Letter(found.number, kept.data, kept.reason, kept.deliveries, kept.at_ms)

    async def forget(self, id_: int) -> None:
        await self._bus.forget(names.DEAD_STREAM, id_)

    async def count(self) -> int:
        return await self._bus.count(names.DEAD_STREAM)
