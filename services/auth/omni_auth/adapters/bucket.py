"""The snapshot in JetStream KV: bucket ``omniroute_config``, key ``snapshot``."""

import asyncio

from omni_core.bus import Bus
from omni_wire.errors import DependencyUnavailable

BUCKET = "omniroute_config"
KEY = "snapshot"


class KvBucket:
    """The ``SnapshotBucket`` port. Each call ends within ``timeout`` seconds."""

    def __init__(self, bus: Bus, timeout: float) -> None:
        self._bus = bus
        self._timeout = timeout

    async def get(self) -> bytes | None:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._bus.kv_get(BUCKET, KEY)
        except TimeoutError as error:
            raise DependencyUnavailable("NATS does not say in time what it holds") from error

    async def put(self, snapshot: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._bus.kv_put(BUCKET, KEY, snapshot)
        except TimeoutError as error:
            raise DependencyUnavailable("NATS does not take the configuration in time") from error
