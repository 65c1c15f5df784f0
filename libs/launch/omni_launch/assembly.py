"""Components put together: every callee a twin from this process or a gRPC client, decided in one place.

Services are imported when they are built, so that a process loads only what it runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from omni_core.component import Check, Component
from omni_core.identity import Caller
from omni_core.runtime import Runtime
from omni_core.settings import DISCOVERED
from prometheus_client import CollectorRegistry

from omni_launch.problems import CannotStart
from omni_launch.targets import PARTS, Target

if TYPE_CHECKING:
    from omni_auth.build import DemoProvider
    from omni_core.clients.pool import Pool, PoolMetrics
    from omni_core.rpc import RpcServer, ServiceChannel
    from omni_core.tls import Tls


class ProcessState:
    """What /readyz says of the process itself: ready between the end of its start and the first signal."""

    name = "process"

    def __init__(self) -> None:
        self.serving = False
        self.draining = False

    async def start(self) -> None:
        """It is up when somebody can ask."""

    async def drain(self) -> None:
        self.draining = True

    async def stop(self) -> None:
        """Nothing to release."""

    def checks(self) -> dict[str, Check]:
        told = "draining" if self.draining else "" if self.serving else "starting"
        return {"accepting": Check(not told, told)}


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a component may need besides its ports and the runtime."""

    env: Mapping[str, str]
    config_file: Path | None
    demo: "DemoProvider | None" = None


class Assembly:
    """The components of one process. ``components`` is in start order once all are built; nothing has started."""

    def __init__(self, target: Target, runtime: Runtime, inputs: Inputs, state: ProcessState) -> None:
        self.components: dict[str, Component] = {}
        self._services: dict[str, Any] = {}
        self._channels: list[ServiceChannel] = []
        self._pools: dict[str, Pool[Any]] = {}
        self._pool_metrics: PoolMetrics | None = None
        self._target = target
        self._runtime = runtime
        self._me = Caller(target.parts, runtime.settings.token, runtime.tls)
        self._inputs = inputs
        self._state = state
        for name in PARTS:
            if name in target.parts:
                component = self._build(name)
                self.components[name] = component
                self._services[name] = component.service
                if name == "auth":
                    self._services["people"] = component.people

    @property
    def tls(self) -> "Tls | None":
        return self._runtime.tls

    @property
    def metrics(self) -> CollectorRegistry:
        return self._runtime.metrics

    def checks(self) -> dict[str, dict[str, Check]]:
        """Everything /readyz names, by component."""
        return {part.name: part.checks() for part in (self._state, *self.components.values())}

    def service(self, name: str) -> Any:
        """The port implementation of a component of this process."""
        return self._services[name]

    def app(self, name: str) -> Any:
        """The ASGI app of an HTTP component."""
        component: Any = self.components[name]
        return component.app

    def share_listener(self) -> Any:
        """One ASGI app for edge and dashboard: the edge passes on every path that it does not own."""
        edge: Any = self.components["edge"]
        edge.mount(self.app("dashboard"))
        return edge.app

    def crowd(self) -> Any:
        """Who counts the connections of the edge's listener."""
        edge: Any = self.components["edge"]
        return edge.service.crowd

    def register(self, server: "RpcServer", name: str) -> None:
        """Offer the service ``name`` over gRPC."""
        service = self._services[name]
        match name:
            case "auth":
                from omni_auth import server as auth

                auth.register(server, service)
                from omni_auth.adapters import people_server

                people_server.register(server, self._services["people"])
            case "analytics":
                from omni_analytics import server as analytics

                analytics.register(server, service)
            case "translator":
                from omni_translator import server as translator

                translator.register(server, service)
            case "quota":
                from omni_quota import server as quota

                quota.register(server, service)
            case "router":
                from omni_router import server as router

                router.register(server, service)
            case _:
                raise ValueError(f"{name} is not offered over gRPC")

    async def open_pools(self) -> None:
        """Begin to look for those that there may be many of. Before the components start."""
        for pool in self._pools.values():
            await pool.start()

    async def close_channels(self) -> None:
        for pool in self._pools.values():
            await pool.close()
        for channel in self._channels:
            await channel.close()

    def _build(self, name: str) -> Any:
        runtime, port = self._runtime, self._port
        match name:
            case "auth":
                from omni_auth import build as auth

                given = self._inputs
                return auth.build(runtime, config_file=given.config_file, env=given.env, demo=given.demo)
            case "analytics":
                from omni_analytics import build as analytics

                return analytics.build(runtime, auth=port("auth"), env=self._inputs.env)
            case "translator":
                from omni_translator import build as translator

                return translator.build(runtime)
            case "quota":
                from omni_quota import build as quota

                return quota.build(runtime, auth=port("auth"))
            case "router":
                from omni_router import build as router

                return router.build(runtime, translator=port("translator"), auth=port("auth"))
            case "dashboard":
                from omni_dashboard import build as dashboard

                return dashboard.build(
                    runtime,
                    auth=port("auth"),
                    quota=port("quota"),
                    analytics=port("analytics"),
                    router=port("router"),
                    people=port("people"),
                    checks=self.checks,
                )
            case "edge":
                from omni_edge import build as edge

                component = edge.build(runtime, router=port("router"), auth=port("auth"), sharing=self._target.redis)
                for other in (self._state, *self.components.values()):
                    component.watch(other.name, other.checks)
                return component
            case _:
                raise ValueError(f"nobody knows how to build {name}")

    def _port(self, name: str) -> Any:
        """The twin in this process, else a pool of all that there are or a client of the peer's address."""
        if name in self._services:
            return self._services[name]
        if name in DISCOVERED:
            if name not in self._pools:
                self._pools[name] = self._pool(name)
            return self._pools[name]
        from omni_core.rpc import open_channel

        settings = self._runtime.settings
        service = "auth" if name == "people" else name  # which serves both ports
        channel = open_channel(settings.peers[service], self._me, service)
        self._channels.append(channel)
        return _client(name, channel)

    def _pool(self, name: str) -> "Pool[Any]":
        from omni_core.clients.pool import PoolMetrics, RouterPool, TranslatorPool

        runtime = self._runtime
        settings = runtime.settings
        self._pool_metrics = self._pool_metrics or PoolMetrics(runtime.metrics)
        kind = RouterPool if name == "router" else TranslatorPool
        try:
            return kind(settings.peers[name], caller=self._me, bus=runtime.bus, metrics=self._pool_metrics)
        except ValueError as error:
            raise CannotStart(f"OMNIROUTE_{name.upper()}_ADDR: {error}") from error


def _client(name: str, channel: "ServiceChannel") -> Any:
    match name:
        case "auth":
            from omni_core.clients.auth import AuthClient

            return AuthClient(channel)
        case "people":
            from omni_core.clients.people import PeopleClient

            return PeopleClient(channel)
        case "analytics":
            from omni_core.clients.analytics import AnalyticsClient

            return AnalyticsClient(channel)
        case "quota":
            from omni_core.clients.quota import QuotaClient

            return QuotaClient(channel)
        case _:
            raise ValueError(f"{name} has no gRPC client")
