"""Put quota together."""

from omni_core.component import Check, ConfigState
from omni_core.config_feed import ConfigFeed, ConfigMetrics
from omni_core.runtime import Runtime
from omni_core.signatures import PublicKeys
from omni_ledger import Janitor

from omni_quota.adapters.courier import JetStreamCourier
from omni_quota.adapters.metrics import PrometheusMeter
from omni_quota.service import QuotaService
from omni_quota.settings import QuotaSettings


class QuotaComponent:
    """Satisfies ``omni_core.component.Component``; ``service`` satisfies ``QuotaPort``."""

    name = "quota"

    def __init__(self, runtime: Runtime, settings: QuotaSettings) -> None:
        self._janitor = Janitor(runtime.redis)
        self._courier = JetStreamCourier(runtime.redis, runtime.bus)
        cache_file = runtime.settings.data_dir / "quota" / "snapshot.json"
        keys = PublicKeys.of(runtime.settings)
        self._feed = ConfigFeed(runtime.bus, cache_file, keys, ConfigMetrics("quota", runtime.metrics))
        self._bus = runtime.bus
        self._settings = settings
        self.service = QuotaService(
            self._janitor, self._courier, PrometheusMeter(runtime.metrics), lambda: self._feed.current, settings
        )

    async def start(self) -> None:
        """Redis and NATS may come later; the tidying begins when they do."""
        self.service.start()
        await self._feed.start(self._settings.config_wait)

    async def drain(self) -> None:
        """Nothing to finish: every step is atomic, and another replica or the next start goes on."""

    async def stop(self) -> None:
        await self.service.stop()
        await self._feed.stop()
        await self._courier.close()
        await self._janitor.close()

    def config_state(self) -> ConfigState:
        return self._feed.state

    def checks(self) -> dict[str, Check]:
        trouble = self.service.trouble
        revision = self._feed.revision
        return {
            "config": Check(revision > 0, f"revision {revision}" if revision else "no configuration yet"),
            "redis": Check(not trouble, trouble),
            "nats": Check(self._bus.connected, "" if self._bus.connected else "not connected"),
        }


def build(runtime: Runtime, *, settings: QuotaSettings | None = None) -> QuotaComponent:
    return QuotaComponent(runtime, settings or QuotaSettings())
