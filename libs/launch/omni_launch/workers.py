"""Several processes behind one port, and what it takes to keep them there.

Theory of operation. The supervisor binds the public socket, lets it listen, and never accepts: its workers do, each
taking the next connection from the one queue that the kernel keeps for that socket. So a worker that is killed loses
the connections it had taken, but none that waits; the queue stays while a successor starts; and the port is bound from
the first moment to the last. A worker that ends without having been told is started again, later each time it happens
soon; one that lives and does not answer any more is killed, so that it comes to that. ``roll`` replaces them one after
the other: the successor is ready before the old one is told to drain.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from omni_core.clock import monotonic
from omni_core.component import Check, Spare
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from omni_launch.problems import CannotStart
from omni_launch.totals import Totals
from omni_launch.waiting import missing
from omni_launch.worker import Worker

# Seconds.
READY_WITHIN = 60.0
HUNG_AFTER = 30.0  # without an answer; by then those whom it keeps waiting have given up
_STARTS_WITHIN = 300.0  # the first answer: hundreds that load their code at once, on two cores, take that long
_WORTH_A_LINE = 5.0
_PATIENCE_AT_THE_END = 4.0  # when the time for what runs is over
_LOOK_SOON, _LOOK = 0.1, 0.5
_BACKOFF_FIRST, _BACKOFF_MAX, _STEADY_AFTER = 0.2, 10.0, 60.0

_log = logging.getLogger("omniroute.launch")


class Workers:
    """A component: ``count`` workers, each ``omniroute <arguments>`` in the environment ``env``, on ``public``.

    ``places`` says where what they need is looked for; ``drain_delay`` is how long they go on taking connections after
    they were told to drain, ``drain_seconds`` how long what runs may then take, ``hung_after`` how many seconds one may
    be asked in vain.
    """

    name = "workers"

    def __init__(
        self,
        count: int,
        arguments: list[str],
        env: Mapping[str, str],
        public: socket.socket,
        metrics: CollectorRegistry,
        *,
        places: Mapping[str, str],
        drain_delay: float = 0.0,
        drain_seconds: float = 0.0,
        hung_after: float = HUNG_AFTER,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._count = count
        self._arguments = arguments
        self._env = env
        self._public = public
        self._metrics = metrics
        self._places = places
        self._drain_delay = drain_delay
        self._drain_seconds = drain_seconds
        self._hung_after = hung_after
        self._clock = clock
        self._serving: dict[int, Worker] = {}  # by number, the newest that was let in
        self._alive: list[Worker] = []  # those, their successors to be, and those that drain
        self._backoff: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._up = False
        self._ending = asyncio.Event()
        self._rolling = False
        self._gone = Totals()
        self._restarts = Counter(
            "omniroute_supervisor_restarts",
            "Workers that ended without having been told to, or were killed because they hung",
            registry=metrics,
        )
        Gauge("omniroute_supervisor_workers", "Workers that are ready", registry=metrics).set_function(
            lambda: self._ready
        )

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns once each takes connections, ready or not. Raises ``CannotStart`` when one ends instead."""
        for number in range(1, self._count + 1):
            self._serving[number] = await self._launch(number)
        while not all(worker.started for worker in self._serving.values()):
            ended = next((worker for worker in self._serving.values() if worker not in self._alive), None)
            if ended is not None:
                raise CannotStart(f"worker {ended.number} ended before it served", "It has said why, above")
            await asyncio.sleep(_LOOK_SOON)
        self._up = True

    async def drain(self) -> None:
        """Tell all of them, and wait for their ends, however long they take; for those that hang only so long."""
        self._ending.set()
        for worker in self._alive:
            worker.terminate()
        if self._tasks and self._drain_delay:
            await asyncio.wait(tuple(self._tasks), timeout=self._drain_delay)
        self._public.close()  # nobody accepts any more: who comes now must be told at once
        if self._tasks and self._drain_seconds:
            await asyncio.wait(tuple(self._tasks), timeout=self._drain_seconds)
        self._hung_after = min(self._hung_after, _PATIENCE_AT_THE_END)
        await self._all_ended()

    async def stop(self) -> None:
        """Kill what is left. Safe at any time."""
        self._ending.set()
        self.kill()
        await self._all_ended()

    def kill(self) -> None:
        """At once, without waiting."""
        for worker in self._alive:
            worker.kill()

    async def roll(self) -> bool:
        """Replace every worker; whether it was done. One whose successor does not get ready stays, as do the rest."""
        if self._rolling or self._ending.is_set() or not self._up:
            _log.warning("the workers cannot be replaced now: they are starting, ending, or being replaced already")
            return False
        self._rolling = True
        try:
            for number in tuple(self._serving):
                if not await self._replace(number):
                    return False
        finally:
            self._rolling = False
        _log.info("all %d workers are new", self._count)
        return True

    # ---- what it is asked -------------------------------------------------------------------------------------------

    def checks(self) -> dict[str, Check]:
        """The port is served as long as one worker is ready; how each is, is named."""
        each = {number: self._how(worker) for number, worker in sorted(self._serving.items())}
        named = {f"worker {number}": Spare(self._serving[number].ready, how) for number, how in each.items()}
        wrong = dict.fromkeys(how for number, how in each.items() if not self._serving[number].ready)
        told = f"{self._ready} of {self._count} are ready" if self._ready else "; ".join(wrong) or "none has started"
        return {"workers": Check(self._ready > 0, told), **named}

    async def page(self) -> bytes:
        """The body of /metrics: all workers as one, with those that are gone, and this process."""
        await asyncio.gather(*(worker.count() for worker in self._alive))
        # From here to the thread nothing else runs: no worker is counted both as alive and as gone.
        totals = self._gone.copy()
        pages = [(worker.numbers, str(worker.number)) for worker in self._alive if worker.numbers]
        pages.append((generate_latest(self._metrics).decode(), ""))
        return await asyncio.to_thread(_added_up, totals, pages)

    @property
    def _ready(self) -> int:
        return sum(worker.ready for worker in self._serving.values())

    def _how(self, worker: Worker) -> str:
        if worker not in self._alive:
            return "ended" if self._ending.is_set() else "being started again"
        return "ready" if worker.ready else self._lacks(worker)

    def _lacks(self, worker: Worker) -> str:
        """What it waits for, else what it says of itself, or is said of it when it says nothing."""
        itself = [check.detail for check in worker.checks.get("process", {}).values() if not check.ok]
        lacking = [] if worker.told else missing(worker.checks, self._places)
        return ", ".join(lacking or itself) or "starting"

    # ---- one worker -------------------------------------------------------------------------------------------------

    async def _launch(self, number: int) -> Worker:
        """Raises ``OSError``."""
        worker = Worker(number)
        await worker.start(self._arguments, self._env, self._public)
        self._alive.append(worker)
        self._spawn(self._watch(worker))
        if self._ending.is_set():
            worker.terminate()
        return worker

    async def _watch(self, worker: Worker) -> None:
        born = self._clock()
        looking = self._spawn(self._look_at(worker))
        code = await worker.ended()
        self._alive.remove(worker)
        looking.cancel()
        with contextlib.suppress(ValueError):  # a page that was cut short
            self._gone.add(worker.numbers, gauges=False)
        if worker.told:
            _log.log(logging.INFO if code == 0 else logging.WARNING, "%s has ended (%s)", worker.name, worker.end)
            return
        _log.error("%s ended unexpectedly (%s)", worker.name, worker.end)
        if self._up and not self._ending.is_set():
            self._restarts.inc()
            if self._clock() - born > _STEADY_AFTER:
                self._backoff.pop(worker.number, None)
            self._spawn(self._revive(worker))

    async def _revive(self, dead: Worker) -> None:
        while self._serving.get(dead.number) is dead:  # else another has taken its place
            pause = self._backoff.get(dead.number, _BACKOFF_FIRST)
            self._backoff[dead.number] = min(pause * 2, _BACKOFF_MAX)
            _log.warning("starting worker %d again in %.1f s", dead.number, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
            if self._ending.is_set() or self._serving.get(dead.number) is not dead:
                return
            try:
                fresh = await self._launch(dead.number)
            except OSError as error:
                _log.error("worker %d cannot be started: %s", dead.number, error.strerror)
                continue
            if self._serving.get(dead.number) is dead:
                self._serving[dead.number] = fresh
            else:  # a roll put another there meanwhile
                fresh.terminate()

    async def _replace(self, number: int) -> bool:
        try:
            fresh = await self._launch(number)
        except OSError as error:
            _log.error("worker %d cannot be replaced: %s", number, error.strerror)
            return False
        until = self._clock() + READY_WITHIN
        while not fresh.ready:
            if self._ending.is_set():
                return False  # it was told, like all
            if fresh.end or self._clock() > until:
                why = f"it ended ({fresh.end})" if fresh.end else self._lacks(fresh)
                _log.error("the new worker %d did not get ready, and is given up; the old ones stay: %s", number, why)
                fresh.kill()
                return False
            await asyncio.sleep(_LOOK_SOON)
        old, self._serving[number] = self._serving[number], fresh
        _log.info("worker %d is now pid %d; pid %d drains", number, fresh.pid, old.pid)
        old.terminate()
        return True

    async def _look_at(self, worker: Worker) -> None:
        """Until it ends. Each is looked at by itself: one that hangs holds up no news of the others."""
        silent = 0.0
        while True:
            await worker.ask()
            if worker.silent >= (self._hung_after if worker.heard or worker.told else _STARTS_WITHIN):
                _log.error("%s has not answered for %.0f s, and is killed", worker.name, worker.silent)
                worker.kill(told=False)
            elif silent < _WORTH_A_LINE <= worker.silent:
                _log.warning("%s does not answer, for %.0f s now", worker.name, worker.silent)
            silent = worker.silent
            await asyncio.sleep(_LOOK if worker.ready else _LOOK_SOON)

    async def _all_ended(self) -> None:
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _added_up(totals: Totals, pages: list[tuple[str, str]]) -> bytes:
    for page, worker in pages:
        totals.add(page, worker=worker)
    return totals.page()
