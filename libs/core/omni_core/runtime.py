"""What the components of one process share."""

import contextlib
from urllib.parse import unquote, urlsplit

import msgspec
from prometheus_client import CollectorRegistry, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from omni_core.bus import Bus
from omni_core.process_metrics import ProcessMetrics, version
from omni_core.redaction import keep_secret
from omni_core.redis import open_redis
from omni_core.settings import CoreSettings
from omni_core.telemetry import new_registry, tell_suppressed
from omni_core.tls import Contexts, Tls
from omni_core.tracing import Tracer, Tracing


class Runtime(msgspec.Struct):
    """Connections and the metrics registry of a process; ``instance_id`` names it to others (routers, consumers)."""

    settings: CoreSettings
    redis: Redis
    bus: Bus
    metrics: CollectorRegistry
    instance_id: str
    tracing: Tracing | None = None
    process: ProcessMetrics | None = None
    tls: Tls | None = None

    def __repr__(self) -> str:
        return f"Runtime(instance_id={self.instance_id!r})"

    def tracer(self, service: str) -> Tracer | None:
        """None where nothing is traced."""
        return self.tracing.tracer(service) if self.tracing is not None else None


def open_runtime(settings: CoreSettings, *, instance_id: str, target: str = "") -> Runtime:
    """Inside the event loop that will use it. Nothing connects yet, so that neighbours may start in any order.

    ``target`` is what the process runs, "" for something else than one of ours. Raises ``tls.CannotUse`` for a
    certificate that is none.
    """
    tls = Tls(settings.tls) if settings.tls is not None else None
    for secret in (settings.token, *map(_password, (settings.redis_url, *settings.nats_url.split(",")))):
        keep_secret(secret)
    registry = new_registry()
    bus = Bus(
        settings.nats_url,
        name=f"omniroute-{instance_id}",
        replicas=settings.nats_replicas,
        inbox=f"_INBOX_{target}" if target else "_INBOX",
        contexts=Contexts(tls, settings.nats_ca),
    )
    connected = Gauge("omniroute_nats_up", "1 while this process is connected to NATS.", registry=registry)
    connected.set_function(lambda: float(bus.connected))
    return Runtime(
        settings=settings,
        redis=open_redis(settings.redis_url, Contexts(tls, settings.redis_ca)),
        bus=bus,
        metrics=registry,
        instance_id=instance_id,
        tracing=Tracing(settings.trace, target=target, instance_id=instance_id, version=version())
        if settings.trace is not None
        else None,
        process=ProcessMetrics(registry, target, tell_suppressed),
        tls=tls,
    )


def _password(url: str) -> str:
    """What is secret in it; a NATS token stands where a user's name would."""
    try:
        parts = urlsplit(url.strip())
        return unquote(parts.password or (parts.username if parts.scheme in ("nats", "tls") else "") or "")
    except ValueError:
        return ""


async def close_runtime(runtime: Runtime) -> None:
    """After every component has stopped."""
    if runtime.process is not None:
        runtime.process.stop()
    if runtime.tracing is not None:
        await runtime.tracing.stop()
    await runtime.bus.close()
    with contextlib.suppress(RedisError, OSError):
        await runtime.redis.aclose()
