"""Redis goes away while routers lease: told at once, served only where that is allowed, and nothing settled is lost,
though the router be killed meanwhile."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omni_ledger import Grant, Hold, Janitor, Settlement
from omni_wire.errors import DependencyUnavailable

from tests.support.leasing import Leaser, events_of, heard, leaser, told
from tests.support.ledger import POLICY, budget, hold, settlement, until
from tests.support.servers import RedisServer

COST = 40


def asked(name: str, **changes: Any) -> Hold:
    fields = {"budget": budget(10**6), "breaker": POLICY, "abort_events": (told(name, outcome="aborted"),)} | changes
    return hold(name, **fields)


def settled(name: str) -> Settlement:
    return settlement(name, COST, evidence=(), events=(told(name, COST),), router_id="one")


async def warmed(router: Leaser, prefix: str, **changes: Any) -> int:
    """Asks until a slice pays; how many attempts that took, which are settled."""
    for i in range(200):
        before = router.leased
        assert isinstance(await router.ledger.admit(asked(f"{prefix}{i}", **changes)), Grant)
        router.ledger.settle_soon(settled(f"{prefix}{i}"))
        if router.leased > before:
            return i + 1
        await asyncio.sleep(0.01)
    raise AssertionError("no slice")


async def known_away(router: Leaser) -> None:
    await until(lambda: router.ledger._batcher.is_down)


async def standing(router: Leaser) -> tuple[int, int]:
    janitor = Janitor(router.redis)
    (found,) = (await janitor.look([("key", "month")], [])).keys
    await janitor.close()
    return found.spent_nano_usd, found.held_nano_usd


async def test_a_redis_that_refuses_connections_is_told_of_within_a_moment_and_then_at_once(
    server: RedisServer, tmp_path: Path
) -> None:
    async with leaser(server.url, "one", tmp_path, refused_within=0.05) as one:
        await until(lambda: one.ledger.healthy)
        server.kill()
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await one.ledger.admit(asked("a"))
        assert time.monotonic() - started < 1.0, "0.05 s, on a machine that has nothing else to do"
        await known_away(one)
        started = time.monotonic()
        for i in range(100):
            with pytest.raises(DependencyUnavailable):
                await one.ledger.admit(asked(f"b{i}"))
        assert time.monotonic() - started < 1.0
        await asyncio.to_thread(server.start)
        back = time.monotonic()
        await until(lambda: one.ledger.healthy)
        assert time.monotonic() - back < 2.0
        assert isinstance(await one.ledger.admit(asked("c")), Grant)


async def test_a_closed_limit_is_refused_though_there_is_a_slice_and_an_open_one_served_from_it_alone(
    server: RedisServer, tmp_path: Path
) -> None:
    async with leaser(server.url, "one", tmp_path, refused_within=0.05) as one:
        opens: dict[str, Any] = {"key_id": "open", "serves_away": True}
        warm = await warmed(one, "o", **opens) + await warmed(one, "c")
        await heard(one.ledger, 3)  # the slices have what they shall have
        server.kill()
        await known_away(one)
        for _ in range(3):
            with pytest.raises(DependencyUnavailable):
                await one.ledger.admit(asked("closed"))
        served: list[str] = []
        with pytest.raises(DependencyUnavailable):
            for i in range(10**5):
                await one.ledger.admit(asked(f"x{i}", **opens))
                served.append(f"x{i}")
                one.ledger.settle_soon(settled(f"x{i}"))
        assert 10 < len(served) < 10**5, "what the slice had, and no more"
        await asyncio.to_thread(server.start)
        await until(lambda: one.ledger.healthy)
        assert await one.ledger.flush(10.0)
        events = [event.attempt.id for event in await events_of(one.redis, "one")]
        assert Counter(events) == Counter(dict.fromkeys(events, 1))
        assert len(events) == warm + len(served)
        assert isinstance(await one.ledger.admit(asked("after", **opens)), Grant)


async def test_an_open_limit_is_not_served_where_something_bad_is_known(server: RedisServer, tmp_path: Path) -> None:
    async with leaser(server.url, "one", tmp_path, refused_within=0.05) as one:
        await warmed(one, "o", serves_away=True)
        assert isinstance(await one.ledger.admit(asked("a", serves_away=True)), Grant)
        server.kill()
        await known_away(one)
        failed = settlement("a", 0, outcome="failure", breaker=POLICY, router_id="one")
        one.ledger.settle_soon(failed)
        with pytest.raises(DependencyUnavailable):
            await one.ledger.admit(asked("b", serves_away=True))


@pytest.mark.parametrize("leases", [True, False], ids=["from slices", "one by one"])
async def test_what_was_settled_while_redis_is_away_outlives_a_killed_router(
    server: RedisServer, tmp_path: Path, leases: bool
) -> None:
    one = Leaser(server.url, "one", tmp_path, refused_within=0.05, hot=int(leases))
    await one.ledger.start()
    names = [f"a{i}" for i in range(60)]
    for name in names:
        assert isinstance(await one.ledger.admit(asked(name)), Grant)
        await asyncio.sleep(0.002)
    server.kill()
    await known_away(one)
    for name in names[:50]:
        one.ledger.settle_soon(settled(name))
    journal, lessee = one.ledger._journal, one.ledger._lessee
    assert journal is not None
    assert lessee is not None
    noted = {name for name in names[50:] if lessee.has(name)}
    assert bool(noted) is leases
    assert journal.synced, "what waits for Redis outlives the machine"
    await one.kill()
    await asyncio.to_thread(server.start)
    async with leaser(server.url, "two", tmp_path) as two:
        await until(lambda: len(list(tmp_path.glob("*.journal"))) == 1)
        events = [event for router in ("one", "two") for event in await events_of(two.redis, router)]
        seen = Counter(event.attempt.id for event in events)
        aborted = {name for name in names[50:] if name in seen}
        assert seen == Counter(dict.fromkeys([*names[:50], *aborted], 1))
        leased_open = len(aborted)
        assert await standing(two) == (50 * COST + leased_open * 100, (10 - leased_open) * 100)
        assert aborted == noted, "those that Redis knows are the reaper's"


async def test_what_waits_is_sent_in_order_when_redis_is_back_and_forgotten(
    server: RedisServer, tmp_path: Path
) -> None:
    async with leaser(server.url, "one", tmp_path, refused_within=0.05, hot=0) as one:
        names = [f"a{i}" for i in range(200)]
        for name in names:
            await one.ledger.admit(asked(name))
        server.kill()
        await known_away(one)
        for name in names:
            one.ledger.settle_soon(settled(name))
        assert len(list(one.ledger._batcher.spooled())) == 200
        await asyncio.to_thread(server.start)
        await until(lambda: one.ledger.healthy)
        assert await one.ledger.flush(10.0)
        assert [event.attempt.id for event in await events_of(one.redis, "one")] == names
        assert list(one.ledger._batcher.spooled()) == []
        assert await standing(one) == (200 * COST, 0)


async def test_a_redis_that_hangs_is_written_down_for_too(server: RedisServer, tmp_path: Path) -> None:
    one = Leaser(server.url, "one", tmp_path, hot=0)
    await one.ledger.start()
    await one.ledger.admit(asked("a"))
    server.pause()
    one.ledger.settle_soon(settled("a"))
    await until(lambda: len(list(one.ledger._batcher.spooled())) == 1)
    await one.kill()
    server.kill()
    await asyncio.to_thread(server.start)
    async with leaser(server.url, "two", tmp_path) as two:
        await until(lambda: len(list(tmp_path.glob("*.journal"))) == 1)
        assert await standing(two) == (COST, 0)
        assert [event.attempt.id for event in await events_of(two.redis, "one")] == ["a"]


async def test_a_word_whose_answer_was_lost_is_believed_once(server: RedisServer, tmp_path: Path) -> None:
    async with leaser(server.url, "one", tmp_path) as one:
        count = await warmed(one, "w")
        for turn in range(3):
            names = [f"{turn}-{i}" for i in range(20)]
            for name in names:
                await one.ledger.admit(asked(name))
            server.pause()
            for name in names:
                one.ledger.settle_soon(settled(name))
            count += len(names)
            await asyncio.sleep(2.2)  # given up on that connection; Redis will still find it there
            server.resume()
            await until(lambda: one.ledger.healthy)
        assert await one.ledger.flush(10.0)
        await asyncio.sleep(0.2)
        assert await standing(one) == (count * COST, 0)
        seen = Counter(event.attempt.id for event in await events_of(one.redis, "one"))
        assert len(seen) == count
        assert set(seen.values()) == {1}
