"""What the supervisor does with workers that hang, die, or come too late: with workers that are none."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec
import pytest
from omni_core.admin_http import Readiness
from omni_core.component import Check
from omni_launch import worker as worker_module
from omni_launch import workers as module
from omni_launch.worker import Worker
from omni_launch.workers import Workers
from prometheus_client import CollectorRegistry

WELL = Readiness(True, {"process": {"accepting": Check(True)}})
DRAINS = Readiness(False, {"process": {"accepting": Check(False, "draining")}})
LACKS = Readiness(False, {"process": {"accepting": Check(True)}, "router": {"redis": Check(False, "not reachable")}})


class Actor(Worker):
    """No process: it answers what ``says`` is, nothing at all when that is None, and ends when it is signalled."""

    made: ClassVar[list["Actor"]] = []
    next_says: ClassVar[Readiness | None] = WELL
    hold: ClassVar[asyncio.Event | None] = None

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.says = Actor.next_says
        self.asked: list[bytes] = []
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        Actor.made.append(self)

    @property
    def pid(self) -> int:
        return 1000 + Actor.made.index(self)

    async def start(self, arguments: list[str], env: Mapping[str, str], public: socket.socket) -> None:
        if Actor.hold is not None:
            await Actor.hold.wait()

    async def ended(self) -> int:
        code = await self.over
        self.started = self.ready = False
        self.end = f"signal {-code}" if code < 0 else f"exit code {code}"
        return code

    async def _get(self, path: bytes) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.says is None:
            await asyncio.get_running_loop().create_future()
        return 200, msgspec.json.encode(self.says)

    def _send(self, number: signal.Signals) -> None:
        stopped = self.says is None and number != signal.SIGKILL
        if not stopped and not self.over.done():
            self.over.set_result(0 if number == signal.SIGTERM else -number)


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    Actor.made, Actor.next_says, Actor.hold = [], WELL, None
    monkeypatch.setattr(module, "Worker", Actor)
    for name, seconds in (("_LOOK", 0.005), ("_LOOK_SOON", 0.005), ("_BACKOFF_FIRST", 0.0), ("_WORTH_A_LINE", 0.04)):
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setattr(worker_module, "ASK_WITHIN", 0.02)


@asynccontextmanager
async def crew(count: int = 2, *, hung_after: float = 0.1, drain_seconds: float = 0.0) -> AsyncIterator[Workers]:
    with socket.create_server(("127.0.0.1", 0)) as public:
        made = Workers(
            count, [], {}, public, CollectorRegistry(), places={"redis": "at redis://cache"},
            hung_after=hung_after, drain_seconds=drain_seconds,
        )  # fmt: skip
        try:
            await made.start()
            await until(lambda: made.checks()["workers"].detail == f"{count} of {count} are ready")
            yield made
        finally:
            await made.stop()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.002)


def told(workers: Workers, name: str = "worker 1") -> tuple[bool, str]:
    check = workers.checks()[name]
    return check.ok, check.detail


async def test_one_that_hangs_is_named_killed_and_followed_by_another(caplog: pytest.LogCaptureFixture) -> None:
    async with crew() as workers:
        hung = Actor.made[0]
        hung.says = None
        await until(lambda: told(workers) == (False, "no answer within 0.02 s"))
        assert workers.checks()["workers"].ok, "the other one serves"
        await until(lambda: len(Actor.made) == 3)
        await until(lambda: told(workers) == (True, "ready"))
        assert hung.end == "signal 9"
        assert "worker 1 (pid 1000) does not answer" in caplog.text
        assert "worker 1 (pid 1000) has not answered for 0 s, and is killed" in caplog.text
        assert workers._metrics.get_sample_value("omniroute_supervisor_restarts_total") == 1


async def test_one_that_answers_late_now_and_then_lives() -> None:
    async with crew(1, hung_after=0.2) as workers:
        (only,) = Actor.made
        for _ in range(6):
            only.says = None
            await until(lambda: only.silent >= 0.04)
            only.says = WELL
            await until(lambda: told(workers) == (True, "ready"))
        assert Actor.made == [only]


async def test_one_that_says_what_it_lacks_is_told_with_it() -> None:
    async with crew() as workers:
        Actor.made[0].says = LACKS
        await until(lambda: told(workers) == (False, "redis at redis://cache (not reachable)"))


async def test_one_that_has_not_answered_yet_has_longer() -> None:
    Actor.next_says = None
    with socket.create_server(("127.0.0.1", 0)) as public:
        workers = Workers(1, [], {}, public, CollectorRegistry(), places={}, hung_after=0.04)
        starting = asyncio.create_task(workers.start())
        await until(lambda: Actor.made and Actor.made[0].silent > 0.2)
        assert told(workers) == (False, "does not answer yet")
        Actor.made[0].says = WELL
        await starting
        assert len(Actor.made) == 1
        await workers.stop()


async def test_a_scrape_does_not_wait_for_one_that_is_known_to_hang() -> None:
    async with crew(hung_after=60) as workers:
        hung, well = Actor.made
        hung.says = None
        await until(lambda: hung.silent)
        async with asyncio.timeout(30):
            await workers.page()
        assert b"/metrics" in well.asked
        assert b"/metrics" not in hung.asked


@pytest.mark.parametrize(("hung_after", "drain_seconds"), [(0.1, 60.0), (60.0, 0.05)], ids=["hangs", "time is over"])
async def test_a_drain_waits_for_those_that_answer_and_kills_those_that_do_not(
    hung_after: float, drain_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_AT_THE_END", 0.1)
    async with crew(hung_after=hung_after, drain_seconds=drain_seconds) as workers:
        hung, busy = Actor.made
        hung.says = None
        monkeypatch.setattr(busy, "_send", lambda _: None)  # it finishes what it has
        draining = asyncio.create_task(workers.drain())
        await until(lambda: hung.end == "signal 9")
        assert told(workers) == (False, "ended")
        assert not draining.done()
        busy.over.set_result(0)
        await draining
        assert len(Actor.made) == 2, "nobody is started again"


async def test_a_successor_that_ends_is_given_up_and_the_log_says_how(caplog: pytest.LogCaptureFixture) -> None:
    async with crew(1) as workers:
        Actor.next_says = LACKS
        rolling = asyncio.create_task(workers.roll())
        await until(lambda: len(Actor.made) == 2)
        Actor.made[1].over.set_result(1)
        assert not await rolling
        assert "the old ones stay: it ended (exit code 1)" in caplog.text
        assert "again" not in caplog.text
        assert told(workers) == (True, "ready")


async def test_a_successor_in_the_making_when_all_ends_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with crew(1) as workers:
        Actor.next_says = LACKS
        rolling = asyncio.create_task(workers.roll())
        await until(lambda: len(Actor.made) == 2)
        await workers.drain()
        assert not await rolling
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_one_started_again_whose_place_was_taken_meanwhile_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A roll begins while the successor of a dead worker is being started: there is one worker a place in the end."""
    async with crew(1) as workers:
        Actor.hold = first = asyncio.Event()
        Actor.made[0].over.set_result(-9)
        await until(lambda: len(Actor.made) == 2)  # and waits
        Actor.hold = None
        assert await workers.roll()
        first.set()
        late, new = Actor.made[1], Actor.made[2]
        await until(lambda: late.end)
        assert not new.end
        assert workers._alive == [new]


async def test_those_that_end_are_said_to_and_not_to_start() -> None:
    async with crew() as workers:
        for actor in Actor.made:
            actor.says = DRAINS
        await until(lambda: told(workers) == (False, "draining"))
        assert workers.checks()["workers"] == Check(False, "draining")
        await workers.drain()
        assert told(workers) == (False, "ended")
