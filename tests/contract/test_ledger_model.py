"""Thousands of random operations on a real Redis: the scripts agree with a plain model, and money never leaks."""

import random

import msgspec
import pytest
from omni_catalogue.snapshot import BreakerPolicy
from omni_core.redis import open_redis
from omni_ledger import Evidence, Grant, Janitor, Pick, Refusal, operations
from omni_ledger.script import ScriptConnection
from omni_wire.errors import Internal

from tests.support.ledger import CLOCKED_LUA, budget, hold, level, open_ledger, set_clock, settlement
from tests.support.ledger_model import Model
from tests.support.ledger_step import step as step_in_python

START = 1_900_000_000_000  # milliseconds; not in the past, because the keys' own expiry is by real time
KEYS = {"daily": ("day", 4_000, 12), "monthly": ("month", 9_000, 40), "once": ("total", 200_000, 7)}
# What some of them share: window, cap (0: none) and requests per minute (0: no limit).
SHARED = {"limit:team": ("day", 5_000, 15), "limit:all": ("month", 150_000, 0), "limit:user": ("", 0, 5)}
ACCOUNTS = ("acme/first", "acme/second")
# What is told is less than the clock's longest leap, so that what was open is asked again.
POLICY = BreakerPolicy(failures=3, window=40, open_for=20, refused_for=5, refused_longest=40, told_longest=90)
EVIDENCE = (
    *(("success", ""), ("failure", "failing"), ("neutral", "")),
    *(("cool", cause) for cause in ("rate_limit", "quota", "refused", "failing")),
)
HOW_OFTEN = (9, 9, 3, 2, 1, 1, 1)
PACES = (0, 5, 90, 100, 101, 700, 5_000, 61_000, 9 * 3_600_000)
STEPS = 1_200


@pytest.mark.parametrize("seed", range(4))
async def test_the_scripts_agree_with_the_model_and_no_cap_is_ever_passed(clean_redis: str, seed: int) -> None:
    chance, model = random.Random(seed), Model()
    model.now = START
    async with open_redis(clean_redis) as client:
        await set_clock(client, START)
    async with open_ledger(clean_redis, script=CLOCKED_LUA) as (ledger, redis, _):
        janitor = Janitor(redis, script=CLOCKED_LUA)
        names: list[str] = []
        refusing: set[tuple[str, str]] = set()
        for step in range(STEPS):
            if chance.random() < 0.5:
                model.now += chance.choices(PACES, (9, 9, 5, 5, 5, 9, 4, 1, 0.3))[0]
                await set_clock(redis, model.now)
            action = chance.choices(("admit", "settle", "renew", "reap"), (10, 8, 1, 1))[0]
            attempt = chance.choice(names[-12:]) if names and (action != "admit" or chance.random() < 0.05) else ""
            if action == "admit":
                key = chance.choice(list(KEYS))
                window, cap, rate = KEYS[key]
                cost = {"fixed": chance.choice((0, 3, 40)), "per_token": chance.choice((0, 1, 7))}
                shared = [name for name in SHARED if chance.random() < 0.5]
                asked = hold(
                    attempt or f"a{step}",
                    key_id=key,
                    account_id=chance.choice(ACCOUNTS),
                    circuits=tuple(chance.sample(("m1", "m2", "target"), chance.randint(0, 2))),
                    secret=chance.choice(("", "v1", "v2")),
                    early=chance.random() < 0.3,
                    count_request=chance.random() < 0.8,
                    requests_per_minute=rate if chance.random() < 0.9 else rate // 2,
                    budget=budget(cap, window=window, **cost) if chance.random() < 0.8 else None,
                    levels=tuple(
                        level(name, budget(most, window=of, **cost) if most else None, rpm)
                        for name in shared
                        for of, most, rpm in (SHARED[name],)
                    ),
                    wanted_output=chance.choice((0, 1, 20, 500)),
                    breaker=POLICY if chance.random() < 0.8 else None,
                    ttl_ms=chance.choice((1_000, 30_000, 90_000)),
                    abort_events=(b"aborted %d" % step,),
                )
                names.append(asked.attempt_id)
                try:
                    answer = await ledger.admit(asked)
                    assert answer == model.admit(asked), step
                    if isinstance(answer, Refusal):
                        refusing.add((answer.reason, answer.level))
                except Internal:
                    assert model.admit(asked) is None, step
            elif action == "settle" and attempt in model.reservations:
                reserved = model.reservations[attempt].grant.reserved_nano_usd
                asked = model.reservations[attempt].hold
                done = settlement(
                    attempt,
                    chance.randint(0, reserved),
                    evidence=tuple(
                        Evidence(name, *chance.choices(EVIDENCE, HOW_OFTEN)[0], chance.choice((0, 0, 7.5, 900)))
                        for name in (asked.account_id, *asked.circuits)
                    ),
                    secret=asked.secret,
                    breaker=POLICY if chance.random() < 0.9 else None,
                    events=(b"settled %d" % step,),
                    if_reaped=b"not made" if step % 5 == 0 else b"",
                )
                await ledger.settle(done)
                model.settle(done)
            elif action == "renew" and attempt:
                assert await ledger.renew(attempt, 30_000) == model.renew(attempt, 30_000), step
            elif action == "reap":
                reaped = await janitor.reap(10_000)
                assert (reaped.reservations, reaped.charged_nano_usd) == model.reap(), step
            if step % 4 == 0:
                owners = KEYS | SHARED
                standing = await janitor.look([(owner, window) for owner, (window, _, _) in owners.items()], [])
                assert standing.open_reservations == model.open_reservations(), step
                for (owner, (window, cap, rate)), found in zip(owners.items(), standing.keys, strict=True):
                    values = (found.requests_in_window, found.spent_nano_usd, found.held_nano_usd, found.resets_at)
                    assert values == (model.standing(owner, window) if window else (values[0], 0, 0, 0)), step
                    assert values[0] == len(model.counted(owner)), step
                    assert found.spent_nano_usd + found.held_nano_usd <= cap
                    assert found.requests_in_window <= rate or not rate
        assert await redis.lrange("quota:{omni}:outbox:router", 0, -1) == model.outbox
        shown = dict(await janitor.circuits(100))
        for name, breaker in model.breakers.items():
            if breaker.until:
                assert (shown[name].state == "open") == (model.now < breaker.until), name
                assert (shown[name].cause, shown[name].told) == (breaker.cause, breaker.told), name
        for attempt in list(model.reservations):
            await ledger.settle(settlement(attempt, 0))
        left = await janitor.look([(owner, window) for owner, (window, _, _) in (KEYS | SHARED).items()], [])
        assert (left.open_reservations, {one.held_nano_usd for one in left.keys}) == (0, {0})
        assert {("rate_limited", "limit:user"), ("budget_held", "limit:team"), ("rate_limited", "")} <= refusing
        granted = [one.grant for one in model.reservations.values()]
        assert len(granted) > 150
        assert all(isinstance(grant, Grant) for grant in granted)
        await janitor.close()


