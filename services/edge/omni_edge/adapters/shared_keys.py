"""``SharedDecisions`` in Redis: ``edgekeys:<HMAC of the key's digest>``, gone after ``ttl`` seconds.

Acceptances only. Anybody can make refusals without end, so those stay in the bounded memory of each edge.
"""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from omni_edge.domain.shared import Decision, name_of, opened, sealed

PREFIX = "edgekeys:"
# Seconds. Auth answers in less than a millisecond, so Redis is not waited for, and let alone after it was slow.
PATIENCE, _PAUSE = 0.05, 5.0


class RedisDecisions:
    """``clock`` is monotonic, in seconds; so is ``patience``, the deadline of every call."""

    def __init__(
        self, redis: Redis, secret: bytes, ttl: float, clock: Callable[[], float], patience: float = PATIENCE
    ) -> None:
        self._redis = redis
        self._secret = secret
        self._ttl = max(1, int(ttl))
        self._clock = clock
        self._patience = patience
        self._again = 0.0

    async def find(self, digest: bytes) -> Decision | None:
        if self._clock() < self._again:
            return None
        try:
            async with asyncio.timeout(self._patience):
                held = await self._redis.get(self._name(digest))
        except (RedisError, OSError, TimeoutError):
            self._again = self._clock() + _PAUSE
            return None
        return opened(self._secret, digest, held) if isinstance(held, bytes) else None

    async def keep(self, digest: bytes, decision: Decision) -> None:
        if self._clock() < self._again:
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._redis.set(self._name(digest), sealed(self._secret, digest, decision), ex=self._ttl)
        except (RedisError, OSError, TimeoutError):
            self._again = self._clock() + _PAUSE

    def _name(self, digest: bytes) -> str:
        return PREFIX + name_of(self._secret, digest)
