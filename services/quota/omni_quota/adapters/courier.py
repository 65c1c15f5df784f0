"""Delivers the outbox of a router that is gone."""

import asyncio

from omni_core.bus import Bus
from omni_ledger import Outbox, drain, ensure_stream
from redis.asyncio import Redis


class JetStreamCourier:
    """Satisfies ``omni_quota.ports.Courier``. A router that comes back in the meantime does no harm: both publish the
    same sealed batches, and the stream drops what it has."""

    def __init__(self, redis: Redis, bus: Bus) -> None:
        self._outbox = Outbox(redis)
        self._bus = bus
        self._one_at_a_time = asyncio.Lock()

    async def deliver(self, router_id: str) -> int:
        """Raises ``DependencyUnavailable``."""
        delivered = 0

        def count(published: int, _waiting: int) -> None:
            nonlocal delivered
            delivered += published

        async with self._one_at_a_time:
            await ensure_stream(self._bus)
            await drain(self._outbox, self._bus, router_id, on_batch=count)
        return delivered

    async def close(self) -> None:
        await self._outbox.close()
