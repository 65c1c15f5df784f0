"""The snapshot in JetStream KV, signed: bucket ``omniroute_config``, key ``snapshot``."""

import asyncio

from omni_core.bus import Bus
from omni_core.signatures import NotSigned, PublicKeys, SigningKey
from omni_wire.errors import DependencyUnavailable

from omni_auth.ports import InBucket

BUCKET = "omniroute_config"
KEY = "snapshot"


class KvBucket:
    """The ``SnapshotBucket`` port. ``key`` signs, ``believed`` are those whose signatures count. Each call ends within
    ``timeout`` seconds."""

    def __init__(self, bus: Bus, timeout: float, key: SigningKey, believed: PublicKeys) -> None:
        self._bus = bus
        self._timeout = timeout
        self._key = key
        self._believed = believed

    async def get(self) -> InBucket:
        try:
            async with asyncio.timeout(self._timeout):
                value = await self._bus.kv_get(BUCKET, KEY)
        except TimeoutError as error:
            raise DependencyUnavailable("NATS does not say in time what it holds") from error
        return self._judged(value) if value is not None else InBucket()

    async def put(self, snapshot: bytes) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._bus.kv_put(BUCKET, KEY, self._key.seal(snapshot))
        except TimeoutError as error:
            raise DependencyUnavailable("NATS does not take the configuration in time") from error

    def _judged(self, value: bytes) -> InBucket:
        try:
            snapshot = self._believed.opened(value)
        except NotSigned as error:
            return InBucket(fault=f"{BUCKET}/{KEY} in NATS is not ours: {error}")
        return InBucket(snapshot, is_current=value == self._key.seal(snapshot))
