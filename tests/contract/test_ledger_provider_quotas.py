"""Providers' quotas in the ledger: windows that begin with their first use, what was told of them, who asks, and whose
breaker that opens."""

import pytest
from omni_core.redis import open_redis
from omni_ledger import Counts, Grant, Level, Pick, Quotas, Refusal, Told
from omni_ledger.script import STEP_LUA

from tests.support.ledger import CLOCKED_LUA, POLICY, START, Stage, allowance, hold, open_stage, settlement

ACCOUNT, OWNER = "acme/first", "account:acme/first"
FIVE = ("5h", 18_000)
TOKENS = Counts(OWNER, "tokens", FIVE)
HOUR = 3_600.0


def mine(amount: int = 1, of: str = "tokens", window: object = FIVE) -> Level:
    return Level(owner=OWNER, allowances=(allowance(of, 0, window, amount, warn=()),))  # type: ignore[arg-type]


async def use(stage: Stage, name: str, tokens: int) -> None:
    assert isinstance(await stage.ledger.admit(hold(name, levels=(mine(),))), Grant)
    await stage.ledger.settle(settlement(name, used=(tokens, 0)))


def told(used: int = 4_000, ends_in: float = HOUR, **changes: object) -> Told:
    fields = {"name": "5h", "of": "percent", "used": used, "total": 10_000, "ends_in": ends_in, "counts": TOKENS}
    return Told(**(fields | changes))  # type: ignore[arg-type]


async def quotas(stage: Stage) -> Quotas:
    return Quotas(stage.redis, script=CLOCKED_LUA)


async def test_a_window_begins_with_its_first_use_and_another_with_the_first_after_its_end(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)

        async def counted() -> tuple[int, int, int]:
            _, (found,) = await book.look([(ACCOUNT, [TOKENS])])
            return found.counts[0]

        assert await counted() == (0, 0, 0), "nobody used it, so it has no end"
        await use(stage, "a", 70)
        begun = START // 1000
        assert await counted() == (70, 0, begun + 18_000)
        await stage.later(4 * HOUR)
        await use(stage, "b", 30)
        assert await counted() == (100, 0, begun + 18_000)
        await stage.later(HOUR)
        assert await counted() == (0, 0, 0), "it is over, and nobody has used the next"
        await stage.later(HOUR)
        await use(stage, "c", 5)
        assert await counted() == (5, 0, begun + 6 * 3_600 + 18_000)
        await book.close()


