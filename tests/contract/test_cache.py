"""The cache of routers that share a real Redis, in front of a simulated provider over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.rules import Rules

from tests.support.recorded import Asking, Recorder, crash, recorders
from tests.support.router import PATIENT, until

Routers = Sequence[Recorder]
MODEL = "acme/sim+tokens:5+input:20"
COST = 20 * 1_250 + 5 * 10_000  # nano-USD, by tests.support.router.PRICE


def use(routers: Routers, *keys: s.KeyPolicy, caching: s.Caching | None = None, **changes: Any) -> None:
    caching = caching or s.Caching(**({"requests": "deterministic"} | changes))
    for router in routers:
        router.configure(
            keys=keys or (s.KeyPolicy(id="key-all", name="all"),),
            routing=s.Routing(breaker=None, timeouts=PATIENT, caching=caching),
        )


@pytest.fixture
async def routers(clean_redis: str) -> AsyncIterator[Routers]:
    async with recorders(clean_redis, 2) as made:
        use(made)
        yield made


async def ask(router: Recorder, model: str = MODEL, wish: str = "", **options: Any) -> Asking:
    headers = options.pop("headers", {}) | ({"x-omniroute-cache": wish} if wish else {})
    return await router.begin(model, None, headers=headers, **({"temperature": 0} | options)).done()


def word(asked: Asking) -> str:
    assert asked.error is None
    assert asked.head is not None
    return asked.head.cache


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_request_is_answered_from_the_cache_by_every_router_and_costs_nothing(
    routers: Routers, stream: bool
) -> None:
    first = await ask(routers[0], stream=stream)
    assert await until(lambda: counted(routers[0], "recorded") == 1)
    found = [await ask(router, stream=stream) for router in routers]
    assert [word(each) for each in (first, *found)] == ["miss", "hit", "hit"]
    assert {each.data for each in found} == {first.data}
    assert routers[0].calls() == 1
    attempts, requests = [], []
    for router in routers:
        written = await router.events()
        attempts += written[0]
        requests += written[1]
    assert [event.cost_nano_usd for event in attempts] == [COST]
    told = [(event.outcome, event.cost_nano_usd, event.usage.output_tokens, event.attempts) for event in requests]
    assert sorted(told) == [("cached", 0, 0, 0), ("cached", 0, 0, 0), ("ok", COST, 5, 1)]
    saved = [
        sum(router.registry.get_sample_value(f"omniroute_router_cache_saved_{what}_total") or 0 for router in routers)
        for what in ("tokens", "usd")
    ]
    assert saved == [50, pytest.approx(2 * COST / 1e9)]


def counted(router: Recorder, outcome: str) -> float:
    return router.registry.get_sample_value("omniroute_router_cache_total", {"outcome": outcome}) or 0.0


async def test_streamed_and_whole_answers_are_apart_and_so_is_every_other_request(routers: Routers) -> None:
    asked: list[dict[str, Any]] = [
        {}, {"stream": True}, {"seed": 1}, {"tools": []}, {"max_tokens": 50}, {"model": "acme/sim"},
        {"headers": {"x-omniroute-translation": "strict"}},
    ]  # fmt: skip
    assert [word(await ask(routers[0], **options)) for options in asked] == ["miss"] * len(asked)
    assert routers[0].calls() == len(asked)
    assert word(await ask(routers[0], user="somebody")) == "hit"


async def test_identical_requests_at_once_are_one_call(routers: Routers) -> None:
    model = "acme/sim+latency:300"
    asked = await asyncio.gather(*(ask(routers[at % 2], model) for at in range(10)))
    assert sorted(word(each) for each in asked) == ["hit"] * 9 + ["miss"]
    assert routers[0].calls() == 1


async def test_keys_share_no_answers(routers: Routers) -> None:
    use(routers, *(s.KeyPolicy(id=name, name=name) for name in ("one", "two")))
    assert [word(await ask(routers[0], key=key)) for key in ("one", "two", "one")] == ["miss", "miss", "hit"]


async def test_what_is_not_deterministic_passes_by_unless_its_client_or_the_configuration_says_otherwise(
    routers: Routers,
) -> None:
    assert [word(await ask(routers[0], temperature=1)) for _ in range(2)] == ["bypass", "bypass"]
    assert [word(await ask(routers[0], temperature=1, wish="on")) for _ in range(2)] == ["miss", "hit"]
    use(routers, requests="any")
    assert [word(await ask(routers[0], temperature=0.7)) for _ in range(2)] == ["miss", "hit"]


async def test_a_client_may_pass_by_and_may_have_it_made_anew(routers: Routers) -> None:
    assert word(await ask(routers[0])) == "miss"
    assert word(await ask(routers[0], wish="off")) == "bypass"
    assert routers[0].calls() == 2
    assert await until(lambda: counted(routers[0], "recorded") == 1)
    assert word(await ask(routers[1], wish="refresh")) == "miss"
    assert routers[0].calls() == 3
    assert word(await ask(routers[0])) == "hit"
    wrong = await ask(routers[0], wish="maybe")
    assert wrong.error is not None
    assert (wrong.error.status, wrong.error.param) == (400, "x-omniroute-cache")


async def test_unless_configured_only_who_asks_has_it(routers: Routers) -> None:
    use(routers, caching=s.Caching())
    assert [word(await ask(routers[0])) for _ in range(2)] == ["", ""]
    assert [word(await ask(routers[0], wish="on")) for _ in range(2)] == ["miss", "hit"]


async def test_a_key_or_a_combo_may_have_it_otherwise(routers: Routers) -> None:
    combo = s.Combo(name="c", strategy="fill-first", targets=("acme/sim",), rules=Rules(cache="any"))
    keys = tuple(
        s.KeyPolicy(id=word or "none", name=word or "none", rules=Rules(cache=word))
        for word in (None, "any", "off")
    )  # fmt: skip
    routers[0].configure(
        keys=keys, combos=(combo,), routing=s.Routing(breaker=None, timeouts=PATIENT, caching=s.Caching())
    )

    async def words(key: str, model: str, wish: str = "") -> list[str]:
        return [word(await ask(routers[0], model, wish, key=key, temperature=1)) for _ in range(2)]

    assert await words("none", MODEL) == ["bypass", "bypass"]
    assert await words("none", "c") == ["miss", "hit"]
    assert await words("any", MODEL) == ["miss", "hit"]
    assert await words("off", "c") == ["bypass", "bypass"]
    assert await words("off", MODEL, "on") == ["bypass", "bypass"]


async def test_switched_off_nobody_has_it(routers: Routers) -> None:
    for router in routers:
        router.configure(routing=s.Routing(breaker=None, timeouts=PATIENT, caching=None))
    assert [word(await ask(routers[0])), word(await ask(routers[0], wish="on"))] == ["", "bypass"]
    assert [name async for name in routers[0].redis.scan_iter("cache:*")] == []


@pytest.mark.parametrize("step", ["finish:length", "finish:filter"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_was_cut_short_is_given_and_not_kept(routers: Routers, step: str, stream: bool) -> None:
    model = f"acme/sim+{step}"
    assert [word(await ask(routers[0], model, stream=stream)) for _ in range(1)] == ["miss"]
    assert await until(lambda: counted(routers[0], "unfit") == 1)
    assert word(await ask(routers[1], model, stream=stream)) == "miss"
    assert routers[0].calls() == 2


async def test_a_failure_is_not_kept_either(routers: Routers) -> None:
    model = "acme/sim+fail-first:1+status:500"
    assert (await ask(routers[0], model)).error is not None
    assert word(await ask(routers[0], model)) == "miss"


async def test_an_answer_lives_for_its_time_and_only_as_large_as_it_may_be(routers: Routers) -> None:
    use(routers, ttl=100, max_bytes=1500)
    await ask(routers[0])
    assert await until(lambda: counted(routers[0], "recorded") == 1)
    names = [name async for name in routers[0].redis.scan_iter("cache:*")]
    assert len(names) == 2
    for name in names:
        assert 90 < await routers[0].redis.ttl(name) <= 100
    large = "acme/sim+tokens:800"
    assert [word(await ask(routers[0], large)) for _ in range(2)] == ["miss", "bypass"]
    assert routers[0].calls() == 3


async def test_a_configuration_that_changes_answers_leaves_the_old_ones_behind(routers: Routers) -> None:
    assert word(await ask(routers[0])) == "miss"
    use(routers)  # another revision of the same
    assert word(await ask(routers[0])) == "hit"
    use(routers, s.KeyPolicy(id="key-all", name="all", rules=Rules(sanitize=True)))
    assert word(await ask(routers[0])) == "miss"


async def test_a_hit_counts_towards_the_keys_requests_per_minute(routers: Routers) -> None:
    use(routers, s.KeyPolicy(id="key-all", name="all", requests_per_minute=2))
    asked = [await ask(routers[0]) for _ in range(3)]
    assert [each.error.status if each.error else 200 for each in asked] == [200, 200, 429]


async def test_while_the_store_is_away_requests_go_on_without_it(routers: Routers) -> None:
    crash(routers[0])
    assert [word(await ask(routers[0])) for _ in range(2)] == ["bypass", "bypass"]
    assert routers[0].calls() == 2


async def test_a_request_with_an_idempotency_key_may_be_a_hit_and_is_replayed_as_itself(routers: Routers) -> None:
    await ask(routers[0])
    assert await until(lambda: counted(routers[0], "recorded") == 1)
    options: dict[str, Any] = {"headers": {"idempotency-key": "one"}}
    first, second = await ask(routers[0], **options), await ask(routers[1], **options)
    assert (word(first), first.mark) == ("hit", "")
    assert (word(second), second.mark) == ("", "replay")
    assert first.data == second.data
    assert routers[0].calls() == 1
    _, requests = await routers[0].events()
    assert [event.outcome for event in requests] == ["ok", "cached"]
