"""Strategies in routers that share a real Redis, in front of simulated providers over real HTTP."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from omni_auth.domain.compilation import compile_snapshot
from omni_auth.domain.configuration import load
from omni_catalogue import snapshot as s
from omni_catalogue.scopes import Scopes
from omni_core.ports.router import Head
from omni_core.telemetry import new_registry
from omni_ledger import Ledger
from omni_router.domain.offers import offers_for
from omni_router.domain.request import read
from omni_router.service.choosing import Chooser
from omni_router.service.held import Asked
from omni_wire.errors import AmbiguousModel, UpstreamFailed
from redis.asyncio import Redis

from tests.support.router import PRICE, Harness, fleet, provider

Routers = Sequence[Harness]


@pytest.fixture
async def routers(clean_redis: str) -> AsyncIterator[Routers]:
    async with fleet(clean_redis, 3, draw=random.Random(417).random) as made:
        yield made


def usd(input_price: float, output: float, cached: float | None = None) -> s.Price:
    """Per million tokens."""
    nano = [round(value * 1_000_000_000) for value in (input_price, output, input_price if cached is None else cached)]
    return s.Price(input=nano[0], output=nano[1], cached_input=nano[2], cache_write=nano[0])


def priced(gw: Harness, name: str, price: s.Price | None = PRICE, **changes: Any) -> s.Provider:
    return provider(name, f"{gw.simulator.url}/v1", models=(s.Model(id="*", price=price),), **changes)


def accounts(name: str, *names: str, weights: dict[str, int] | None = None) -> tuple[s.Account, ...]:
    given = weights or dict.fromkeys(names, 1)
    return tuple(s.Account(id=f"{name}/{each}", name=each, secret_version="1", weight=given[each]) for each in given)


def combo(strategy: str, *targets: str, **changes: Any) -> s.Combo:
    return s.Combo(name="c", strategy=strategy, targets=targets or ("a/sim", "b/sim", "c/sim"), **changes)


def configure(routers: Routers, *combos: s.Combo, providers: Sequence[s.Provider] = (), **options: Any) -> None:
    for gw in routers:
        found = providers or [priced(gw, name) for name in "abc"]
        gw.configure(*found, combos=combos, **options)


async def spread(routers: Routers, count: int, model: str = "c", at_once: int = 30, **options: Any) -> Counter[str]:
    """By which account ``count`` requests were answered that came to the routers in turn, some at once."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with gate:
            await routers[number % len(routers)].ask(model, **options)

    await asyncio.gather(*map(one, range(count)))
    found: Counter[str] = Counter()
    for gw in routers:
        attempts, _ = await gw.events()
        found.update(attempt.account_id for attempt in attempts if attempt.outcome == "ok")
        await gw.redis.delete(f"quota:{{omni}}:outbox:{gw.router_id}")
    return found


async def asked(gw: Harness, model: str = "c", **options: Any) -> str:
    head, _ = await gw.ask(model, **options)
    return head.provider


def configured(gw: Harness, text: str) -> str:
    """Take a configuration file into use, as it comes from auth over the bus; its only key's id."""
    loaded = load(text.replace("SIMULATOR", gw.simulator.url), "omniroute.yaml", {}, lambda path: path)
    compiled = compile_snapshot(loaded, (), b"pepper").stamped(gw.revision + 1, 0)
    snapshot = s.decode(compiled)
    gw.service.configure(snapshot)
    return snapshot.keys[0].id


FILE = """
providers:
  - &base {id: a, format: openai.chat, base_url: SIMULATOR/v1, allow_private_address: true, tags: [eu],
           strategy: round-robin, accounts: [{name: x, api_key: {value: k1}}, {name: y, api_key: {value: k2}}]}
  - {<<: *base, id: b, format: anthropic.messages, base_url: SIMULATOR, tags: [], tier: free}
combos:
  - {name: turns, strategy: {name: round-robin, sticky: 2}, targets: [a/sim, b/sim]}
  - {name: by-default, targets: [a/sim, b/sim]}
  - {name: none-to-a, strategy: weighted, targets: [{model: a/sim, weight: 0}, b/sim]}
  - {name: in-europe, require_tags: [eu], targets: [b/sim, a/sim]}
  - {name: for-nothing, free_only: on, targets: [b/sim]}
keys: [{name: k, secret: {value: the-secret-of-a-client}}]
routing: {strategy: least-used}
"""


