"""``SharedTallies`` in Redis: ``edgerl:{edge}:<kind>:<subject>:<window>``, gone when neither window needs it any more.

One step for all that an edge has to tell: the script adds and answers with what all edges have told together.
"""

import asyncio
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from omni_edge.domain.tally import WINDOW, Heard, Told

# One slot for all, so that the step is one on Redis Cluster too.
PREFIX = "edgerl:{edge}:"
SCRIPT = Path(__file__).with_name("shared_tallies.lua")
PATIENCE = 0.5  # seconds
_KEPT = int(2 * WINDOW) + 10


class RedisTallies:
    def __init__(self, redis: Redis, patience: float = PATIENCE) -> None:
        self._add = redis.register_script(SCRIPT.read_text(encoding="utf-8"))
        self._patience = patience

    async def add(self, kind: str, told: list[Told]) -> list[Heard] | None:
        keys = [_key(kind, each.name, window) for each in told for window in (each.window, each.window - 1)]
        try:
            async with asyncio.timeout(self._patience):
                found = await self._add(keys=keys, args=[_KEPT, *(each.count for each in told)])
        except (RedisError, OSError, TimeoutError):
            return None
        return [Heard(int(found[at]), int(found[at + 1])) for at in range(0, len(found), 2)]


def _key(kind: str, name: str, window: int) -> str:
    return f"{PREFIX}{kind}:{name}:{window}"
