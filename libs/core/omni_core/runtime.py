"""What the components of one process share."""

import contextlib

import msgspec
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import RedisError

from omni_core.bus import Bus
from omni_core.redis import open_redis
from omni_core.settings import CoreSettings
from omni_core.telemetry import new_registry


class Runtime(msgspec.Struct):
    """Connections and the metrics registry of a process; ``instance_id`` names it to others (routers, consumers)."""

    settings: CoreSettings
    redis: Redis
    bus: Bus
    metrics: CollectorRegistry
    instance_id: str

    def __repr__(self) -> str:
        return f"Runtime(instance_id={self.instance_id!r})"


def open_runtime(settings: CoreSettings, *, instance_id: str) -> Runtime:
    """Inside the event loop that will use it. Nothing connects yet, so that neighbours may start in any order."""
    return Runtime(
        settings=settings,
        redis=open_redis(settings.redis_url),
        bus=Bus(settings.nats_url, name=f"omniroute-{instance_id}"),
        metrics=new_registry(),
        instance_id=instance_id,
    )


async def close_runtime(runtime: Runtime) -> None:
    """After every component has stopped."""
    await runtime.bus.close()
    with contextlib.suppress(RedisError, OSError):
        await runtime.redis.aclose()