async def test_what_a_configuration_file_says_is_what_routers_do(routers: Routers) -> None:
    keys = {configured(gw, FILE) for gw in routers}
    (key,) = keys

    async def answered(model: str, count: int) -> list[str]:
        """The accounts whose secret the provider was shown."""
        shown = []
        for number in range(count):
            await routers[number % 3].ask(model, key=key)
            seen = routers[0].simulator.recent[-1]
            secret = seen.header("x-api-key") or seen.header("authorization") or ""
            shown.append(secret.removeprefix("Bearer ").removeprefix("secret-of-"))
        return shown

    assert await answered("turns", 8) == ["a/x", "a/y", "b/x", "b/y"] * 2
    assert Counter(account[0] for account in await answered("by-default", 10)) == {"a": 5, "b": 5}
    assert {account[0] for account in await answered("none-to-a", 10)} == {"b"}
    assert {account[0] for account in await answered("in-europe", 4)} == {"a"}
    assert Counter(await answered("for-nothing", 4)) == {"b/x": 2, "b/y": 2}


# ---- in turn --------------------------------------------------------------------------------------------------------


async def test_round_robin_is_even_over_all_routers(routers: Routers) -> None:
    configure(routers, combo("round-robin"))
    found = await spread(routers, 300)
    assert set(found) == {"a/first", "b/first", "c/first"}
    assert all(90 <= count <= 110 for count in found.values()), found


async def test_a_sticky_round_gives_each_so_many_in_a_row_whichever_router_is_asked(routers: Routers) -> None:
    configure(routers, combo("round-robin", sticky=4))
    found = [await asked(routers[number % 3]) for number in range(24)]
    assert found == [name for name in "abcabc" for _ in range(4)]


async def test_accounts_take_turns_as_targets_do(routers: Routers) -> None:
    gw = routers[0]
    configure(routers, providers=[priced(gw, "a", accounts=accounts("a", "x", "y", "z"), strategy="round-robin")])
    found = await spread(routers, 300, "a/sim")
    assert all(90 <= found[f"a/{name}"] <= 110 for name in "xyz"), found


async def test_turns_of_accounts_go_on_only_with_the_turns_of_their_target(routers: Routers) -> None:
    gw = routers[0]
    two = [priced(gw, name, accounts=accounts(name, "x", "y"), strategy="round-robin") for name in "ab"]
    configure(routers, combo("round-robin", "a/sim", "b/sim"), providers=two)
    found = await spread(routers, 200)
    assert all(45 <= found[each] <= 55 for each in ("a/x", "a/y", "b/x", "b/y")), found


async def test_least_used_spreads_over_all_routers_and_gives_a_newcomer_no_flood(routers: Routers) -> None:
    configure(routers, combo("least-used", "a/sim", "b/sim"))
    found = await spread(routers, 100)
    assert all(45 <= count <= 55 for count in found.values()), found
    configure(routers, combo("least-used"))
    found = await spread(routers, 90)
    assert all(25 <= count <= 35 for count in found.values()), found


async def test_an_order_is_also_the_order_to_fall_back_in(routers: Routers) -> None:
    configure(routers, combo("round-robin", "a/sim+status:500", "b/sim", "c/sim"))
    found = await spread(routers, 30)
    assert found == {"b/first": 20, "c/first": 10}
    for strategy in s.STRATEGIES:
        configure(routers, combo(strategy, "a/sim+status:500", "b/sim+reset", "c/sim"))
        assert await asked(routers[0]) == "c", strategy


async def test_when_all_fail_the_last_error_is_told_and_each_was_tried_once(routers: Routers) -> None:
    gw = routers[0]
    for strategy in s.STRATEGIES:
        targets = tuple(f"{name}/sim+status:500+tokens:{index}" for index, name in enumerate("abc"))
        configure(routers, combo(strategy, *targets))
        with pytest.raises(UpstreamFailed):
            await gw.ask("c")
        attempts, (request,) = await gw.events()
        assert sorted(attempt.provider for attempt in attempts) == ["a", "b", "c"], strategy
        assert request.attempts == 3
        assert await gw.open_holds() == 0
        await gw.redis.delete(f"quota:{{omni}}:outbox:{gw.router_id}")


async def test_a_key_that_may_use_some_providers_gets_its_turns_among_those(routers: Routers) -> None:
    keys = (s.KeyPolicy(id="key-all", name="all", scopes=Scopes(providers=("b", "c"))),)
    configure(routers, combo("round-robin"), keys=keys)
    assert await spread(routers, 30) == {"b/first": 15, "c/first": 15}


async def test_what_a_budget_refuses_leaves_the_others_in_their_order(routers: Routers) -> None:
    gw = routers[0]
    keys = (s.KeyPolicy(id="key-all", name="all", budget=s.Budget(nano_usd=10**12)),)
    unpriced = priced(gw, "b", None)
    configure(routers, combo("round-robin"), providers=[priced(gw, "a"), unpriced, priced(gw, "c")], keys=keys)
    assert await spread(routers, 30) == {"a/first": 15, "c/first": 15}


