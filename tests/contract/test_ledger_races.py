"""Many clients of several ledgers at once, by Redis' own clock: limits are used to the last unit and never beyond."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio
from omni_ledger import Grant, Janitor, Ledger, Refusal

from tests.support.ledger import POLICY, budget, hold, open_ledger, settlement

CLIENTS = 64


@pytest_asyncio.fixture
async def fleet(clean_redis: str) -> AsyncIterator[list[Ledger]]:
    """Three router processes' worth of ledgers."""
    async with AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(open_ledger(clean_redis)))[0] for _ in range(3)]


async def test_a_rate_limit_is_used_exactly(fleet: list[Ledger]) -> None:
    async def client(number: int) -> int:
        admitted = 0
        for i in range(10):
            name = f"{number}-{i}"
            answer = await fleet[number % 3].admit(hold(name, requests_per_minute=300))
            if isinstance(answer, Grant):
                admitted += 1
                await fleet[number % 3].settle(settlement(name))
            else:
                assert answer.reason == "rate_limited"
                assert 0 < answer.retry_after <= 60.1
        return admitted

    assert sum(await asyncio.gather(*map(client, range(CLIENTS)))) == 300


async def test_a_budget_is_spent_to_the_last_nano_and_not_one_more(fleet: list[Ledger], clean_redis: str) -> None:
    cap, cost = 1_000_000, 999

    async def client(number: int) -> tuple[int, int]:
        spent = held_off = 0
        for i in range(1000):
            name = f"{number}-{i}"
            asked = hold(name, wanted_output=700, budget=budget(cap, fixed=300, per_token=1))
            answer = await fleet[number % 3].admit(asked)
            if isinstance(answer, Refusal):
                if answer.reason == "budget_exhausted":
                    break
                held_off += 1
                await asyncio.sleep(0.001)
                continue
            actual = min(cost, answer.reserved_nano_usd)
            spent += actual
            await fleet[number % 3].settle(settlement(name, actual))
        return spent, held_off

    outcomes = await asyncio.gather(*map(client, range(CLIENTS)))
    async with open_ledger(clean_redis) as (_, redis, _registry):
        janitor = Janitor(redis)
        standing = await janitor.look([("key", "month")], [])
        await janitor.close()
    total = sum(spent for spent, _ in outcomes)
    assert standing.keys[0].spent_nano_usd == total <= cap
    assert cap - total <= 300  # less than one more request's input and a token
    assert standing.keys[0].held_nano_usd == 0
    assert standing.open_reservations == 0


async def test_one_probe_for_three_routers(fleet: list[Ledger]) -> None:
    policy = type(POLICY)(failures=1, window=60, open_for=1)
    await fleet[0].settle(settlement("", outcome="failure", breaker=policy))
    refused = await fleet[1].admit(hold("early", breaker=policy))
    assert isinstance(refused, Refusal)
    await asyncio.sleep(refused.retry_after)
    answers = await asyncio.gather(*(fleet[i % 3].admit(hold(f"p{i}", breaker=policy)) for i in range(60)))
    assert sum(isinstance(answer, Grant) and answer.probe for answer in answers) == 1
    assert sum(isinstance(answer, Grant) for answer in answers) == 1


async def test_the_same_attempt_asked_from_everywhere_is_one_reservation(fleet: list[Ledger], clean_redis: str) -> None:
    asked = hold("same", requests_per_minute=5, budget=budget(10_000))
    answers = await asyncio.gather(*(fleet[i % 3].admit(asked) for i in range(30)))
    assert set(answers) == {Grant(100, 100, False)}
    done = settlement("same", 60, events=(b"once",))
    await asyncio.gather(*(fleet[i % 3].settle(done) for i in range(30)))
    async with open_ledger(clean_redis) as (_, redis, _registry):
        janitor = Janitor(redis)
        (key,) = (await janitor.look([("key", "month")], [])).keys
        await janitor.close()
        assert (key.requests_in_window, key.spent_nano_usd, key.held_nano_usd) == (1, 60, 0)
        assert await redis.lrange("quota:{omni}:outbox:router", 0, -1) == [b"once"]
