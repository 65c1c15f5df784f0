"""Several routers behind one edge, as real processes: found, used, and killed without losing anything."""

import asyncio
import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.fleet import ADMIN, HELLO, KEY, Fleet, Replica, config, eventually, fleet
from tests.support.pools import until
from tests.support.stack import simulator

LIVELY, SLOW = "or-test-lively-0123456789", "or-test-slow-0123456789"
# Seconds: 20 of silence and 5 for a ping (rpc.py), the request once more, and the longest stream that is let go on.
WAITS_AT_MOST = 36.0
KEYS = f"""
  - {{name: lively, secret: {{value: {LIVELY}}}, budget: {{usd: 1000, window: month}}}}
  - {{name: slow, secret: {{value: {SLOW}}}, budget: {{usd: 1000, window: month}}}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    # What a killed router held is free again after the longest time its attempt could have taken, and this margin.
    # What was leased comes back with its router: tests/contract/test_ledger_killed.py
    env = {"OMNIROUTE_ROUTER_HOLD_MARGIN": "0.5", "OMNIROUTE_ROUTER_LEASE_FROM": "0"}
    home = tmp_path_factory.mktemp("fleet")
    with simulator() as provider, fleet(home, config(provider.url, keys=KEYS, wait=4), routers=2, env=env) as running:
        yield running


def known(made: Fleet, state: str = "ready") -> float:
    return made["edge"][0].metric("omniroute_pool_members", service="router", state=state)


def served(router: Replica) -> float:
    return router.metric("omniroute_router_requests_total")


def test_requests_are_spread_over_the_routers_and_a_new_one_joins_without_a_restart(made: Fleet) -> None:
    eventually(lambda: known(made) == 2, 10)
    routers = made["router"]
    eventually(lambda: made.ask("acme/sim").status_code == 200 and min(map(served, routers)) > 3, 40)
    third = made.start("router").ready()
    eventually(lambda: known(made) == 3, 20)
    eventually(lambda: made.ask("acme/sim").status_code == 200 and served(third) > 3, 40)
    edge = made["edge"][0]
    assert edge.metric("omniroute_pool_tries_total", service="router", outcome="failed") == 0


def test_one_that_leaves_in_order_is_gone_from_the_list_at_once_and_costs_nothing(made: Fleet) -> None:
    third = made["router"][2]
    before = known(made)
    third.terminate()
    for _ in range(20):
        assert made.ask("acme/sim").status_code == 200
    assert third.wait() == 0
    eventually(lambda: known(made) == before - 1, 5)


async def whole(client: httpx.AsyncClient) -> str:
    """An answer that is not streamed: how it ended."""
    answer = await client.post(
        "/chat/completions", json={"model": "acme/sim+latency:150", "messages": HELLO},
        headers={"authorization": f"Bearer {LIVELY}"},
    )  # fmt: skip
    return "complete" if answer.status_code == 200 and answer.json()["choices"] else f"{answer.status_code}"


async def streamed(client: httpx.AsyncClient, begun: asyncio.Queue[None], tokens: int = 80, name: str = "any") -> str:
    """A long stream: how it ended. One that was cut off must say so in its dialect, and must not look complete."""
    body = {"model": f"acme/sim+tokens:{tokens}+tps:20", "messages": HELLO, "stream": True}
    headers = {"authorization": f"Bearer {SLOW}", "x-request-id": name}
    data = b""
    async with client.stream("POST", "/chat/completions", json=body, headers=headers) as answer:
        assert answer.status_code == 200
        async for chunk in answer.aiter_bytes():
            if not data:
                begun.put_nowait(None)
            data += chunk
    parts = data.strip().split(b"\n\n")
    events = [part.removeprefix(b"data: ") for part in parts if not part.startswith(b":")]  # a comment is no event
    chunks = [json.loads(event) for event in events if event != b"[DONE]"]
    finished = any(choice.get("finish_reason") for chunk in chunks for choice in chunk.get("choices", ()))
    failed = "error" in chunks[-1]
    assert failed != finished
    if failed:
        assert chunks[-1]["error"]["code"] == "service_unavailable"
        return "error"
    assert events[-1] == b"[DONE]"
    return "complete"


async def under_load(made: Fleet, victim: Replica) -> tuple[list[str], list[str]]:
    """Kill ``victim`` amid requests; how the plain ones and the streams ended."""
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=made.openai, timeout=30, limits=limits) as client:
        begun: asyncio.Queue[None] = asyncio.Queue()
        streams = [asyncio.create_task(streamed(client, begun, name=f"stream-{number}")) for number in range(16)]
        for _ in streams:
            await begun.get()
        plain: list[str] = []
        killed = asyncio.Event()

        async def ask_on(number: int) -> None:
            await asyncio.sleep(number * 0.006)  # at any moment some are under way
            rounds = 0
            while rounds < 6:  # after it was killed
                rounds += killed.is_set()
                plain.append(await whole(client))

        asking = [asyncio.create_task(ask_on(number)) for number in range(24)]
        await until(lambda: len(plain) >= 24)
        victim.kill()
        killed.set()
        await asyncio.gather(*asking)
        return plain, list(await asyncio.gather(*streams))


def test_a_router_that_is_killed_costs_no_request_it_had_not_begun_to_answer_and_nothing_is_lost(made: Fleet) -> None:
    eventually(lambda: known(made) == 2, 10)
    edge = made["edge"][0]
    plain, streams = asyncio.run(under_load(made, made["router"][0]))
    assert set(plain) == {"complete"}, plain
    assert set(streams) == {"complete", "error"}, streams
    assert edge.metric("omniroute_pool_tries_total", service="router", outcome="retried") > 0
    assert edge.metric("omniroute_pool_tries_total", service="router", outcome="failed") == streams.count("error")

    def counted() -> tuple[int, int]:
        return made.totals(LIVELY)["requests"], made.totals(SLOW)["requests"]

    eventually(lambda: made.open_reservations() == 0, 30, made.open_reservations)
    eventually(lambda: counted() == (len(plain), len(streams)), 30, lambda: (counted(), len(plain), len(streams)))
    assert made.totals(LIVELY)["errors"] == 0
    assert made.totals(SLOW)["errors"] == streams.count("error")
    budgets = [key["budget"] for key in made.get("/api/quota").json()["keys"] if key["budget"]]
    assert [budget["held_nano_usd"] for budget in budgets] == [0, 0]
    spent = sum(budget["spent_nano_usd"] for budget in budgets)
    assert spent == made.totals(LIVELY)["cost_nano_usd"] + made.totals(SLOW)["cost_nano_usd"]
    told = [made.get(f"/api/requests/stream-{number}").json() for number in range(len(streams))]
    attempts = [each["attempts"] for each in told]
    assert [len(each) for each in attempts] == [1] * len(streams)
    (reserved,) = {each["reserved_nano_usd"] for (each,), how in zip(attempts, streams, strict=True) if how != "error"}
    for request, (attempt,), how in zip(told, attempts, streams, strict=True):
        if how == "error":  # nobody can tell what its provider did, so it costs all that was held for it
            assert (attempt["outcome"], attempt["provider"], request["outcome"]) == ("aborted", "acme", "failed")
            assert attempt["cost_nano_usd"] == request["cost_nano_usd"] == reserved > 0
        else:
            assert (attempt["outcome"], request["outcome"]) == ("ok", "ok")
            assert attempt["cost_nano_usd"] == request["cost_nano_usd"] < reserved


def test_the_one_that_is_left_serves_on_and_the_dead_one_is_forgotten_and_comes_back(made: Fleet) -> None:
    eventually(lambda: known(made) == 1, 15)
    for _ in range(5):
        assert made.ask("acme/sim").status_code == 200
    dead = made["router"][0].start().ready()
    eventually(lambda: known(made) == 2, 5)
    eventually(lambda: made.ask("acme/sim").status_code == 200 and served(dead) > 0, 10)


async def under_a_hang(made: Fleet, victim: Replica) -> tuple[list[str], list[str]]:
    """Stop ``victim`` amid streams, and ask plain requests; how both ended. The edge must be ready all the time."""
    edge = made["edge"][0]
    async with httpx.AsyncClient(base_url=made.openai, timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        begun: asyncio.Queue[None] = asyncio.Queue()
        streams = [asyncio.create_task(streamed(client, begun, tokens=640)) for _ in range(12)]  # 32 s
        for _ in streams:
            await begun.get()
        victim.pause()
        stopped = time.monotonic()
        asking = [asyncio.create_task(whole(client)) for _ in range(12)]
        everything = asyncio.gather(*streams, *asking)
        while not everything.done():
            assert await asyncio.to_thread(edge.is_ready), edge.readyz()
            await asyncio.wait([everything], timeout=1.0)
        assert time.monotonic() - stopped < WAITS_AT_MOST
        ended = await everything
        return ended[len(streams) :], ended[: len(streams)]


def test_a_router_that_hangs_costs_no_request_it_had_not_begun_to_answer_and_nobody_waits_for_it_long(
    made: Fleet,
) -> None:
    eventually(lambda: known(made) == 2, 10)
    edge, victim = made["edge"][0], made["router"][0]

    def tries(outcome: str) -> float:
        return edge.metric("omniroute_pool_tries_total", service="router", outcome=outcome)

    retried, failed = tries("retried"), tries("failed")
    try:
        plain, streams = asyncio.run(under_a_hang(made, victim))
    finally:
        victim.resume()
    assert set(plain) == {"complete"}, plain
    assert set(streams) == {"complete", "error"}, streams
    assert tries("retried") > retried
    assert tries("failed") - failed == streams.count("error")
    before = served(victim)
    eventually(lambda: known(made) == 2, 10)
    eventually(lambda: made.ask("acme/sim").status_code == 200 and served(victim) > before, 10)
    eventually(lambda: made.open_reservations() == 0, 30, made.open_reservations)


def test_an_edge_without_any_router_says_so_and_serves_again_when_one_comes(made: Fleet) -> None:
    edge = made["edge"][0]
    for router in made["router"]:
        if router.running:
            router.terminate()
    assert [router.wait() for router in made["router"]] == [0, 0, 0]
    eventually(lambda: not edge.is_ready(), 15)
    eventually(lambda: "no router has announced itself yet" in edge.readyz(), 15, edge.readyz)
    answer = made.ask("acme/sim")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "service_unavailable"
    assert float(answer.headers["retry-after"]) >= 1
    made["router"][1].start().ready()
    assert made.ask("acme/sim").status_code == 200
    eventually(edge.is_ready, 10, edge.readyz)
    assert made.get("/api/usage", ADMIN).json()["totals"]["requests"] >= made.totals(KEY)["requests"]