# ---- combos in combos -----------------------------------------------------------------------------------------------


def node(name: str, *nodes: s.Node, **fields: Any) -> s.Node:
    return s.Node(name=name, nodes=nodes, **fields)


def nested(strategy: str, *nodes: s.Node, **fields: Any) -> s.Combo:
    return s.Combo(name="c", strategy=strategy, targets=s.leaves(nodes), nodes=nodes, **fields)


async def test_a_combo_in_a_combo_has_one_turn_of_the_outer_and_gives_it_to_its_own_in_turn(routers: Routers) -> None:
    inner = node("inner", node("b/sim"), node("c/sim"), strategy="round-robin")
    configure(routers, nested("round-robin", node("a/sim"), inner))
    found = [await asked(routers[number % 3]) for number in range(8)]
    assert found == ["a", "b", "a", "c"] * 2


async def test_a_combo_in_a_combo_weighs_what_the_outer_says_whatever_its_targets_weigh(routers: Routers) -> None:
    inner = node("inner", node("b/sim", weight=9), node("c/sim", weight=1), strategy="weighted", weight=1)
    configure(routers, nested("weighted", node("a/sim", weight=3), inner))
    found = await spread(routers, 400, at_once=1)
    assert 270 <= found["a/first"] <= 330, found
    assert found["c/first"] < found["b/first"] / 2, found


async def test_requests_fall_back_out_of_a_combo_in_a_combo_and_try_each_target_once(routers: Routers) -> None:
    gw = routers[0]
    broken = [f"{name}/sim+status:500" for name in "ab"]
    inner = node("inner", node(broken[0]), node(broken[1]), strategy="round-robin")
    for strategy in s.STRATEGIES:
        configure(routers, nested(strategy, inner, node(broken[0]), node("c/sim")))
        assert await asked(gw) == "c", strategy
        attempts, _ = await gw.events()
        assert sorted(attempt.provider for attempt in attempts) in (["a", "b", "c"], ["a", "c"], ["c"]), strategy
        assert await gw.open_holds() == 0
        await gw.redis.delete(f"quota:{{omni}}:outbox:{gw.router_id}")
    deep = node("o", node("i", node(broken[0]), node(broken[1]), strategy="random"))
    configure(routers, nested("fill-first", deep, node("c/sim")))
    assert await asked(gw) == "c"
    attempts, _ = await gw.events()
    assert sorted(attempt.provider for attempt in attempts) == ["a", "b", "c"]


async def test_least_used_counts_a_combo_in_a_combo_as_one(routers: Routers) -> None:
    inner = node("inner", node("b/sim"), node("c/sim"), strategy="least-used")
    configure(routers, nested("least-used", node("a/sim"), inner))
    found = await spread(routers, 80)
    assert 35 <= found["a/first"] <= 45, found
    assert all(15 <= found[f"{name}/first"] <= 25 for name in "bc"), found


async def test_a_key_gets_of_a_combo_in_a_combo_what_its_providers_serve(routers: Routers) -> None:
    keys = (s.KeyPolicy(id="key-all", name="all", scopes=Scopes(providers=("a", "c"))),)
    inner = node("inner", node("b/sim"), node("c/sim"), strategy="round-robin")
    configure(routers, nested("round-robin", inner, node("a/sim"), node("only", node("b/sim"))), keys=keys)
    assert await spread(routers, 30) == {"a/first": 15, "c/first": 15}


NAMES_FILE = """
providers:
  - &base {id: a, aka: [aa], format: openai.chat, base_url: SIMULATOR/v1, allow_private_address: true,
           accounts: [{name: x, api_key: {value: k1}}], models: [{id: sim}, {id: sim+status:500}]}
  - {<<: *base, id: b, aka: [], models: [{id: "*"}, {id: sim}]}
combos:
  - {name: outer, targets: [a/sim+status:500, inner]}
  - {name: inner, targets: [b/*]}
aliases:
  - {name: "gpt-*", target: outer}
  - {name: "old/*", target: "aa/*"}
keys:
  - {name: k, secret: {value: the-secret-of-a-client}}
"""


