"""Put analytics together."""

import os
from collections.abc import Mapping

import msgspec
from omni_core.bus import Bus
from omni_core.clock import monotonic, now_ms
from omni_core.component import Check, ConfigState
from omni_core.config_feed import ConfigFeed, ConfigMetrics
from omni_core.ids import new_id
from omni_core.ports.auth import AuthPort
from omni_core.runtime import Runtime
from omni_core.signatures import PublicKeys
from omni_core.web import HttpWeb
from omni_wire.errors import DependencyUnavailable

from omni_analytics.adapters.bodies_consumer import BodiesConsumer, BodiesMeter
from omni_analytics.adapters.bodies_keys import BodiesKeys
from omni_analytics.adapters.bodies_store import SqlBodies
from omni_analytics.adapters.bodies_tables import bodies_database
from omni_analytics.adapters.consumer import BusDeadLetters, Consumer
from omni_analytics.adapters.decode import decode_batch
from omni_analytics.adapters.finding import row_found
from omni_analytics.adapters.keeper import Keeper
from omni_analytics.adapters.location import usage_database
from omni_analytics.adapters.log_files import LogFiles, log_files
from omni_analytics.adapters.metrics import PrometheusMeter
from omni_analytics.adapters.notifier import Notifier
from omni_analytics.adapters.store import SqlStore
from omni_analytics.adapters.tracing import traced
from omni_analytics.adapters.webhook import webhook
from omni_analytics.adapters.webhooks import Webhooks
from omni_analytics.domain.recent import Recent
from omni_analytics.service import Analytics
from omni_analytics.settings import AnalyticsSettings, kept_days, most_bodies
from omni_analytics.watching import Watchers


class AnalyticsComponent:
    """Satisfies ``omni_core.component.Component``; ``service`` satisfies ``AnalyticsPort``."""

    name = "analytics"

    def __init__(
        self,
        service: Analytics,
        store: SqlStore,
        feed: ConfigFeed,
        consumer: Consumer,
        keeper: Keeper,
        notifier: Notifier,
        bodies: BodiesConsumer,
        bodies_store: SqlBodies,
        files: LogFiles | None,
        meter: PrometheusMeter,
        bus: Bus,
        settings: AnalyticsSettings,
    ) -> None:
        self.service = service
        self._store = store
        self._feed = feed
        self._consumer = consumer
        self._keeper = keeper
        self._notifier = notifier
        self._bodies = bodies
        self._bodies_store = bodies_store
        self._files = files
        self._meter = meter
        self._bus = bus
        self._settings = settings

    async def start(self) -> None:
        """Raises for a store of a newer version, and for a file that cannot be opened. NATS may be away: questions are
        answered meanwhile. So may a PostgreSQL: what comes is given back, and tried again."""
        try:
            await self._store.open()
        except DependencyUnavailable:
            if not self._store.may_be_away:
                raise
        await self._feed.start(self._settings.config_wait)
        self._consumer.start()
        self._keeper.start()
        self._bodies.start()
        self._notifier.start()

    async def drain(self) -> None:
        await self._consumer.drain()

    async def stop(self) -> None:
        await self._notifier.stop()
        await self._feed.stop()
        await self._keeper.stop()
        await self._bodies.stop()
        await self._consumer.stop()
        await self._bodies_store.close()
        await self._store.close()
        if self._files is not None:
            self._files.close()

    def config_state(self) -> ConfigState:
        return self._feed.state

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


def build(
    runtime: Runtime,
    *,
    auth: AuthPort | None = None,
    env: Mapping[str, str] = os.environ,
    settings: AnalyticsSettings | None = None,
) -> AnalyticsComponent:
    """The store lives in ``data_dir/analytics/usage.sqlite3``, or where ``env`` says. Without ``auth`` only the
    environment's webhook is told of limits. Nothing is opened before ``start``. Raises ``DependencyUnavailable``,
    ``InvalidRequest`` for what is wrong in ``env``."""
    settings = settings or AnalyticsSettings()
    settings = msgspec.structs.replace(
        settings, keep_days=kept_days(env) or settings.keep_days, bodies_most_bytes=most_bodies(env)
    )
    feed = ConfigFeed(
        runtime.bus,
        runtime.settings.data_dir / "analytics" / "snapshot.json",
        PublicKeys.of(runtime.settings),
        ConfigMetrics(AnalyticsComponent.name, runtime.metrics),
    )
    webhooks = Webhooks(webhook(env), lambda: feed.current, auth)
    meter = PrometheusMeter(runtime.metrics)
    store = SqlStore(usage_database(runtime.settings.data_dir, env), query_timeout=settings.query_timeout)
    files = log_files(env)
    bodies_store = SqlBodies(
        bodies_database(runtime.settings.data_dir, env), BodiesKeys(runtime.settings.data_dir, env)
    )
    bodies = BodiesConsumer(runtime.bus, bodies_store, BodiesMeter(runtime.metrics), settings, now_ms)
    tracer = runtime.tracer(AnalyticsComponent.name)
    consumer = Consumer(runtime.bus, lambda messages: take(messages), meter, settings)
    service = Analytics(
        store,
        decode_batch,
        BusDeadLetters(runtime.bus, now_ms),
        meter,
        consumer.backlog,
        settings,
        now_ms=now_ms,
        clock=monotonic,
        notify=webhooks.recipients,
        watchers=Watchers(Recent(new_id()), row_found),
        bodies=bodies_store,
        log=files,
    )
    take = service.take if tracer is None else traced(service.take, tracer)
    keeper = Keeper(store, settings, now_ms, lambda: not consumer.state and not meter.lag_seconds)
    notifier = Notifier(store, HttpWeb(), webhooks, meter, settings, now_ms)
    return AnalyticsComponent(
        service, store, feed, consumer, keeper, notifier, bodies, bodies_store, files, meter, runtime.bus, settings
    )
