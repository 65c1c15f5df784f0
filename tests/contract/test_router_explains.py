"""What a router says of a request that is not sent: the same answers as of one that is, and nothing changes."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_wire.errors import BudgetExhausted, GatewayError
from redis.asyncio import Redis

from tests.support.router import PATIENT, PRICE, Harness, provider

BREAKER = s.BreakerPolicy(failures=1, window=60, open_for=60)
LIMITED = "sim+status:429+retry-after:30"


def configure(gw: Harness, strategy: str, *targets: str, key: s.KeyPolicy | None = None, **changes: Any) -> None:
    found = [provider(name, f"{gw.simulator.url}/v1") for name in "abc"]
    routing = s.Routing(breaker=changes.pop("breaker", None), timeouts=PATIENT, retries=0)
    combo = s.Combo(name="best", strategy=strategy, targets=targets, **changes)
    gw.configure(*found, combos=(combo,), keys=(key or s.KeyPolicy(id="key-all", name="all"),), routing=routing)


async def explained(gw: Harness, model: str = "best", **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await gw.service.explain(gw.call(model, **options)))
    return found


def ways(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["account"], step["outcome"]) for step in found["steps"]]


async def everything(redis: Redis) -> dict[bytes, bytes | None]:
    return {name: await redis.dump(name) for name in sorted(await redis.keys("*"))}


async def test_the_first_that_would_be_asked_is_the_first_that_is(gw: Harness) -> None:
    configure(gw, "round-robin", "a/sim", "b/sim", "c/sim")
    for _ in range(4):
        first = await explained(gw)
        assert first["orders"] == (await explained(gw))["orders"], "no turn is taken by asking"
        head, _ = await gw.ask("best")
        assert ways(first)[0] == (f"{head.provider}/first", "would_be_asked")
        assert len(first["steps"]) == first["candidates"] == 3
        assert "refused" not in first


@pytest.mark.parametrize("strategy", ["fill-first", "round-robin", "least-used", "cache-affinity"])
async def test_nothing_is_written_sent_or_counted(gw: Harness, strategy: str) -> None:
    key = s.KeyPolicy(id="key-all", name="all", requests_per_minute=5, budget=s.Budget(nano_usd=10**9, window="total"))
    configure(gw, strategy, f"a/{LIMITED}", "b/sim", "c/sim", key=key, breaker=BREAKER)
    await gw.ask("best", max_tokens=10)
    assert await gw.ledger.flush(5.0)
    sent, before = sum(gw.simulator.requests.values()), await everything(gw.redis)
    for _ in range(9):
        found = await explained(gw, max_tokens=10)
        assert "refused" not in found
    assert await gw.ledger.flush(5.0)
    assert await everything(gw.redis) == before
    assert sum(gw.simulator.requests.values()) == sent


async def test_who_would_be_passed_over_is_told_with_cause_and_wait(gw: Harness) -> None:
    configure(gw, "fill-first", f"a/{LIMITED}", "b/sim", breaker=BREAKER)
    await gw.ask("best")
    assert await gw.ledger.flush(5.0)
    found = await explained(gw)
    assert ways(found) == [("a/first", "would_be_passed_over"), ("b/first", "would_be_asked")]
    step = found["steps"][0]
    assert (step["cause"], step["told"]) == ("rate_limit", True)
    assert 20 < step["wait"] <= 30


async def test_what_would_be_granted_reserved_and_expected_is_told(gw: Harness) -> None:
    key = s.KeyPolicy(id="key-all", name="all", budget=s.Budget(nano_usd=10**9, window="total"))
    configure(gw, "fill-first", "a/sim", "b/sim", key=key)
    found = await explained(gw, max_tokens=10)
    step = found["steps"][0]
    assert step["granted_output_tokens"] == 10
    assert step["price"] == {name: getattr(PRICE, name) for name in ("input", "output", "cached_input", "cache_write")}
    await gw.ask("best", max_tokens=10)
    (attempt,), _ = await gw.events()
    assert step["reserved_nano_usd"] == attempt.reserved_nano_usd > step["expected_cost_nano_usd"] > 0


async def test_a_refusal_is_told_as_the_client_gets_it(gw: Harness) -> None:
    spent = s.KeyPolicy(
        id="key-all", name="all", models=("best", "a/*"), requests_per_minute=1,
        budget=s.Budget(nano_usd=1, window="total"),
    )  # fmt: skip
    limited = msgspec.structs.replace(spent, budget=None)
    configure(gw, "fill-first", "a/sim", "b/sim", key=limited)
    await gw.ask("best")
    for key, model in ((limited, "best"), (limited, "c/sim"), (limited, "nothing-of-it"), (spent, "best")):
        if key is spent:
            configure(gw, "fill-first", "a/sim", "b/sim", key=msgspec.structs.replace(spent, requests_per_minute=0))
        found = (await explained(gw, model))["refused"]
        with pytest.raises(GatewayError) as raised:
            await gw.ask(model)
        error = raised.value
        assert (found["kind"], found["status"], found["code"]) == (error.kind, error.status, error.code)


async def test_what_a_budget_does_not_cover_is_passed_over_for_what_it_does(gw: Harness) -> None:
    budget = s.Budget(nano_usd=1_000_000, window="total")
    key = s.KeyPolicy(id="key-all", name="all", budget=budget)
    dear = s.Price(input=10**12, output=10**13, cached_input=10**12, cache_write=10**12)
    found = [
        provider("a", f"{gw.simulator.url}/v1", models=(s.Model(id="sim", price=dear),)),
        provider("b", f"{gw.simulator.url}/v1"),
    ]
    combo = s.Combo(name="best", strategy="fill-first", targets=("a/sim", "b/sim"))
    only = s.Combo(name="only", strategy="fill-first", targets=("a/sim",))
    gw.configure(*found, combos=(combo, only), keys=(key,), routing=s.Routing(breaker=None, timeouts=PATIENT))
    told = await explained(gw, max_tokens=10)
    assert ways(told) == [("a/first", "would_be_passed_over"), ("b/first", "would_be_asked")]
    assert told["steps"][0]["cause"] == "budget"
    head, _ = await gw.ask("best", max_tokens=10)
    assert head.provider == "b"
    with pytest.raises(BudgetExhausted, match="less than this request may cost"):
        await gw.ask("only", max_tokens=10)
    _, requests = await gw.events()
    decision = json.loads(requests[0].decision)
    assert [(step["outcome"], step.get("cause", "")) for step in decision["steps"]] == [
        ("passed_over", "budget"),
        ("answered", ""),
    ]


async def test_of_a_pool_that_is_closed_by_its_providers_word_the_error_is_told(gw: Harness) -> None:
    configure(gw, "fill-first", f"a/{LIMITED}", f"b/{LIMITED}", breaker=BREAKER)
    with pytest.raises(GatewayError):
        await gw.ask("best")
    assert await gw.ledger.flush(5.0)
    found = await explained(gw)
    assert ways(found) == [("a/first", "would_be_passed_over"), ("b/first", "would_be_passed_over")]
    assert (found["refused"]["status"], found["refused"]["kind"]) == (429, "no_candidate")


async def test_one_that_would_be_asked_before_its_time_is_told(gw: Harness) -> None:
    configure(gw, "fill-first", "a/sim+status:503", "b/sim+status:503", breaker=BREAKER)
    with pytest.raises(GatewayError):
        await gw.ask("best")
    assert await gw.ledger.flush(5.0)
    for _ in range(400):
        found = await explained(gw)
        if "refused" not in found:
            break
        assert found["refused"]["retry_after"] > 0
        await asyncio.sleep(0.025)
    passed, outcomes = "would_be_passed_over", [outcome for _, outcome in ways(found)]
    assert outcomes == [passed, passed, "would_be_asked"], "its time is up after a second"
    assert found["steps"][-1]["early"] is found["steps"][-1]["probe"] is True


async def test_a_body_that_is_no_request_is_refused(gw: Harness) -> None:
    configure(gw, "fill-first", "a/sim", "b/sim")
    found = await explained(gw, messages="no list", model_="x", stream="perhaps")
    assert found["refused"]["status"] == 400
