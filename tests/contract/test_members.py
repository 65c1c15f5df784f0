"""Announcements over a real NATS: they come, change, expire, are taken back, and survive NATS and its data."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import msgspec
import pytest
from omni_core import members
from omni_core.bus import Bus
from omni_core.clients.pool import PoolMetrics, RouterPool
from omni_core.members import Announcer, Member, MemberFeed
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall
from omni_wire.errors import DependencyUnavailable
from omni_wire.formats import WireFormat
from prometheus_client import CollectorRegistry

from tests.support.pools import CALLER, Router, until
from tests.support.servers import NatsServer, free_port

# Times in seconds, shorter than in earnest.
TTL = 3.0  # a connection must come back within it, on a busy machine too
EVERY = 0.4


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "BUCKET", f"members_{uuid.uuid4().hex[:12]}")
    monkeypatch.setattr(members, "TTL", TTL)
    monkeypatch.setattr(members, "EVERY", EVERY)
    monkeypatch.setattr(members, "CHECK", 0.02)
    monkeypatch.setattr(members, "RETRY", 0.05)


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """One that a test may stop."""
    server = NatsServer().start()
    yield server
    server.close()


class Party:
    """Processes that announce, each with a connection of its own, and feeds that listen."""

    def __init__(self, url: str, exits: AsyncExitStack) -> None:
        self.url = url
        self._exits = exits
        self.said: dict[str, Member] = {}
        self.announcers: dict[str, Announcer] = {}

    def bus(self, name: str) -> Bus:
        made = Bus(self.url, name=name)
        self._exits.push_async_callback(made.close)
        return made

    async def join(self, member: Member) -> Announcer:
        self.said[member.instance] = member
        announcer = Announcer(self.bus(member.instance), lambda: [self.said[member.instance]])
        self.announcers[member.instance] = announcer
        self._exits.push_async_callback(announcer.stop)
        await announcer.start()
        return announcer

    async def listen(self, service: str | None = "router") -> MemberFeed:
        feed = MemberFeed(self.bus("listener"), service)
        self._exits.push_async_callback(feed.stop)
        await feed.start()
        return feed

    async def pool(self, registry: CollectorRegistry) -> RouterPool:
        pool = RouterPool(caller=CALLER, bus=self.bus("edge"), metrics=PoolMetrics(registry))
        self._exits.push_async_callback(pool.close)
        await pool.start()
        return pool

    def vanish(self, instance: str) -> None:
        """As a process does that is killed: nothing is said any more, and nothing taken back."""
        task = self.announcers[instance]._task
        assert task is not None
        task.cancel()


@pytest.fixture
async def party(nats_url: str) -> AsyncIterator[Party]:
    async with AsyncExitStack() as exits:
        yield Party(nats_url, exits)


@pytest.fixture
async def own_party(own_nats: NatsServer) -> AsyncIterator[Party]:
    async with AsyncExitStack() as exits:
        yield Party(own_nats.url, exits)


def router(name: str, address: str = "127.0.0.1:1") -> Member:
    return Member(service="router", instance=name, address=address, version="1")


def are(feed: MemberFeed, *names: str) -> Callable[[], bool]:
    return lambda: sorted(member.instance for member in feed.members.values()) == sorted(names)


async def stays(feed: MemberFeed, names: tuple[str, ...], seconds: float) -> None:
    until_then = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until_then:
        assert are(feed, *names)(), feed.members
        await asyncio.sleep(0.02)


# ---- coming and going -----------------------------------------------------------------------------------------------


async def test_a_listener_hears_who_was_there_before_and_who_comes_after(party: Party) -> None:
    await party.join(router("one"))
    first = await party.listen()
    await until(are(first, "one"))
    late = await party.listen()
    await party.join(router("two"))
    await party.join(Member(service="edge", instance="three"))
    everybody = await party.listen(None)
    for feed in (first, late):
        await until(are(feed, "one", "two"))
    await until(are(everybody, "one", "two", "three"))
    assert everybody.members["edge.three"] == Member(service="edge", instance="three")
    await stays(first, ("one", "two"), 1.5 * TTL)


async def test_a_change_is_heard_at_once(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "EVERY", 60.0)
    announcer = await party.join(router("one"))
    feed = await party.listen()
    await until(are(feed, "one"))
    party.said["one"] = msgspec.structs.replace(router("one"), draining=True)
    assert await announcer.now()
    await until(lambda: feed.members["router.one"].draining)
    party.said["one"] = msgspec.structs.replace(router("one"), revision=7)
    await until(lambda: feed.members["router.one"].revision == 7)


async def test_one_that_leaves_is_gone_at_once_and_one_that_vanished_after_its_time(party: Party) -> None:
    leaving = await party.join(router("leaves"))
    await party.join(router("vanishes"))
    await party.join(router("stays"))
    feed = await party.listen()
    await until(are(feed, "leaves", "vanishes", "stays"))
    await leaving.stop()
    await until(are(feed, "vanishes", "stays"))
    party.vanish("vanishes")
    await until(are(feed, "stays"), within=4 * TTL)
    assert await party.bus("looks").kv_get(members.BUCKET, "router.vanishes") is None


# ---- NATS away ------------------------------------------------------------------------------------------------------


async def test_while_nats_is_away_the_last_list_stays_and_changes_follow_when_it_is_back(
    own_party: Party, own_nats: NatsServer
) -> None:
    await own_party.join(router("one"))
    await own_party.join(router("two"))
    feed = await own_party.listen()
    await until(are(feed, "one", "two"))
    own_nats.kill()
    own_party.said["one"] = msgspec.structs.replace(router("one"), draining=True)
    assert not await own_party.announcers["one"].now(timeout=0.1)
    own_party.vanish("two")
    await stays(feed, ("one", "two"), 1.5 * TTL)
    own_nats.start()
    await until(lambda: (one := feed.members.get("router.one")) is not None and one.draining, within=15.0)
    await until(are(feed, "one"), within=15.0)


async def test_when_nats_comes_back_without_its_data_nobody_is_missed_who_is_there(
    own_party: Party, own_nats: NatsServer
) -> None:
    await own_party.join(router("one"))
    await own_party.join(router("two"))
    feed = await own_party.listen()
    await until(are(feed, "one", "two"))
    changes: list[set[str]] = []
    feed.on_change(lambda found: changes.append(set(found)))
    own_nats.forget()
    late = await own_party.listen()
    await until(are(late, "one", "two"), within=15.0)
    await stays(feed, ("one", "two"), 1.5 * TTL)
    assert changes == [{"router.one", "router.two"}]


async def test_nats_may_come_after_everybody(own_nats: NatsServer) -> None:
    own_nats.stop()
    async with AsyncExitStack() as exits:
        party = Party(own_nats.url, exits)
        await party.join(router("one"))
        feed = await party.listen()
        await stays(feed, (), 0.2)
        own_nats.start()
        await until(are(feed, "one"), within=15.0)


async def test_stopping_while_nats_is_away_takes_no_time() -> None:
    bus = Bus(f"nats://127.0.0.1:{free_port()}", name="alone")
    announcer, feed = Announcer(bus, lambda: [router("one")]), MemberFeed(bus, None)
    await announcer.stop()
    await announcer.start()
    await feed.start()
    assert not await announcer.now(timeout=0.05)
    async with asyncio.timeout(2.0):
        await announcer.stop()
        await feed.stop()
        await bus.close()


# ---- a pool that listens --------------------------------------------------------------------------------------------

CALL = CompleteCall(CallContext("req-1"), "key", WireFormat.OPENAI_CHAT, b"{}", "event-1")


async def names(pool: RouterPool, calls: int = 1) -> set[str]:
    async def one() -> str:
        frames = [frame async for frame in pool.complete(CALL)]
        return b"".join(frame for frame in frames if isinstance(frame, bytes)).decode()

    return set(await asyncio.gather(*(one() for _ in range(calls))))


async def announced(party: Party, server: Router) -> None:
    await party.join(router(server.name, server.address))


async def test_a_call_that_finds_nobody_waits_for_the_first_to_announce_itself(party: Party) -> None:
    pool = await party.pool(CollectorRegistry())
    with pytest.raises(DependencyUnavailable, match="no router has announced itself yet") as raised:
        await names(pool)
    assert raised.value.retry_after == 1.0
    waiting = asyncio.create_task(names(pool, 5))
    await asyncio.sleep(0.05)
    server = await Router("first").start()
    await announced(party, server)
    assert await waiting == {"first"}
    await server.stop()


async def test_new_members_get_calls_draining_ones_get_none_and_the_last_one_all(party: Party) -> None:
    registry = CollectorRegistry()
    pool = await party.pool(registry)
    one, two = await Router("one").start(), await Router("two").start()

    def counted(state: str) -> float | None:
        return registry.get_sample_value("omniroute_pool_members", {"service": "router", "state": state})

    await announced(party, one)
    assert await names(pool, 10) == {"one"}
    await announced(party, two)
    await until(lambda: counted("ready") == 2)
    assert await names(pool, 40) == {"one", "two"}
    one.gate.clear()
    held = asyncio.create_task(names(pool, 10))
    await until(lambda: one.running > 0)
    party.said["one"] = msgspec.structs.replace(party.said["one"], draining=True)
    await until(lambda: (counted("ready"), counted("draining")) == (1, 1))
    assert await names(pool, 20) == {"two"}
    one.gate.set()
    assert "one" in await held, "what it was at goes on to its end"
    party.said["two"] = msgspec.structs.replace(party.said["two"], draining=True)
    await until(lambda: counted("draining") == 2)
    assert await names(pool, 40) == {"one", "two"}, "there is nobody else"
    await party.announcers["two"].stop()
    await until(lambda: counted("draining") == 1)
    assert await names(pool, 10) == {"one"}
    for server in (one, two):
        await server.stop()


async def test_a_stream_goes_on_at_a_member_that_has_left_the_list(party: Party) -> None:
    pool = await party.pool(CollectorRegistry())
    server = await Router("one").start()
    server.frames, server.pause = [*server.frames[:1], b"a", b"b", b"c"], 0.1
    await announced(party, server)
    frames = pool.complete(CALL)
    seen = [await anext(frames)]
    await party.announcers["one"].stop()
    await until(lambda: len(pool._seats) == 0)
    seen += [frame async for frame in frames]
    assert b"".join(frame for frame in seen if isinstance(frame, bytes)) == b"abc"
    await until(lambda: not pool._seats._closing)
    await server.stop()


async def test_members_without_an_address_are_not_called(party: Party) -> None:
    pool = await party.pool(CollectorRegistry())
    await party.join(router("in-one-process", ""))
    server = await Router("one").start()
    await announced(party, server)
    assert await names(pool, 20) == {"one"}
    await server.stop()
