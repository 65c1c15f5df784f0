"""Routers with slices, one of which is killed now and then, against sums that are taken one after another: no cap is
ever passed, nothing stays held, and each attempt is told exactly once."""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from omni_core import clock
from omni_core.redis import open_redis
from omni_ledger import Grant, Hold, Janitor
from redis import Redis

from tests.support.leasing import Leaser, events_of, told
from tests.support.ledger import CLOCKED_LUA, POLICY, allowance, budget, hold, level, set_clock, settlement

START = 1_900_000_000_000
MONEY, TEAM, RATE, TOKENS = 3_000, 6_000, 25, 4_000
ROUTERS = 3
ROUNDS = 5  # of histories, at most


class Attempt:
    """``taken`` is what it may come to in nano-USD and in tokens; ``at`` when it was asked for (ms)."""

    def __init__(self, asked: Hold, grant: Grant, at: int, router: int) -> None:
        self.asked, self.grant, self.at, self.router = asked, grant, at, router
        self.money = grant.reserved_nano_usd
        self.tokens = grant.granted_output
        self.state = "held"


class Fleet(RuleBasedStateMachine):
    url: str
    ahead: list[float]  # seconds that the processes' clock is ahead, as Redis' is
    seen: Counter[str]  # what has happened in all examples

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="omniroute-journals-"))
        self.now, self.count, self.generation = START, 0, 0
        self.ahead[0] = 0.0
        self.attempts: dict[str, Attempt] = {}
        with Redis.from_url(self.url) as client:
            client.flushall()
        self.client = open_redis(self.url)
        self.run(set_clock(self.client, self.now))
        self.janitor = Janitor(self.client, script=CLOCKED_LUA)
        self.routers = [self.made() for _ in range(ROUTERS)]

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def made(self) -> Leaser:
        self.generation += 1

        async def start() -> Leaser:
            made = Leaser(self.url, f"r{self.generation}", self.folder, script=CLOCKED_LUA)
            await made.ledger.start()
            return made

        started: Leaser = self.run(start())
        return started

    def asked(self, name: str, shape: str, wanted: int, counts: bool) -> Hold:
        cost = budget(MONEY, fixed=2, per_token=1)
        team = level("limit:team", budget(TEAM, fixed=2, per_token=1, window="day"))
        shapes: dict[str, dict[str, Any]] = {
            "money": {"budget": cost},
            "paced": {"requests_per_minute": RATE, "key_id": "paced"},
            "team": {"budget": cost, "levels": (team,), "key_id": "team"},
            "tokens": {
                "key_id": "tokens",
                "levels": (
                    level(
                        "limit:tokens",
                        None,
                        0,
                        allowance("tokens", TOKENS, "minute", per_token=1),
                        allowance("requests", 20, "day", fixed=int(counts), warn=(50,)),
                    ),
                ),
            },
        }
        return hold(
            name, wanted_output=wanted, count_request=counts, abort_events=(told(name, outcome="aborted"),),
            breaker=POLICY, router_id=self.routers[0].name, **shapes[shape],
        )  # fmt: skip

    @rule(
        router=st.integers(0, ROUTERS - 1),
        shape=st.sampled_from(("money", "paced", "team", "tokens")),
        wanted=st.integers(1, 60),
        burst=st.integers(1, 12),
        counts=st.booleans(),
    )
    def admit(self, router: int, shape: str, wanted: int, burst: int, counts: bool) -> None:
        for _ in range(burst):
            self.count += 1
            name = f"a{self.count}"
            asked = self.asked(name, shape, wanted, counts)
            answer = self.run(self.routers[router].ledger.admit(asked))
            if isinstance(answer, Grant):
                self.attempts[name] = Attempt(asked, answer, self.now, router)

    @rule(many=st.integers(1, 30), percent=st.integers(0, 100))
    def settle(self, many: int, percent: int) -> None:
        for name in [name for name, one in self.attempts.items() if one.state == "held"][:many]:
            self.ended(name, percent)

    def ended(self, name: str, percent: int) -> None:
        one = self.attempts[name]
        one.tokens = one.tokens * percent // 100
        one.money = one.money * percent // 100
        one.state = "settled"

        ledger = self.routers[one.router].ledger
        done = settlement(name, one.money, used=(0, one.tokens), events=(told(name, one.money),), evidence=())

        async def say() -> None:
            ledger.settle_soon(done)

        assert ledger._lessee is not None
        # What Redis knows of is the reaper's, should its settlement not be on its way yet when the router is killed.
        self.run(say() if ledger._lessee.has(name) else ledger.settle(done))

    @rule(milliseconds=st.sampled_from((10, 120, 600, 1_500, 20_000, 61_000)))
    def later(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.ahead[0] += milliseconds / 1000
        self.run(set_clock(self.client, self.now))

    @rule()
    def words(self) -> None:
        self.run(asyncio.sleep(0.06))

    @rule(router=st.integers(0, ROUTERS - 1))
    def hand_over(self, router: int) -> None:
        assert self.run(self.routers[router].ledger.flush(5.0))

    @rule(router=st.integers(0, ROUTERS - 1))
    def kill(self, router: int) -> None:
        """What it had under way is charged in full: at once by who finds its journal, or by the reaper."""
        self.seen["leased"] += int(self.routers[router].leased)
        self.run(self.routers[router].kill())
        for one in self.attempts.values():
            if one.router == router and one.state == "held":
                one.state = "aborted"
        self.routers[router] = self.made()

    @invariant()
    def no_cap_is_passed(self) -> None:
        if not hasattr(self, "attempts"):
            return
        known = self.attempts.values()
        for key in ("key", "team"):
            assert sum(one.money for one in known if one.asked.key_id == key) <= MONEY
        assert sum(one.money for one in known if one.asked.levels and one.asked.key_id == "team") <= TEAM
        recent = [one for one in known if one.at > self.now - 60_000]
        assert sum(one.asked.key_id == "paced" and one.asked.count_request for one in recent) <= RATE
        assert sum(one.tokens for one in recent if one.asked.key_id == "tokens") <= TOKENS

    def teardown(self) -> None:
        if not hasattr(self, "routers"):
            return
        for name in [name for name, one in self.attempts.items() if one.state == "held"]:
            self.ended(name, 50)
        self.run(self.finished())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def finished(self) -> None:
        for router in self.routers:
            assert await router.ledger.flush(10.0)
        async with asyncio.timeout(20):  # whoever looks for journals has found them
            while len(list(self.folder.glob("*.journal"))) > ROUTERS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for router in self.routers:
            self.seen["leased"] += int(router.leased)
            self.seen["recovered"] += int(router.metric("recovered_attempts_total", outcome="aborted"))
            await router.ledger.stop()
        self.seen["all"] += len(self.attempts)
        await set_clock(self.client, self.now + 70_000)
        await self.janitor.reap(1000)
        windows = [("key", "month"), ("team", "month"), ("limit:team", "day")]
        spent = {"key": 0, "team": 0}
        for one in self.attempts.values():
            if one.asked.key_id in spent:
                spent[one.asked.key_id] += one.money
        standing = await self.janitor.look(windows, [])
        assert [each.held_nano_usd for each in standing.keys] == [0, 0, 0]
        assert [each.spent_nano_usd for each in standing.keys] == [spent["key"], spent["team"], spent["team"]]
        assert standing.open_reservations == 0
        assert await self.client.zcard("quota:{omni}:leases") == 0
        seen: Counter[str] = Counter()
        costs = {}
        for number in range(1, self.generation + 1):
            for event in await events_of(self.client, f"r{number}"):
                if event.HasField("attempt"):
                    seen[event.attempt.id] += 1
                    costs[event.attempt.id] = event.attempt.cost_nano_usd
        # Those of "router" are of direct ones, whose settlements name it.
        for event in await events_of(self.client, "router"):
            if event.HasField("attempt"):
                seen[event.attempt.id] += 1
                costs[event.attempt.id] = event.attempt.cost_nano_usd
        assert seen == Counter(dict.fromkeys(self.attempts, 1))
        assert costs == {name: one.money for name, one in self.attempts.items()}
        for router in self.routers:
            await router.redis.aclose()
        await self.janitor.close()
        await self.client.aclose()


@pytest.fixture
def processes_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    ahead = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: time.monotonic() + ahead[0])
    return ahead


def test_what_is_leased_adds_up_whatever_happens(clean_redis: str, processes_clock: list[float]) -> None:
    random.seed(7)
    seen: Counter[str] = Counter()
    machine = type("Fleet", (Fleet,), {"url": clean_redis, "ahead": processes_clock, "seen": seen})
    checks = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
    asked = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=checks)
    for _ in range(ROUNDS):
        run_state_machine_as_test(machine, settings=asked)
        if seen["recovered"]:  # by chance none of a round's routers may have had anything to recover
            break
    assert seen["leased"] > seen["all"] / 4
    assert seen["recovered"] > 0
