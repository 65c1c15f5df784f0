"""Where a process is reached: the HTTP listeners of its web apps, /healthz and its kind for all others, and gRPC."""

import asyncio
from collections.abc import Awaitable, Callable

from omni_core.admin_http import AdminServer
from omni_core.component import Component
from omni_core.settings import GRPC_PORTS, CoreSettings
from prometheus_client import CollectorRegistry, Gauge

from omni_launch.assembly import Assembly
from omni_launch.listener import HttpListener, adopted
from omni_launch.plan import Plan, Steps
from omni_launch.problems import CannotStart


class Doors:
    """``bind`` before anything starts, ``serve`` before the components do, ``serve_grpc`` and ``open`` after them.

    What is to be undone is added to ``undo``. ``public`` is the listener that workers serve, ``ports`` those of HTTP by
    name, ``serving`` tasks that end only when they are told to, or break.
    """

    def __init__(self, plan: Plan, undo: Steps) -> None:
        self._plan = plan
        self._undo = undo
        self._http: dict[str, HttpListener] = {}
        self.public: HttpListener | None = None
        self.ports: dict[str, int] = {}
        self.serving: list[asyncio.Task[None]] = []

    def bind(self) -> None:
        """The listeners of HTTP components, taken before anything starts; one where the ports are the same."""
        plan, listen = self._plan, self._plan.listen
        by_port: dict[int, HttpListener] = {}
        for name in plan.target.over_http:
            port = listen.ports[name]
            if port not in by_port:
                by_port[port] = self._taken(HttpListener(name, listen.host, port))
            self._http[name] = by_port[port]
        if plan.workers:
            self.public = self._taken(HttpListener("edge", listen.host, listen.ports["edge"]))
            self.ports["edge"] = self.public.port
        self.ports |= {name: listener.port for name, listener in self._http.items()}

    def _taken(self, listener: HttpListener) -> HttpListener:
        if self._plan.inherited is not None:
            listener.adopt(self._plan.inherited.listen_fd)
        else:
            listener.bind()
        self._undo.append((f"http {listener.name}", listener.stop))
        return listener

    async def serve(
        self, assembly: Assembly, probed: list[Component], numbers: Callable[[], Awaitable[bytes]] | None
    ) -> None:
        """Let probes be answered from now on: by the web apps, and else from ``probed``, with ``numbers`` as /metrics
        where they are more than this process' own."""
        apps = {listener: assembly.app(name) for name, listener in self._http.items()}
        if len(apps) < len(self._http):
            apps = {self._http["edge"]: assembly.share_listener()}
        for listener, app in apps.items():
            await listener.serve(app, assembly.crowd() if listener is self._http.get("edge") else None)
            self.serving.append(listener.serving())
        plan, listen = self._plan, self._plan.listen
        if plan.inherited is not None:
            own = adopted(plan.inherited.admin_fd)
            say_whose(assembly.metrics, plan.inherited.number)
            admin = AdminServer(listen.host, 0, probed, assembly.metrics, sock=own)
            await self._serve_probes(admin, listen.host, 0)
        elif plan.workers:
            port = listen.admin_port
            admin = AdminServer(listen.admin_host, port, probed, assembly.metrics, page=numbers)
            self.ports["admin"] = await self._serve_probes(admin, listen.admin_host, port, "--admin-port")
        elif not self._http:
            name = plan.target.parts[0]
            port = listen.ports[name]
            admin = AdminServer(listen.host, port, probed, assembly.metrics)
            self.ports[name] = await self._serve_probes(admin, listen.host, port)

    async def _serve_probes(self, admin: AdminServer, host: str, port: int, option: str = "--port") -> int:
        try:
            bound = await admin.start()
        except OSError as error:
            raise CannotStart(
                f"port {port} on {host} is taken by another program", f"Choose another with {option}"
            ) from error
        self._undo.insert(0, ("admin http", admin.stop))  # answers to the end
        return bound

    async def serve_grpc(
        self, assembly: Assembly, settings: CoreSettings, drains: Steps, grace: Callable[[], float]
    ) -> int:
        """Let the others call; the port, 0 where there is nothing to call. Calls that run are given ``grace`` seconds
        when the process drains."""
        served = self._plan.target.over_grpc
        if not served:
            return 0
        from omni_core.rpc import RpcServer

        wanted = self._plan.listen.grpc_port
        port = GRPC_PORTS[served[0]] if wanted is None else wanted
        server = RpcServer(
            settings.grpc_host,
            port,
            settings.token,
            tls=assembly.tls,
            max_age=settings.grpc_max_age,
            metrics=assembly.metrics,
        )
        for name in served:
            assembly.register(server, name)
        self._undo.append(("grpc", lambda: server.stop(0.5)))
        try:
            bound = await server.start()
        except OSError as error:
            raise CannotStart(
                f"port {port} on {settings.grpc_host} is taken by another program",
                "Stop that one, or set OMNIROUTE_GRPC_PORT (and OMNIROUTE_<NAME>_ADDR where it is called)",
            ) from error
        drains.append(("grpc", lambda: server.stop(grace())))
        return bound

    @property
    def _listeners(self) -> list[HttpListener]:
        return list(dict.fromkeys(self._http.values()))

    def open(self) -> None:
        """Everything that it is there for has started."""
        for listener in self._listeners:
            listener.open()

    def leave(self) -> None:
        """Tell those who come by HTTP to come no more; they are still served."""
        for listener in self._listeners:
            listener.leave()

    def close(self) -> None:
        """Let nobody in any more by HTTP."""
        for listener in self._listeners:
            listener.close()


def say_whose(metrics: CollectorRegistry, number: int) -> None:
    """Name the worker whose numbers these are, for whoever asks at the port that all of them share."""
    Gauge(
        "omniroute_worker",
        "These are the numbers of one worker; its supervisor shows the sum of all at its own port",
        ["worker"],
        registry=metrics,
    ).labels(str(number)).set(1)