async def test_what_is_settled_late_counts_in_the_window_it_was_asked_for_in(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        slow = hold("slow", levels=(mine(),), ttl_ms=7 * 3_600_000)
        assert isinstance(await stage.ledger.admit(slow), Grant)
        await stage.later(5 * HOUR + 1)
        await use(stage, "next", 3)
        await stage.ledger.settle(settlement("slow", used=(500, 0)))
        _, (found,) = await book.look([(ACCOUNT, [TOKENS])])
        assert found.counts[0][0] == 3
        await book.close()


async def test_a_window_of_a_clock_that_was_put_back_is_begun_anew(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        await use(stage, "a", 70)
        await stage.later(-2 * HOUR)
        _, (found,) = await book.look([(ACCOUNT, [TOKENS])])
        assert found.counts[0] == (0, 0, 0)
        await use(stage, "b", 5)
        _, (found,) = await book.look([(ACCOUNT, [TOKENS])])
        assert found.counts[0] == (5, 0, START // 1000 - 7_200 + 18_000)
        await book.close()


async def test_what_is_told_is_kept_with_what_was_counted_then_and_puts_the_window_where_its_provider_has_it(
    clean_redis: str,
) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        await use(stage, "a", 70)
        stage.ledger.told_soon(ACCOUNT, [told()])
        assert await stage.ledger.flush(5.0)
        now, (found,) = await book.look([(ACCOUNT, [TOKENS])])
        (window,) = found.windows
        assert (window.used, window.total, window.how, window.at_ms) == (4_000, 10_000, "header", now)
        assert window.ends_ms == now + 3_600_000
        # By its provider the window has an hour left: it began four hours ago, and counts from now on.
        assert window.counted == 0
        assert found.counts[0] == (0, 0, now // 1000 + 3_600)
        await use(stage, "b", 25)
        _, (found,) = await book.look([(ACCOUNT, [TOKENS])])
        assert (found.counts[0][0], found.windows[0].counted) == (25, 0)
        stage.ledger.told_soon(ACCOUNT, [told(5_000)])
        assert await stage.ledger.flush(5.0)
        _, (found,) = await book.look([(ACCOUNT, [TOKENS])])
        assert (found.windows[0].used, found.windows[0].counted) == (5_000, 25), "the same window is not moved"
        await book.close()


async def test_one_at_a_time_asks_and_who_lost_its_turn_changes_nothing(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        one, other = await quotas(stage), await quotas(stage)
        first = await one.claim(ACCOUNT, 20.0)
        assert first.fence > 0
        refused = await other.claim(ACCOUNT, 20.0)
        assert (refused.fence, refused.wait) == (0, 20.0)
        assert (await other.claim("acme/second", 20.0)).fence > 0, "another account's is another turn"
        await stage.later(21)  # the first one hangs
        second = await other.claim(ACCOUNT, 20.0)
        assert second.fence > first.fence
        assert not await one.fetched(ACCOUNT, first, 300, "old", "", [told(9_999)])
        assert not await one.failed(ACCOUNT, first, 300, "too late")
        assert await other.fetched(ACCOUNT, second, 300, "pro", "", [told(1)])
        assert not await other.fetched(ACCOUNT, second, 300, "pro", "", [told(2)]), "once a turn"
        _, (found,) = await one.look([(ACCOUNT, [])])
        assert (found.plan, found.windows[0].used, found.failures) == ("pro", 1, 0)
        await one.close()
        await other.close()


async def test_it_is_due_when_its_last_asker_said_and_sooner_only_for_who_was_asked(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        turn = await book.claim(ACCOUNT, 20.0)
        assert await book.fetched(ACCOUNT, turn, 300, "pro", "", [])
        await stage.later(5)
        assert (await book.claim(ACCOUNT, 20.0)).wait == 295.0
        assert (await book.claim(ACCOUNT, 20.0, gap=10.0)).wait == 5.0, "asked for by hand, but only just asked"
        await stage.later(5)
        forced = await book.claim(ACCOUNT, 20.0, gap=10.0)
        assert forced.fence > turn.fence
        assert await book.failed(ACCOUNT, forced, 600, "HTTP 500")
        await stage.later(600)
        again = await book.claim(ACCOUNT, 20.0)
        assert again.failures == 1
        _, (found,) = await book.look([(ACCOUNT, [])])
        assert (found.plan, found.failures, found.reason) == ("pro", 1, "HTTP 500"), "what was known stays"
        await book.close()


@pytest.mark.parametrize("back", [10 * HOUR, 40 * 24 * HOUR])
async def test_a_clock_that_was_put_back_keeps_nobody_from_asking_for_more_than_a_day(
    clean_redis: str, back: float
) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        turn = await book.claim(ACCOUNT, 20.0)
        assert await book.fetched(ACCOUNT, turn, 300, "", "", [told()])
        await stage.later(-back)
        assert (await book.claim(ACCOUNT, 20.0, gap=10.0)).fence > 0, "by hand at once"
        turn = await book.claim(ACCOUNT, 20.0)
        await stage.later(24 * HOUR)
        assert (await book.claim(ACCOUNT, 20.0)).fence > 0
        await book.close()


async def test_a_header_that_came_while_it_was_fetched_is_newer_than_what_was_fetched(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        turn = await book.claim(ACCOUNT, 20.0)
        await stage.later(1)
        stage.ledger.told_soon(ACCOUNT, [told(7_000), told(10, name="month")])
        assert await stage.ledger.flush(5.0)
        await stage.later(1)
        week = told(300, name="week", counts=None)
        assert await book.fetched(ACCOUNT, turn, 300, "pro", "", [told(6_000), week])
        _, (found,) = await book.look([(ACCOUNT, [])])
        assert {each.name: (each.used, each.how) for each in found.windows} == {
            "5h": (7_000, "header"), "week": (300, "fetched"), "month": (10, "header"),
        }  # fmt: skip
        await stage.later(300)
        turn = await book.claim(ACCOUNT, 20.0)
        assert await book.fetched(ACCOUNT, turn, 300, "pro", "", [told(6_500)])
        _, (found,) = await book.look([(ACCOUNT, [])])
        assert {each.name: each.used for each in found.windows} == {"5h": 6_500, "month": 10}, "week is told no more"
        await book.close()


async def test_an_account_that_is_used_up_is_left_alone_until_then_or_until_it_is_not(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        assert await book.cut([(ACCOUNT, HOUR)]) == 1
        refused = await stage.ledger.admit(hold("a", breaker=POLICY))
        assert refused == Refusal("breaker_open", HOUR, ACCOUNT, "quota", True)
        await stage.later(600)
        assert await book.cut([(ACCOUNT, HOUR - 600)]) == 0, "the same again changes nothing"
        assert await book.cut([(ACCOUNT, 2 * HOUR)]) == 1, "longer than was thought"
        assert await book.cut([(ACCOUNT, 0.0)]) == 1, "it has some again"
        assert isinstance(await stage.ledger.admit(hold("b", breaker=POLICY)), Grant)
        assert await book.cut([(ACCOUNT, HOUR)]) == 1
        await stage.later(HOUR + 1)
        probe = await stage.ledger.admit(hold("c", breaker=POLICY))
        assert isinstance(probe, Grant)
        assert probe.probe, "when its time is up it is tried by itself"
        await book.close()


async def test_one_that_nobody_names_any_more_is_left_alone_no_longer(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        assert await book.cut([(ACCOUNT, HOUR), ("acme/other", HOUR)]) == 2
        assert await book.cut([("acme/other", HOUR)]) == 1
        assert isinstance(await stage.ledger.admit(hold("a", breaker=POLICY)), Grant)
        assert await book.cut([]) == 1
        assert isinstance(await stage.ledger.admit(hold("b", account_id="acme/other", breaker=POLICY)), Grant)
        await book.close()


async def test_what_others_opened_is_let_be(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        cool = settlement("", outcome="cool", cause="quota", told=2 * HOUR, circuit=ACCOUNT, breaker=POLICY)
        await stage.ledger.settle(cool)
        assert await book.cut([(ACCOUNT, HOUR)]) == 0
        assert await book.cut([(ACCOUNT, 0.0)]) == 0
        assert isinstance(await stage.ledger.admit(hold("a", breaker=POLICY)), Refusal)
        await book.close()


async def test_what_no_version_of_ours_wrote_is_told_as_redis_fault(clean_redis: str) -> None:
    async with open_redis(clean_redis) as redis:
        book = Quotas(redis, script=STEP_LUA)
        await redis.set("quota:{omni}:told:acme/first", b"\x93\xa1a\xa1b\x00")
        with pytest.raises(Exception, match="ledger") as raised:
            await book.look([(ACCOUNT, [])])
        assert type(raised.value).__name__ in ("DependencyUnavailable", "Internal")
        await book.close()


async def test_of_what_has_no_end_it_is_kept_what_was_used_of_it_by_the_day(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)

        async def days(used: int) -> list[tuple[int, int]]:
            stage.ledger.told_soon(ACCOUNT, [told(used, 0.0, name="once", of="credits", counts=None)])
            await stage.ledger.flush(5.0)
            _, (found,) = await book.look([(ACCOUNT, [])])
            return [((at - START) // 3_600_000, much) for at, much in found.windows[0].days]

        assert await days(100) == [(0, 100)]
        await stage.later(HOUR)
        assert await days(150) == [(0, 100)]
        await stage.later(24 * HOUR)
        assert await days(300) == [(0, 100), (25, 300)]
        assert await days(20) == [(25, 20)], "somebody has paid in"
        for _ in range(9):
            await stage.later(24 * HOUR)
            await days(500)
        assert len(await days(500)) == 7
        await book.close()


async def test_who_chooses_hears_what_is_left_until_nobody_looks_any_more(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        book = await quotas(stage)
        wanted = Pick(left=("acme/first", "acme/first big", "acme/second"))
        assert (await stage.ledger.pick(wanted)).left == {}
        await book.left({"acme/first": 0.25, "acme/first big": 0.0})
        assert (await stage.ledger.pick(wanted)).left == {"acme/first": 0.25, "acme/first big": 0.0}
        assert (await stage.ledger.dry().pick(wanted)).left == {"acme/first": 0.25, "acme/first big": 0.0}
        await book.left({"acme/second": 1.0})
        assert (await stage.ledger.pick(wanted)).left == {"acme/second": 1.0}
        assert 0 < await stage.redis.pttl("quota:{omni}:left") <= 60_000
        await book.close()
