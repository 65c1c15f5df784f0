"""Rate limits of providers as requests meet them: over routers that share a Redis, before providers over real HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from omni_catalogue import snapshot as s
from omni_ledger import Janitor, LaneStanding
from omni_wire.errors import NoCandidate, Unauthenticated, UpstreamFailed, UpstreamRejected

from tests.support.router import PATIENT, Harness, fleet, provider, until

ANY = s.RateLimit()
QUEUE, LONG = s.Queue(longest=20.0, patience=0.0), s.Queue(longest=90.0, patience=0.0)


@pytest.fixture
async def three(clean_redis: str) -> AsyncIterator[list[Harness]]:
    async with fleet(clean_redis, 3) as routers:
        yield list(routers)


def configure(
    *routers: Harness,
    rate_limit: s.RateLimit = ANY,
    queue: s.Queue | None = QUEUE,
    combos: tuple[s.Combo, ...] = (),
    routing: dict[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Every router the same: "acme" with the limit, and "other" with none, at the first one's simulator."""
    base = f"{routers[0].simulator.url}/v1"
    for gw in routers:
        gw.configure(
            provider("acme", base, rate_limit=rate_limit, **changes),
            provider("other", base),
            combos=combos,
            routing=s.Routing(queue=queue, timeouts=PATIENT, **(routing or {})),
        )


async def lanes(gw: Harness) -> dict[str, LaneStanding]:
    assert await gw.ledger.flush(20.0)
    janitor = Janitor(gw.redis)
    found = {standing.name: standing for standing in await janitor.lanes(100)}
    await janitor.close()
    return found


async def test_what_a_minute_does_not_take_goes_to_the_next_target(three: list[Harness]) -> None:
    combo = s.Combo(name="best", strategy="fill-first", targets=("acme/sim", "other/sim"))
    configure(*three, rate_limit=s.RateLimit(requests_per_minute=4), combos=(combo,))
    heads = [(await three[at % 3].ask("best"))[0].provider for at in range(7)]
    assert heads == ["acme"] * 4 + ["other"] * 3
    assert (await lanes(three[0]))["acme"].requests_in_window == 4


async def test_what_nobody_takes_in_time_is_a_429_that_says_when(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(requests_per_minute=1))
    await three[0].ask("acme/sim")
    with pytest.raises(NoCandidate, match="rate limit lets nobody through") as caught:
        await three[1].ask("acme/sim")
    assert (caught.value.status, caught.value.code) == (429, "upstream_rate_limited")
    assert 50 < (caught.value.retry_after or 0) <= 61
    assert sum(three[0].simulator.requests.values()) == 1


async def test_never_more_at_once_than_the_provider_takes_whoever_asks(three: list[Harness]) -> None:
    model = "acme/sim+latency:150"
    configure(*three, rate_limit=s.RateLimit(concurrent=2))
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, three[0].simulator.active)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    answers = await asyncio.gather(*(three[at % 3].ask(model) for at in range(12)))
    watching.cancel()
    assert len(answers) == 12
    assert most == 2
    found = (await lanes(three[0]))["acme"]
    assert (found.under_way, found.waiting) == (0, 0)


async def test_who_waits_is_let_through_in_the_order_of_coming_one_by_one(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(min_gap=0.2))
    served: list[int] = []
    times: list[float] = []

    async def ask(number: int) -> None:
        await three[number % 3].ask("acme/sim")
        served.append(number)
        times.append(time.monotonic())

    asking = []
    for number in range(8):
        asking.append(asyncio.create_task(ask(number)))
        assert await until(lambda wanted=number: len(served) + sum(gw.tools.turns.waiting for gw in three) > wanted)
        await asyncio.sleep(0.01)
    await asyncio.gather(*asking)
    assert served == sorted(served)
    assert times[-1] - times[0] >= 7 * 0.2 - 0.15


async def test_a_request_with_patience_waits_for_the_first_rather_than_go_on(three: list[Harness]) -> None:
    combo = s.Combo(name="best", strategy="fill-first", targets=("acme/sim", "other/sim"))
    limit = s.RateLimit(min_gap=0.3)
    configure(*three, rate_limit=limit, combos=(combo,), queue=s.Queue(longest=20.0, patience=1.0))
    heads = [(await gw.ask("best"))[0].provider for gw in three]
    assert heads == ["acme"] * 3


