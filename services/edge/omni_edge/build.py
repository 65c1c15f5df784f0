"""The edge, assembled."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from importlib import metadata

from omni_core.clock import monotonic
from omni_core.component import Check, ConfigState
from omni_core.ports.auth import AuthPort
from omni_core.ports.router import RouterPort
from omni_core.runtime import Runtime
from omni_core.signatures import PublicKeys
from starlette.types import ASGIApp

from omni_edge.adapters.configuration import Configuration
from omni_edge.adapters.shared_keys import RedisDecisions
from omni_edge.adapters.shared_tallies import RedisTallies
from omni_edge.domain.shared import secret_of
from omni_edge.domain.surfaces import owns
from omni_edge.ports import NothingShared, SharedDecisions, SharedTallies
from omni_edge.server.app import EdgeApp
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.pages import build_pages
from omni_edge.server.traced import TracedApp
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings


class EdgeComponent:
    """``app`` is the ASGI callable to serve, ``service`` the story. Start the component before serving."""

    name = "edge"

    def __init__(
        self, runtime: Runtime, *, router: RouterPort, auth: AuthPort, settings: EdgeSettings, sharing: bool = False
    ) -> None:
        self._settings = settings
        cache_file = runtime.settings.data_dir / "edge" / "snapshot.json"
        keys = PublicKeys.of(runtime.settings)
        self._configuration = Configuration(runtime.bus, cache_file, keys, runtime.metrics)
        self._tallies = RedisTallies(runtime.redis) if sharing else None
        self._running: list[asyncio.Task[None]] = []
        self._watched: dict[str, Callable[[], dict[str, Check]]] = {}
        self.service = EdgeService(
            router, auth, settings, runtime.metrics, feed_alive=self._configuration.alive,
            shared=_shared(runtime, settings) if sharing else NothingShared(),
        )  # fmt: skip
        pages = build_pages(self.service, runtime.metrics, self._all_checks, _version())
        self._edge = EdgeApp(self.service, pages, EdgeMetrics(runtime.metrics), settings)
        tracer = runtime.tracer(self.name)
        self.app: ASGIApp = self._edge if tracer is None else TracedApp(self._edge, tracer)

    async def start(self) -> None:
        """Returns when requests can be answered.

        A configuration that does not come in time is not fatal: until it does, a key is required and /readyz says what
        is missing."""
        await self._configuration.start(self.service.configure, self._settings.configuration_wait)
        await self.service.probe()
        self._running.append(asyncio.create_task(self._probe_for_ever()))
        if self._tallies is not None:
            self._running.append(asyncio.create_task(self._share_for_ever(self._tallies)))

    async def drain(self) -> None:
        """Refuse what is new and wait for what runs, ``drain_timeout`` seconds at most."""
        self.service.draining = True
        await self._edge.until_idle(self._settings.drain_timeout)

    async def stop(self) -> None:
        """End what still runs with an error its client can read, and let go of everything."""
        self.service.draining = True
        self._edge.interrupt_all()
        await self._edge.until_idle(self._settings.linger)
        running, self._running = self._running, []
        for task in running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._configuration.stop()

    def checks(self) -> dict[str, Check]:
        return self.service.checks() | {"nats": self._configuration.check()}

    def config_state(self) -> ConfigState:
        return self._configuration.state()

    def watch(self, name: str, checks: Callable[[], dict[str, Check]]) -> None:
        """Have /readyz name another component's dependencies too, as "name.dependency"."""
        self._watched[name] = checks

    def mount(self, elsewhere: ASGIApp) -> None:
        """Let ``elsewhere`` answer, on a shared listener, every path that ``owns`` denies."""
        self._edge.elsewhere = elsewhere

    @staticmethod
    def owns(path: str) -> bool:
        return owns(path)

    def _all_checks(self) -> dict[str, Check]:
        others = {
            f"{name}.{dependency}": check
            for name, checks in self._watched.items()
            for dependency, check in checks().items()
        }
        return self.checks() | others

    async def _probe_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.probe_interval)
            await self.service.probe()

    async def _share_for_ever(self, tallies: SharedTallies) -> None:
        while True:
            await asyncio.sleep(self._settings.share_every)
            await self.service.share(tallies)


def _version() -> str:
    try:
        return metadata.version("omniroute")
    except metadata.PackageNotFoundError:
        return "0"


def _shared(runtime: Runtime, settings: EdgeSettings) -> SharedDecisions:
    secret = secret_of(runtime.settings.token)
    return RedisDecisions(runtime.redis, secret, settings.key_ttl, monotonic) if secret else NothingShared()


def build(runtime: Runtime, *, router: RouterPort, auth: AuthPort, sharing: bool = False) -> EdgeComponent:
    """``sharing`` is whether there is a Redis to share decisions on keys through. Connects nothing yet; ``start`` does.
    Settings come from ``OMNIROUTE_EDGE_*``."""
    return EdgeComponent(runtime, router=router, auth=auth, settings=EdgeSettings.from_env(os.environ), sharing=sharing)
