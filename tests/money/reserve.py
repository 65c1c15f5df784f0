"""Reservations and settlements of four router processes over shared levels, while routers and Redis are killed.

An observer looks at every cap all the time; a collector takes the outboxes as a relay does. Afterwards what the ledger
has as spent, what the events say and what the routers noted must be one and the same.
"""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from omni_core.redis import FAILURES, open_redis, unavailable
from omni_ledger import Janitor, Outbox, leasing
from omni_wire.errors import DependencyUnavailable
from omniroute_proto.events.v1 import events_pb2
from redis.asyncio import Redis

from tests.money import levels
from tests.money.levels import Owner
from tests.money.notes import Noted, Progress, noted
from tests.money.router import TTL_MS, Orders, notes_of
from tests.support.servers import RedisServer

SHOWN = 5
LOOK_EVERY, REAP_EVERY, COLLECT_EVERY = 0.05, 0.2, 0.05
ENDS_WITHIN = 30.0


class Router:
    """A router process that can be killed and started again."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self._log = orders.home / f"router-{orders.number}.log"
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        log = self._log.open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.money.router"], stdin=subprocess.PIPE, stdout=log, stderr=log
        )
        log.close()
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self.orders))
        process.stdin.close()
        return process

    @property
    def code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> bool:
        """False where it had ended already."""
        if self._process.poll() is not None:
            return False
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.orders = msgspec.structs.replace(self.orders, life=self.orders.life + 1)
        self._process = self._start()
        return True

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Observer:
    """Looks at all caps again and again; ``wrong`` are those that it saw passed."""

    def __init__(self, redis: Redis, owners: list[Owner]) -> None:
        self.looks, self.wrong = 0, list[str]()
        self._janitor, self._owners = Janitor(redis), owners
        self._allowances = [(owner, *each) for owner in owners for each in owner.allowances]
        self.spent: dict[str, int] = {}
        self.held, self.open = 0, 0

    async def run(self) -> None:
        while True:
            with contextlib.suppress(DependencyUnavailable):
                await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        found = await self._janitor.look(
            [(owner.name, owner.window) for owner in self._owners],
            [],
            [(owner.name, of, window) for owner, of, _, window in self._allowances],
        )
        self.looks += 1
        for owner, stands in zip(self._owners, found.keys, strict=True):
            self.spent[owner.name] = stands.spent_nano_usd
            if stands.spent_nano_usd + stands.held_nano_usd > owner.cap or stands.held_nano_usd < 0:
                self.wrong.append(f"{owner.name}: {stands} of {owner.cap}")
            if owner.requests_per_minute and stands.requests_in_window > owner.requests_per_minute:
                self.wrong.append(f"{owner.name}: {stands} of {owner.requests_per_minute} requests")
        for (owner, of, most, window), used in zip(self._allowances, found.allowances, strict=True):
            if used.used + used.held > most or used.held < 0:
                self.wrong.append(f"{owner.name} {of} {window}: {used} of {most}")
        self.open = found.open_reservations
        self.held = sum(each.held_nano_usd for each in found.keys) + sum(each.held for each in found.allowances)

    async def close(self) -> None:
        await self._janitor.close()


class Collector:
    """Takes what is in the outboxes, each batch once, and keeps of each event the one with the highest ``seq``."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self._outbox = redis, Outbox(redis)
        self._done: dict[str, str] = {}
        self._batches: set[str] = set()
        self.events: dict[str, tuple[int, int, str]] = {}  # seq, cost, key
        self.twice = self.superseded = 0
        self.contradicting: list[str] = []
        self.aborted: set[str] = set()  # of those, what is told of attempts, and of slices, that nobody settled

    async def run(self) -> None:
        while True:
            with contextlib.suppress(DependencyUnavailable):
                await self.collect()
            await asyncio.sleep(COLLECT_EVERY)

    async def collect(self) -> None:
        """Until all are empty. Raises ``DependencyUnavailable``."""
        try:
            routers = await self._redis.smembers("quota:{omni}:outboxes")
        except FAILURES as error:
            raise unavailable("redis", error) from error
        for router in sorted(name.decode() if isinstance(name, bytes) else name for name in routers):
            turn = await self._outbox.turn(router, done=self._done.get(router, ""))
            while turn.batch_id:
                if turn.batch_id not in self._batches:
                    self._batches.add(turn.batch_id)
                    for data in turn.events:
                        self._take(data)
                self._done[router] = turn.batch_id
                turn = await self._outbox.turn(router, done=turn.batch_id)

    def _take(self, data: bytes) -> None:
        told = events_pb2.Event.FromString(data).attempt
        known = self.events.get(told.id)
        self.twice += known is not None and known[0] == told.seq
        self.superseded += known is not None and known[0] != told.seq
        if known is not None and known[0] == told.seq and known[1] != told.cost_nano_usd:
            self.contradicting.append(f"{told.id} cost {known[1]}, and then {told.cost_nano_usd}")
        if known is None or told.seq > known[0]:
            self.events[told.id] = told.seq, told.cost_nano_usd, told.key_id
            (self.aborted.add if told.outcome == "aborted" else self.aborted.discard)(told.id)

    async def close(self) -> None:
        await self._outbox.close()


async def _reap(redis: Redis, charged: Counter[str]) -> None:
    janitor = Janitor(redis)
    try:
        while True:
            with contextlib.suppress(DependencyUnavailable):
                charged["reaped"] += (await janitor.reap()).reservations
            await asyncio.sleep(REAP_EVERY)
    finally:
        await janitor.close()


