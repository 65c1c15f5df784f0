"""Thousands of random operations on a real Redis: the scripts agree with a plain model, and money never leaks."""

import random

import pytest
from omni_catalogue.snapshot import BreakerPolicy
from omni_core.redis import open_redis
from omni_ledger import Evidence, Grant, Janitor
from omni_wire.errors import Internal

from tests.support.ledger import CLOCKED_LUA, budget, hold, open_ledger, set_clock, settlement
from tests.support.ledger_model import Model

START = 1_900_000_000_000  # milliseconds; not in the past, because the keys' own expiry is by real time
KEYS = {"daily": ("day", 4_000, 12), "monthly": ("month", 9_000, 40), "once": ("total", 200_000, 7)}
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
        for step in range(STEPS):
            if chance.random() < 0.5:
                model.now += chance.choices(PACES, (9, 9, 5, 5, 5, 9, 4, 1, 0.3))[0]
                await set_clock(redis, model.now)
            action = chance.choices(("admit", "settle", "renew", "reap"), (10, 8, 1, 1))[0]
            attempt = chance.choice(names[-12:]) if names and (action != "admit" or chance.random() < 0.05) else ""
            if action == "admit":
                key = chance.choice(list(KEYS))
                window, cap, rate = KEYS[key]
                asked = hold(
                    attempt or f"a{step}",
                    key_id=key,
                    account_id=chance.choice(ACCOUNTS),
                    circuits=tuple(chance.sample(("m1", "m2", "target"), chance.randint(0, 2))),
                    secret=chance.choice(("", "v1", "v2")),
                    early=chance.random() < 0.3,
                    count_request=chance.random() < 0.8,
                    requests_per_minute=rate if chance.random() < 0.9 else rate // 2,
                    budget=budget(
                        cap, fixed=chance.choice((0, 3, 40)), per_token=chance.choice((0, 1, 7)), window=window
                    ),
                    wanted_output=chance.choice((0, 1, 20, 500)),
                    breaker=POLICY if chance.random() < 0.8 else None,
                    ttl_ms=chance.choice((1_000, 30_000, 90_000)),
                    abort_events=(b"aborted %d" % step,),
                )
                names.append(asked.attempt_id)
                try:
                    assert await ledger.admit(asked) == model.admit(asked), step
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
                )
                await ledger.settle(done)
                model.settle(done)
            elif action == "renew" and attempt:
                assert await ledger.renew(attempt, 30_000) == model.renew(attempt, 30_000), step
            elif action == "reap":
                reaped = await janitor.reap(10_000)
                assert (reaped.reservations, reaped.charged_nano_usd) == model.reap(), step
            if step % 4 == 0:
                standing = await janitor.look([(key, window) for key, (window, _, _) in KEYS.items()], [])
                assert standing.open_reservations == model.open_reservations(), step
                for (key, (window, cap, rate)), found in zip(KEYS.items(), standing.keys, strict=True):
                    values = (found.requests_in_window, found.spent_nano_usd, found.held_nano_usd, found.resets_at)
                    assert values == model.standing(key, window), step
                    assert found.spent_nano_usd + found.held_nano_usd <= cap
                    assert found.requests_in_window <= rate
        assert await redis.lrange("quota:{omni}:outbox:router", 0, -1) == model.outbox
        shown = dict(await janitor.circuits(100))
        for name, breaker in model.breakers.items():
            if breaker.until:
                assert (shown[name].state == "open") == (model.now < breaker.until), name
                assert (shown[name].cause, shown[name].told) == (breaker.cause, breaker.told), name
        granted = [one.grant for one in model.reservations.values()]
        assert len(granted) > 150
        assert all(isinstance(grant, Grant) for grant in granted)
        await janitor.close()
