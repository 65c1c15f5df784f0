"""Redis goes away and comes back: refused in time, nothing lost, nothing left behind, nothing counted twice."""

import asyncio
import time

import pytest
from omni_ledger import Grant, Janitor, Ledger
from omni_wire.errors import DependencyUnavailable
from redis.asyncio import Redis

from tests.support.ledger import budget, hold, open_ledger, settlement, until
from tests.support.servers import RedisServer


async def money(redis: Redis) -> tuple[int, int, int]:
    """Spent, held, open reservations."""
    janitor = Janitor(redis)
    standing = await janitor.look([("key", "month")], [])
    await janitor.close()
    return standing.keys[0].spent_nano_usd, standing.keys[0].held_nano_usd, standing.open_reservations


async def until_healthy(ledger: Ledger) -> None:
    await until(lambda: ledger.healthy)


async def test_a_restart_goes_unnoticed(server: RedisServer) -> None:
    async with open_ledger(server.url) as (ledger, redis, _):
        await ledger.admit(hold("a", budget=budget(1000)))
        server.kill()
        waiting: list[asyncio.Task[object]] = [
            asyncio.create_task(ledger.admit(hold(f"b{i}", budget=budget(1000, per_token=0)))) for i in range(5)
        ]
        waiting.append(asyncio.create_task(ledger.settle(settlement("a", 40, events=(b"e",)))))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.start)
        answers = await asyncio.gather(*waiting)
        assert all(isinstance(answer, Grant) for answer in answers[:5])
        assert await money(redis) == (40, 0, 5)


async def test_admission_fails_within_two_seconds_and_then_at_once_until_redis_answers(server: RedisServer) -> None:
    async with open_ledger(server.url) as (ledger, _, registry):
        await until_healthy(ledger)
        server.kill()
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await ledger.admit(hold("a"))
        assert 0.5 < time.monotonic() - started < 10
        assert not ledger.healthy
        started = time.monotonic()
        for i in range(100):
            with pytest.raises(DependencyUnavailable):
                await ledger.admit(hold(f"b{i}"))
        assert time.monotonic() - started < 10, "waiting would take 0.5 s each"
        await asyncio.to_thread(server.start)
        await until_healthy(ledger)
        assert isinstance(await ledger.admit(hold("c")), Grant)
        assert registry.get_sample_value("omniroute_ledger_admissions_total", {"result": "unavailable"}) == 101


async def test_a_redis_that_hangs_is_noticed_and_what_it_did_meanwhile_is_undone(server: RedisServer) -> None:
    async with open_ledger(server.url) as (ledger, redis, _):
        await until_healthy(ledger)
        server.pause()
        started = time.monotonic()
        outcomes = await asyncio.gather(
            *(ledger.admit(hold(f"a{i}", budget=budget(100_000))) for i in range(20)), return_exceptions=True
        )
        assert time.monotonic() - started < 10
        assert all(isinstance(outcome, DependencyUnavailable) for outcome in outcomes)
        server.resume()  # it finds our admissions in its socket and takes them, now or after their release
        await until_healthy(ledger)
        assert await ledger.flush(2.0)
        await asyncio.sleep(0.2)
        assert await money(redis) == (0, 0, 0)
        assert isinstance(await ledger.admit(hold("b", budget=budget(100_000))), Grant)


async def test_settlements_wait_for_redis_and_are_applied_once(server: RedisServer) -> None:
    async with open_ledger(server.url) as (ledger, redis, registry):
        for i in range(200):
            await ledger.admit(hold(f"a{i}", budget=budget(10**9)))
        server.kill()
        waiting = [asyncio.create_task(ledger.settle(settlement(f"a{i}", i, events=(b"%d" % i,)))) for i in range(100)]
        await asyncio.sleep(0)
        for i in range(100, 200):
            ledger.settle_soon(settlement(f"a{i}", i, events=(b"%d" % i,)))
        await asyncio.sleep(2.2)
        assert not ledger.healthy
        assert registry.get_sample_value("omniroute_ledger_kept_operations") == 200
        waiting[0].cancel()  # its caller is gone, its settlement is not
        await asyncio.to_thread(server.start)
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await ledger.flush(5.0)
        assert await money(redis) == (sum(range(200)), 0, 0)
        events = await redis.lrange("quota:{omni}:outbox:router", 0, -1)
        assert events == [b"%d" % i for i in range(200)]
        assert registry.get_sample_value("omniroute_ledger_kept_operations") == 0


async def test_a_settlement_whose_answer_was_lost_is_applied_once(server: RedisServer) -> None:
    async with open_ledger(server.url) as (ledger, redis, _):
        await ledger.admit(hold("a", budget=budget(1000)))
        await ledger.admit(hold("b", budget=budget(1000)))
        server.pause()
        done = asyncio.create_task(ledger.settle(settlement("a", 40, events=(b"e",))))
        await asyncio.sleep(2.2)  # given up on that connection; Redis will still find it there
        server.resume()
        await done
        await asyncio.sleep(0.2)
        assert await money(redis) == (40, 100, 1)
        assert await redis.lrange("quota:{omni}:outbox:router", 0, -1) == [b"e"]


async def test_a_redis_that_is_not_there_at_the_start_may_come_later(server: RedisServer) -> None:
    server.stop()
    async with open_ledger(server.url) as (ledger, _, registry):
        assert not ledger.healthy
        with pytest.raises(DependencyUnavailable):
            await ledger.admit(hold("a"))
        await asyncio.to_thread(server.start)
        await until_healthy(ledger)
        assert isinstance(await ledger.admit(hold("b")), Grant)
        assert registry.get_sample_value("omniroute_ledger_up") == 1


async def test_a_full_redis_refuses_admissions_and_settles_when_there_is_room_again(server: RedisServer) -> None:
    async with open_ledger(server.url) as (ledger, redis, _):
        await ledger.admit(hold("a", budget=budget(1000)))
        await redis.config_set("maxmemory", 1)
        with pytest.raises(DependencyUnavailable):
            await ledger.admit(hold("b", budget=budget(1000)))
        done = asyncio.create_task(ledger.settle(settlement("a", 40, events=(b"e",))))
        await asyncio.sleep(0.5)
        assert not done.done()
        await redis.config_set("maxmemory", 0)
        await done
        assert await money(redis) == (40, 0, 0)


async def test_stopping_sends_what_is_queued(server: RedisServer) -> None:
    async with open_ledger(server.url) as (ledger, redis, _):
        await ledger.admit(hold("a", budget=budget(1000)))
        ledger.settle_soon(settlement("a", 40))
        await ledger.stop()
        assert await money(redis) == (40, 0, 0)