def some_operation(chance: random.Random, number: int, names: list[str]) -> list[bytes]:
    """Any that a router or the reaper sends; of attempts that are known, that are closed and that nobody heard of."""
    attempt = chance.choice(names[-9:]) if names and chance.random() < 0.9 else f"never heard of {number}"
    account, members = chance.choice(ACCOUNTS), tuple(f"m{one}" for one in range(chance.randint(1, 3)))
    cost = {"fixed": chance.choice((0, 3, 40)), "per_token": chance.choice((0, 1, 7))}
    asked = hold(
        f"a{number}",
        key_id="daily",
        account_id=account,
        circuits=("m1", "target")[: chance.randint(0, 2)],
        secret=chance.choice(("", "v1", "v2")),
        early=chance.random() < 0.3,
        requests_per_minute=chance.choice((0, 12)),
        budget=budget(90_000, window="day", **cost) if chance.random() < 0.8 else None,
        levels=(level("limit:team", budget(70_000, window="total", **cost), 15),) if chance.random() < 0.5 else (),
        breaker=POLICY if chance.random() < 0.8 else None,
        ttl_ms=chance.choice((1_000, 30_000)),
        abort_events=(b"\x0a\x02\x0a\x00", b"\x12\x02\x0a\x00"),
    )
    action = chance.choices(
        ("admit", "settle", "release", "cleared", "renew", "reap", "pick", "used", "warmed"),
        (9, 6, 1, 2, 1, 1, 3, 1, 2),
    )[0]
    if action == "admit":
        names.append(asked.attempt_id)
        return operations.admit(asked)
    if action == "settle":
        evidence = [Evidence(name, *chance.choices(EVIDENCE, HOW_OFTEN)[0], chance.choice((0, 0, 7.301, 900)))
                    for name in (account, "m1", "target")]  # fmt: skip
        policy, events = POLICY if chance.random() < 0.9 else None, (b"settled %d" % number,)
        jitter, spent = chance.random(), chance.randint(0, 700)
        done = settlement(
            attempt, spent, breaker=policy, evidence=tuple(evidence), secret="v1", jitter=jitter, events=events,
            if_reaped=chance.choice((b"", b"not made")),
        )  # fmt: skip
        return operations.settle(done if chance.random() < 0.9 else msgspec.structs.replace(done, attempt_id=""))
    return {
        "release": lambda: operations.release(attempt, (asked.account_id, *asked.circuits)),
        "cleared": lambda: operations.cleared(attempt, (account, "m1", "target")),
        "renew": lambda: operations.renew(attempt, 30_000),
        "reap": lambda: operations.reap(10_000),
        "pick": lambda: operations.pick(
            Pick(cursor=chance.choice(("", "c")), uses="u", members=members, conversation=chance.choice(("", "talk")))
        ),
        "used": lambda: operations.used("u", chance.choice(members)),
        "warmed": lambda: operations.warmed("talk", chance.choice(("here", "there")), number, 86_400_000),
    }[action]()


@pytest.mark.parametrize("seed", range(4))
async def test_a_step_in_python_answers_what_the_script_answers(clean_redis: str, seed: int) -> None:
    """Packed operations in, packed results out: what the simulation has in Redis' place."""
    chance, model, names = random.Random(seed), Model(), list[str]()
    model.now = START
    async with open_redis(clean_redis) as redis:
        script = ScriptConnection(redis, CLOCKED_LUA)
        for number in range(0, 1_600, 4):
            model.now += chance.choices(PACES, (9, 9, 5, 5, 5, 9, 4, 1, 0.3))[0]
            await set_clock(redis, model.now)
            batch = [some_operation(chance, number + one, names) for one in range(chance.randint(1, 4))]
            arguments = [argument for operation in batch for argument in operation]
            said = operations.results(await script.call(arguments))
            expected = operations.results(step_in_python(model, arguments))
            assert said == expected, (number, batch)
        await script.drop()
        assert await redis.lrange("quota:{omni}:outbox:router", 0, -1) == model.outbox
    assert min(len(model.reservations), len(model.closed)) > 50
