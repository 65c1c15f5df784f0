"""Puts a router together for one process."""

import logging
import os
from functools import partial
from pathlib import Path

from omni_catalogue.snapshot import LIMIT_OWNER
from omni_core.addresses import Resolver
from omni_core.clock import now_ms
from omni_core.component import Check, ConfigState
from omni_core.config_feed import ConfigFeed, ConfigMetrics
from omni_core.events import lost_slice
from omni_core.meters import Meter
from omni_core.outbound import Outbound
from omni_core.outbound_health import TUNNELS, ProxyHealth
from omni_core.ports.auth import AuthPort
from omni_core.ports.translator import TranslatorPort
from omni_core.runtime import Runtime
from omni_core.signatures import PublicKeys
from omni_ledger import Journal, Leasing, Ledger, Relay
from omni_wire.errors import Internal

from omni_router.adapters.bells import TURNS, Bells
from omni_router.adapters.bodies import BusBodies
from omni_router.adapters.embeddings import ProviderEmbeddings
from omni_router.adapters.events import ProtobufEvents
from omni_router.adapters.http import HttpUpstream
from omni_router.adapters.local_embeddings import LocalEmbeddings
from omni_router.adapters.meanings import RedisMeanings
from omni_router.adapters.probing import OutboundProbe
from omni_router.adapters.recordings import RedisRecordings
from omni_router.domain.records import OWN_BUDGET
from omni_router.service.credentials import Credentials, ProxySecrets
from omni_router.service.embedding import Embedder
from omni_router.service.held import Tools
from omni_router.service.keeping import KeepingRouter
from omni_router.service.metrics import RouterMetrics
from omni_router.service.remembering import RememberingRouter
from omni_router.service.router import RouterService
from omni_router.service.turns import Turns
from omni_router.settings import RouterSettings

log = logging.getLogger("omniroute.router")


class RouterComponent:
    """The router in this process. Ready once it has a configuration; requests wait for nothing else."""

    name = "router"

    def __init__(self, runtime: Runtime, translator: TranslatorPort, auth: AuthPort, settings: RouterSettings) -> None:
        tracer = runtime.tracer(self.name)
        self._relay = Relay(runtime.redis, runtime.bus, runtime.instance_id, runtime.metrics, tracer=tracer)
        journals = runtime.settings.data_dir / "router" / "journals"
        self._ledger = Ledger(
            runtime.redis,
            runtime.metrics,
            on_events=self._relay.wake,
            leasing=_leasing(runtime.instance_id, journals, settings.lease_from),
            recovers=journals,
            refused_within=settings.redis_refused_for,
        )
        self._credentials = Credentials(auth, settings.credential_ttl)
        tunnels = Meter("omniroute_router_proxy_tunnels", TUNNELS, ("proxy", "outcome"), runtime.metrics)
        resolver, secrets = Resolver(runtime.settings.allowed_networks), ProxySecrets(self._credentials)
        self._proxies = ProxyHealth(tunnels)
        outbound = Outbound(resolver=resolver, secrets=secrets, health=self._proxies)
        self._upstream = HttpUpstream(outbound=outbound)
        cache_file = runtime.settings.data_dir / "router" / "snapshot.json"
        keys = PublicKeys.of(runtime.settings)
        self._feed = ConfigFeed(runtime.bus, cache_file, keys, ConfigMetrics("router", runtime.metrics))
        self._bus = runtime.bus
        self._bells = Bells(runtime.redis, TURNS + runtime.instance_id)
        tools = Tools(
            ledger=self._ledger,
            translator=translator,
            upstream=self._upstream,
            credentials=self._credentials,
            events=ProtobufEvents(),
            settings=settings,
            router_id=runtime.instance_id,
            turns=Turns(self._ledger, runtime.instance_id, self._bells),
            tracer=tracer,
            probe=OutboundProbe(Outbound(resolver=resolver, secrets=secrets)),
        )
        metrics = RouterMetrics(runtime.metrics, lambda: tools.turns.waiting)
        router = RouterService(tools, metrics)
        kept = self._recordings = RedisRecordings(runtime.redis, runtime.instance_id, settings.recording_full_at)
        self._meanings = RedisMeanings(runtime.redis)
        self._local = LocalEmbeddings()
        upstream, credentials = self._upstream, self._credentials
        embedder = Embedder(tools, metrics, partial(ProviderEmbeddings, upstream, credentials), self._local)
        remembering = RememberingRouter(router, tools, kept, kept.cache(), self._meanings, embedder, metrics)
        self.service = KeepingRouter(remembering, router, BusBodies(runtime.bus, runtime.instance_id, runtime.metrics))

    async def start(self) -> None:
        await self._upstream.start()
        await self._ledger.start()
        await self._relay.start()
        self._feed.on_change(self.service.prepare)
        await self._feed.start(timeout=5.0)

    async def drain(self) -> None:
        """The callers stop first; what is left here is to hand over what was settled."""
        await self._ledger.flush(5.0)

    async def stop(self) -> None:
        await self._feed.stop()
        await self.service.stop()
        await self._recordings.close()
        await self._bells.close()
        await self._meanings.close()
        await self._local.close()
        await self._ledger.stop()
        await self._relay.stop()
        await self._credentials.close()
        await self._upstream.stop()

    def broken_proxies(self) -> tuple[str, ...]:
        return self._proxies.broken()

    def config_state(self) -> ConfigState:
        return self._feed.state

    def checks(self) -> dict[str, Check]:
        """NATS away is named, but once there is a configuration it does no harm to a request: that one holds, and
        events wait in Redis."""
        revision, connected = self.service.revision, self._bus.connected
        bus = "" if connected else f"away; revision {revision} holds" if revision else "not connected"
        return {
            "config": Check(revision > 0, f"revision {revision}" if revision else "no configuration yet"),
            "redis": Check(self._ledger.healthy, "" if self._ledger.healthy else "not reachable"),
            "nats": Check(connected or revision > 0, bus),
        }


def _leasing(router_id: str, journals: Path, hot: int) -> Leasing | None:
    """None where nothing is leased: by the settings, or because what is paid from a slice cannot be noted."""
    try:
        journal = Journal(journals, router_id)
    except OSError as error:
        log.error("nothing is leased: no journal can be kept", extra={"fields": {"error": error.strerror}})
        return None
    return Leasing(
        router_id=router_id,
        lost=partial(_lost, router_id),
        journal=journal,
        hot=hot,
    )


def _lost(router_id: str, slice_id: str, key_id: str, owners: tuple[str, ...]) -> bytes:
    """``owners`` are those of budgets, as the ledger names them."""
    charged = [OWN_BUDGET if owner == key_id else owner.removeprefix(LIMIT_OWNER) for owner in owners]
    return lost_slice(slice_id, router_id, key_id, charged, now_ms(), Internal.kind)


def build(
    runtime: Runtime, *, translator: TranslatorPort, auth: AuthPort, settings: RouterSettings | None = None
) -> RouterComponent:
    """Connects nothing yet; ``start`` does. Settings come from ``OMNIROUTE_ROUTER_*`` unless they are given."""
    return RouterComponent(runtime, translator, auth, settings or RouterSettings.from_env(os.environ))
