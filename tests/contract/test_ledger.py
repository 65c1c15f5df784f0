"""The ledger on a real Redis: what is admitted, refused, charged and emitted."""

import asyncio
import datetime
import math
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from omni_core.redis import open_redis
from omni_ledger import Grant, Janitor, Pick, Reaped, Refusal
from omni_ledger.script import STEP_LUA
from omni_wire.errors import Internal

from tests.support.ledger import (
    CLOCKED_LUA,
    POLICY,
    START,
    Stage,
    budget,
    hold,
    open_ledger,
    open_stage,
    set_clock,
    settlement,
)


@pytest_asyncio.fixture
async def stage(clean_redis: str) -> AsyncIterator[Stage]:
    async with open_stage(clean_redis) as found:
        yield found


# ---- rate limit -----------------------------------------------------------------------------------------------------


async def test_the_limit_is_used_to_the_last_request_and_then_says_when_a_slot_frees(stage: Stage) -> None:
    for i in range(3):
        assert isinstance(await stage.ledger.admit(hold(f"a{i}", requests_per_minute=3)), Grant)
        await stage.later(10)
    refused = await stage.ledger.admit(hold("a3", requests_per_minute=3))
    assert refused == Refusal("rate_limited", 30.1)
    await stage.later(30.0)
    assert await stage.ledger.admit(hold("a4", requests_per_minute=3)) == Refusal("rate_limited", 0.1)
    await stage.later(0.1)
    assert isinstance(await stage.ledger.admit(hold("a5", requests_per_minute=3)), Grant)


