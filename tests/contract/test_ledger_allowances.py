"""Allowances of shared limits: tokens, requests and attempts at once, in windows that roll and those of the
calendar."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from omni_catalogue.windows import Window, window_at
from omni_core.redis import open_redis
from omni_ledger import AllowanceHold, Grant, Janitor, Ledger, Level, Refusal, operations
from omni_ledger.script import ScriptConnection
from omniroute_proto.events.v1 import events_pb2
from redis.asyncio import Redis

from tests.support.ledger import (
    CLOCKED_LUA,
    START,
    allowance,
    budget,
    hold,
    level,
    open_ledger,
    open_stage,
    set_clock,
    settlement,
)
from tests.support.ledger_model import Model
from tests.support.ledger_step import step as step_in_python

TEAM, ALL = "limit:team", "limit:all"
HOLD = "quota:{omni}:hold:"
BORDERED = window_at("week", "Europe/Berlin", "2026-01-15T10:00", START / 1000)  # the clock runs past them
# What there is of it, by (owner, of, window).
LIMITS = {
    (TEAM, "tokens", "minute"): 900,
    (TEAM, "output", "day"): 4_000,
    (TEAM, "requests", "5h"): 60,
    (TEAM, "concurrent", ""): 4,
    (ALL, "tokens", "5h"): 6_000,
    (ALL, "input", "total"): 9_000,
    (ALL, "requests", "day"): 90,
    (ALL, "output", BORDERED): 2_000,
    (TEAM, "usd", "5h"): 5_500,
    (ALL, "usd", "minute"): 1_300,
}
# What of it tells of its percents, too.
TOLD: dict[tuple[str, str, Window], tuple[int, ...]] = {(TEAM, "usd", "5h"): (60, 100), (ALL, "requests", "day"): (90,)}
# What refuses nothing: how much, and the percents that are told.
SOFT = {
    (ALL, "usd", "day"): (3_000, (50, 100)),
    (TEAM, "requests", "minute"): (8, (80,)),
    (ALL, "tokens", "minute"): (500, (80, 100, 150)),
    (ALL, "output", "total"): (600, ()),
    (ALL, "concurrent", ""): (1, ()),
    (TEAM, "tokens", ("day", 7_200)): (2_000, (80,)),  # they begin with their first use
    (ALL, "requests", ("week", 50_000)): (20, (100,)),
}
PACES = (0, 5, 90, 700, 5_000, 61_000, 400_000, 9 * 3_600_000)


def levels(chance: random.Random, owners: list[str], counts: int, fixed: int, wanted: int) -> tuple[Level, ...]:
    return tuple(
        level(owner, None, 0, *(
            asked(of, window, counts, fixed, most if often(chance) else most // 2, TOLD.get((whose, of, window)))
            for (whose, of, window), most in LIMITS.items() if whose == owner
        ), *(
            allowance(of, most, window, counts if of == "requests" else fixed, int(of in ("output", "tokens")), warn)
            for (whose, of, window), (most, warn) in SOFT.items() if whose == owner
        ))
        for owner in owners
    )  # fmt: skip


def often(chance: random.Random) -> bool:
    return chance.random() < 0.95


def asked(of: str, window: Window, counts: int, fixed: int, most: int, warn: tuple[int, ...] | None) -> AllowanceHold:
    if of in ("requests", "concurrent"):
        return allowance(of, most, window, counts if of == "requests" else 0, 0, warn, refuses=True)
    return allowance(of, most, window, 0 if of == "output" else fixed, 0 if of == "input" else 1, warn, refuses=True)


def some_operation(chance: random.Random, number: int, names: dict[str, tuple[int, int]]) -> list[bytes]:
    attempt = chance.choice(list(names)[-9:]) if names and chance.random() < 0.95 else f"never heard of {number}"
    action = chance.choices(("admit", "settle", "renew", "keep", "reap"), (9, 7, 1, 1, 1))[0]
    if action == "admit":
        owners = [owner for owner in (TEAM, ALL) if chance.random() < 0.7]
        fixed, wanted = chance.choice((0, 10, 200)), chance.choice((0, 1, 30, 400))
        name = attempt if attempt in names and chance.random() < 0.05 else f"a{number}"
        names.setdefault(name, (fixed, wanted))
        money = budget(100_000, per_token=1) if chance.random() < 0.3 else None
        ttl, counts = chance.choice((1_000, 30_000)), int(chance.random() < 0.8)
        shared = levels(chance, owners, counts, fixed, wanted)
        return operations.admit(hold(name, levels=shared, wanted_output=wanted, budget=money, ttl_ms=ttl))
    if action == "settle":
        most_input, most_output = names.get(attempt, (5, 5))
        used = chance.randint(0, most_input), chance.randint(0, min(most_output, 1))
        return operations.settle(settlement(attempt, chance.randint(0, sum(used)), used=used, events=(b"settled",)))
    return {
        "renew": lambda: operations.renew(attempt, 30_000),
        "keep": lambda: operations.keep([attempt]),
        "reap": lambda: operations.reap(10_000),
    }[action]()


@pytest.mark.parametrize("seed", range(4))
async def test_allowances_in_lua_are_those_in_python_and_none_is_ever_passed(clean_redis: str, seed: int) -> None:
    chance, model, names = random.Random(seed), Model(), dict[str, tuple[int, int]]()
    model.now, seen = START, set[tuple[str, str]]()
    async with open_redis(clean_redis) as redis:
        script, janitor = ScriptConnection(redis, CLOCKED_LUA), Janitor(redis, script=CLOCKED_LUA)
        for number in range(0, 2_400, 3):
            model.now += chance.choices(PACES, (9, 9, 5, 9, 4, 1, 0.6, 0.2))[0]
            await set_clock(redis, model.now)
            batch = [some_operation(chance, number + one, names) for one in range(chance.randint(1, 3))]
            arguments = [argument for operation in batch for argument in operation]
            said = operations.results(await script.call(arguments))
            assert said == operations.results(step_in_python(model, arguments)), (number, batch)
            seen |= {(result[1], result[4]) for result in said if result and result[0] == "n"}
            if number % 12 == 0:
                standing = await janitor.look([], [], list(LIMITS))
                for (of_what, most), found in zip(LIMITS.items(), standing.allowances, strict=True):
                    assert (found.used, found.held, found.resets_at) == model.counts.standing(*of_what, model.now)
                    if of_what[1] != "concurrent":  # one that was taken for dead, and is renewed, counts again
                        assert found.used + found.held <= most, (number, of_what)
                soft = await janitor.look([], [], list(SOFT))
                for of_what, found in zip(SOFT, soft.allowances, strict=True):
                    assert (found.used, found.held, found.resets_at) == model.counts.standing(*of_what, model.now)
        await script.drop()
        await janitor.close()
        assert await redis.lrange("quota:{omni}:outbox:router", 0, -1) == model.outbox
    assert {("tokens_exhausted", "tokens"), ("rate_limited", "requests"), ("rate_limited", "concurrent")} <= seen
    assert {("budget_exhausted", "usd"), ("budget_held", "usd")} <= seen
    assert any(reason == "tokens_held" for reason, _ in seen)
    told = [events_pb2.Event.FromString(event).limit for event in model.outbox if event != b"settled"]
    assert {event.of for event in told} == {"usd", "requests", "tokens"}
    assert len({event.id for event in told}) == len(told) > 10
    assert all(event.used * 100 >= event.percent * event.most for event in told)


@pytest.mark.parametrize(("window", "span", "width"), [("minute", 60, 1), ("5h", 18_000, 300)])
async def test_in_no_time_as_long_as_a_window_that_rolls_more_is_let_through(
    clean_redis: str, window: str, span: int, width: int
) -> None:
    chance, let = random.Random(7), list[tuple[int, int]]()
    async with open_stage(clean_redis) as stage:
        for number in range(300):
            await stage.later(chance.choice((0, 0.3, span / 40, span / 9)))
            fixed = chance.choice((5, 40))
            shared = level(TEAM, None, 0, allowance("tokens", 100, window, fixed))
            answer = await stage.ledger.admit(hold(f"a{number}", levels=(shared,), wanted_output=0))
            if isinstance(answer, Grant):
                let.append((stage.now, fixed))
                await stage.ledger.settle(settlement(f"a{number}", used=(fixed, 0)))
            elif (
                answer.retry_after > width + 1 and chance.random() < 0.3
            ):  # the wait that is told is enough, and no longer than the bucket needs
                await stage.later(answer.retry_after - width - 0.001)
                early = hold(f"b{number}", levels=(shared,), wanted_output=0)
                assert isinstance(await stage.ledger.admit(early), Refusal)
                await stage.later(width + 0.001)
                let.append((stage.now, fixed))
                assert isinstance(await stage.ledger.admit(hold(f"c{number}", levels=(shared,))), Grant)
                await stage.ledger.settle(settlement(f"c{number}", used=(fixed, 0)))
    assert len(let) > 40
    for start, _ in let:
        assert sum(amount for at, amount in let if start <= at < start + span * 1000) <= 100
    most = max(sum(amount for at, amount in let if start <= at < start + span * 1000) for start, _ in let)
    assert most > 90, "it is used"


async def test_output_is_clamped_to_what_the_least_of_all_leaves_and_settles_to_what_it_was(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        team = level(TEAM, None, 0, allowance("tokens", 100, "day", 30, 1), allowance("output", 500, "week", 0, 1))
        everybody = level(ALL, None, 0, allowance("output", 45, "5h", 0, 2))
        asked = hold("a", budget=budget(60), levels=(team, everybody))
        assert await stage.ledger.admit(asked) == Grant(22, 22, False)
        assert await standing(stage.janitor) == [(0, 52), (0, 22), (0, 44)]
        assert await stage.ledger.admit(asked) == Grant(22, 22, False), "asked again, it is the same"
        refused = await stage.ledger.admit(hold("b", levels=(everybody,)))
        assert refused == Refusal("tokens_held", 1.0, "", "output", level=ALL)
        await stage.ledger.settle(settlement("a", 9, used=(11, 7)))
        assert await standing(stage.janitor) == [(18, 0), (7, 0), (7, 0)]


async def standing(janitor: Janitor) -> list[tuple[int, int]]:
    found = await janitor.look([], [], [(TEAM, "tokens", "day"), (TEAM, "output", "week"), (ALL, "output", "5h")])
    return [(one.used, one.held) for one in found.allowances]


async def test_what_is_given_back_takes_no_tokens_and_stays_a_request(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        shared = level(TEAM, None, 0, allowance("tokens", 100, "day", 30, 1), allowance("requests", 2, "total", 1))
        for name in ("a", "b"):
            assert isinstance(await stage.ledger.admit(hold(name, levels=(shared,), wanted_output=10)), Grant)
            stage.ledger.release_soon(name, ("acme/first",))
            assert await stage.ledger.flush(5.0)
        refused = await stage.ledger.admit(hold("c", levels=(shared,)))
        assert refused == Refusal("rate_limited", 0.0, "", "requests", level=TEAM), "for ever"
        found = await stage.janitor.look([], [], [(TEAM, "tokens", "day"), (TEAM, "requests", "total")])
        assert [(one.used, one.held, one.resets_at) for one in found.allowances][1] == (2, 0, 0)
        assert (found.allowances[0].used, found.allowances[0].held) == (0, 0)


async def test_a_window_is_that_of_its_borders_by_redis_clock_whoever_computed_them(clean_redis: str) -> None:
    """START is 2030-03-17, a Sunday, 17:46:40 UTC: 14 minutes before midnight in Dhaka minus so many hours of the
    zone."""
    zone, day = "Asia/Kathmandu", 86_400
    async with open_stage(clean_redis) as stage:
        for skew in (-20 * 3600, 0, 20 * 3600):  # of the clocks of those who ask
            window = window_at("day", zone, "", stage.now / 1000 + skew)
            name = f"a{skew}"
            shared = level(TEAM, None, 0, allowance("tokens", 100, window, 0, 1))
            answer = await stage.ledger.admit(
                hold(name, levels=(shared,), wanted_output=30, budget=budget(90, window=window))
            )
            assert answer == Grant(30, 30, False)
            await stage.ledger.settle(settlement(name, 30, used=(0, 30)))
        window = window_at("day", zone, "", stage.now / 1000)
        rest = await stage.ledger.admit(hold("full", levels=(shared,), wanted_output=30, key_id="other"))
        assert rest == Grant(10, 0, False)
        await stage.ledger.settle(settlement("full", used=(0, 10)))
        refused = await stage.ledger.admit(hold("none", levels=(shared,), key_id="other"))
        assert isinstance(refused, Refusal)
        assert round(stage.now / 1000 + refused.retry_after) == window[3]
        (found,) = (await stage.janitor.look([], [], [(TEAM, "tokens", window)])).allowances
        assert (found.used, found.resets_at) == (100, window[3])
        assert (found.resets_at + 5.75 * 3600) % day == 0, "midnight there"
        await stage.later(refused.retry_after - 0.001)
        assert isinstance(await stage.ledger.admit(hold("early", levels=(shared,), key_id="other")), Refusal)
        await stage.later(0.001)
        assert await stage.ledger.admit(hold("next", levels=(shared,), key_id="other")) == Grant(100, 0, False)


async def test_a_limit_at_once_is_kept_over_routers_and_by_those_that_die_until_their_reservation_ends(
    clean_redis: str,
) -> None:
    async with open_stage(clean_redis) as stage:
        shared = (level(TEAM, None, 0, allowance("concurrent", 2)),)
        for name, ttl in (("dead", 5_000), ("long", 5_000)):
            assert isinstance(await stage.ledger.admit(hold(name, levels=shared, ttl_ms=ttl)), Grant)
        await stage.later(4)
        assert await stage.ledger.admit(hold("c", levels=shared)) == Refusal(
            "rate_limited", 1.0, "", "concurrent", level=TEAM
        )
        assert await stage.ledger.renew("long", 5_000)
        await stage.later(2)
        answer = await stage.ledger.admit(hold("d", levels=shared, ttl_ms=600_000))
        assert isinstance(answer, Grant), "one has died"
        assert answer.in_lanes, "who has it says so"
        assert isinstance(await stage.ledger.admit(hold("e", levels=shared)), Refusal)
        assert (await stage.janitor.reap()).reservations == 1
        await stage.ledger.settle(settlement("long"))
        assert isinstance(await stage.ledger.admit(hold("f", levels=shared, ttl_ms=600_000)), Grant)
        await stage.later(50)
        stage.ledger.keep_soon(("d",))
        assert await stage.ledger.flush(5.0)
        await stage.later(50)
        found = await stage.janitor.look([], [], [(TEAM, "concurrent", "")])
        assert found.allowances[0].held == 1, "of f nobody has said for a minute that it goes on"


async def test_a_reaped_attempt_is_counted_whole_until_the_truth_comes(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        team = level(TEAM, None, 0, allowance("tokens", 100, "day", 30, 1), allowance("output", 500, "week", 0, 1))
        everybody = level(ALL, None, 0, allowance("output", 90, "5h", 0, 1))
        await stage.ledger.admit(hold("a", levels=(team, everybody), ttl_ms=1_000, abort_events=(b"\n\0",)))
        await stage.later(2)
        assert (await stage.janitor.reap()).reservations == 1
        assert await standing(stage.janitor) == [(100, 0), (70, 0), (70, 0)]
        assert await stage.outbox() == [b"\n\0"]
        await stage.ledger.settle(settlement("a", used=(3, 4)))
        assert await standing(stage.janitor) == [(7, 0), (4, 0), (4, 0)]


async def test_a_soft_limit_refuses_nothing_and_tells_each_percentage_once_a_window(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        soft = level(
            TEAM, None, 0, allowance("tokens", 100, "day", 0, 1, (80, 100)), allowance("tokens", 9, "week", 0, 1, ())
        )
        for number in range(5):
            assert await stage.ledger.admit(hold(f"a{number}", levels=(soft,))) == Grant(100, 0, False)
            await stage.ledger.settle(settlement(f"a{number}", used=(0, 60)))
        await stage.later(86_400)
        assert isinstance(await stage.ledger.admit(hold("b", levels=(soft,), ttl_ms=1_000)), Grant)
        await stage.later(2)
        assert (await stage.janitor.reap()).reservations == 1
        told = [events_pb2.Event.FromString(event).limit for event in await stage.outbox()]
        assert [(one.percent, one.used, one.of, one.most) for one in told] == [
            *((80, 120, "tokens", 100), (100, 120, "tokens", 100)),
            *((80, 100, "tokens", 100), (100, 100, "tokens", 100)),
        ]
        assert len({one.id for one in told}) == 4
        assert told[-1].at_ms == stage.now


async def test_in_a_window_that_rolls_a_percentage_is_told_again_when_it_has_passed(clean_redis: str) -> None:
    async with open_stage(clean_redis) as stage:
        soft = level(TEAM, None, 0, allowance("requests", 10, "minute", 1, 0, (50,)))
        told = []
        for number in range(40):
            assert isinstance(await stage.ledger.admit(hold(f"a{number}", levels=(soft,))), Grant)
            told.append(len(await stage.outbox()))
            await stage.later(4)
        assert told[:5] == [0, 0, 0, 0, 1]
        assert told[-1] == 3, "in 160 s"


async def test_what_a_hold_keeps_of_allowances_is_an_event_of_no_kind_to_an_older_script(clean_redis: str) -> None:
    async with open_ledger(clean_redis) as (ledger, redis, _):
        plain = level(TEAM, None, 9)
        counted = level(TEAM, None, 0, allowance("tokens", 500, "day", 1, 1))
        await ledger.admit(hold("plain", levels=(plain,), abort_events=(b"\n\0",)))
        await ledger.admit(hold("counted", levels=(counted,), abort_events=(b"\n\0",)))
        assert (await unpacked(redis, "plain"))[9:] == [b"\n\0"], "as ever"
        elements = await unpacked(redis, "counted")
        assert elements[10:] == [b"\n\0"]
        assert events_pb2.Event.FromString(elements[9]).WhichOneof("event") is None


async def unpacked(redis: Redis, attempt: str) -> list[Any]:
    script = "return cmsgpack.unpack(redis.call('GET', KEYS[1]))"
    found: list[Any] = await redis.eval(script, 1, HOLD + attempt)  # type: ignore[misc]
    return found


async def test_two_keys_of_three_routers_use_tokens_exactly(clean_redis: str) -> None:
    cap = 60_000
    async with AsyncExitStack() as stack:
        fleet: list[Ledger] = [(await stack.enter_async_context(open_ledger(clean_redis)))[0] for _ in range(3)]

        async def client(number: int) -> int:
            used = 0
            for turn in range(400):
                name, ledger = f"{number}-{turn}", fleet[number % 3]
                shared = level(TEAM, None, 0, allowance("tokens", cap, "month", 30, 1))
                answer = await ledger.admit(hold(name, key_id=f"key-{number % 2}", wanted_output=700, levels=(shared,)))
                if isinstance(answer, Refusal):
                    if answer.reason == "tokens_exhausted":
                        break
                    await asyncio.sleep(0.001)
                    continue
                output = answer.granted_output // 2
                used += 30 + output
                await ledger.settle(settlement(name, used=(30, output)))
            return used

        used = sum(await asyncio.gather(*map(client, range(12))))
        janitor = Janitor((await stack.enter_async_context(open_ledger(clean_redis)))[1])
        (found,) = (await janitor.look([], [], [(TEAM, "tokens", "month")])).allowances
        await janitor.close()
    assert found.used == used <= cap
    assert cap - used <= 30
    assert found.held == 0


def test_an_allowance_of_something_unknown_is_refused() -> None:
    for wrong in (
        allowance("pages", 5, "day"),
        allowance("tokens", 5, "fortnight"),
        allowance("tokens", -1, "day"),
        msgspec.structs.replace(allowance("usd", 5, "day"), refuses=False),
    ):
        with pytest.raises(ValueError, match=r"unknown|negative|percents"):
            operations.admit(hold("a", levels=(level(TEAM, None, 0, wrong),)))


def test_what_has_no_allowances_is_packed_as_ever() -> None:
    head = msgspec.msgpack.decode(operations.admit(hold("a", levels=(level(TEAM, None, 5),)))[0])
    assert head[15] == [[TEAM, 5, 0]]
    assert len(msgspec.msgpack.decode(operations.settle(settlement("a"))[0])) == 9
