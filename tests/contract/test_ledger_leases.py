"""Slices of limits: a key that is asked for often is admitted in memory, and no limit is passed or left unused by
it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from omni_catalogue.lanes import Lane
from omni_catalogue.snapshot import RateLimit
from omni_core.redis import open_redis
from omni_ledger import Evidence, Grant, Janitor, LaneNews, Passage, Refusal, Retrying, operations
from omni_ledger.operations import Pot
from omni_ledger.script import STEP_LUA, ScriptConnection
from omni_wire.errors import Internal

from tests.support.leasing import Leaser, events_of, given_back, leaser, told
from tests.support.ledger import POLICY, allowance, budget, hold, level, settlement, until

RICH = budget(10**9)
NOTHING = (0, 0, 0, 0, 0)


@pytest_asyncio.fixture
async def fleet(clean_redis: str, tmp_path: Path) -> AsyncIterator[list[Leaser]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(leaser(clean_redis, f"r{i}", tmp_path)) for i in range(3)]


@pytest_asyncio.fixture
async def one(clean_redis: str, tmp_path: Path) -> AsyncIterator[Leaser]:
    async with leaser(clean_redis, "r0", tmp_path) as made:
        yield made


async def money(of: Leaser, owner: str = "key", window: str = "month") -> tuple[int, int]:
    """Spent and held."""
    janitor = Janitor(of.redis)
    (standing,) = (await janitor.look([(owner, window)], [])).keys
    await janitor.close()
    return standing.spent_nano_usd, standing.held_nano_usd


async def warmed(of: Leaser, prefix: str = "w", **changes: Any) -> None:
    """Asks for as many as it takes until a slice pays; all are settled to nothing."""
    for i in range(100):
        before = of.leased
        answer = await of.ledger.admit(hold(f"{prefix}{i}", **changes))
        assert isinstance(answer, Grant), answer
        of.ledger.settle_soon(settlement(f"{prefix}{i}", evidence=()))
        if of.leased > before:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no slice")


async def test_a_key_that_is_asked_for_often_is_admitted_and_settled_in_memory(one: Leaser) -> None:
    await warmed(one, budget=RICH, breaker=POLICY)
    steps = one.metric("step_operations_total")
    for i in range(10):
        assert await one.ledger.admit(hold(f"a{i}", budget=RICH, breaker=POLICY)) == Grant(100, 100, False)
        one.ledger.settle_soon(settlement(f"a{i}", 40, evidence=(), events=(told(f"a{i}", 40),)))
    assert one.metric("step_operations_total") == steps
    assert await one.ledger.flush(5.0)
    assert await money(one) == (400, 0)
    assert [event.attempt.id for event in await events_of(one.redis, "r0")] == [f"a{i}" for i in range(10)]
    assert await one.redis.zcard("quota:{omni}:leases") == 0


async def test_a_key_that_is_asked_for_now_and_then_has_no_slice(clean_redis: str, tmp_path: Path) -> None:
    async with leaser(clean_redis, "r0", tmp_path, hot=8) as router:
        for i in range(7):
            await router.ledger.admit(hold(f"a{i}", budget=RICH))
        assert router.metric("slices") == 0
        await router.ledger.admit(hold("b", budget=RICH))
        await until(lambda: router.metric("slices") == 1)


async def test_settle_returns_when_redis_has_it_and_asking_again_gives_the_same_grant(one: Leaser) -> None:
    await warmed(one, budget=RICH)
    grant = await one.ledger.admit(hold("a", budget=RICH))
    assert await one.ledger.admit(hold("a", budget=RICH)) == grant
    assert await one.ledger.renew("a", 60_000)
    await one.ledger.settle(settlement("a", 70, evidence=()))
    assert (await money(one))[0] == 70
    assert not await one.ledger.renew("a", 60_000)


async def test_what_is_not_made_is_given_back(one: Leaser) -> None:
    await warmed(one, budget=RICH)
    await one.ledger.admit(hold("a", budget=RICH))
    one.ledger.release_soon("a", ("acme/first",))
    assert await one.ledger.flush(5.0)
    assert await money(one) == (0, 0)


async def test_a_budget_is_used_to_the_last_nano_by_a_fleet_and_not_passed(fleet: list[Leaser]) -> None:
    cap, cost = 400_000, 999

    async def client(number: int) -> int:
        router, spent, turn = fleet[number % 3].ledger, 0, 0
        while True:
            turn += 1
            name = f"{number}-{turn}"
            answer = await router.admit(hold(name, wanted_output=699, budget=budget(cap, fixed=300)))
            if isinstance(answer, Refusal):
                if answer.reason == "budget_exhausted":
                    return spent
                await asyncio.sleep(0.01)
                continue
            actual = min(cost, answer.reserved_nano_usd)
            spent += actual
            await asyncio.sleep(0.001)
            router.settle_soon(settlement(name, actual, evidence=()))

    spent = sum(await asyncio.gather(*map(client, range(24))))
    for router in fleet:
        assert await router.ledger.flush(5.0)
    assert await money(fleet[0]) == (spent, 0)
    assert spent <= cap
    assert cap - spent <= 300  # less than one more request's input and a token
    assert sum(router.leased for router in fleet) > 100


async def test_requests_per_minute_are_used_exactly_by_a_fleet(fleet: list[Leaser]) -> None:
    async def client(number: int) -> int:
        admitted = 0
        for i in range(40):
            answer = await fleet[number % 3].ledger.admit(hold(f"{number}-{i}", requests_per_minute=600))
            if isinstance(answer, Grant):
                admitted += 1
                fleet[number % 3].ledger.settle_soon(settlement(f"{number}-{i}", evidence=()))
            else:
                assert answer.reason == "rate_limited"
            await asyncio.sleep(0)
        return admitted

    assert sum(await asyncio.gather(*map(client, range(24)))) == 600
    assert sum(router.leased for router in fleet) > 100


async def test_who_is_refused_for_what_another_holds_gets_it(fleet: list[Leaser]) -> None:
    holder, other = fleet[0], fleet[1]
    await warmed(holder, wanted_output=10, budget=budget(2_000))
    await until(lambda: holder.metric("slices") == 1)
    spent, held = await money(holder)
    assert spent == 0
    assert held > 100
    answer = await other.ledger.admit(hold("all", wanted_output=1, budget=budget(2_000, fixed=1_999)))
    assert isinstance(answer, Grant), "the slice came back while it waited"
    refused = await holder.ledger.admit(hold("none", wanted_output=10, budget=budget(2_000)))
    assert isinstance(refused, Refusal)
    assert refused.reason == "budget_held"
    assert not await holder.redis.zcard("quota:{omni}:leases")


async def test_a_slice_that_nobody_uses_goes_back(one: Leaser) -> None:
    await warmed(one, budget=RICH)
    assert (await money(one))[1] > 0
    await until(lambda: one.metric("slices") == 0, 5.0)
    assert await money(one) == (0, 0)


@pytest.mark.parametrize(
    "asks",
    [
        {"early": True},
        {"retrying": Retrying(again=False, percent=20, least=10)},
        {"levels": (level("limit:c", None, 0, allowance("concurrent", 100)),)},
        {"passage": Passage(lanes=(Lane("acme/first m", RateLimit(requests_per_minute=1000)),), tokens=1)},
    ],
    ids=["an early probe", "a budget of retries", "attempts at once", "a lane"],
)
async def test_what_must_be_exact_for_the_fleet_is_asked_of_redis(one: Leaser, asks: dict[str, Any]) -> None:
    for i in range(30):
        assert isinstance(await one.ledger.admit(hold(f"a{i}", budget=RICH, breaker=POLICY, **asks)), Grant)
        await asyncio.sleep(0.005)
    assert one.leased == 0


async def test_a_lane_of_which_something_is_learned_is_asked_again(one: Leaser) -> None:
    passage = Passage(lanes=(Lane("acme/first m"),), tokens=1)
    asked: dict[str, Any] = {"budget": RICH, "breaker": POLICY, "passage": passage}
    await warmed(one, **asked)
    assert isinstance(await one.ledger.admit(hold("a", **asked)), Grant)
    news = LaneNews(lane="acme/first m", requests_per_minute=2)
    one.ledger.settle_soon(settlement("a", 5, evidence=(), breaker=POLICY, news=news))
    leased = one.leased
    answers = [await one.ledger.admit(hold(f"b{i}", **asked)) for i in range(3)]
    assert one.leased == leased
    assert [isinstance(answer, Grant) for answer in answers] == [True, True, False]


async def test_bad_news_of_a_circuit_counts_at_once(one: Leaser) -> None:
    asked: dict[str, Any] = {"budget": RICH, "breaker": POLICY, "circuits": ("acme/first m",)}
    for turn in range(POLICY.failures):
        await warmed(one, f"w{turn}-", **asked)
        assert isinstance(await one.ledger.admit(hold(f"a{turn}", **asked)), Grant)
        failed = (Evidence("acme/first", "failure", "failing"),)
        one.ledger.settle_soon(settlement(f"a{turn}", 5, evidence=failed, breaker=POLICY))
        if turn == 0:  # one failure is known of it from now on: nothing is admitted without asking
            break
    leased = one.leased
    for turn in range(1, POLICY.failures):
        assert isinstance(await one.ledger.admit(hold(f"a{turn}", **asked)), Grant)
        one.ledger.settle_soon(settlement(f"a{turn}", 5, evidence=failed, breaker=POLICY))
    refused = await one.ledger.admit(hold("b", **asked))
    assert isinstance(refused, Refusal)
    assert refused.reason == "breaker_open"
    assert one.leased == leased


async def test_another_routers_bad_news_is_known_within_a_moment(fleet: list[Leaser]) -> None:
    asked: dict[str, Any] = {"budget": RICH, "breaker": POLICY}
    await warmed(fleet[0], **asked)
    cool = (Evidence("acme/first", "cool", "rate_limit", 60.0),)
    await fleet[1].ledger.settle(settlement("", evidence=cool, breaker=POLICY))
    async with asyncio.timeout(20):
        for number in count():
            if isinstance(await fleet[0].ledger.admit(hold(f"a{number}", **asked)), Refusal):
                break
            await asyncio.sleep(0.01)


async def test_soft_limits_count_and_warn_and_hard_ones_hold_on_every_level(one: Leaser) -> None:
    soft = allowance("requests", 10, "day", fixed=1, warn=(50,)), allowance("usd", 1000, "day", per_token=1, warn=(80,))
    tokens = allowance("tokens", 40_000, "5h", per_token=1), allowance("output", 40_000, "minute", per_token=1)
    hard = level("limit:hard", budget(50_000, window="day"), 1000, *tokens)
    levels = level("limit:soft", None, 0, *soft), hard
    asked: dict[str, Any] = {"levels": levels, "wanted_output": 100}
    await warmed(one, **asked)
    for i in range(20):
        assert isinstance(await one.ledger.admit(hold(f"a{i}", **asked)), Grant)
        one.ledger.settle_soon(settlement(f"a{i}", 50, used=(0, 60), evidence=(), events=(told(f"a{i}", 50),)))
    assert await one.ledger.flush(5.0)
    assert one.leased > 10
    janitor = Janitor(one.redis)
    shown = await janitor.look(
        [("limit:hard", "day")],
        [],
        [("limit:hard", "tokens", "5h"), ("limit:hard", "output", "minute"), ("limit:soft", "usd", "day")],
    )
    await janitor.close()
    assert (shown.keys[0].spent_nano_usd, shown.keys[0].held_nano_usd) == (1000, 0)
    assert [(each.used, each.held) for each in shown.allowances] == [(1200, 0), (1200, 0), (1000, 0)]
    warned = [event.limit for event in await events_of(one.redis, "r0") if event.HasField("limit")]
    warned += [event.limit for event in await events_of(one.redis, "router") if event.HasField("limit")]
    assert sorted((each.of, each.percent) for each in warned) == [("requests", 50), ("usd", 80)]


async def test_a_limit_that_is_lowered_holds_at_once(one: Leaser) -> None:
    await warmed(one, budget=RICH)
    answers = [await one.ledger.admit(hold(f"a{i}", wanted_output=100, budget=budget(150))) for i in range(5)]
    granted = sum(answer.reserved_nano_usd for answer in answers if isinstance(answer, Grant))
    assert 0 < granted <= 150, "what the old slice had was given back first"


async def test_an_overrun_is_charged_in_full_and_counted(one: Leaser) -> None:
    await warmed(one, budget=RICH)
    await one.ledger.admit(hold("a", budget=RICH))
    one.ledger.settle_soon(settlement("a", 170, evidence=()))
    assert await one.ledger.flush(5.0)
    assert await money(one) == (170, 0)
    assert one.metric("overruns_total") == 1


async def test_a_key_without_limits_is_leased_too(one: Leaser) -> None:
    await warmed(one, breaker=POLICY)
    assert await one.ledger.admit(hold("a", breaker=POLICY)) == Grant(100, 0, False)
    one.ledger.settle_soon(settlement("a", 0, evidence=(), events=(told("a"),)))
    assert await one.ledger.flush(5.0)
    assert [event.attempt.id for event in await events_of(one.redis, "r0")] == ["a"]


async def test_a_hold_that_no_caller_should_make_is_told_so(one: Leaser) -> None:
    for _ in range(3):
        with pytest.raises(ValueError, match="negative"):
            await one.ledger.admit(hold("a", wanted_output=-5, budget=RICH))


async def test_a_word_that_is_said_again_changes_nothing_and_is_answered_as_it_was(clean_redis: str) -> None:
    client = open_redis(clean_redis)
    connection = ScriptConnection(client, STEP_LUA)
    asked = operations.pots(
        [Pot("budget", "key", 1000, "month"), Pot("rpm", "key", 100), Pot("tokens", "l", 500, "minute")]
    )
    name = ("slice", "r0", "key")

    async def say(seq: int, **fields: Any) -> list[Any]:
        given = {"moved": (NOTHING, NOTHING, NOTHING), "wanted": NOTHING, "least": NOTHING, "asked": asked} | fields
        operation = operations.lease(name, seq, 60_000, **given)
        first, second = [operations.results(await connection.call(operation))[0] for _ in range(2)]
        assert first[0] == second[0]
        assert first[1] == second[1]
        return first  # type: ignore[no-any-return]

    async def state() -> dict[str, Any]:
        (window,) = await client.keys("quota:{omni}:budget:*")
        return {"money": await client.hgetall(window), "outbox": await client.llen("quota:{omni}:outbox:r0")}

    try:
        opened = await say(1, wanted=(10, 0, 0, 40, 200), least=(1, 0, 0, 1, 1), deposit=b"\n\x00")
        assert opened[1] == [10, 0, 0, 40, 200]
        assert (await state())["money"][b"h"] == b"200"
        await say(2, moved=((2, 0, 0, 8, 60), (2, 0, 0, 5, 33), (0, 0, 0, 0, 40)), events=(b"e1", b"e2"))
        after = await state()
        assert (after["money"][b"h"], after["money"][b"s"], after["outbox"]) == (b"100", b"33", 2)
        await say(3, moved=((1, 0, 0, 0, 10), (1, 0, 0, 0, 10), NOTHING), closes=True, events=(b"e3",))
        closed = await state()
        assert (closed["money"][b"h"], closed["money"][b"s"], closed["outbox"]) == (b"0", b"43", 3)
        await say(2, moved=((2, 0, 0, 8, 60), (2, 0, 0, 5, 33), NOTHING), events=(b"e1", b"e2"))
        assert await state() == closed
        assert (await client.lrange("quota:{omni}:rpm:key", -1, -1))[0].split()[1] == b"3"
    finally:
        await connection.drop()
        await client.aclose()


async def test_a_slice_of_requests_counts_until_its_end_and_what_is_left_of_it_comes_back(one: Leaser) -> None:
    await warmed(one, requests_per_minute=1000)
    for i in range(10):
        await one.ledger.admit(hold(f"a{i}", requests_per_minute=1000))
        one.ledger.settle_soon(settlement(f"a{i}", evidence=()))

    async def counted() -> int:
        janitor = Janitor(one.redis)
        (standing,) = (await janitor.look([("key", "")], [])).keys
        await janitor.close()
        return standing.requests_in_window

    asked = len([name async for name in one.redis.scan_iter("quota:{omni}:hold:*")]) + int(one.leased)
    assert await counted() > asked, "the slice counts as a whole"
    assert await one.ledger.flush(5.0)
    assert await counted() == asked


async def test_an_attempt_that_is_closed_is_not_admitted_again_by_redis(one: Leaser) -> None:
    await one.ledger.admit(hold("direct", requests_per_minute=0, early=True))
    await one.ledger.settle(settlement("direct", evidence=()))
    with pytest.raises(Internal):
        await one.ledger.admit(hold("direct", early=True))


async def test_what_a_broken_journal_cannot_take_is_admitted_by_redis(one: Leaser) -> None:
    await warmed(one, budget=RICH)
    journal = one.ledger._journal
    assert journal is not None
    journal._broke(OSError(28, "No space left on device"))
    leased = one.leased
    for i in range(20):
        assert isinstance(await one.ledger.admit(hold(f"b{i}", budget=RICH)), Grant)
        await one.ledger.settle(settlement(f"b{i}", 1, evidence=()))
    assert one.leased == leased
    assert one.metric("journal_failures_total") == 1
    await given_back(one.ledger)
    assert await money(one) == (20, 0)


async def test_who_only_asks_what_would_be_recalls_no_slice(fleet: list[Leaser]) -> None:
    holder, asker = fleet[0], fleet[1]
    tight = budget(4_000)
    await warmed(holder, wanted_output=10, budget=tight)
    refused = await asker.ledger.dry().admit(hold("dry", wanted_output=4_000, budget=budget(4_000, is_whole=True)))
    assert isinstance(refused, Refusal)
    assert await holder.redis.keys("quota:{omni}:recall:*") == []
    refused = await asker.ledger.admit(hold("real", wanted_output=4_000, budget=budget(4_000, is_whole=True)))
    assert await holder.redis.keys("quota:{omni}:recall:*") or isinstance(refused, Grant)
