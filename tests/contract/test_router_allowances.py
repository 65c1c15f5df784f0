"""Tokens, requests and attempts at once that keys share, by two routers: held, clamped, settled and told."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core import clock
from omni_core.ports.context import CallContext
from omni_ledger import Janitor
from omni_wire.errors import BudgetExhausted, BudgetHeld, GatewayError, InvalidRequest, RateLimited, WireError
from omni_wire.formats import WireFormat
from omniroute_proto.events.v1 import events_pb2

from tests.support.router import Harness, provider, until

ONE, TWO, GUEST = "key-one", "key-two", "key-guest"


def limit(name: str, *allowances: s.Allowance, **more: object) -> s.Limit:
    fields = {"id": f"id-{name}", "name": name, "of": "team", "owner": "secret-owner"} | more
    return s.Limit(allowances=allowances, **fields)  # type: ignore[arg-type]


def of(what: str, most: int, window: str = "") -> s.Allowance:
    return s.Allowance(of=what, most=most, window=window)


def put_in_force(routers: Sequence[Harness], *limits: s.Limit, **more: object) -> None:
    ids = tuple(one.id for one in limits)
    policies = tuple(s.KeyPolicy(id=key, name=key, limits=ids) for key in (ONE, TWO))
    for router in routers:
        router.configure(limits=limits, keys=(*policies, s.KeyPolicy(id=GUEST, name=GUEST)), **more)  # type: ignore[arg-type]


async def standing(router: Harness, limit: s.Limit) -> list[tuple[int, int]]:
    """Used and held of each of its allowances."""
    assert await router.ledger.flush(5.0)
    janitor = Janitor(router.redis)
    asked = [(limit.window_owner, each.of, each.window) for each in limit.allowances]
    found = (await janitor.look([], [], asked)).allowances
    await janitor.close()
    return [(one.used, one.held) for one in found]


async def test_two_keys_share_tokens_over_two_routers_and_never_pass_them(routers: Sequence[Harness]) -> None:
    cap = 6_000
    team = limit("research", of("tokens", cap, "day"), of("input", 10**9, "5h"), of("output", 10**9, "month"))
    put_in_force(routers, team)
    told, held_up, waits = set[str](), set[str](), list[float]()

    async def client(number: int) -> int:
        for turn in range(60):
            try:
                await routers[number % 2].ask("acme/sim+tokens:60", key=(ONE, TWO)[number // 2 % 2], max_tokens=60)
            except BudgetHeld as error:
                held_up.add(error.code)
                await asyncio.sleep(0.01)
            except RateLimited as error:
                waits.append(error.retry_after or 0)
                told.add(str(error).partition(";")[0])
                return turn
        return 60

    turns = await asyncio.gather(*map(client, range(8)))
    assert max(turns) < 60, "they were used up"
    assert held_up <= {"tokens_held"}
    assert min(waits) > 1
    used_up = "its tokens a day are used up, or what is left of them is less than this request may take"
    assert told == {f"the limit 'research' of this key's team: {used_up}"}
    for router in routers:
        assert await router.ledger.flush(5.0)
    (used, held), (read, _), (written, _) = await standing(routers[0], team)
    assert held == 0
    assert 0.9 * cap < used == read + written <= cap
    events = [request for router in routers for request in (await router.events())[1]]
    assert sum(event.usage.input_tokens for event in events) == read
    assert sum(event.usage.output_tokens for event in events) == written
    await routers[0].ask("acme/sim", key=GUEST)


async def test_the_tokens_that_are_left_clamp_an_answer_without_a_price_too(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    team = limit("small", of("output", 300, "day"))
    put_in_force(routers, team)
    head, body = await gw.ask("acme/free+tokens:10000", key=ONE)
    assert head.passthrough
    assert gw.simulator.recent[-1].json()["max_tokens"] == 300
    assert json.loads(body)["choices"][0]["finish_reason"] == "length"
    assert await standing(gw, team) == [(300, 0)]
    with pytest.raises(RateLimited):
        await gw.ask("claude/sim", key=TWO, stream=True)
    put_in_force(routers, limit("small", of("output", 340, "day")))
    await gw.ask("claude/sim+tokens:10000", key=TWO, stream=True)
    assert (await standing(gw, team))[0][0] <= 340, "raised while it runs, by what was added"


async def test_requests_count_once_whoever_answers_and_for_ever_is_told_otherwise(routers: Sequence[Harness]) -> None:
    team = limit("trial", of("requests", 4, "total"))
    combo = s.Combo(name="back", strategy="fill-first", targets=("acme/sim+status:500", "claude/sim"))
    put_in_force(routers, team, combos=(combo,))
    for turn in range(4):
        await routers[turn % 2].ask("back", key=(ONE, TWO)[turn % 2])
    with pytest.raises(BudgetExhausted) as caught:
        await routers[0].ask("acme/sim", key=TWO)
    assert (caught.value.status, caught.value.code) == (402, "limit_exhausted")
    assert str(caught.value) == "the limit 'trial' of this key's team: its requests in total are used up"
    assert await standing(routers[0], team) == [(4, 0)]


async def test_so_many_at_once_are_those_of_all_routers_and_a_place_is_free_when_one_ends(
    routers: Sequence[Harness],
) -> None:
    team = limit("lanes", of("concurrent", 2))
    put_in_force(routers, team)
    slow = [asyncio.ensure_future(each.ask("acme/sim+latency:800", key=ONE)) for each in routers]
    assert await until(lambda: routers[0].simulator.active == 2)
    with pytest.raises(RateLimited) as caught:
        await routers[1].ask("acme/sim", key=TWO)
    assert "the limit 'lanes' of this key's team: it has as many requests under way as it may" in str(caught.value)
    await routers[1].ask("acme/sim", key=GUEST)
    await asyncio.gather(*slow)
    for router in routers:
        assert await router.ledger.flush(5.0)
    await routers[1].ask("acme/sim", key=TWO)
    assert await standing(routers[1], team) == [(0, 0)]


async def test_what_is_soft_refuses_nothing_counts_all_and_tells_when_it_is_used_up(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    allowances = (of("output", 30, "day"), of("requests", 2, "minute"), of("usd", 1_000_000, "month"))
    soft = limit("soft", *(msgspec.structs.replace(each, mode="soft", warn=(80, 100)) for each in allowances))
    shadow = limit("shadow", msgspec.structs.replace(of("concurrent", 1), mode="shadow"))
    put_in_force(routers, soft, shadow)
    for turn in range(3):
        await routers[turn % 2].ask("acme/sim+tokens:20", key=(ONE, TWO)[turn % 2])
        assert "max_tokens" not in gw.simulator.recent[-1].json(), "nothing is clamped"
    await gw.ask("acme/free+tokens:20", key=ONE)  # has no price
    await gw.ask("acme/sim+tokens:1", key=ONE, web_search_options={"search_context_size": "low"})
    (output, _), (requests, _), (money, held) = await standing(gw, soft)
    assert (output, requests, held) == (81, 5, 0)
    assert money > 0
    told = [event.limit for event in await limit_events(routers)]
    assert [(one.percent, one.used) for one in told if one.of == "output"] == [(80, 40), (100, 40)]
    assert [(one.percent, one.used) for one in told if one.of == "requests"] == [(80, 2), (100, 2)]
    assert {(one.limit_id, one.name, one.organisation) for one in told} == {
        ("id-soft", "team/secret-owner/soft", "default")
    }


async def limit_events(routers: Sequence[Harness]) -> list[events_pb2.Event]:
    found = []
    for router in routers:
        assert await router.ledger.flush(5.0)
        raw: list[bytes] = await router.redis.lrange(f"quota:{{omni}}:outbox:{router.router_id}", 0, -1)  # type: ignore[misc]
        found += map(events_pb2.Event.FromString, raw)
    return sorted((one for one in found if one.HasField("limit")), key=lambda one: (one.limit.at_ms, one.limit.percent))


async def test_windows_of_a_time_zone_begin_there_for_tokens_and_money(routers: Sequence[Harness]) -> None:
    team = limit(
        "apia", of("tokens", 10**6, "day"), budget=s.Budget(nano_usd=10**12, window="day"), zone="Pacific/Apia"
    )
    put_in_force(routers, team)
    for turn in range(2):
        await routers[turn].ask("acme/sim", key=ONE)
    now = clock.now_ms() / 1000
    janitor, window = Janitor(routers[0].redis), team.window("day", now)
    for router in routers:
        assert await router.ledger.flush(5.0)
    found = await janitor.look([(team.window_owner, window)], [], [(team.window_owner, "tokens", window)])
    await janitor.close()
    assert found.keys[0].spent_nano_usd > 0
    assert found.allowances[0].used > 0
    there = datetime.fromtimestamp(found.keys[0].resets_at, ZoneInfo("Pacific/Apia"))
    assert (there.hour, there.minute) == (0, 0)
    assert found.allowances[0].resets_at == found.keys[0].resets_at > now
    with pytest.raises(WireError, match="time zone 'Mars/Base' of a limit"):
        put_in_force(routers, limit("lost", of("tokens", 5, "day"), zone="Mars/Base"))


async def test_what_has_no_bound_in_tokens_is_refused_under_them(routers: Sequence[Harness]) -> None:
    gw = routers[0]
    put_in_force(routers, limit("team", of("tokens", 10**9, "day")))
    with pytest.raises(InvalidRequest) as apart:
        await gw.ask("acme/sim", key=ONE, web_search_options={"search_context_size": "low"})
    assert apart.value.param == "web_search_options"
    assert "acme/free" in [entry.id for entry in await gw.service.models(CallContext("r"), ONE)]
    keys = (s.KeyPolicy(id=ONE, name=ONE, limits=("id-team",)),)
    cursor = provider("cursor", gw.simulator.url, WireFormat.CURSOR_CHAT)
    gw.configure(cursor, keys=keys, limits=(limit("team", of("tokens", 10**9, "day")),))
    with pytest.raises(GatewayError) as caught:
        await gw.ask("cursor/sim", key=ONE)
    assert caught.value.code == "output_unbounded"
