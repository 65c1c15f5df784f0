"""A fleet of one process a service, with two edges, routers and translators, under load, while parts of it are
killed."""

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from omni_core.redis import open_redis
from omni_ledger import Janitor
from omni_simulator import Options, Simulator

from tests.money import books
from tests.money.load import KEYS, Answer, Load
from tests.support.fleet import Fleet, Replica, config, fleet
from tests.support.stack import simulator

CLIENTS = 12
SERVICES = ("router", "edge", "translator", "analytics", "quota", "auth", "dashboard")
SETTLED_WITHIN = 90.0
WAIT = 4.0  # what the provider is given, in seconds
# A dead router's holds expire after the longest that an attempt could have taken, and this.
ENV = {"OMNIROUTE_ROUTER_HOLD_MARGIN": "0.5"}


class Scene:
    """A fleet, its provider, and all answers that its clients have got of either."""

    def __init__(self, made: Fleet, provider: Simulator) -> None:
        self.made, self.provider = made, provider
        self.answers: dict[str, Answer] = {}
        self.killed = False

    @asynccontextmanager
    async def loaded(self, seed: int) -> AsyncIterator[Load]:
        """Under load within the block; afterwards every request has come to its end."""
        load = Load([edge.url for edge in self.made["edge"]], seed, first=len(self.answers))
        task = asyncio.create_task(load.run(CLIENTS))
        try:
            yield load
        finally:
            load.stop()
            await task
            self.answers |= load.answers

    def judged(self, load: Load) -> dict[str, Any]:
        """The books of all that the fleet has done so far; ``answers`` are those of ``load``."""
        took = books.settled(self.made, SETTLED_WITHIN)
        found = books.judged(self.made, self.provider, self.answers, killed=self.killed)
        ended = Counter("complete" if one.complete else str(one.status or "none") for one in load.answers.values())
        return {"answers": dict(ended), "settled_after_seconds": round(took, 1)} | found


@contextmanager
def running(home: Path) -> Iterator[Scene]:
    text = config("{url}", keys=KEYS, wait=WAIT)
    with (
        simulator(Options(keep_requests=1_000_000)) as provider,
        fleet(home, text.replace("{url}", provider.url), edges=2, routers=2, translators=2, env=ENV) as made,
    ):
        yield Scene(made, provider)


async def _killed_in_turn(scene: Scene, seconds: float, every: float, seed: int) -> tuple[Load, list[str]]:
    killed, made = list[str](), scene.made
    turns = (made[service][turn % len(made[service])] for turn in itertools.count() for service in SERVICES)
    async with scene.loaded(seed) as load:
        await asyncio.sleep(2)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            victim = next(turns)
            await asyncio.to_thread(_again, victim)
            killed.append(victim.name)
            print(f"kill: {victim.name}, {len(load.answers)} answers", file=sys.stderr, flush=True)
            await asyncio.sleep(every)
        for replica in made:
            await asyncio.to_thread(replica.ready)
        await asyncio.sleep(2)
    return load, killed


def _again(victim: Replica) -> None:
    victim.kill()
    victim.start()


def kill(scene: Scene, seed: int, *, seconds: float = 60.0, every: float = 5.0) -> dict[str, Any]:
    """Each service in turn, with kill −9, and started again at once."""
    scene.killed = True
    load, killed = asyncio.run(_killed_in_turn(scene, seconds, every, seed))
    found = {"kills": len(killed)} | scene.judged(load)
    return found | {"pass": found["pass"] and found["answers"].get("complete", 0) > seconds}


async def _without_nats(scene: Scene, seconds: float, seed: int) -> tuple[Load, float, int]:
    made = scene.made
    async with scene.loaded(seed) as load:
        await asyncio.sleep(2)
        made.nats.kill()
        redis = open_redis(made.redis.url)
        janitor = Janitor(redis)
        try:
            await asyncio.sleep(seconds)
            most = await janitor.waiting()
            print(f"nats: back, {most} events wait, {len(load.answers)} answers", file=sys.stderr, flush=True)
            await asyncio.to_thread(made.nats.start)
            back = time.monotonic()
            async with asyncio.timeout(60.0):
                while await janitor.waiting() > most // 20:  # noqa: ASYNC110 - under load some are under way
                    await asyncio.sleep(0.05)
            drained = time.monotonic() - back
        finally:
            await janitor.close()
            await redis.aclose()
        await asyncio.sleep(1)
    return load, drained, most


def nats(scene: Scene, seed: int, *, seconds: float = 60.0) -> dict[str, Any]:
    """NATS away under load: nobody notices, and what waited is delivered once."""
    load, drained, most = asyncio.run(_without_nats(scene, seconds, seed))
    found = scene.judged(load)
    failed = sum(not answer.complete for answer in load.answers.values())
    figures = {"away_seconds": seconds, "failed": failed, "waited_events": most, "drained_seconds": round(drained, 1)}
    return figures | found | {"pass": found["pass"] and not failed and drained <= 30 and most > 0}


async def _without_redis(scene: Scene, seconds: float, seed: int) -> tuple[Load, float, float, float]:
    made = scene.made
    async with scene.loaded(seed) as load:
        await asyncio.sleep(2)
        made.redis.kill()
        gone = time.monotonic()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(made.redis.start)
        back = time.monotonic()
        async with asyncio.timeout(30.0):
            while not any(each.complete for each in load.since(back)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        recovered = min(each.began + each.seconds for each in load.since(back) if each.complete) - back
        await asyncio.sleep(2)
    return load, gone, back, recovered


def redis(scene: Scene, seed: int, *, seconds: float = 30.0) -> dict[str, Any]:
    """Redis away under load: who has a budget is refused in time, and served again when it is back."""
    load, gone, back, recovered = asyncio.run(_without_redis(scene, seconds, seed))
    found = scene.judged(load)
    # The first two seconds are those in which a restart may go unnoticed.
    refused = [each for each in load.since(gone + 2.0, back - 2.0) if each.status != 200]
    served = [each for each in load.since(gone + 2.0, back - 2.0) if each.status == 200]
    slow = sorted(each.seconds for each in refused)
    hung = sum(each.seconds > 5.0 for each in load.since(gone, back))
    figures = {
        "away_seconds": seconds, "refused": len(refused), "served_meanwhile": len(served), "hung": hung,
        "refused_p50_ms": _ms(slow, 0.5), "refused_p99_ms": _ms(slow, 0.99), "recovered_seconds": round(recovered, 2),
        "statuses": sorted({each.status for each in refused}),
    }  # fmt: skip
    fine = {each.status for each in refused} == {503} and not served and not hung and recovered <= 2.0
    return figures | found | {"pass": found["pass"] and fine}


def _ms(values: list[float], share: float) -> float:
    return round(1000 * values[int(share * (len(values) - 1))], 1) if values else -1.0
