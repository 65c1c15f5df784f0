"""What routers write down of their choices: real Redis, simulated providers over real HTTP."""

import contextlib
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_wire.errors import GatewayError, UpstreamError

from tests.support.router import PATIENT, PRICE, Harness, provider

BREAKER = s.BreakerPolicy(failures=1, window=60, open_for=60)
DOWN = "sim+status:503"
LIMITED = "sim+status:429+retry-after:30"


def combo(strategy: str, *targets: str, **changes: Any) -> s.Combo:
    return s.Combo(name="best", strategy=strategy, targets=targets, **changes)


def configure(gw: Harness, made: s.Combo, breaker: s.BreakerPolicy | None = None, **changes: Any) -> None:
    names = ("a", "b", "c")
    found = [provider(name, f"{gw.simulator.url}/v1", **changes) for name in names]
    gw.configure(*found, combos=(made,), routing=s.Routing(breaker=breaker, timeouts=PATIENT, retries=0))


async def decisions(gw: Harness) -> list[dict[str, Any]]:
    """An empty one for each request that has none."""
    _, requests = await gw.events()
    return [msgspec.json.decode(each.decision) if each.decision else {} for each in requests]


def outcomes(decision: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["account"], step["outcome"]) for step in decision["steps"]]


async def test_a_request_with_one_candidate_that_answers_has_no_decision(gw: Harness) -> None:
    configure(gw, combo("round-robin", "a/sim", "b/sim"))
    await gw.ask("a/sim")
    await gw.ask("a/sim", stream=True)
    assert await decisions(gw) == [{}, {}]


async def test_one_candidate_that_fails_has_one(gw: Harness) -> None:
    configure(gw, combo("round-robin", "a/sim", "b/sim"))
    with pytest.raises(UpstreamError):
        await gw.ask(f"a/{DOWN}")
    (found,) = await decisions(gw)
    attempts, _ = await gw.events()
    (step,) = found["steps"]
    assert (step["outcome"], step["kind"], step["status"]) == ("failed", "upstream_failed", 503)
    assert step["attempt"] == attempts[0].id
    assert "message" not in step, "its words are the provider's"


async def test_a_turn_is_told_with_its_scope_and_who_answered(gw: Harness) -> None:
    configure(gw, combo("round-robin", "a/sim", "b/sim", "c/sim", sticky=2))
    for _ in range(3):
        await gw.ask("best")
    first, second, third = await decisions(gw)
    assert first["orders"] == [
        {"scope": "combo best", "strategy": "round-robin", "sticky": 2, "turn": 0,
         "options": [{"name": "a/sim"}, {"name": "b/sim"}, {"name": "c/sim"}]}
    ]  # fmt: skip
    assert (first["model"], first["combo"], first["candidates"]) == ("best", "best", 3)
    assert (first["revision"], first["router"]) == (gw.revision, gw.router_id)
    assert outcomes(first) == outcomes(second) == [("a/first", "answered")]
    assert outcomes(third) == [("b/first", "answered")]
    assert third["orders"][0]["turn"] == 2
    price = {"input": PRICE.input, "output": PRICE.output, "cached_input": PRICE.cached_input,
             "cache_write": PRICE.cache_write}  # fmt: skip
    assert first["steps"][0]["price"] == price


async def test_who_failed_and_who_was_passed_over_is_told_with_the_cause(gw: Harness) -> None:
    configure(gw, combo("fill-first", f"a/{LIMITED}", "b/sim"), BREAKER)
    await gw.ask("best")
    assert await gw.ledger.flush(5.0)
    await gw.ask("best")
    failed, passed = await decisions(gw)
    assert outcomes(failed) == [("a/first", "failed"), ("b/first", "answered")]
    assert failed["steps"][0]["ms"] >= 0
    assert outcomes(passed) == [("a/first", "passed_over"), ("b/first", "answered")]
    step = passed["steps"][0]
    assert (step["cause"], step["told"], step["circuit"]) == ("rate_limit", True, f"a/first {LIMITED}")
    assert 25 < step["wait"] <= 30


async def test_an_early_probe_is_told_from_the_passing_over_before_it(gw: Harness) -> None:
    configure(gw, combo("round-robin", f"a/{DOWN}", f"b/{DOWN}"), BREAKER)
    for _ in range(2):
        with contextlib.suppress(GatewayError):
            await gw.ask("best")
        assert await gw.ledger.flush(5.0)
    *_, last = await decisions(gw)
    assert [step["outcome"] for step in last["steps"]] in (
        ["passed_over", "passed_over", "failed"],  # and was asked all the same
        ["passed_over", "passed_over", "passed_over"],  # or somebody had just been
    )
    assert all(step["told"] is False for step in last["steps"] if step["outcome"] == "passed_over")
    if last["steps"][-1]["outcome"] == "failed":
        assert last["steps"][-1]["early"] is True


async def test_what_a_strategy_went_by_is_told_in_its_order(gw: Harness) -> None:
    cheap = s.Price(input=1, output=1, cached_input=1, cache_write=1)
    found = [
        provider("a", f"{gw.simulator.url}/v1", models=(s.Model(id="*", price=PRICE),)),
        provider("b", f"{gw.simulator.url}/v1", models=(s.Model(id="*", price=cheap),)),
    ]
    gw.configure(*found, combos=(combo("cost-optimized", "a/sim", "b/sim"),))
    await gw.ask("best", max_tokens=100)
    (decision,) = await decisions(gw)
    (order,) = decision["orders"]
    assert [option["name"] for option in order["options"]] == ["b/sim", "a/sim"]
    assert order["options"][1]["expected_cost_nano_usd"] > order["options"][0]["expected_cost_nano_usd"]


async def test_a_request_refused_before_any_candidate_has_no_decision(gw: Harness) -> None:
    configure(gw, combo("round-robin", "a/sim", "b/sim"))
    with pytest.raises(GatewayError):
        await gw.ask("nobody-knows-this")
    assert await decisions(gw) == [{}]


async def test_the_way_is_told_to_a_client_that_asks_and_to_nobody_else(gw: Harness) -> None:
    configure(gw, combo("fill-first", f"a/{DOWN}", "b/sim"))
    asks = {"x-omniroute-trace": "on"}
    head, _ = await gw.ask("best", headers=asks)
    assert head.trace.startswith("combo best fill-first; a/first ")
    assert "failed in " in head.trace
    assert "b/first (sim) answers in " in head.trace
    assert (
        (await gw.ask("best"))[0].trace == (await gw.ask("best", headers={"x-omniroute-trace": "off"}))[0].trace == ""
    )
    with pytest.raises(GatewayError) as raised:
        await gw.ask(f"a/{DOWN}", headers=asks)
    assert raised.value.trace.startswith(f"model a/{DOWN}; a/first ")
    with pytest.raises(GatewayError) as raised:
        await gw.ask(f"a/{DOWN}")
    assert raised.value.trace == ""