async def reserve(
    home: Path,
    attempts: int,
    seed: int,
    *,
    routers: int = 4,
    clients: int = 64,
    kills: int = 40,
    restarts: int = 8,
    leased: bool = False,
) -> dict[str, Any]:
    """``kills`` of routers and ``restarts`` of Redis (kill −9, its data on disk), spread over the attempts."""
    server = RedisServer(durable=True).start()
    redis, now_s, began = open_redis(server.url), int(time.time()), time.monotonic()
    made: list[Router] = []
    try:
        with Progress(home / "asked", routers) as progress:
            for number in range(routers):
                orders = Orders(
                    server.url,
                    str(home),
                    number,
                    routers,
                    0,
                    clients,
                    attempts // routers,
                    attempts,
                    now_s,
                    seed,
                    leased,
                )
                made.append(Router(orders))
            owners = levels.owners(levels.branches(attempts, now_s))
            observer, collector, counts = Observer(redis, owners), Collector(redis), Counter[str]()
            work = (observer.run(), collector.run(), _reap(redis, counts))
            tasks = [asyncio.create_task(each) for each in work]
            try:
                await _break(server, made, progress, attempts, random.Random(seed), kills, restarts, counts)
                await _ended(made, tasks)
                took = time.monotonic() - began
                asked = progress.total
                await _settled(observer, tasks, ENDS_WITHIN + (leasing.TTL_MS if leased else TTL_MS) / 1000)
                await asyncio.sleep(LOOK_EVERY)
            finally:
                while not all(task.done() for task in tasks):
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks, timeout=1.0)
            await collector.collect()
            await observer.look()
            await observer.close()
            await collector.close()
        files = [notes_of(home, one.orders.number, *range(one.orders.life + 1)) for one in made]
        granted = noted([file for lives in files for file in lives])
        books = verdicts(granted, collector, observer, levels.branches(attempts, now_s))
        wrong = [*observer.wrong, *collector.contradicting, *books]
        org = next(owner for owner in owners if owner.name == "fixed:org")
        used = observer.spent["fixed:org"] / org.cap
        figures = {
            "asked": asked, "granted": len(granted), "events": len(collector.events), "looks": observer.looks,
            "seconds": round(took, 1), "router_kills": counts["kills"], "redis_restarts": counts["restarts"],
            "reaped": counts["reaped"], "superseded": collector.superseded, "events_twice": collector.twice,
            "overspent": len(observer.wrong), "phantom_reservations": observer.open, "phantom_held": observer.held,
            "utilisation_percent": round(100 * used, 3), "wrong": len(wrong), "first": wrong[:SHOWN],
        }  # fmt: skip
        # A settlement that is repeated after its slice was told of is not known for one: its event is told again, the
        # same under the same id, which is one in the store.
        twice = 0 if leased else collector.twice
        fine = not wrong and not observer.open and not observer.held and used >= 0.99 and not twice
        return figures | {"pass": fine and asked >= attempts // routers * routers}
    finally:
        for router in made:
            router.end()
        await redis.aclose()
        server.close()


async def _break(
    server: RedisServer,
    made: list[Router],
    progress: Progress,
    attempts: int,
    chance: random.Random,
    kills: int,
    restarts: int,
    counts: Counter[str],
) -> None:
    due = [(attempts * (i + chance.uniform(0.3, 0.9)) / (kills + 1), "kills") for i in range(kills)]
    due += [(attempts * (i + chance.uniform(0.3, 0.9)) / (restarts + 1), "restarts") for i in range(restarts)]
    for at, what in sorted(due):
        while progress.total < at:
            _well(made)
            if all(router.code is not None for router in made):
                return
            await asyncio.sleep(0.02)
        if what == "kills":
            counts[what] += await asyncio.to_thread(chance.choice(made).kill)
        else:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            counts[what] += 1
        print(f"reserve: {progress.total} of {attempts}, {dict(counts)}", file=sys.stderr, flush=True)


async def _ended(made: list[Router], tasks: list["asyncio.Task[None]"]) -> None:
    while any(router.code is None for router in made):
        for task in tasks:
            if task.done():
                task.result()
        _well(made)
        await asyncio.sleep(0.05)
    _well(made)


def _well(made: list[Router]) -> None:
    wrong = [router.log() for router in made if router.code]
    assert not wrong, "a router ended by itself:\n" + "\n".join(wrong)


async def _settled(observer: Observer, tasks: list["asyncio.Task[None]"], within: float) -> None:
    """Whatever dead routers held has expired and was reaped; it is told in the figures where it was not."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        looks = observer.looks
        while observer.looks == looks and not any(task.done() for task in tasks):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY)
        if not observer.open and not observer.held:
            return


def verdicts(
    granted: dict[str, Noted], collector: Collector, observer: Observer, branches: list[levels.Branch]
) -> list[str]:
    """What is wrong with the books, a line each."""
    wrong = []
    for attempt, note in granted.items():
        event = collector.events.get(attempt)
        if event is None:
            wrong.append(f"{attempt} has no event")
        elif event[:2] != (1, note.truth) and (note.settled or event[:2] != (0, note.reserved)):
            wrong.append(f"{attempt} has the event {event}, and is {note}")
    invented = collector.events.keys() - granted.keys() - collector.aborted
    wrong += [f"{attempt} was never granted, and has the event {collector.events[attempt]}" for attempt in invented]
    events, truth = Counter[str](), Counter[str]()
    for _, cost, key in collector.events.values():
        events[key] += cost
    for note in granted.values():
        truth[note.key] += note.truth
    for owner in levels.owners(branches):
        keys = {branch.key.name for branch in branches if owner in branch.owners}
        told, due = sum(events[key] for key in keys), sum(truth[key] for key in keys)
        spent = observer.spent[owner.name]
        if not due <= told == spent <= owner.cap:
            wrong.append(f"{owner.name}: truth {due}, events {told}, ledger {spent}, cap {owner.cap}")
    return wrong