async def test_who_gives_up_waiting_leaves_the_queue(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(concurrent=1))
    slow = asyncio.create_task(three[0].ask("acme/sim+latency:800"))
    assert await until(lambda: three[0].simulator.active == 1)
    waiting = asyncio.create_task(three[1].ask("acme/sim"))
    assert await until(lambda: three[1].tools.turns.waiting == 1)
    await asyncio.sleep(0.1)
    assert (await lanes(three[1]))["acme"].waiting == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (await lanes(three[1]))["acme"].waiting == 0
    await slow
    assert (await three[2].ask("acme/sim"))[0].status == 200


async def test_a_request_in_haste_waits_no_longer_than_it_gives_itself(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(min_gap=5.0))
    await three[0].ask("acme/sim")
    began = time.monotonic()
    with pytest.raises(NoCandidate) as caught:
        await three[1].ask("acme/sim", headers={"x-omniroute-timeouts": "total=1"})
    assert time.monotonic() - began < 3.0
    assert 3 < (caught.value.retry_after or 0) <= 5


async def test_a_queue_that_is_off_or_full_refuses_at_once(three: list[Harness]) -> None:
    for queue in (None, s.Queue(longest=20.0, patience=0.0, most=1)):
        configure(*three, rate_limit=s.RateLimit(concurrent=1), queue=queue)
        slow = asyncio.create_task(three[0].ask("acme/sim+latency:500"))
        assert await until(lambda: three[0].simulator.active == 1)
        if queue is not None:
            behind = asyncio.create_task(three[1].ask("acme/sim"))
            assert await until(lambda: three[1].tools.turns.waiting == 1)
        with pytest.raises(NoCandidate):
            await three[1].ask("acme/sim")
        await slow
        if queue is not None:
            await behind


async def test_a_cooldown_is_waited_for_where_it_is_short(three: list[Harness]) -> None:
    model = "acme/sim+status:429+retry-after:1+fail-first:1"
    configure(*three)
    with pytest.raises(UpstreamRejected):
        await three[0].ask(model)
    answers = await asyncio.gather(*(gw.ask(model) for gw in three))
    assert {head.status for head, _ in answers} == {200}


async def test_limits_that_answers_tell_hold_for_the_whole_fleet(three: list[Harness]) -> None:
    model = "sim+quota:3"
    configure(*three, queue=None)
    await three[0].ask(f"acme/{model}")
    found = (await lanes(three[0]))[f"acme/first {model}"]
    assert (found.requests_per_minute, found.learned) == (3, "told")
    for gw in three:  # the first had asked before anybody knew
        await gw.ask(f"acme/{model}")
    with pytest.raises(NoCandidate):
        await three[0].ask(f"acme/{model}")
    assert sum(three[0].simulator.requests.values()) == 4


async def test_what_is_configured_is_heard_before_what_is_told(three: list[Harness]) -> None:
    model = "sim+quota:1"
    seat = s.Model(id=model, rate_limit=s.RateLimit(requests_per_minute=5))
    configure(*three, queue=None, models=(seat,))
    for at in range(5):
        await three[at % 3].ask(f"acme/{model}")
    with pytest.raises(NoCandidate):
        await three[0].ask(f"acme/{model}")


async def test_a_cooldown_s_end_brings_no_slow_queue_with_it(three: list[Harness]) -> None:
    model = "acme/sim+status:429+retry-after:1+fail-first:1"
    configure(*three)
    with pytest.raises(UpstreamRejected):
        await three[0].ask(model)
    began = time.monotonic()
    heads = await asyncio.gather(*(three[at % 3].ask(model) for at in range(60)))
    assert {head.status for head, _ in heads} == {200}
    assert time.monotonic() - began < 10.0


