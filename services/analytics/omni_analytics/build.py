"""Put analytics together."""

from omni_core.bus import Bus
from omni_core.clock import monotonic, now_ms
from omni_core.component import Check
from omni_core.runtime import Runtime

from omni_analytics.adapters.consumer import BusDeadLetters, Consumer
from omni_analytics.adapters.decode import decode_batch
from omni_analytics.adapters.metrics import PrometheusMeter
from omni_analytics.adapters.store import SqliteStore, usage_path
from omni_analytics.adapters.tracing import traced
from omni_analytics.service import Analytics
from omni_analytics.settings import AnalyticsSettings


class AnalyticsComponent:
    """Satisfies ``omni_core.component.Component``; ``service`` satisfies ``AnalyticsPort``."""

    name = "analytics"

    def __init__(
        self,
        service: Analytics,
        store: SqliteStore,
        consumer: Consumer,
        meter: PrometheusMeter,
        bus: Bus,
        settings: AnalyticsSettings,
    ) -> None:
        self.service = service
        self._store = store
        self._consumer = consumer
        self._meter = meter
        self._bus = bus
        self._settings = settings

    async def start(self) -> None:
        """Raises when the store cannot be opened. NATS may be away: questions are answered meanwhile."""
        await self._store.open()
        self._consumer.start()

    async def drain(self) -> None:
        await self._consumer.drain()

    async def stop(self) -> None:
        await self._consumer.stop()
        await self._store.close()

    def checks(self) -> dict[str, Check]:
        lag = self._meter.lag_seconds
        return {
            "store": Check(not self._store.fault, self._store.fault),
            "nats": Check(
                self._bus.connected and not self._consumer.state,
                self._consumer.state or ("" if self._bus.connected else "not connected"),
            ),
            "lag": Check(lag <= self._settings.lag_limit, f"{lag:.1f} s behind"),
        }


def build(runtime: Runtime, *, settings: AnalyticsSettings | None = None) -> AnalyticsComponent:
    """The store lives in ``data_dir/analytics/usage.sqlite3``. Nothing is opened before ``start``."""
    settings = settings or AnalyticsSettings()
    meter = PrometheusMeter(runtime.metrics)
    path = usage_path(runtime.settings.data_dir)
    store = SqliteStore(path, query_timeout=settings.query_timeout)
    service = Analytics(
        store,
        decode_batch,
        BusDeadLetters(runtime.bus, now_ms),
        meter,
        settings,
        now_ms=now_ms,
        clock=monotonic,
    )
    tracer = runtime.tracer(AnalyticsComponent.name)
    take = service.take if tracer is None else traced(service.take, tracer)
    consumer = Consumer(runtime.bus, take, meter, settings)
    return AnalyticsComponent(service, store, consumer, meter, runtime.bus, settings)
