"""What the fleet shares for choosing, on a real Redis: turns, uses, warm prompt caches."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from omni_core.redis import open_redis
from omni_ledger import Grant, Ledger, Pick, Picked, WarmPlace
from omni_wire.errors import DependencyUnavailable
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from tests.support.ledger import CLOCKED_LUA, hold, open_ledger, set_clock

START = 1_900_000_000_000
MEMBERS = ("a", "b", "c")


@pytest.fixture
async def two(clean_redis: str) -> AsyncIterator[tuple[Ledger, Ledger, Redis]]:
    """Two routers' ledgers, and a client to look with."""
    async with open_ledger(clean_redis) as (one, redis, _), open_ledger(clean_redis) as (other, _, _):
        yield one, other, redis


async def uses(ledger: Ledger, *members: str) -> tuple[int, ...]:
    return (await ledger.pick(Pick(uses="combo c", members=members or MEMBERS))).uses


async def test_all_routers_take_turns_of_one_count(two: tuple[Ledger, Ledger, Redis]) -> None:
    one, other, _ = two
    asked = [ledger.pick(Pick(cursor="combo c")) for _ in range(50) for ledger in (one, other)]
    assert sorted(picked.cursor for picked in await asyncio.gather(*asked)) == list(range(100))
    assert (await one.pick(Pick(cursor="combo d"))).cursor == 0, "another's turns are its own"


async def test_the_least_used_is_counted_with_the_asking(two: tuple[Ledger, Ledger, Redis]) -> None:
    one, other, _ = two
    assert await uses(one) == (0, 0, 0)
    assert await uses(other) == (1, 0, 0)
    assert await uses(one) == (1, 1, 0)
    other.used_soon("combo c", "a")
    assert await other.flush(20.0)
    assert await uses(one) == (2, 1, 1)
    taken = await asyncio.gather(*(uses(ledger) for _ in range(48) for ledger in (one, other)))
    chosen = Counter(min(range(3), key=counts.__getitem__) for counts in taken)
    assert max(chosen.values()) - min(chosen.values()) <= 2


async def test_who_is_new_begins_with_as_many_uses_as_the_least_used(two: tuple[Ledger, Ledger, Redis]) -> None:
    one, _, _ = two
    for _ in range(10):
        await uses(one, "a", "b")
    assert await uses(one) == (5, 5, 5)
    assert await uses(one) == (6, 5, 5), "and has its turn then"
    assert await uses(one) == (6, 6, 5)


async def test_warm_caches_of_a_conversation_are_told_with_their_age(clean_redis: str) -> None:
    async with open_redis(clean_redis) as client:
        await set_clock(client, START)
    async with open_ledger(clean_redis, script=CLOCKED_LUA) as (ledger, redis, _):
        ledger.warmed_soon("talk", "acme/first m", 5000, 300_000)
        assert await ledger.flush(20.0)
        await set_clock(redis, START + 2500)
        ledger.warmed_soon("talk", "beta/first m", 7, 300_000)
        assert await ledger.flush(20.0)
        await set_clock(redis, START + 4000)
        told = (await ledger.pick(Pick(conversation="talk"))).warm
        assert sorted(told, key=lambda each: each.place) == [
            WarmPlace("acme/first m", 5000, 4.0), WarmPlace("beta/first m", 7, 1.5),
        ]  # fmt: skip
        assert await ledger.pick(Pick(conversation="other")) == Picked()


async def test_nothing_of_it_is_kept_for_ever(two: tuple[Ledger, Ledger, Redis]) -> None:
    one, _, redis = two
    await one.pick(Pick(cursor="combo c", uses="combo c", members=MEMBERS))
    one.warmed_soon("talk", "acme/first m", 1, 300_000)
    one.used_soon("provider p", "p/a")
    assert await one.flush(20.0)
    lives = {bytes(key).decode(): await redis.pttl(key) async for key in redis.scan_iter("choice:*")}
    assert set(lives) == {
        "choice:{omni}:cursor:combo c", "choice:{omni}:uses:combo c", "choice:{omni}:uses:provider p",
        "choice:{omni}:warm:talk",
    }  # fmt: skip
    assert 0 < lives.pop("choice:{omni}:warm:talk") <= 300_000
    assert all(0 < life <= 86_400_000 for life in lives.values())


async def test_a_pick_and_an_admission_go_out_in_one_step(two: tuple[Ledger, Ledger, Redis]) -> None:
    one, _, _ = two
    picked, granted = await asyncio.gather(one.pick(Pick(cursor="c")), one.admit(hold("a1")))
    assert picked.cursor == 0
    assert isinstance(granted, Grant)


async def test_without_redis_there_is_no_pick_and_no_waiting_for_a_use() -> None:
    redis = Redis.from_url("redis://127.0.0.1:1")
    ledger = Ledger(redis, CollectorRegistry())
    await ledger.start()
    with pytest.raises(DependencyUnavailable):
        await ledger.pick(Pick(cursor="c"))
    ledger.used_soon("combo c", "a")
    ledger.warmed_soon("talk", "a m", 1, 300_000)
    await ledger.stop()
    await redis.aclose()