async def test_who_waits_for_one_model_is_in_nobody_s_way_at_its_provider(three: list[Harness]) -> None:
    slow = s.Model(id="slow", rate_limit=s.RateLimit(requests_per_minute=1))
    configure(*three, rate_limit=s.RateLimit(concurrent=1), models=(slow, s.Model(id="*")), queue=LONG)
    await three[0].ask("acme/slow")
    waiting = asyncio.create_task(three[1].ask("acme/slow"))
    assert await until(lambda: three[1].tools.turns.waiting == 1)
    for at in range(6):
        assert (await three[at % 3].ask("acme/sim"))[0].status == 200
    found = await lanes(three[0])
    assert (found["acme"].waiting, found["acme/first slow"].waiting) == (0, 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_configuration_that_comes_while_a_request_waits_holds_for_it(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(requests_per_minute=1), queue=LONG)
    await three[0].ask("acme/sim")
    waiting = asyncio.create_task(three[1].ask("acme/sim"))
    assert await until(lambda: three[1].tools.turns.waiting == 1)
    configure(*three, rate_limit=s.RateLimit(requests_per_minute=9), queue=LONG)
    async with asyncio.timeout(20.0):
        assert (await waiting)[0].status == 200
    configure(*three, rate_limit=s.RateLimit(concurrent=1), queue=LONG)
    busy = asyncio.create_task(three[0].ask("acme/sim+latency:3000"))
    assert await until(lambda: three[0].simulator.active == 1)
    revoked = asyncio.create_task(three[1].ask("acme/sim"))
    assert await until(lambda: three[1].tools.turns.waiting == 1)
    three[1].configure(provider("acme", f"{three[0].simulator.url}/v1"), keys=(s.KeyPolicy(id="other", name="other"),))
    with pytest.raises(Unauthenticated):
        await revoked
    await busy


async def test_an_image_counts_as_an_image_and_not_by_its_bytes(three: list[Harness]) -> None:
    configure(*three, queue=None, rate_limit=s.RateLimit(tokens_per_minute=20_000))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 200_000}}
    await three[0].ask("acme/sim")
    messages = [{"role": "user", "content": [{"type": "text", "text": "what is it"}, image]}]
    assert (await three[1].ask("acme/sim", messages=messages))[0].status == 200


async def test_it_is_foreseen_that_a_request_would_wait(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(min_gap=15.0))
    await three[0].ask("acme/sim")
    told = json.loads(await three[1].service.explain(three[1].call("acme/sim")))
    (step,) = [step for step in told["steps"] if step["outcome"] == "would_wait"]
    assert 5 < step["wait"] <= 15
    assert "refused" not in told


async def test_a_decision_says_how_long_a_request_waited(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(min_gap=0.5))
    await three[0].ask("acme/sim")
    await three[0].ask("acme/sim")
    _, requests = await three[0].events()
    (step,) = [step for step in json.loads(requests[-1].decision)["steps"] if step["outcome"] == "waited"]
    assert step["circuit"] == "acme"
    assert 200 < step["ms"] < 5_000


async def test_tokens_count_as_what_they_came_to(three: list[Harness]) -> None:
    configure(*three, queue=None, rate_limit=s.RateLimit(tokens_per_minute=100_000))
    for gw in three:
        await gw.ask("acme/sim")
    attempts, _ = await three[0].events()
    used = attempts[0].usage.input_tokens + attempts[0].usage.output_tokens
    assert (await lanes(three[0]))["acme"].tokens_in_window == 3 * used


async def test_when_everything_fails_the_fleet_s_budget_of_retries_ends_them(three: list[Harness]) -> None:
    model = "acme/sim+status:500"
    budget = s.RetryBudget(percent=0, least=4)
    configure(*three, routing={"retries": 3, "retry_budget": budget, "breaker": None})
    for at in range(6):
        with pytest.raises(UpstreamFailed):
            await three[at % 3].ask(model)
    assert sum(three[0].simulator.requests.values()) == 6 + 4


async def test_a_router_that_dies_in_the_queue_keeps_nobody_out_for_long(three: list[Harness]) -> None:
    configure(*three, rate_limit=s.RateLimit(concurrent=1))
    slow = asyncio.create_task(three[0].ask("acme/sim+latency:500"))
    assert await until(lambda: three[0].simulator.active == 1)
    dying = asyncio.create_task(three[1].ask("acme/sim"))
    assert await until(lambda: three[1].tools.turns.waiting == 1)
    await asyncio.sleep(0.1)
    three[1].tools.ledger.leave_soon = lambda ticket, lanes: None  # type: ignore[method-assign]
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert (await lanes(three[0]))["acme"].waiting == 1
    await slow
    async with asyncio.timeout(20.0):
        assert (await three[2].ask("acme/sim"))[0].status == 200
