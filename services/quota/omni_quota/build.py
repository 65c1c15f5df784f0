"""Put quota together."""

from omni_catalogue.snapshot import Snapshot
from omni_core.addresses import Resolver
from omni_core.component import Check, ConfigState
from omni_core.config_feed import ConfigFeed, ConfigMetrics
from omni_core.meters import Meter
from omni_core.outbound import AskedSecrets, Outbound
from omni_core.outbound_health import TUNNELS, ProxyHealth
from omni_core.ports.auth import AuthPort
from omni_core.runtime import Runtime
from omni_core.signatures import PublicKeys
from omni_core.web import HttpWeb
from omni_ledger import Janitor, Quotas

from omni_quota.adapters.courier import JetStreamCourier
from omni_quota.adapters.metrics import PrometheusMeter
from omni_quota.service.accounts import Accounts
from omni_quota.service.quota import QuotaService
from omni_quota.settings import QuotaSettings


class QuotaComponent:
    """Satisfies ``omni_core.component.Component``; ``service`` satisfies ``QuotaPort``."""

    name = "quota"

    def __init__(self, runtime: Runtime, settings: QuotaSettings, auth: AuthPort | None) -> None:
        self._janitor = Janitor(runtime.redis)
        self._book = Quotas(runtime.redis)
        self._courier = JetStreamCourier(runtime.redis, runtime.bus)
        cache_file = runtime.settings.data_dir / "quota" / "snapshot.json"
        keys = PublicKeys.of(runtime.settings)
        self._feed = ConfigFeed(runtime.bus, cache_file, keys, ConfigMetrics("quota", runtime.metrics))
        self._bus = runtime.bus
        self._settings = settings
        meter = PrometheusMeter(runtime.metrics)

        def current() -> Snapshot | None:
            return self._feed.current

        tunnels = Meter("omniroute_quota_proxy_tunnels", TUNNELS, ("proxy", "outcome"), runtime.metrics)
        secrets = AskedSecrets(auth) if auth is not None else None
        resolver = Resolver(runtime.settings.allowed_networks)
        self._proxies = ProxyHealth(tunnels)
        web = HttpWeb(outbound=Outbound(resolver=resolver, secrets=secrets, health=self._proxies))
        accounts = Accounts(self._book, self._janitor, web, auth, meter, current, settings)
        self.service = QuotaService(self._janitor, self._courier, meter, current, settings, accounts)

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
        await self._book.close()

    def broken_proxies(self) -> tuple[str, ...]:
        return self._proxies.broken()

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


def build(runtime: Runtime, *, auth: AuthPort | None = None, settings: QuotaSettings | None = None) -> QuotaComponent:
    """Without ``auth`` no provider is asked for its accounts' quotas."""
    return QuotaComponent(runtime, settings or QuotaSettings(), auth)
