"""Limits that keys share, by two routers on one Redis: held, clamped, settled and told as a key's own are."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.context import CallContext
from omni_wire.errors import BudgetExhausted, BudgetHeld, GatewayError, InvalidRequest, RateLimited
from omni_wire.formats import WireFormat

from tests.support.router import PRICE, Harness, provider, until

ONE, TWO, GUEST = "key-one", "key-two", "key-guest"


def limit(name: str, of: str = "team", usd: int = 0, rpm: int = 0, **budget: object) -> s.Limit:
    """``usd`` in nano-USD."""
    held = s.Budget(nano_usd=usd, **budget) if usd else None  # type: ignore[arg-type]
    return s.Limit(id=f"id-{name}", name=name, requests_per_minute=rpm, budget=held, of=of, owner="secret-owner")


def put_in_force(
    routers: Sequence[Harness], *limits: s.Limit, keys: tuple[str, ...] = (ONE, TWO), **own: object
) -> None:
    ids = tuple(one.id for one in limits)
    policies = tuple(s.KeyPolicy(id=key, name=key, limits=ids, **own) for key in keys)  # type: ignore[arg-type]
    for router in routers:
        router.configure(limits=limits, keys=(*policies, s.KeyPolicy(id=GUEST, name=GUEST)))


async def test_two_keys_share_a_budget_over_two_routers_and_never_pass_it(routers: Sequence[Harness]) -> None:
    cap = 30_000_000
    put_in_force(routers, limit("research", usd=cap))

    told: set[str] = set()

    async def client(number: int) -> int:
        for turn in range(60):
            try:
                await routers[number % 2].ask("acme/sim+tokens:60", key=(ONE, TWO)[number // 2 % 2], max_tokens=60)
            except BudgetHeld:
                await asyncio.sleep(0.01)
            except BudgetExhausted as error:
                told.add(str(error))
                return turn
        return 60

    turns = await asyncio.gather(*map(client, range(12)))
    assert max(turns) < 60, "it was used up"
    spent = "its USD budget is spent, or what is left of it is less than this request may cost"
    assert told == {f"the limit 'research' of this key's team: {spent}"}
    for router in routers:
        assert await router.ledger.flush(5.0)
    spent, held = await routers[0].money("limit:id-research")
    assert (held, await routers[0].open_holds()) == (0, 0)
    assert 0.9 * cap < spent <= cap
    events = [request for router in routers for request in (await router.events())[1]]
    assert sum(event.cost_nano_usd for event in events) == spent
    assert {event.key_id for event in events if event.cost_nano_usd} == {ONE, TWO}
    await routers[0].ask("acme/sim", key=GUEST)


async def test_requests_per_minute_are_counted_over_two_keys_and_once_a_request(routers: Sequence[Harness]) -> None:
    put_in_force(routers, limit("busy", of="user", rpm=4))
    combo = s.Combo(name="back", strategy="fill-first", targets=("acme/sim+status:500", "claude/sim"))
    for router in routers:
        router.configure(
            limits=(limit("busy", of="user", rpm=4),),
            keys=tuple(s.KeyPolicy(id=key, name=key, limits=("id-busy",)) for key in (ONE, TWO)),
            combos=(combo,),
        )
    for turn in range(4):
        await routers[turn % 2].ask("back", key=(ONE, TWO)[turn % 2])
    with pytest.raises(RateLimited) as caught:
        await routers[0].ask("acme/sim", key=TWO)
    assert str(caught.value).startswith("the limit 'busy' of this key's user: its requests per minute are used up")
    assert 0 < (caught.value.retry_after or 0) <= 60.1
    assert "secret-owner" not in str(caught.value)


async def test_the_least_of_all_budgets_clamps_the_output_and_relayed_bytes_carry_it(
    routers: Sequence[Harness],
) -> None:
    gw = routers[0]
    own, team = s.Budget(nano_usd=50_000_000), limit("small", usd=5_000_000)
    put_in_force(routers, team, limit("large", of="", usd=10**12), budget=own)
    head, body = await gw.ask("acme/sim+tokens:10000", key=ONE)
    assert head.passthrough
    assert 300 < gw.simulator.recent[-1].json()["max_tokens"] < 500
    assert json.loads(body)["choices"][0]["finish_reason"] == "length"
    costs = [(await gw.money(owner))[0] for owner in (ONE, "limit:id-small", "limit:id-large")]
    assert costs[0] > 0
    assert costs == [costs[0]] * 3
    # In one stream as well, and in another dialect's.
    with pytest.raises(BudgetExhausted):
        for _ in range(20):
            await gw.ask("claude/sim+tokens:10000", key=TWO, stream=True)
    assert (await gw.money("limit:id-small"))[0] <= 5_000_000
    assert (await gw.money("limit:id-small"))[1] == 0


async def test_an_answer_that_cannot_be_paid_for_whole_is_refused_where_the_budget_says_so(
    routers: Sequence[Harness],
) -> None:
    gw = routers[0]
    put_in_force(routers, limit("small", usd=5_000_000, unaffordable="refuse"))
    with pytest.raises(BudgetExhausted) as refused:
        await gw.ask("acme/sim+tokens:10000", key=ONE)
    assert "less than this request may cost" in str(refused.value)
    assert gw.simulator.recent == []
    await gw.ask("acme/sim+tokens:50", key=ONE, max_tokens=50)
    assert gw.simulator.recent[-1].json()["max_tokens"] == 50


async def test_what_cannot_be_held_is_refused_and_not_listed_under_a_shared_budget_too(
    routers: Sequence[Harness],
) -> None:
    gw = routers[0]
    put_in_force(routers, limit("team", usd=10**12))
    with pytest.raises(BudgetExhausted) as unpriced:
        await gw.ask("acme/free", key=ONE)
    assert unpriced.value.code == "model_unpriced"
    with pytest.raises(InvalidRequest) as apart:
        await gw.ask("acme/sim", key=ONE, web_search_options={"search_context_size": "low"})
    assert apart.value.param == "web_search_options"
    listed = [entry.id for entry in await gw.service.models(CallContext("r"), ONE)]
    assert ("acme/free" in listed, "acme/small" in listed) == (False, True)
    assert "acme/free" in [entry.id for entry in await gw.service.models(CallContext("r"), GUEST)]
    put_in_force(routers, limit("team", rpm=100))
    await gw.ask("acme/free", key=ONE)


async def test_a_price_that_is_assumed_by_one_of_the_budgets_is_charged_to_all(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    served, assumed = (
        limit("a", usd=10**12, unpriced="serve"),
        limit("b", usd=10**12, unpriced="assume", assumed_price=PRICE),
    )
    put_in_force(routers, served, assumed)
    await gw.ask("acme/free", key=ONE)
    spent = [(await gw.money(f"limit:id-{name}"))[0] for name in "ab"]
    assert spent[0] == spent[1] > 0
    put_in_force(routers, served)
    await gw.ask("acme/free", key=ONE)
    assert (await gw.money("limit:id-a"))[0] == spent[0]


async def test_a_changed_cap_is_in_force_with_the_next_snapshot_and_what_was_spent_stays(
    routers: Sequence[Harness],
) -> None:
    gw = routers[0]
    put_in_force(routers, limit("team", usd=10**9))
    await gw.ask("acme/sim+tokens:50", key=ONE)
    spent, _ = await gw.money("limit:id-team")
    put_in_force(routers, limit("team", usd=spent))
    with pytest.raises(BudgetExhausted):
        await gw.ask("acme/sim", key=TWO)
    put_in_force(routers, limit("team", usd=10**9, rpm=1))
    await gw.ask("acme/sim+tokens:50", key=TWO)
    assert (await gw.money("limit:id-team"))[0] > spent
    with pytest.raises(RateLimited):
        await gw.ask("acme/sim", key=ONE)


async def test_a_request_that_is_under_way_holds_on_every_level(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    put_in_force(routers, limit("team", usd=2_000_000), limit("all", of="", usd=10**9))
    first = asyncio.ensure_future(gw.ask("acme/sim+latency:600+tokens:2", key=ONE))
    assert await until(lambda: gw.simulator.active == 1)
    with pytest.raises(BudgetHeld) as caught:
        await routers[1].ask("acme/sim+tokens:2", key=TWO)
    assert "the limit 'team' of this key's team: what is left of its USD budget is held" in str(caught.value)
    assert (await gw.money("limit:id-all"))[1] > 0
    await first
    assert (await gw.money("limit:id-all"))[1] == 0


async def test_a_format_without_an_output_limit_is_refused_under_a_shared_budget(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    cursor = provider("cursor", gw.simulator.url, WireFormat.CURSOR_CHAT)
    keys = (s.KeyPolicy(id=ONE, name=ONE, limits=("id-team",)),)
    gw.configure(cursor, keys=keys, limits=(limit("team", usd=10**12),))
    with pytest.raises(GatewayError) as caught:
        await gw.ask("cursor/sim", key=ONE)
    assert caught.value.code == "output_unbounded"


async def test_counting_tokens_is_a_request_of_its_key_and_of_what_that_shares(routers: Sequence[Harness]) -> None:
    put_in_force(routers, limit("pace", rpm=3), requests_per_minute=2)
    body = json.dumps({"model": "claude/sim", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})

    async def count(key: str, router: Harness) -> int:
        asked = CallContext("r"), key, WireFormat.ANTHROPIC_MESSAGES, "", body.encode()
        return await router.service.count_tokens(*asked)

    for router in routers:
        assert await count(ONE, router) > 0
    with pytest.raises(RateLimited, match="this key's requests per minute"):
        await count(ONE, routers[0])
    assert await count(TWO, routers[1]) > 0
    with pytest.raises(RateLimited, match="'pace'"):
        await count(TWO, routers[0])
    assert [await router.open_holds() for router in routers] == [0, 0]
    assert await count(GUEST, routers[0]) > 0
