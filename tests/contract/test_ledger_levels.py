"""Limits that keys share: one step takes all levels or none, every level settles, and older scripts are not misled."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from omni_ledger import Grant, Janitor, Ledger, Refusal
from omniroute_proto.events.v1 import events_pb2
from redis.asyncio import Redis

from tests.support.ledger import budget, hold, level, open_ledger, settlement

TEAM, ALL = "limit:team", "limit:all"
HOLD = "quota:{omni}:hold:"


async def standing(redis: Redis, *owners: str) -> list[tuple[int, int, int]]:
    """Requests, spent and held."""
    janitor = Janitor(redis)
    found = await janitor.look([(owner, "month") for owner in owners], [])
    await janitor.close()
    return [(one.requests_in_window, one.spent_nano_usd, one.held_nano_usd) for one in found.keys]


async def test_what_one_level_refuses_is_taken_on_none(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, redis, _):
        levels = (level(TEAM, budget(500), 5), level(ALL, budget(40), 5))
        first = await ledger.admit(hold("a", requests_per_minute=5, budget=budget(900), levels=levels))
        assert first == Grant(40, 40, False)
        second = await ledger.admit(hold("b", requests_per_minute=5, budget=budget(900), levels=levels))
        assert second == Refusal("budget_held", 1.0, level=ALL)
        assert await standing(redis, "key", TEAM, ALL) == [(1, 0, 40)] * 3
        await ledger.settle(settlement("a", 40))
        assert await standing(redis, "key", TEAM, ALL) == [(1, 40, 0)] * 3
        third = await ledger.admit(hold("c", requests_per_minute=5, budget=budget(900), levels=levels))
        assert isinstance(third, Refusal)
        assert (third.reason, third.level) == ("budget_exhausted", ALL)


async def test_a_budget_of_all_or_nothing_refuses_what_it_cannot_pay_for_whole(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, redis, _):
        whole = (level(TEAM, budget(150, is_whole=True)), level(ALL, budget(1000)))
        assert await ledger.admit(hold("a", levels=whole)) == Grant(100, 100, False)
        assert await ledger.admit(hold("b", levels=whole)) == Refusal("budget_held", 1.0, level=TEAM)
        assert await ledger.admit(hold("c", wanted_output=50, levels=whole)) == Grant(50, 50, False)
        await ledger.settle(settlement("a", 60))
        await ledger.settle(settlement("c", 50))
        refused = await ledger.admit(hold("d", wanted_output=41, levels=whole))
        assert isinstance(refused, Refusal)
        assert (refused.reason, refused.level) == ("budget_exhausted", TEAM)
        assert await ledger.admit(hold("e", wanted_output=40, levels=whole)) == Grant(40, 40, False)
        assert await standing(redis, TEAM, ALL) == [(0, 110, 40)] * 2


async def test_the_longest_wait_is_told_and_a_spent_budget_before_one_that_is_held(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, _, _registry):
        spent, held = level(ALL, budget(10)), level(TEAM, budget(100))
        await ledger.admit(hold("a", wanted_output=10, levels=(spent,)))
        await ledger.settle(settlement("a", 10))
        await ledger.admit(hold("b", wanted_output=100, levels=(held,)))
        refused = await ledger.admit(hold("c", levels=(held, spent)))
        assert isinstance(refused, Refusal)
        assert (refused.reason, refused.level) == ("budget_exhausted", ALL)
        await ledger.admit(hold("d", requests_per_minute=1))
        await asyncio.sleep(0.3)
        await ledger.admit(hold("e", key_id="other", levels=(level(TEAM, None, 1),)))
        refused = await ledger.admit(hold("f", requests_per_minute=1, levels=(level(TEAM, None, 1),)))
        assert isinstance(refused, Refusal)
        assert (refused.reason, refused.level) == ("rate_limited", TEAM)


async def test_a_hold_on_one_budget_is_packed_as_ever_whoever_owns_it(clean_redis: str) -> None:
    """A script of the version before charges and releases it."""
    async with open_ledger(clean_redis) as (ledger, redis, _):
        await ledger.admit(hold("own", budget=budget(500), abort_events=(b"\x0a\x00",)))
        await ledger.admit(hold("shared", levels=(level(TEAM, budget(500), 9), level(ALL, None, 9))))
        for name, owner, more in (("own", "key", ["\n\x00"]), ("shared", TEAM, [])):
            packed = await unpacked(redis, name)
            assert packed[:3] == ["H", 100, 100]
            assert packed[3].startswith(f"quota:{{omni}}:budget:{owner}:month:")
            assert packed[5:8] == ["acme/first", 0, "router"]
            assert packed[9:] == more


async def test_the_budgets_beyond_the_first_are_an_event_of_no_kind_to_an_older_script(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, redis, _):
        await ledger.admit(
            hold("both", budget=budget(500), levels=(level(TEAM, budget(500)),), abort_events=(b"\n\0",))
        )
        script = "return cmsgpack.unpack(redis.call('GET', KEYS[1]))"
        elements: list[Any] = await redis.eval(script, 1, HOLD + "both")
        assert elements[10:] == [b"\n\0"]
        event = events_pb2.Event.FromString(elements[9])
        assert event.WhichOneof("event") is None


async def test_what_the_version_before_held_settles_and_is_reaped(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, redis, _):
        await ledger.admit(hold("live", budget=budget(500)))
        packed = await unpacked(redis, "live")
        key, ending = packed[3], packed[4]
        for name, expires in (("settled", 2**42), ("reaped", 1)):
            old = ["H", 30, 30, key, ending, "acme/first", 0, "router", expires, "\n\x00"]
            await redis.set(HOLD + name, msgspec.msgpack.encode(old))
            await redis.zadd("quota:{omni}:holds", {name: expires})
            await redis.hincrby(key, "h", 30)
        await ledger.settle(settlement("settled", 7))
        janitor = Janitor(redis)
        assert (await janitor.reap()).charged_nano_usd == 30
        await janitor.close()
        assert await standing(redis, "key") == [(0, 37, 100)]
        await ledger.settle(settlement("reaped", 5))  # the truth, late
        assert await standing(redis, "key") == [(0, 12, 100)]


async def test_reaping_and_the_truth_that_comes_late_move_every_level(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, redis, _):
        levels = (level(TEAM, budget(500)), level(ALL, budget(500)))
        asked = hold("dead", budget=budget(500), levels=levels, ttl_ms=1, abort_events=(b"\n\0",))
        await ledger.admit(asked)
        await ledger.admit(hold("returned", budget=budget(500), levels=levels))
        await asyncio.sleep(0.05)
        janitor = Janitor(redis)
        reaped = await janitor.reap()
        await janitor.close()
        assert (reaped.reservations, reaped.charged_nano_usd) == (1, 100)
        assert await redis.lrange("quota:{omni}:outbox:router", 0, -1) == [b"\n\0\n\x03\x80\x01d"]
        assert await standing(redis, "key", TEAM, ALL) == [(0, 100, 100)] * 3
        await ledger.settle(settlement("dead", 60))
        await ledger.settle(settlement("returned", 0, outcome="neutral"))
        assert await standing(redis, "key", TEAM, ALL) == [(0, 60, 0)] * 3


async def test_two_keys_of_three_routers_use_a_shared_limit_exactly(clean_redis: str) -> None:
    """By requests and by money, to the last and never beyond, while either key has room of its own."""
    cap = 200_000
    async with AsyncExitStack() as stack:
        fleet: list[Ledger] = [(await stack.enter_async_context(open_ledger(clean_redis)))[0] for _ in range(3)]

        async def client(number: int) -> tuple[int, int]:
            requests = spent = 0
            for turn in range(400):
                name, ledger = f"{number}-{turn}", fleet[number % 3]
                asked = hold(
                    name,
                    key_id=f"key-{number % 2}",
                    wanted_output=700,
                    budget=budget(cap, fixed=30, per_token=1),
                    levels=(level(TEAM, budget(cap, fixed=30, per_token=1)), level(ALL, None, 100_000)),
                )
                answer = await ledger.admit(asked)
                if isinstance(answer, Refusal):
                    assert answer.level in (TEAM, "")
                    if answer.reason == "budget_exhausted":
                        break
                    await asyncio.sleep(0.001)
                    continue
                requests, spent = requests + 1, spent + answer.reserved_nano_usd
                await ledger.settle(settlement(name, answer.reserved_nano_usd))
            return requests, spent

        outcomes = await asyncio.gather(*map(client, range(24)))
        async with open_ledger(clean_redis) as (_, redis, _registry):
            first, second, team, whole = await standing(redis, "key-0", "key-1", TEAM, ALL)
    assert team[1] == first[1] + second[1] == sum(spent for _, spent in outcomes) <= cap
    assert cap - team[1] <= 30
    assert (team[2], first[2], second[2]) == (0, 0, 0)
    assert whole[0] == sum(requests for requests, _ in outcomes)


async def unpacked(redis: Redis, attempt: str) -> list[Any]:
    raw = await redis.get(HOLD + attempt)
    assert isinstance(raw, bytes)
    found: list[Any] = msgspec.msgpack.decode(raw)
    return found
