"""Limits of what is upstream (a provider, an account, a model, a tier) and of tags, by three routers."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from omni_catalogue import snapshot as s
from omni_ledger import Janitor
from omni_wire.errors import BudgetExhausted, BudgetHeld, GatewayError, InvalidRequest, RateLimited
from omni_wire.formats import WireFormat

from tests.support.router import PRICE, Harness, fleet, provider, until

ONE, TWO, GUEST = "key-one", "key-two", "key-guest"


@pytest.fixture
async def routers(clean_redis: str) -> AsyncIterator[Sequence[Harness]]:
    async with fleet(clean_redis, 3) as made:
        yield made


def limit(of: str, owner: str, *allowances: s.Allowance, **more: object) -> s.Limit:
    fields = {"id": f"id-{of}-{owner}", "name": "most", "of": of, "owner": owner} | more
    return s.Limit(allowances=allowances, **fields)  # type: ignore[arg-type]


def of(what: str, most: int, window: str = "") -> s.Allowance:
    return s.Allowance(of=what, most=most, window=window)


def put_in_force(routers: Sequence[Harness], *limits: s.Limit, **more: object) -> None:
    policies = tuple(s.KeyPolicy(id=key, name=key) for key in (ONE, TWO))
    guest = s.KeyPolicy(id=GUEST, name=GUEST, organisation="guests")
    for router in routers:
        router.configure(limits=limits, **({"keys": (*policies, guest)} | more))  # type: ignore[arg-type]


async def standing(routers: Sequence[Harness], one: s.Limit) -> list[tuple[int, int]]:
    """Used and held of each of its allowances."""
    for router in routers:
        assert await router.ledger.flush(5.0)
    janitor = Janitor(routers[0].redis)
    asked = [(one.window_owner, each.of, each.window) for each in one.counted().allowances]
    found = (await janitor.look([], [], asked)).allowances
    await janitor.close()
    return [(each.used, each.held) for each in found]


BOTH = s.Combo(name="both", strategy="fill-first", targets=("acme/sim", "claude/sim"))


@pytest.mark.parametrize(
    ("what", "owner"),
    [("provider", "acme"), ("account", "acme/first"), ("model", "acme/sim"), ("tier", "cheap")],
)
async def test_one_whose_own_limit_is_used_up_is_passed_over_and_with_nobody_left_the_client_is_told(
    routers: Sequence[Harness], what: str, owner: str
) -> None:
    base = routers[0].simulator.url
    most = limit(what, owner, of("requests", 2, "day"))
    keys = s.KeyPolicy(id=ONE, name=ONE), s.KeyPolicy(id=GUEST, name=GUEST, organisation="guests")
    cheap, other = provider("acme", f"{base}/v1", tier="cheap"), provider("claude", base, WireFormat.ANTHROPIC_MESSAGES)
    for router in routers:
        router.configure(cheap, other, limits=(most,), combos=(BOTH,), keys=keys)
    heads = [(await routers[turn % 3].ask("both", key=(ONE, GUEST)[turn % 2]))[0] for turn in range(4)]
    assert [head.provider for head in heads] == ["acme", "acme", "claude", "claude"], "whoever's key it is"
    assert await standing(routers, most) == [(2, 0)]
    with pytest.raises(RateLimited) as caught:
        await routers[1].ask("acme/sim", key=ONE)
    assert (caught.value.status, caught.value.code) == (429, "upstream_limit")
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 86_400
    told = "what this gateway may use of all that serves 'acme/sim' is used up for now; try again in"
    assert str(caught.value).startswith(told)
    assert "most" not in str(caught.value)


async def test_every_attempt_at_a_provider_is_a_request_there_and_one_of_its_key(routers: Sequence[Harness]) -> None:
    failing = s.Combo(name="back", strategy="fill-first", targets=("acme/sim+status:500", "claude/sim"))
    acme, claude = (
        limit("provider", "acme", of("requests", 9, "day")),
        limit("provider", "claude", of("requests", 9, "day")),
    )
    mine = s.Limit(id="mine", name="mine", of="key", owner="one", allowances=(of("requests", 9, "day"),))
    keys = (s.KeyPolicy(id=ONE, name=ONE, limits=("mine",)),)
    put_in_force(routers, acme, claude, mine, combos=(failing,), keys=keys)
    await routers[0].ask("back", key=ONE)
    assert [await standing(routers, each) for each in (acme, claude, mine)] == [[(1, 0)]] * 3


async def test_a_budget_of_a_provider_is_never_passed_by_three_routers(routers: Sequence[Harness]) -> None:
    cap = 4_000_000
    money = limit("provider", "acme", budget=s.Budget(nano_usd=cap, window="month"))
    put_in_force(routers, money)
    seen = set[str]()

    async def client(number: int) -> int:
        for turn in range(80):
            try:
                await routers[number % 3].ask("acme/sim+tokens:40", key=(ONE, GUEST)[number // 3 % 2], max_tokens=40)
            except BudgetExhausted as error:
                seen.add(error.code)
                return turn
            except RateLimited as error:
                seen.add(error.code)
                await asyncio.sleep(0.01)
        return 80

    turns = await asyncio.gather(*map(client, range(9)))
    assert max(turns) < 80
    assert {"upstream_limit_spent"} <= seen <= {"upstream_limit_spent", "upstream_limit"}
    for router in routers:
        assert await router.ledger.flush(5.0)
    spent, held = await routers[0].money(money.window_owner)
    assert held == 0
    assert 0.8 * cap < spent <= cap
    events = [attempt for router in routers for attempt in (await router.events())[0]]
    assert sum(event.cost_nano_usd for event in events) == spent
    await routers[0].ask("claude/sim", key=ONE)


@pytest.mark.parametrize("window", ["minute", "5h"])
async def test_a_budget_whose_window_rolls_is_hard_and_never_passed(routers: Sequence[Harness], window: str) -> None:
    cap = 3_000_000
    team = s.Limit(id="roll", name="roll", of="team", owner="core", rolling=s.Budget(nano_usd=cap, window=window))
    put_in_force(routers, team, keys=(s.KeyPolicy(id=ONE, name=ONE, limits=("roll",)),))
    told = set[tuple[str, str, bool]]()

    async def client(number: int) -> None:
        for _ in range(80):
            try:
                await routers[number % 3].ask("acme/sim+tokens:40", key=ONE, max_tokens=40)
            except BudgetHeld:
                await asyncio.sleep(0.01)
            except RateLimited as error:
                told.add((str(error).partition(";")[0], error.code, (error.retry_after or 0) > 0))
                return

    await asyncio.gather(*map(client, range(6)))
    words = {"minute": "in a minute", "5h": "in 5 hours"}[window]
    spent_words = "is spent, or what is left of it is less than this request may cost"
    text = f"the limit 'roll' of this key's team: its USD budget {words} {spent_words}"
    assert told == {(text, "budget_exhausted", True)}
    ((spent, held),) = await standing(routers, team)
    assert held == 0
    assert 0.8 * cap < spent <= cap
    events = [attempt for router in routers for attempt in (await router.events())[0]]
    assert sum(event.cost_nano_usd for event in events) == spent
    assert all(event.reserved_nano_usd >= event.cost_nano_usd for event in events)


@pytest.mark.parametrize("kind", ["provider", "team"])
async def test_without_a_price_each_new_kind_of_budget_refuses_serves_or_assumes(
    routers: Sequence[Harness], kind: str
) -> None:
    gw = routers[0]

    def limited(**budget: object) -> s.Limit:
        if kind == "provider":
            return limit("provider", "acme", budget=s.Budget(nano_usd=10**9, **budget))  # type: ignore[arg-type]
        return s.Limit(id="roll", name="roll", rolling=s.Budget(nano_usd=10**9, window="5h", **budget))  # type: ignore[arg-type]

    def use(one: s.Limit) -> None:
        put_in_force(routers, one, keys=(s.KeyPolicy(id=ONE, name=ONE, limits=(one.id,) if kind == "team" else ()),))

    use(limited())
    with pytest.raises(BudgetExhausted) as caught:
        await gw.ask("acme/free", key=ONE)
    assert caught.value.code == "model_unpriced"
    use(limited(unpriced="serve"))
    await gw.ask("acme/free", key=ONE)
    use(limited(unpriced="assume", assumed_price=PRICE))
    await gw.ask("acme/free", key=ONE)
    attempts, _ = await gw.events()
    assert [(event.pricing, event.cost_nano_usd > 0) for event in attempts] == [("unpriced", False), ("assumed", True)]


async def test_tokens_of_a_model_clamp_its_answers_and_those_of_no_other(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    put_in_force(routers, limit("model", "acme/sim+tokens:10000", of("output", 300, "day")))
    await gw.ask("acme/sim+tokens:10000", key=ONE)
    assert gw.simulator.recent[-1].json()["max_tokens"] == 300
    await gw.ask("acme/sim", key=ONE)
    assert "max_tokens" not in gw.simulator.recent[-1].json()
    with pytest.raises(RateLimited):
        await routers[1].ask("acme/sim+tokens:10000", key=TWO)


async def test_what_has_no_bound_goes_to_who_has_no_such_limit(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    put_in_force(routers, limit("provider", "acme", of("tokens", 10**9, "day")))
    apart = {"web_search_options": {"search_context_size": "low"}}
    with pytest.raises(InvalidRequest) as caught:
        await gw.ask("acme/sim", key=ONE, **apart)
    assert caught.value.param == "web_search_options"
    two = s.Combo(name="two", strategy="fill-first", targets=("acme/sim", "other/sim"))
    base = gw.simulator.url
    gw.configure(
        provider("acme", f"{base}/v1"), provider("other", f"{base}/v1"), combos=(two,),
        limits=(limit("provider", "acme", of("tokens", 10**9, "day")),), keys=(s.KeyPolicy(id=ONE, name=ONE),),
    )  # fmt: skip
    head, _ = await gw.ask("two", key=ONE, **apart)
    assert head.provider == "other"


async def test_a_tag_s_limit_holds_for_requests_that_carry_it_by_key_or_by_header(routers: Sequence[Harness]) -> None:
    tag = limit("tag", "batch", of("requests", 3, "day"))
    tagged = s.KeyPolicy(id=TWO, name=TWO, tags=("batch", "nightly"), limits=(tag.id,))
    guest = s.KeyPolicy(id=GUEST, name=GUEST, organisation="guests")
    put_in_force(routers, tag, keys=(s.KeyPolicy(id=ONE, name=ONE), tagged, guest))
    headers = {"x-omniroute-tags": " batch, blue ,batch,"}
    await routers[0].ask("acme/sim", key=ONE, headers=headers)
    await routers[1].ask("acme/sim", key=TWO)
    await routers[2].ask("acme/sim", key=TWO, headers={"x-omniroute-tags": "blue"})
    for key, more in ((ONE, headers), (TWO, {})):
        with pytest.raises(RateLimited) as caught:
            await routers[0].ask("acme/sim", key=key, headers=more)
        assert str(caught.value).startswith("the limit 'most' of a tag of this request: its requests a day are used up")
    await routers[0].ask("acme/sim", key=ONE)
    await routers[0].ask("acme/sim", key=ONE, headers={"x-omniroute-tags": "blue"})
    await routers[0].ask("acme/sim", key=GUEST, headers=headers)
    assert await standing(routers, tag) == [(3, 0)], "of its organisation alone"
    written = [list(event.tags) for router in routers for event in (await router.events())[1]]
    assert sorted(filter(None, written)) == sorted(
        [["batch", "blue"]] * 3 + [["batch", "nightly"]] * 2 + [["batch", "nightly", "blue"], ["blue"]]
    )


@pytest.mark.parametrize("header", [",".join(f"t{each}" for each in range(17)), "a" * 65, "two words", "é"])
async def test_tags_that_are_none_are_refused(routers: Sequence[Harness], header: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await routers[0].ask("acme/sim", headers={"x-omniroute-tags": header})
    assert caught.value.param == "x-omniroute-tags"


async def test_explain_says_which_limit_of_its_own_a_candidate_is_passed_over_for(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    put_in_force(routers, limit("provider", "acme", of("requests", 1, "day")), combos=(BOTH,))
    await gw.ask("both", key=ONE)
    told = json.loads(await gw.service.explain(gw.call("both", key=ONE)))
    assert [(step["provider"], step["outcome"], step.get("cause")) for step in told["steps"]] == [
        ("acme", "would_be_passed_over", "limit"),
        ("claude", "would_be_asked", None),
    ]
    assert told["steps"][0]["circuit"] == "limit:id-provider-acme"
    refused = json.loads(await gw.service.explain(gw.call("acme/sim", key=ONE)))["refused"]
    assert (refused["status"], refused["code"]) == (429, "upstream_limit")


async def test_at_once_is_kept_at_a_provider_and_the_next_is_asked(routers: Sequence[Harness]) -> None:
    put_in_force(routers, limit("account", "acme/first", of("concurrent", 1)), combos=(BOTH,))
    slow = asyncio.ensure_future(routers[0].ask("acme/sim+latency:600", key=ONE))
    assert await until(lambda: routers[0].simulator.active == 1)
    head, _ = await routers[1].ask("both", key=TWO)
    assert head.provider == "claude"
    with pytest.raises(GatewayError) as caught:
        await routers[2].ask("acme/sim", key=TWO)
    assert caught.value.status == 429
    await slow
