"""The life of a process: lock, servers, components, listeners; then a signal; then the same in reverse.

    start   data directory → Redis and NATS → probes answer → components, callees first → listeners → workers
    drain   /readyz says no → ``OMNIROUTE_DRAIN_DELAY`` in which all is served, while others learn of it → listeners
            take nothing new → what runs finishes, callers first, within ``OMNIROUTE_DRAIN_SECONDS``
    stop    what still runs is ended with an error → components in reverse, events handed over → connections → servers

Nothing in a start waits for a neighbour: what is missing is named by /readyz and, once in ten seconds, in the log.
Whatever has started is stopped, however far the start came. A second signal ends everything at once.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from omni_core.component import Component
from omni_core.console import ConsoleAnswers
from omni_core.ids import new_id
from omni_core.runtime import Runtime, close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_core.telemetry import console
from omni_core.tls import CannotUse
from prometheus_client import generate_latest

from omni_launch.assembly import Assembly, Inputs, ProcessState
from omni_launch.data_dir import DataDirLock, prepare
from omni_launch.demo import Demo
from omni_launch.doors import Doors
from omni_launch.embedded import EmbeddedServers
from omni_launch.environment import external_url, reachable
from omni_launch.membership import Membership
from omni_launch.notice import Notice
from omni_launch.plan import Plan, Started, Steps, seconds_of
from omni_launch.problems import CannotStart
from omni_launch.targets import PARTS, Target
from omni_launch.tokens import service_token
from omni_launch.waiting import Waiting, places
from omni_launch.workers import Workers

# Seconds for any one part; two embedded servers may take 20 each.
STOP_WITHIN = 45.0
FLUSH_WITHIN = 10.0  # to hand over what was settled, however long the rest took
_DRAIN_SECONDS = 120.0
# A worker that is replaced has connections whose clients know of no reason to go elsewhere: each has its next request
# answered, and is told with the answer.
_FAREWELL = 1.0
# Requests under way are a few hundred objects each and end by reference count; the default of 700 walks them all again
# and again for nothing.
_GC_THRESHOLD = (20_000, 20, 50)

_log = logging.getLogger("omniroute.launch")


class Process:
    """One run of a plan. ``announce`` is called once everything answers."""

    def __init__(self, plan: Plan, announce: Callable[[Started], Awaitable[None]]) -> None:
        self._plan = plan
        self._announce = announce
        self._data_dir = Path(plan.env["DATA_DIR"])
        self._state = ProcessState()
        self._undo: Steps = []
        self._drains: Steps = []
        self._doors = Doors(plan, self._undo)
        self._beside: list[asyncio.Task[object]] = []
        self._asked = asyncio.Event()
        self._embedded: EmbeddedServers | None = None
        self._assembly: Assembly | None = None
        self._probed: list[Component] = []
        self._workers: Workers | None = None
        self._membership: Membership | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._had_terminal = has_terminal()
        self._drain_delay = seconds_of(plan.env, "OMNIROUTE_DRAIN_DELAY", 0.0)
        if plan.workers or plan.inherited is not None:
            self._drain_delay = max(self._drain_delay, _FAREWELL)
        self._drain_seconds = seconds_of(plan.env, "OMNIROUTE_DRAIN_SECONDS", _DRAIN_SECONDS)
        self._drained_by = float("inf")

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
            serving = self._doors.serving
            await asyncio.wait({asked, *serving}, return_when=asyncio.FIRST_COMPLETED)
            broken = next((task for task in serving if task.done()), None)
            if broken is not None:
                _log.error("%s ended by itself; stopping", broken.get_name(), exc_info=broken.exception())
            await self._drain()
            return 1 if broken is not None else 0
        finally:
            asked.cancel()
            await self._stop()

    def _on_signal(self, number: int) -> None:
        if self._asked.is_set():
            if self._workers is not None:
                self._workers.kill()
            if self._embedded is not None:
                self._embedded.kill()
            os._exit(128 + number)
        closed = self._had_terminal and not has_terminal()  # then SIGHUP is not somebody's wish for new workers
        if number == signal.SIGHUP and self._workers is not None and not closed:
            self._beside.append(asyncio.create_task(self._workers.roll(), name="roll"))
            return
        self._asked.set()

    def _on_supervisor(self) -> None:
        """Something at the pipe from the supervisor, which says nothing: only its end."""
        if not os.read(sys.stdin.fileno(), 1024):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            if not self._asked.is_set():
                _log.warning("the supervisor is gone")
                self._drain_delay = 0.0  # its successor waits for the port
                self._asked.set()

    # ---- start ------------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        plan, env = self._plan, self._plan.env
        if plan.inherited is not None:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._on_supervisor)
        prepare(self._data_dir)
        self._lock()
        redis_url, nats_url = await self._servers()
        token = service_token(env, self._data_dir)
        settings = _settings(env, redis_url, nats_url, token)
        self._doors.bind()
        runtime = _runtime(settings, plan.target.name)
        self._undo.append(("connections", lambda: close_runtime(runtime)))
        demo = await self._demo()
        inputs = Inputs(env=env, config_file=plan.config_file, demo=demo.provider() if demo else None)
        self._assembly = assembly = _assembly(plan.target, runtime, inputs, self._state)
        self._undo.append(("channels", assembly.close_channels))
        await assembly.open_pools()
        self._probed = [self._state, *assembly.components.values()]
        await self._doors.serve(assembly, self._probed, self._numbers if plan.workers else None)
        self._tell_what_is_missing(assembly, settings)
        for component in tuple(assembly.components.values()):
            await self._start_component(component)
        grpc_port = await self._doors.serve_grpc(assembly, settings, self._drains, lambda: self._left)
        await self._start_workers(assembly, settings, grpc_port)
        self._state.serving = True
        self._doors.open()
        if plan.target.parts:
            own = {name: assembly.components[name] for name in plan.target.parts}
            self._membership = Membership(runtime, own, plan.target.over_grpc, grpc_port)
            self._undo.append(("membership", self._membership.stop))
            await self._membership.start()
            answers = ConsoleAnswers(runtime.bus, runtime.instance_id, console)
            self._undo.append(("console", answers.stop))
            await answers.start()
        self._put_notice()
        _settle_down()
        await self._announce(
            Started(
                http=self._doors.ports,
                grpc_port=grpc_port,
                embedded=_described(self._embedded),
                demo_url=demo.url if demo else "",
                assembly=assembly,
            )
        )

    def _put_notice(self) -> None:
        if "dashboard" not in self._plan.target.parts:
            return
        notice = Notice(self._data_dir)
        try:
            notice.put(f"http://{reachable(self._plan.listen.host)}:{self._doors.ports['dashboard']}")
        except OSError as error:
            _log.warning("commands on this data directory will not find this process: %s", error.strerror)
        self._undo.append(("notice", _async(notice.take_down)))

    async def _start_component(self, component: Component) -> None:
        self._undo.append((component.name, component.stop))  # stop is safe after a failed start
        await component.start()
        self._drains.append((component.name, component.drain))

    def _lock(self) -> None:
        """``up`` has the directory for itself; separate targets share it, but each database has one owner. Workers are
        under their supervisor's."""
        if self._plan.inherited is not None:
            return
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
        targets = [plan.target] if plan.worker_target is None else [plan.target, plan.worker_target]
        needs = {"REDIS": any(each.redis for each in targets), "NATS": any(each.nats for each in targets)}
        wanted = {name: needed and not urls[name] for name, needed in needs.items()}
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

    async def _demo(self) -> Demo | None:
        if not self._plan.demo:
            return None
        demo = Demo()
        self._undo.append(("demo provider", demo.stop))
        await demo.start()
        return demo

    async def _start_workers(self, assembly: Assembly, settings: CoreSettings, grpc_port: int) -> None:
        plan = self._plan
        public = self._doors.public
        if public is None or plan.worker_target is None:
            return
        env = {**plan.env, **(self._embedded.environment() if self._embedded is not None else {})}
        for name in plan.target.over_grpc:
            env[f"OMNIROUTE_{name.upper()}_ADDR"] = f"{reachable(settings.grpc_host)}:{grpc_port}"
        self._workers = Workers(
            plan.workers,
            ["run", plan.worker_target.name],
            env,
            public.socket,
            assembly.metrics,
            places=places(settings),
            drain_delay=self._drain_delay,
            drain_seconds=self._drain_seconds,
        )
        assembly.components[self._workers.name] = self._workers
        self._probed.append(self._workers)
        self._undo.append((self._workers.name, self._workers.stop))
        await self._workers.start()

    async def _numbers(self) -> bytes:
        if self._workers is None:
            raise RuntimeError("there are no workers yet")
        return await self._workers.page()

    def _tell_what_is_missing(self, assembly: Assembly, settings: CoreSettings) -> None:
        if self._plan.inherited is None:  # a worker's supervisor tells
            waiting = Waiting(assembly.checks, places(settings))
            self._waiting = asyncio.create_task(waiting.run(), name="waiting")
            self._beside.append(self._waiting)

    # ---- end --------------------------------------------------------------------------------------------------------

    @property
    def _left(self) -> float:
        """Seconds that what runs may still take."""
        return max(self._drained_by - asyncio.get_running_loop().time(), 0.0)

    async def _drain(self) -> None:
        _log.info("draining: what runs may finish within %.0f s; a second signal ends at once", self._drain_seconds)
        if self._waiting is not None:
            self._waiting.cancel()  # from now on nothing is waited for
        await self._state.drain()
        self._doors.leave()
        if self._membership is not None:
            await _within(FLUSH_WITHIN, "membership", "drain", self._membership.drain)
        if self._workers is not None:  # they have the same delay, and the same time
            within = self._drain_delay + self._drain_seconds + STOP_WITHIN
            await _within(within, "workers", "drain", self._workers.drain)
        else:
            await asyncio.sleep(self._drain_delay)
        self._doors.close()
        self._drained_by = asyncio.get_running_loop().time() + self._drain_seconds
        for name, drain in reversed(self._drains):
            await _within(max(self._left, FLUSH_WITHIN), name, "drain", drain)
        if not self._left:
            _log.warning("not everything finished within %.0f s; ending it", self._drain_seconds)

    async def _stop(self) -> None:
        for task in self._beside:
            task.cancel()
        while self._undo:
            name, stop = self._undo.pop()
            await _within(STOP_WITHIN, name, "stop", stop)
        if self._plan.inherited is not None and self._assembly is not None:
            with contextlib.suppress(OSError):  # the supervisor may be gone
                sys.stdout.buffer.write(generate_latest(self._assembly.metrics))
                sys.stdout.buffer.flush()


