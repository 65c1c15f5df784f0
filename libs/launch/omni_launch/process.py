"""The life of a process: lock, servers, components, listeners; then a signal; then the same in reverse.

    start   data directory → Redis and NATS → components, callees first → listeners answer
    drain   /readyz says no → what runs finishes, callers first, within ``OMNIROUTE_DRAIN_SECONDS``
    stop    components in reverse → listeners → connections → NATS, Redis

Whatever has started is stopped, however far the start came. A second signal ends everything at once.
"""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
from omni_core.admin_http import AdminServer
from omni_core.ids import new_id
from omni_core.runtime import close_runtime, open_runtime
from omni_core.settings import GRPC_PORTS, CoreSettings
from omni_core.telemetry import setup_logging

from omni_launch.assembly import Assembly, Inputs, ProcessState
from omni_launch.data_dir import DataDirLock, prepare
from omni_launch.demo import Demo
from omni_launch.embedded import EmbeddedServers
from omni_launch.environment import Listen, external_url
from omni_launch.listener import HttpListener
from omni_launch.problems import CannotStart
from omni_launch.targets import PARTS, Target
from omni_launch.tokens import service_token

# Seconds for any one part; two embedded servers may take 20 each.
STOP_WITHIN = 45.0
_DRAIN_SECONDS = 120.0
# Requests under way are a few hundred objects each and end by reference count; the default of 700 walks them all again
# and again for nothing.
_GC_THRESHOLD = (20_000, 20, 50)

_log = logging.getLogger("omniroute.launch")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. ``env`` has the final ``DATA_DIR``; with ``demo`` the simulator stands in for a provider; with
    ``embedded`` Redis and NATS are started here unless the environment names others."""

    target: Target
    listen: Listen
    env: Mapping[str, str]
    config_file: Path | None = None
    demo: bool = False
    embedded: bool = False


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What now runs: HTTP ports by name, the gRPC port, the embedded servers' versions and where they came from."""

    http: dict[str, int]
    grpc_port: int
    embedded: dict[str, str]
    demo_url: str
    assembly: Assembly