async def test_a_refused_request_does_not_count(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", requests_per_minute=1))
    for i in range(5):
        await stage.later(10)
        assert isinstance(await stage.ledger.admit(hold(f"r{i}", requests_per_minute=1)), Refusal)
    await stage.later(10.1)
    assert isinstance(await stage.ledger.admit(hold("b", requests_per_minute=1)), Grant)


async def test_further_attempts_of_a_counted_request_need_no_slot(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", requests_per_minute=1))
    again = await stage.ledger.admit(hold("b", requests_per_minute=1, count_request=False))
    assert isinstance(again, Grant)
    (key,) = (await stage.janitor.look([("key", "")], [])).keys
    assert key.requests_in_window == 1


async def test_a_lowered_limit_waits_until_enough_requests_left_the_window(stage: Stage) -> None:
    for i in range(5):
        await stage.ledger.admit(hold(f"a{i}", requests_per_minute=5))
        await stage.later(10)
    assert await stage.ledger.admit(hold("b", requests_per_minute=2)) == Refusal("rate_limited", 40.1)


async def test_a_refusal_for_want_of_budget_does_not_count_as_a_request(stage: Stage) -> None:
    poor = hold("a", requests_per_minute=1, budget=budget(5, fixed=10))
    refused = await stage.ledger.admit(poor)
    assert isinstance(refused, Refusal)
    assert refused.reason == "budget_exhausted"
    assert isinstance(await stage.ledger.admit(hold("b", requests_per_minute=1)), Grant)


async def test_no_minute_ever_holds_more_than_the_limit(stage: Stage) -> None:
    admitted: list[int] = []
    for i in range(1500):
        await stage.at(stage.now + (i * 7919) % 400)
        if isinstance(await stage.ledger.admit(hold(f"a{i}", requests_per_minute=40)), Grant):
            admitted.append(stage.now)
    assert len(admitted) > 150
    for first, beyond in zip(admitted, admitted[40:], strict=False):
        assert beyond - first >= 60_000


# ---- budget ---------------------------------------------------------------------------------------------------------


async def test_output_is_clamped_to_what_the_budget_affords(stage: Stage) -> None:
    grant = await stage.ledger.admit(hold("a", wanted_output=1000, budget=budget(1050, fixed=50, per_token=10)))
    assert grant == Grant(100, 1050, False)
    assert await stage.money() == (0, 1050)


async def test_a_budget_held_by_requests_in_flight_is_not_an_exhausted_one(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", wanted_output=90, budget=budget(100)))
    assert await stage.ledger.admit(hold("b", wanted_output=90, budget=budget(100))) == Grant(10, 10, False)
    assert await stage.ledger.admit(hold("c", budget=budget(100))) == Refusal("budget_held", 1.0)
    await stage.ledger.settle(settlement("a", 90))
    await stage.ledger.settle(settlement("b", 10))
    refused = await stage.ledger.admit(hold("d", budget=budget(100)))
    month_end = datetime.datetime(2030, 4, 1, tzinfo=datetime.UTC).timestamp()
    assert refused == Refusal("budget_exhausted", month_end - START / 1000)
    total = await stage.ledger.admit(hold("e", budget=budget(100, fixed=101, window="total")))
    assert total == Refusal("budget_exhausted", 0.0)


async def test_what_was_not_used_is_given_back(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", budget=budget(1000, fixed=100, per_token=9)))
    assert await stage.money() == (0, 1000)
    await stage.ledger.settle(settlement("a", 123))
    assert await stage.money() == (123, 0)


async def test_a_request_without_output_needs_only_its_input(stage: Stage) -> None:
    assert await stage.ledger.admit(hold("a", wanted_output=0, budget=budget(50, fixed=50))) == Grant(0, 50, False)
    refused = await stage.ledger.admit(hold("b", wanted_output=0, budget=budget(50, fixed=1)))
    assert refused == Refusal("budget_held", 1.0)


async def test_free_output_is_not_clamped_and_a_free_model_needs_no_budget(stage: Stage) -> None:
    assert await stage.ledger.admit(hold("a", budget=budget(5, fixed=5, per_token=0))) == Grant(100, 5, False)
    await stage.ledger.settle(settlement("a", 50))
    assert await stage.ledger.admit(hold("b", budget=budget(5, fixed=0, per_token=0))) == Grant(100, 0, False)


async def test_a_cost_above_the_reservation_is_charged_in_full_and_counted(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", wanted_output=10, budget=budget(1000)))
    await stage.ledger.settle(settlement("a", 2500))
    assert await stage.money() == (2500, 0)
    assert stage.metric("overruns_total") == 1
    refused = await stage.ledger.admit(hold("b", budget=budget(1000)))
    assert isinstance(refused, Refusal)
    assert refused.reason == "budget_exhausted"


async def test_amounts_near_two_to_the_53_stay_exact(stage: Stage) -> None:
    cap = 2**53 - 1
    grant = await stage.ledger.admit(hold("a", wanted_output=1, budget=budget(cap, fixed=cap - 10, per_token=7)))
    assert grant == Grant(1, cap - 3, False)
    await stage.ledger.settle(settlement("a", cap - 4))
    assert await stage.money() == (cap - 4, 0)
    assert await stage.ledger.admit(hold("b", wanted_output=9, budget=budget(cap))) == Grant(4, 4, False)


@pytest.mark.parametrize("window", ["day", "week", "month"])
async def test_a_settlement_belongs_to_the_window_its_reservation_was_taken_in(stage: Stage, window: str) -> None:
    await stage.ledger.admit(hold("a", budget=budget(100, window=window)))
    (key,) = (await stage.janitor.look([("key", window)], [])).keys
    await stage.at(key.resets_at * 1000 - 1)
    assert await stage.money(window) == (0, 100)
    await stage.at(key.resets_at * 1000)
    assert await stage.money(window) == (0, 0)
    assert await stage.ledger.admit(hold("b", budget=budget(100, window=window))) == Grant(100, 100, False)
    await stage.ledger.settle(settlement("a", 77))
    assert await stage.money(window) == (0, 100)
    await stage.at(key.resets_at * 1000 - 1)
    assert await stage.money(window) == (77, 0)


async def test_a_budget_says_since_when_all_is_in_it_and_when_nobody_knows(stage: Stage) -> None:
    async def since() -> int:
        (standing,) = (await stage.janitor.look([("key", "month")], [])).keys
        return standing.since_ms

    assert await since() == 0
    await stage.ledger.admit(hold("a", budget=budget(1000)))
    begun = stage.now
    await stage.later(10)
    await stage.ledger.admit(hold("b", budget=budget(1000)))
    await stage.ledger.settle(settlement("a", 30))
    assert await since() == begun
    (key,) = [key async for key in stage.redis.scan_iter("quota:{omni}:budget:key:month:*")]
    await stage.redis.delete(key)
    assert await since() == 0
    await stage.ledger.settle(settlement("b", 30))
    assert await since() == -1, "what was spent before is not in it"
    assert await stage.money() == (30, 0)


async def test_events_wait_in_all_outboxes_until_they_are_taken(stage: Stage) -> None:
    assert await stage.janitor.waiting() == 0
    for name, router in (("a", "one"), ("b", "two"), ("c", "two")):
        await stage.ledger.admit(hold(name, router_id=router))
        await stage.ledger.settle(settlement(name, events=(b"attempt", b"request"), router_id=router))
    assert await stage.janitor.waiting() == 6
    await stage.redis.delete("quota:{omni}:outbox:two")
    assert await stage.janitor.waiting() == 2


async def test_windows_are_those_of_the_calendar_in_utc(clean_redis: str) -> None:
    script = CLOCKED_LUA.split("local results, cursor")[0] + "local s, e = bounds(ARGV[1], now_s) return {s, e}"
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    async with open_redis(clean_redis) as redis:
        ask = redis.register_script(script)
        for days in [*range(60), *range(10_900, 12_600), *range(20_000, 21_600), *range(47_400, 47_600, 3)]:
            moment = epoch + datetime.timedelta(days=days, seconds=days * 7919 % 86400)
            await set_clock(redis, int(moment.timestamp()) * 1000)
            today = moment.replace(hour=0, minute=0, second=0)
            monday = today - datetime.timedelta(days=today.weekday())
            first = today.replace(day=1)
            following = (first + datetime.timedelta(days=32)).replace(day=1)
            for window, start, end in (
                ("day", today, today + datetime.timedelta(days=1)),
                ("week", monday, monday + datetime.timedelta(days=7)),
                ("month", first, following),
            ):
                if start >= epoch:
                    found = await ask(args=[window])
                    assert found == [start.timestamp(), end.timestamp()], (window, moment)
        assert await ask(args=["total"]) == [0, 0]


# ---- naming and idempotence -----------------------------------------------------------------------------------------


async def test_asking_again_gives_the_same_grant_and_takes_nothing_more(stage: Stage) -> None:
    asked = hold("a", requests_per_minute=10, budget=budget(1000), breaker=POLICY)
    first = await stage.ledger.admit(asked)
    assert await stage.ledger.admit(asked) == first == Grant(100, 100, False)
    standing = await stage.janitor.look([("key", "month")], [])
    assert standing.open_reservations == 1
    assert (standing.keys[0].requests_in_window, standing.keys[0].held_nano_usd) == (1, 100)


async def test_settling_again_changes_nothing_and_emits_nothing(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", budget=budget(1000)))
    done = settlement("a", 40, events=(b"attempt", b"\xff\x00request"))
    await stage.ledger.settle(done)
    await stage.ledger.settle(done)
    assert await stage.money() == (40, 0)
    assert await stage.outbox() == [b"attempt", b"\xff\x00request"]
    assert stage.metric("settlements_total", result="again") == 1


async def test_a_closed_attempt_is_not_admitted_again(stage: Stage) -> None:
    await stage.ledger.admit(hold("a"))
    await stage.ledger.settle(settlement("a"))
    with pytest.raises(Internal):
        await stage.ledger.admit(hold("a"))


async def test_an_attempt_given_back_before_its_admission_arrived_stays_closed(stage: Stage) -> None:
    # As after a call that was given up: the release may overtake the admission, which waits in an old socket.
    await stage.ledger.settle(settlement("a"))
    with pytest.raises(Internal):
        await stage.ledger.admit(hold("a", budget=budget(1000)))
    assert await stage.money() == (0, 0)
    assert stage.metric("settlements_total", result="unknown") == 1


async def test_events_without_a_reservation_are_emitted(stage: Stage) -> None:
    await stage.ledger.settle(settlement("", events=(b"request",)))
    assert await stage.outbox() == [b"request"]


async def test_a_cancelled_caller_leaves_no_reservation(stage: Stage) -> None:
    answered: list[str] = []

    async def ask(attempt: str) -> None:
        await stage.ledger.admit(hold(attempt, budget=budget(10_000)))
        answered.append(attempt)

    for turns in range(12):  # cancelled before it is sent, while it is under way, and as the answer comes
        task = asyncio.create_task(ask(f"a{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await stage.ledger.flush(2.0)
    assert len(answered) < 12
    assert await stage.money() == (0, 100 * len(answered))


async def test_settlements_queued_in_passing_arrive_in_order(stage: Stage) -> None:
    for i in range(200):
        stage.ledger.settle_soon(settlement("", events=(b"%d" % i,)))
    assert await stage.ledger.flush(2.0)
    assert await stage.outbox() == [b"%d" % i for i in range(200)]


# ---- reaping --------------------------------------------------------------------------------------------------------


async def test_an_unsettled_reservation_is_charged_in_full_and_its_events_are_emitted_once(stage: Stage) -> None:
    asked = hold("a", budget=budget(1000), ttl_ms=5000, abort_events=(b"attempt aborted", b"request failed"))
    await stage.ledger.admit(asked)
    assert await stage.janitor.reap() == Reaped(0, 0)
    await stage.later(5)
    assert await stage.janitor.reap() == Reaped(1, 100)
    assert await stage.janitor.reap() == Reaped(0, 0)
    assert await stage.money() == (100, 0)
    assert await stage.outbox() == [b"attempt aborted", b"request failed"]
    assert (await stage.janitor.look([], [])).open_reservations == 0


async def test_a_late_settlement_corrects_what_the_reaper_charged(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", budget=budget(1000), ttl_ms=5000, abort_events=(b"aborted",)))
    await stage.later(6)
    await stage.janitor.reap()
    assert not await stage.ledger.renew("a", 5000)
    await stage.ledger.settle(settlement("a", 30, events=(b"true",)))
    await stage.ledger.settle(settlement("a", 30, events=(b"true",)))
    assert await stage.money() == (30, 0)
    assert await stage.outbox() == [b"aborted", b"true"]
    assert stage.metric("settlements_total", result="late") == 1


async def test_the_event_of_an_attempt_that_was_not_made_is_told_only_where_the_reaper_has_told_of_it(
    stage: Stage,
) -> None:
    for name in ("in time", "late"):
        await stage.ledger.admit(hold(name, budget=budget(1000), ttl_ms=5000, abort_events=(b"aborted",)))
    await stage.ledger.settle(settlement("in time", events=(b"failed 1",), if_reaped=b"for nothing"))
    await stage.later(6)
    await stage.janitor.reap()
    for _ in range(2):
        await stage.ledger.settle(settlement("late", events=(b"failed 2",), if_reaped=b"for nothing"))
    assert await stage.money() == (0, 0)
    assert await stage.outbox() == [b"failed 1", b"aborted", b"failed 2", b"for nothing"]


async def test_a_renewed_reservation_is_not_reaped(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", budget=budget(1000), ttl_ms=5000))
    await stage.later(4)
    assert await stage.ledger.renew("a", 5000)
    await stage.later(4)
    assert await stage.janitor.reap() == Reaped(0, 0)
    await stage.later(1)
    assert await stage.janitor.reap() == Reaped(1, 100)


async def test_several_janitors_reap_each_reservation_once(stage: Stage, clean_redis: str) -> None:
    for i in range(250):
        await stage.ledger.admit(hold(f"a{i}", budget=budget(10**6), ttl_ms=1000, abort_events=(b"%d" % i,)))
    await stage.later(2)
    others = [Janitor(stage.redis, script=CLOCKED_LUA) for _ in range(3)]
    reaped = await asyncio.gather(*(janitor.reap(20) for janitor in others * 10))
    assert sum(found.reservations for found in reaped) == 250
    assert await stage.money() == (25_000, 0)
    assert sorted(await stage.outbox(), key=int) == [b"%d" % i for i in range(250)]
    await asyncio.gather(*(janitor.close() for janitor in others))


# ---- breaker --------------------------------------------------------------------------------------------------------


def suspected(wait: float) -> Refusal:
    return Refusal("breaker_open", wait, "acme/first", "failing")


async def fail(stage: Stage, attempt: str, outcome: str = "failure") -> None:
    await stage.ledger.admit(hold(attempt, breaker=POLICY))
    await stage.ledger.settle(settlement(attempt, outcome=outcome, breaker=POLICY))


async def test_enough_failures_within_the_window_open_the_breaker(stage: Stage) -> None:
    await fail(stage, "a1")
    await stage.later(59)
    await fail(stage, "a2")
    await stage.later(1)  # the first is out of the window
    await fail(stage, "a3")
    await fail(stage, "ok", "success")  # a success does not wipe out what the window holds
    assert isinstance(await stage.ledger.admit(hold("b", breaker=POLICY)), Grant)
    await stage.ledger.settle(settlement("b", outcome="failure", breaker=POLICY))
    assert await stage.ledger.admit(hold("c", breaker=POLICY)) == suspected(30.0)
    assert isinstance(await stage.ledger.admit(hold("d", breaker=POLICY, account_id="acme/second")), Grant)
    assert isinstance(await stage.ledger.admit(hold("e")), Grant)  # switched off: not asked


async def test_one_probe_decides_for_the_whole_fleet(stage: Stage) -> None:
    for i in range(3):
        await fail(stage, f"a{i}")
    await stage.later(30)
    answers = await asyncio.gather(*(stage.ledger.admit(hold(f"p{i}", breaker=POLICY)) for i in range(20)))
    probes = [i for i, answer in enumerate(answers) if isinstance(answer, Grant)]
    assert len(probes) == 1
    assert answers[probes[0]] == Grant(100, 0, True)
    assert {answer.reason for answer in answers if isinstance(answer, Refusal)} == {"breaker_open"}
    probe = f"p{probes[0]}"
    assert await stage.ledger.admit(hold(probe, breaker=POLICY)) == Grant(100, 0, True)
    await stage.ledger.settle(settlement(probe, outcome="success", breaker=POLICY))
    assert await stage.ledger.admit(hold("b", breaker=POLICY)) == Grant(100, 0, False)


async def test_a_failed_probe_opens_it_again_for_longer_each_time_up_to_a_bound(stage: Stage) -> None:
    for i in range(3):
        await fail(stage, f"a{i}")
    for i, seconds in enumerate([30, 60, 120, 240, 240]):
        refused = await stage.ledger.admit(hold(f"r{i}", breaker=POLICY))
        assert refused == suspected(float(seconds))
        await stage.later(seconds)
        await fail(stage, f"p{i}")


async def test_a_probe_that_says_nothing_about_the_account_leaves_the_place_to_another(stage: Stage) -> None:
    for i in range(3):
        await fail(stage, f"a{i}")
    await stage.later(30)
    assert await stage.ledger.admit(hold("p1", breaker=POLICY)) == Grant(100, 0, True)
    await stage.ledger.settle(settlement("p1", outcome="neutral", breaker=POLICY))
    assert await stage.ledger.admit(hold("p2", breaker=POLICY)) == Grant(100, 0, True)


async def test_a_prober_that_died_keeps_others_out_no_longer_than_its_lease(stage: Stage) -> None:
    for i in range(3):
        await fail(stage, f"a{i}")
    await stage.later(30)
    await stage.ledger.admit(hold("dead", breaker=POLICY, ttl_ms=600_000))
    await stage.later(59.5)
    assert await stage.ledger.admit(hold("b", breaker=POLICY)) == suspected(0.5)
    await stage.later(0.5)
    assert await stage.ledger.admit(hold("c", breaker=POLICY)) == Grant(100, 0, True)


async def test_attempts_from_before_it_opened_do_not_move_an_open_breaker(stage: Stage) -> None:
    for name in ("slow1", "slow2"):
        await stage.ledger.admit(hold(name, breaker=POLICY))
    for i in range(3):
        await fail(stage, f"a{i}")
    await stage.ledger.settle(settlement("slow1", outcome="success", breaker=POLICY))
    await stage.later(10)
    await stage.ledger.settle(settlement("slow2", outcome="failure", breaker=POLICY))
    assert await stage.ledger.admit(hold("b", breaker=POLICY)) == suspected(20.0)


async def test_a_breaker_is_closed_by_hand(stage: Stage) -> None:
    for i in range(3):
        await fail(stage, f"a{i}")
    assert (await stage.janitor.look([], ["acme/first", "other"])).breakers[0].state == "open"
    await stage.later(30)
    assert (await stage.janitor.look([], ["acme/first"])).breakers[0].state == "half_open"
    await stage.janitor.reset("acme/first")
    (breaker,) = (await stage.janitor.look([], ["acme/first"])).breakers
    assert (breaker.state, breaker.failures, breaker.retry_after) == ("closed", 0, 0.0)
    assert isinstance(await stage.ledger.admit(hold("b", breaker=POLICY)), Grant)


# ---- Redis ----------------------------------------------------------------------------------------------------------


async def test_every_key_ends_by_itself_unless_it_must_not(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, redis, _):
        for window in ("day", "week", "month", "total"):
            asked = hold(window, requests_per_minute=5, budget=budget(1000, window=window), breaker=POLICY)
            await ledger.admit(asked)
            await ledger.settle(settlement(window, 5, events=(b"e",)))
        await ledger.settle(settlement("", outcome="failure", breaker=POLICY))
        await ledger.admit(hold("open"))
        forever = {key.decode() async for key in redis.scan_iter() if await redis.ttl(key) == -1}
        assert forever == {
            "quota:{omni}:budget:key:total:0",
            "quota:{omni}:hold:open",
            "quota:{omni}:holds",
            "quota:{omni}:outbox:router",
            "quota:{omni}:outboxes",
        }


async def test_all_keys_carry_one_hash_tag_and_an_owned_prefix(stage: Stage) -> None:
    await stage.ledger.admit(hold("a", requests_per_minute=5, budget=budget(1000), breaker=POLICY))
    await stage.ledger.settle(settlement("a", 1, outcome="failure", breaker=POLICY, events=(b"e",)))
    await stage.ledger.pick(Pick(cursor="c", uses="c", members=("x",)))
    async for key in stage.redis.scan_iter():
        assert key.startswith((b"quota:{omni}:", b"circuit:{omni}:", b"choice:{omni}:", b"test:{omni}:")), key


async def test_redis_forgetting_its_scripts_goes_unnoticed(stage: Stage) -> None:
    for i in range(5):
        await stage.redis.script_flush()
        assert isinstance(await stage.ledger.admit(hold(f"a{i}", budget=budget(1000, per_token=0, fixed=1))), Grant)
        await stage.redis.script_flush()
        await stage.janitor.look([], [])
    assert await stage.money() == (0, 5)


async def test_one_key_of_the_wrong_type_fails_its_own_operations_only(stage: Stage) -> None:
    await stage.redis.set("quota:{omni}:rpm:broken", "not a list")
    bad = stage.ledger.admit(hold("a", key_id="broken", requests_per_minute=5))
    good = stage.ledger.admit(hold("b", requests_per_minute=5))
    outcomes = await asyncio.gather(bad, good, return_exceptions=True)
    assert isinstance(outcomes[0], Internal)
    assert isinstance(outcomes[1], Grant)


async def test_the_clock_is_redis_own(clean_redis: str) -> None:
    assert "redis.call('TIME')" in STEP_LUA
    async with open_ledger(clean_redis) as (ledger, redis, _):
        await ledger.admit(hold("a", requests_per_minute=1))
        refused = await ledger.admit(hold("b", requests_per_minute=1))
        assert isinstance(refused, Refusal)
        assert math.isclose(refused.retry_after, 60, abs_tol=1.0)
        seconds, micros = await redis.time()
        score = await redis.zscore("quota:{omni}:holds", "a")
        assert score is not None
        assert abs(score - 60_000 - seconds * 1000 - micros / 1000) < 1000