async def _within(seconds: float, name: str, what: str, step: Callable[[], Awaitable[None]]) -> None:
    """One part that fails to end, or does not come to one, must not keep the others from ending."""
    try:
        async with asyncio.timeout(seconds):
            await step()
    except TimeoutError:
        _log.warning("%s did not %s within %.0f s", name, what, seconds)
    except Exception:  # noqa: BLE001 - and it is logged
        _log.exception("%s failed to %s", name, what)


def _async(function: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call


def _settings(env: Mapping[str, str], redis_url: str, nats_url: str, token: str) -> CoreSettings:
    try:
        return CoreSettings.from_env(env, redis_url=redis_url, nats_url=nats_url, token=token)
    except ValueError as error:
        raise CannotStart(str(error)) from error


def _runtime(settings: CoreSettings, target: str) -> Runtime:
    try:
        return open_runtime(settings, instance_id=f"{target}-{new_id()}", target=target)
    except CannotUse as error:
        raise CannotStart(f"no TLS: {error}", "'omniroute certs' makes what is needed; see OMNIROUTE_TLS_CA") from error


def _assembly(target: Target, runtime: Runtime, inputs: Inputs, state: ProcessState) -> Assembly:
    try:
        return Assembly(target, runtime, inputs, state)
    except CannotUse as error:
        fix = "'omniroute signing-key' makes and shows what is needed"
        raise CannotStart(f"no signed configurations: {error}", fix) from error


def _settle_down() -> None:
    """What start-up made lives as long as the process: the collector need not walk it again and again. And each
    asynchronous generator is closed by who opened it: the loop need not list them all, which costs every request, but
    still ends those that somebody lost."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)
    sys.set_asyncgen_hooks(firstiter=None, finalizer=sys.get_asyncgen_hooks().finalizer)


def _described(servers: EmbeddedServers | None) -> dict[str, str]:
    found = servers.found if servers is not None else {}
    return {name: f"{binary.version_text} ({binary.origin})" for name, binary in found.items()}


def has_terminal() -> bool:
    """Whether a terminal can send us signals. One that was closed cannot any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