async def test_names_of_a_configuration_file_lead_where_it_says(routers: Routers) -> None:
    gw = routers[0]
    key = configured(gw, NAMES_FILE)
    for model, provider_id in (("outer", "b"), ("gpt-4o", "b"), ("old/sim", "a"), ("aa/sim", "a"), ("b/sim", "b")):
        head, _ = await gw.ask(model, key=key)
        assert head.provider == provider_id, model
    _, requests = await gw.events()
    assert [each.model_requested for each in requests] == ["outer", "gpt-4o", "old/sim", "aa/sim", "b/sim"]
    assert [each.combo for each in requests] == ["outer", "outer", "", "", ""]
    with pytest.raises(AmbiguousModel, match=r"'sim' is offered by several .* a/sim, b/sim"):
        await gw.ask("sim", key=key)


# ---- by chance ------------------------------------------------------------------------------------------------------


async def test_weighted_targets_and_accounts_get_their_shares(routers: Routers) -> None:
    gw = routers[0]
    heavy = priced(gw, "a", accounts=accounts("a", weights={"x": 1, "y": 4}), strategy="weighted")
    configure(
        routers,
        combo("weighted", "a/sim", "b/sim", weights={"a/sim": 3}),
        providers=[heavy, priced(gw, "b")],
    )
    found = await spread(routers, 400, at_once=1)  # one after the other, chance gives the same every time
    assert 270 <= found["a/x"] + found["a/y"] <= 330, found
    assert 210 <= found["a/y"] <= 270, found


async def test_random_targets_get_about_as_much_each(routers: Routers) -> None:
    configure(routers, combo("random"))
    found = await spread(routers, 300, at_once=1)
    assert all(75 <= found[f"{name}/first"] <= 125 for name in "abc"), found


async def test_of_many_requests_at_once_p2c_leaves_nobody_out(routers: Routers) -> None:
    """How much it gives to each goes by how long each takes, which is for a busy machine to say here."""
    configure(routers, combo("p2c"))
    found = await spread(routers, 300)
    assert all(found[f"{name}/first"] >= 10 for name in "abc"), found


# ---- by what is known -----------------------------------------------------------------------------------------------


async def test_cost_optimized_takes_what_is_cheaper_for_this_request(routers: Routers) -> None:
    gw = routers[0]
    reads, writes = priced(gw, "reads", usd(0.1, 10)), priced(gw, "writes", usd(2, 1))
    configure(routers, combo("cost-optimized", "reads/sim", "writes/sim"), providers=[reads, writes])
    long, short = [{"role": "user", "content": "word " * 8_000}], [{"role": "user", "content": "Hi"}]
    assert await asked(gw, messages=long, max_tokens=100) == "reads"
    assert await asked(gw, messages=short, max_tokens=2000) == "writes"


async def test_a_subscription_costs_nothing_and_an_unknown_price_comes_last(routers: Routers) -> None:
    gw = routers[0]
    plan = priced(gw, "plan", usd(5, 5), tier="subscription")
    found = [priced(gw, "unknown", None), priced(gw, "cheap", usd(0.1, 0.1)), plan]
    configure(routers, combo("cost-optimized", *(f"{each.id}/sim" for each in found)), providers=found)
    assert await asked(gw) == "plan"
    plan_fails = ("unknown/sim", "cheap/sim", "plan/sim+status:500")
    configure(routers, combo("cost-optimized", *plan_fails), providers=found)
    assert await asked(gw) == "cheap"
    configure(routers, combo("cost-optimized", "unknown/sim", "cheap/sim+status:500"), providers=found)
    assert await asked(gw) == "unknown"


def talk(turns: int, subject: str = "x") -> list[dict[str, str]]:
    """A conversation of so many questions, with an opening of some 5,000 tokens."""
    asked = [{"role": "user", "content": f"About {subject}: " + "word " * 4_000}]
    for number in range(1, turns):
        asked += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"And {number}?"}]
    return asked


@pytest.mark.parametrize("strategy", ["cache-affinity", "cost-optimized"])
async def test_a_conversation_stays_where_its_prompt_cache_is_warm_until_moving_is_cheaper(
    routers: Routers, strategy: str
) -> None:
    one, other, third = routers
    price = usd(3, 10, cached=0.3)
    here = [priced(one, "a", price), priced(one, "b", price)]
    configure(routers, combo(strategy, "a/sim+fail-first:1+status:500", "b/sim"), providers=here)
    assert await asked(one, messages=talk(1)) == "b", "a failed once"
    assert await one.ledger.flush(20.0)
    assert await asked(other, messages=talk(2)) == "b", "warm there, whichever router is asked"
    assert await asked(third, messages=talk(1, "another")) == "a", "another conversation is not"
    assert await other.ledger.flush(20.0)
    # A tenth of b's price for what is cached, and yet a is cheaper: it gives the whole for less than b's tenth.
    cheap = [priced(one, "a", usd(0.1, 10, cached=0.1)), priced(one, "b", price)]
    configure(routers, combo(strategy, "a/sim", "b/sim"), providers=cheap)
    assert await asked(one, messages=talk(3)) == "a"


