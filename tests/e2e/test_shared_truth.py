"""Limits, budgets and breakers over two edges and three routers: what one of each would show, and no more."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from omni_simulator import Simulator

from tests.support.fleet import ADMIN, HELLO, Fleet, Replica, config, eventually, fleet
from tests.support.stack import simulator

LIMITED, TIGHT, OTHER = "or-test-limited-0123456789", "or-test-tight-0123456789", "or-test-other-0123456789"
PER_MINUTE = 25
BUDGET_NANO_USD = 400_000
KEYS = f"""
  - {{name: limited, secret: {{value: {LIMITED}}}, limits: {{requests_per_minute: {PER_MINUTE}}}}}
  - {{name: tight, secret: {{value: {TIGHT}}}, budget: {{usd: 0.0004, window: month}}}}
  - {{name: other, secret: {{value: {OTHER}}}}}
"""
FAILURES, OPEN_FOR = 4, 20  # long enough, on a busy machine too, for all that must happen before the next probe
BREAKER = f"{{failures: {FAILURES}, window: 60, open_for: {OPEN_FOR}}}"


@pytest.fixture(scope="module")
def provider() -> Iterator[Simulator]:
    with simulator() as made:
        yield made


@pytest.fixture(scope="module")
def made(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    text = config(provider.url, keys=KEYS, breaker=BREAKER)
    with fleet(tmp_path_factory.mktemp("truth"), text, edges=2, routers=3) as running:
        for edge in running["edge"]:
            eventually(
                lambda edge=edge: edge.metric("omniroute_pool_members", service="router", state="ready") == 3, 10
            )
        yield running


def knows_all(edge: Replica) -> bool:
    return edge.metric("omniroute_pool_members", service="router", state="ready") == 3


async def ask_at_once(made: Fleet, count: int, key: str, model: str, **more: object) -> Counter[int]:
    """``count`` requests together, over both edges in turn: how many ended with which status."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(timeout=30, headers=headers, limits=httpx.Limits(max_connections=count)) as client:

        async def one(number: int) -> int:
            url = f"{made['edge'][number % 2].url}/v1/chat/completions"
            return (await client.post(url, json={"model": model, "messages": HELLO, **more})).status_code

        return Counter(await asyncio.gather(*map(one, range(count))))


def at_once(made: Fleet, count: int, key: str, model: str, **more: object) -> Counter[int]:
    return asyncio.run(ask_at_once(made, count, key, model, **more))


def calls(provider: Simulator) -> int:
    return sum(provider.requests.values())


def test_every_router_has_its_share_of_what_follows(made: Fleet) -> None:
    before = [router.metric("omniroute_router_requests_total") for router in made["router"]]
    assert at_once(made, 60, OTHER, "acme/sim") == {200: 60}
    taken = [
        router.metric("omniroute_router_requests_total") - count
        for router, count in zip(made["router"], before, strict=True)
    ]
    assert sum(taken) == 60
    assert min(taken) >= 6


def test_a_rate_limit_lets_through_what_it_says_and_not_a_request_more(made: Fleet) -> None:
    assert at_once(made, 4 * PER_MINUTE, LIMITED, "acme/sim") == {200: PER_MINUTE, 429: 3 * PER_MINUTE}


def test_a_budget_is_never_exceeded_whoever_spends_it(made: Fleet) -> None:
    statuses: Counter[int] = Counter()
    for _ in range(4):
        statuses += at_once(made, 30, TIGHT, "acme/sim+tokens:8", max_tokens=8)
    assert set(statuses) <= {200, 402, 429}  # spent, or held by those in flight
    eventually(lambda: made.open_reservations() == 0, 10, made.open_reservations)
    (state,) = [key["budget"] for key in made.get("/api/quota", ADMIN).json()["keys"] if key["budget"]]
    assert 0 < state["spent_nano_usd"] <= BUDGET_NANO_USD
    assert state["held_nano_usd"] == 0
    eventually(lambda: made.totals(TIGHT)["requests"] == 120, 20, lambda: made.totals(TIGHT))
    totals = made.totals(TIGHT)
    assert totals["cost_nano_usd"] == state["spent_nano_usd"]
    assert totals["requests"] - totals["errors"] == statuses[200] > 1
    # What is left affords no further request, whose worst case is about 0.0002 USD: none was refused early.
    assert BUDGET_NANO_USD - state["spent_nano_usd"] < 220_000


# Fails until it has been asked often enough, so that one breaker can be seen to open, to be probed and to close.
FAILING = f"acme/sim+latency:300+status:500+fail-first:{FAILURES + 3}"


def test_a_breaker_opens_for_all_after_what_one_router_would_have_allowed(made: Fleet, provider: Simulator) -> None:
    before, began = calls(provider), time.monotonic()
    for number in range(2 * FAILURES):
        last = made.ask(FAILING, key=OTHER, edge=number % 2)
    # As nobody else can be asked, it is probed before its time: 1, 2, 4 … seconds after it failed.
    early = int(math.log2(1 + time.monotonic() - began))
    assert FAILURES <= calls(provider) - before <= FAILURES + early
    assert last.json()["error"]["code"] == "no_candidate"
    assert made.ask("acme/sim", key=OTHER).status_code == 200  # another model of the same account


def test_one_probe_goes_through_a_half_open_breaker_not_one_a_router(made: Fleet, provider: Simulator) -> None:
    async def one_probe() -> Counter[int]:
        await asyncio.sleep(OPEN_FOR + 0.1)
        return await ask_at_once(made, 12, OTHER, FAILING)

    before = calls(provider)
    statuses = asyncio.run(one_probe())
    assert calls(provider) - before == 1
    assert sum(statuses.values()) == 12
    eventually(lambda: made.ask(FAILING, key=OTHER, edge=1).status_code == 200, 2 * OPEN_FOR + 45)
    assert at_once(made, 12, OTHER, FAILING) == {200: 12}
