"""Puts a router together for one process."""

from omni_catalogue.snapshot import Snapshot
from omni_core.component import Check
from omni_core.config_feed import ConfigFeed
from omni_core.ports.auth import AuthPort
from omni_core.ports.translator import TranslatorPort
from omni_core.runtime import Runtime
from omni_ledger import Ledger, Relay

from omni_router.adapters.events import ProtobufEvents
from omni_router.adapters.http import HttpUpstream
from omni_router.service.attempt import Tools
from omni_router.service.credentials import Credentials
from omni_router.service.metrics import RouterMetrics
from omni_router.service.router import RouterService
from omni_router.settings import RouterSettings


class RouterComponent:
    """The router in this process. Ready once it has a configuration; requests wait for nothing else."""

    name = "router"

    def __init__(self, runtime: Runtime, translator: TranslatorPort, auth: AuthPort, settings: RouterSettings) -> None:
        self._relay = Relay(runtime.redis, runtime.bus, runtime.instance_id, runtime.metrics)
        self._ledger = Ledger(runtime.redis, runtime.metrics, on_events=self._relay.wake)
        self._upstream = HttpUpstream()
        self._feed = ConfigFeed(runtime.bus, runtime.settings.data_dir / "router" / "snapshot.json")
        self._bus = runtime.bus
        tools = Tools(
            ledger=self._ledger,
            translator=translator,
            upstream=self._upstream,
            credentials=Credentials(auth, settings.credential_ttl),
            events=ProtobufEvents(runtime.instance_id),
            settings=settings,
            router_id=runtime.instance_id,
        )
        self.service = RouterService(tools, RouterMetrics(runtime.metrics))

    async def start(self) -> None:
        await self._upstream.start()
        await self._ledger.start()
        await self._relay.start()
        self._feed.on_change(self._configure)
        await self._feed.start(timeout=5.0)

    def _configure(self, snapshot: Snapshot) -> None:
        self.service.configure(snapshot)

    async def drain(self) -> None:
        """The callers stop first; what is left here is to hand over what was settled."""
        await self._ledger.flush(5.0)

    async def stop(self) -> None:
        await self._feed.stop()
        await self._ledger.stop()
        await self._relay.stop()
        await self._upstream.stop()

    def checks(self) -> dict[str, Check]:
        revision = self.service.revision
        return {
            "config": Check(revision > 0, f"revision {revision}" if revision else "no configuration yet"),
            "redis": Check(self._ledger.healthy, "" if self._ledger.healthy else "not reachable"),
            "nats": Check(self._bus.connected, "" if self._bus.connected else "not connected"),
        }


def build(
    runtime: Runtime, *, translator: TranslatorPort, auth: AuthPort, settings: RouterSettings | None = None
) -> RouterComponent:
    return RouterComponent(runtime, translator, auth, settings or RouterSettings())