class Process:
    """One run of a plan. ``announce`` is called once everything answers."""

    def __init__(self, plan: Plan, announce: Callable[[Started], Awaitable[None]]) -> None:
        self._plan = plan
        self._announce = announce
        self._data_dir = Path(plan.env["DATA_DIR"])
        self._state = ProcessState()
        self._undo: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._drains: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self._watched: list[asyncio.Task[None]] = []
        self._asked = asyncio.Event()
        self._embedded: EmbeddedServers | None = None
        self._drain_seconds = _seconds(plan.env, "OMNIROUTE_DRAIN_SECONDS", _DRAIN_SECONDS)

    async def run(self) -> int:
        """Until a signal: 0. Until something that must not end did: 1. Raises what kept it from starting."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means what it says
                loop.add_signal_handler(number, self._on_signal, number)
        starting = asyncio.create_task(self._start(), name="start")
        asked = asyncio.create_task(self._asked.wait(), name="signal")
        try:
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting})
                return 0
            await starting
            await asyncio.wait({asked, *self._watched}, return_when=asyncio.FIRST_COMPLETED)
            broken = next((task for task in self._watched if task.done()), None)
            if broken is not None:
                _log.error("%s ended by itself; stopping", broken.get_name(), exc_info=broken.exception())
            await self._drain()
            return 1 if broken is not None else 0
        finally:
            asked.cancel()
            await self._stop()

    def _on_signal(self, number: int) -> None:
        if self._asked.is_set():
            if self._embedded is not None:
                self._embedded.kill()
            os._exit(128 + number)
        self._asked.set()

    # ---- start ------------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        plan, env = self._plan, self._plan.env
        prepare(self._data_dir)
        self._lock()
        redis_url, nats_url = await self._servers()
        token = service_token(env, self._data_dir)
        settings = CoreSettings.from_env(env, redis_url=redis_url, nats_url=nats_url, token=token)
        listeners = self._bind()
        runtime = open_runtime(settings, instance_id=f"{plan.target.name}-{new_id()}")
        self._undo.append(("connections", lambda: close_runtime(runtime)))
        demo = await self._demo()
        inputs = Inputs(env=env, config_file=plan.config_file, demo=demo.provider() if demo else None)
        assembly = Assembly(plan.target, runtime, inputs, self._state)
        self._undo.append(("channels", assembly.close_channels))
        for name, component in assembly.components.items():
            self._undo.append((name, component.stop))  # stop is safe after a failed start
            await component.start()
            self._drains.append((name, component.drain))
        grpc_port = await self._serve_grpc(assembly, settings)
        http = await self._serve_http(assembly, listeners, settings)
        self._drains.append(("process", self._state.drain))
        # What start-up made lives as long as the process: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLD)
        await self._announce(
            Started(
                http=http,
                grpc_port=grpc_port,
                embedded=_described(self._embedded),
                demo_url=demo.url if demo else "",
                assembly=assembly,
            )
        )

    def _lock(self) -> None:
        """``up`` has the directory for itself; separate targets share it, but each database has one owner."""
        names = [f"lock.{name}" for name in self._plan.target.parts if PARTS[name].owns_files]
        locks = [DataDirLock(self._data_dir, shared=not self._plan.embedded)]
        locks += [DataDirLock(self._data_dir, name=name) for name in names]
        for lock in locks:
            lock.acquire()
            self._undo.append(("lock", _async(lock.release)))

    async def _servers(self) -> tuple[str, str]:
        """The URLs of Redis and NATS: the environment's, else those of servers of our own."""
        plan = self._plan
        urls = {name: external_url(plan.env, name) for name in ("REDIS", "NATS")}
        wanted = {"REDIS": plan.target.redis and not urls["REDIS"], "NATS": plan.target.nats and not urls["NATS"]}
        if plan.embedded and any(wanted.values()):
            servers = EmbeddedServers(self._data_dir, redis=wanted["REDIS"], nats=wanted["NATS"], env=plan.env)
            self._embedded = servers
            self._undo.append(("redis and nats", servers.stop))
            await servers.start()
            return urls["REDIS"] or servers.redis_url, urls["NATS"] or servers.nats_url
        for name, missing in wanted.items():
            if missing:
                example = "redis://127.0.0.1:6379/0" if name == "REDIS" else "nats://127.0.0.1:4222"
                raise CannotStart(
                    f"'omniroute run {plan.target.name}' needs {name.capitalize() if name == 'REDIS' else name}",
                    f"Set OMNIROUTE_{name}_URL, for instance to {example}; or let 'omniroute up' run everything here",
                )
        return urls["REDIS"] or "redis://127.0.0.1:6379/0", urls["NATS"] or "nats://127.0.0.1:4222"

    def _bind(self) -> dict[str, HttpListener]:
        """The listeners of HTTP components, taken before anything starts; one where the ports are the same."""
        listen = self._plan.listen
        by_port: dict[int, HttpListener] = {}
        for name in self._plan.target.over_http:
            port = listen.ports[name]
            if port not in by_port:
                listener = HttpListener(name, listen.host, port)
                listener.bind()
                self._undo.append((f"http {name}", listener.stop))
                by_port[port] = listener
        return {name: by_port[listen.ports[name]] for name in self._plan.target.over_http}

    async def _demo(self) -> Demo | None:
        if not self._plan.demo:
            return None
        demo = Demo()
        self._undo.append(("demo provider", demo.stop))
        await demo.start()
        return demo

    async def _serve_grpc(self, assembly: Assembly, settings: CoreSettings) -> int:
        served = self._plan.target.over_grpc
        if not served:
            return 0
        from omni_core.rpc import RpcServer

        wanted = self._plan.listen.grpc_port
        port = GRPC_PORTS[served[0]] if wanted is None else wanted
        server = RpcServer(settings.grpc_host, port, settings.token)
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
        self._drains.append(("grpc", lambda: server.stop(self._drain_seconds)))
        return bound

    async def _serve_http(
        self, assembly: Assembly, listeners: dict[str, HttpListener], settings: CoreSettings
    ) -> dict[str, int]:
        listen = self._plan.listen
        if not listeners:
            name = self._plan.target.parts[0]
            port = listen.ports[name]
            parts = [self._state, *assembly.components.values()]
            admin = AdminServer(listen.host, port, parts, assembly.metrics)
            try:
                bound = await admin.start()
            except OSError as error:
                raise CannotStart(
                    f"port {port} on {listen.host} is taken by another program", "Choose another with --port"
                ) from error
            self._undo.insert(0, ("admin http", admin.stop))  # answers probes to the end
            return {name: bound}
        apps = {listener: assembly.app(name) for name, listener in listeners.items()}
        if len(apps) < len(listeners):
            apps = {listeners["edge"]: assembly.share_listener()}
        for listener, app in apps.items():
            await listener.serve(app)
            self._watched.append(listener.serving())
        return {name: listener.port for name, listener in listeners.items()}

    # ---- end --------------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        _log.info("draining: what runs may finish within %.0f s; a second signal ends at once", self._drain_seconds)
        try:
            async with asyncio.timeout(self._drain_seconds):
                for name, drain in reversed(self._drains):
                    await _carefully(name, "drain", drain)
        except TimeoutError:
            _log.warning("not everything finished within %.0f s; ending it", self._drain_seconds)

    async def _stop(self) -> None:
        while self._undo:
            name, stop = self._undo.pop()
            try:
                async with asyncio.timeout(STOP_WITHIN):
                    await _carefully(name, "stop", stop)
            except TimeoutError:
                _log.error("%s did not stop in time", name)


async def _carefully(name: str, what: str, step: Callable[[], Awaitable[None]]) -> None:
    """One part that fails to end must not keep the others from ending."""
    try:
        await step()
    except Exception:  # noqa: BLE001 - and it is logged
        _log.exception("%s failed to %s", name, what)


def _async(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call


def _described(servers: EmbeddedServers | None) -> dict[str, str]:
    found = servers.found if servers is not None else {}
    return {name: f"{binary.version_text} ({binary.origin})" for name, binary in found.items()}


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(env.get(name) or default)
    except ValueError as error:
        raise CannotStart(f"{name} is '{env[name]}', which is no number of seconds") from error


def set_up_logging(env: Mapping[str, str]) -> None:
    """Our loggers to stderr, and uvicorn's warnings with them."""
    level = env.get("OMNIROUTE_LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise CannotStart(f"OMNIROUTE_LOG_LEVEL is '{level}'", "Choose DEBUG, INFO, WARNING or ERROR")
    setup_logging(level, env.get("OMNIROUTE_LOG_FORMAT", "text"))
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.handlers[:] = logging.getLogger("omniroute").handlers
    uvicorn_log.propagate = False
    uvicorn_log.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