async def test_lowest_latency_measures_all_and_takes_the_fastest(routers: Routers) -> None:
    gw = routers[0]
    configure(routers, combo("lowest-latency", "a/sim+latency:2000", "b/sim", "c/sim+latency:2000"))
    first = {await asked(gw) for _ in range(3)}
    assert first == {"a", "b", "c"}, "each is measured once"
    assert {await asked(gw) for _ in range(5)} == {"b"}


async def test_who_fails_at_once_is_not_fast(routers: Routers) -> None:
    gw = routers[0]
    configure(routers, combo("lowest-latency", "a/sim+status:500", "b/sim+latency:50"))
    assert [await asked(gw) for _ in range(6)] == ["b"] * 6
    attempts, _ = await gw.events()
    assert sum(attempt.provider == "a" for attempt in attempts) == 1


async def test_usage_headroom_goes_by_what_answers_tell_of_the_quota(routers: Routers) -> None:
    gw = routers[0]
    targets = ("a/sim+quota-left:20", "b/sim+quota-left:70", "c/sim+quota-left:40")
    configure(routers, combo("usage-headroom", *targets))
    assert [await asked(gw) for _ in range(3)] == ["a", "b", "c"], "of whom nothing is known has all left"
    assert [await asked(gw) for _ in range(3)] == ["b", "b", "b"]


async def test_one_whose_breaker_is_open_is_not_chosen_again_until_it_may_be_asked(routers: Routers) -> None:
    gw = routers[0]
    breaker = s.BreakerPolicy(failures=1, window=60, open_for=60)
    configure(routers, combo("round-robin", "a/sim+status:500", "b/sim", "c/sim"), routing=s.Routing(breaker=breaker))
    found = [await asked(gw) for _ in range(21)]
    assert 9 <= found.count("b") <= 12, found
    assert 9 <= found.count("c") <= 12, "the neighbour of one that is away does not do its work as well"


async def test_an_abandoned_stream_is_no_request_under_way_any_more(routers: Routers) -> None:
    gw = routers[0]
    configure(routers, combo("p2c", "a/sim+tokens:50+tps:5", "b/sim+tokens:50+tps:5"))
    answer = gw.service.complete(gw.call("c", stream=True))
    assert isinstance(await anext(answer), Head)
    standings = gw.service._chooser.standings
    names = ("a/sim+tokens:50+tps:5", "b/sim+tokens:50+tps:5")
    assert sum(standings.of(name).in_flight for name in names) == 1
    await answer.aclose()
    assert sum(standings.of(name).in_flight for name in names) == 0


async def test_a_strategy_of_a_later_version_is_fill_first(routers: Routers) -> None:
    configure(routers, combo("fusion"))
    assert {await asked(gw) for gw in routers} == {"a"}


async def test_requests_without_a_choice_ask_redis_nothing_about_it(routers: Routers) -> None:
    gw = routers[0]
    configure(routers, combo("fill-first"), s.Combo(name="d", strategy="round-robin", targets=("a/sim",)))
    for model in ("c", "d", "a/sim"):
        await gw.ask(model)
    assert await gw.ledger.flush(20.0)
    assert [key async for key in gw.redis.scan_iter("choice:*")] == []


@pytest.mark.parametrize(
    ("strategy", "expected"), [("round-robin", "abcabc"), ("least-used", "aaaaaa"), ("cost-optimized", "aaaaaa")]
)
async def test_while_redis_is_away_a_router_chooses_by_what_it_knows_itself(
    routers: Routers, strategy: str, expected: str
) -> None:
    gw = routers[0]
    configure(routers, combo(strategy))
    catalogue = gw.service._catalogue
    assert catalogue is not None
    policy = catalogue.snapshot.keys[0]
    found = offers_for(catalogue, catalogue.plan_for(policy, "c"), policy, "r")
    call = gw.call("c")
    asked = Asked(call, read(call.client_format, call.body), policy, catalogue.snapshot.routing)
    redis = Redis.from_url("redis://127.0.0.1:1")
    ledger = Ledger(redis, new_registry())
    await ledger.start()
    chooser = Chooser(ledger, random.Random(1).random)
    assert found.choice is not None
    chosen = []
    for _ in expected:
        offer = await (await chooser.line(asked, found.choice, found.offers)).next()
        assert offer is not None
        chosen.append(offer.candidate.provider.id)
    assert "".join(chosen) == expected
    await ledger.stop()
    await redis.aclose()
