"""What is written down of a choice: all that decided it, within bounds, and no word that could be a prompt's."""

from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.snapshot import Price
from omni_router.domain.choice import Level
from omni_router.domain.decision import LIMIT, TRACE_LIMIT, Decision, Ordered, Prices, decide, encode, trace
from omni_router.domain.pricing import Pricing
from omni_router.domain.strategies import STRATEGIES, Place
from omni_router.domain.walk import Failure, Outran, Skip
from omni_wire.errors import UpstreamRejected, UpstreamTimeout

from tests.unit.router.test_walk import offer

PRICE = Price(input=1, output=2, cached_input=3, cache_write=4)


def priced(name: str, **fields: Any) -> Any:
    found = offer(name, **fields)
    found.pricing, found.price = Pricing("priced", PRICE), PRICE
    return found


def tried(of: Any, id_: str = "t", first_byte_ms: int = -1, **fields: Any) -> Any:
    return SimpleNamespace(
        **(
            {
                "id": id_,
                "offer": of,
                "early": False,
                "hedge": False,
                "first_byte_ms": first_byte_ms,
                "sent": 1.0,
                "losses": (),
            }
            | fields
        )
    )


def decided(**fields: Any) -> Decision:
    asked: dict[str, Any] = {
        "model": "best", "combo": "best", "revision": 7, "router": "r", "candidates": 3, "orders": (), "trail": (),
        "tried": (),
    }  # fmt: skip
    return decide(**(asked | fields))


A, B, C = priced("a/1"), priced("b/1"), priced("c/1")


def test_every_candidate_that_was_looked_at_is_told_as_it_came() -> None:
    found = decided(
        trail=(
            Skip(A, "a/1", "rate_limit", 12.34, told=True),
            Failure(B, UpstreamTimeout("[b/m] nothing in 2 s"), 2000),
            Failure(B, UpstreamTimeout("[b/m] nothing in 2 s"), 2001),
        ),
        tried=(tried(B, "t1"), tried(B, "t2"), tried(C, "t3", 130, losses=("top_k",))),
    )
    steps = msgspec.json.decode(msgspec.json.encode(found.steps))
    price = {"input": 1, "output": 2, "cached_input": 3, "cache_write": 4}
    failed = {
        "provider": "b", "account": "b/1", "model": "m", "outcome": "failed", "kind": "upstream_timeout",
        "status": 504, "message": "[b/m] nothing in 2 s", "pricing": "priced", "price": price,
    }  # fmt: skip
    assert steps == [
        {"provider": "a", "account": "a/1", "model": "m", "outcome": "passed_over", "circuit": "a/1",
         "cause": "rate_limit", "wait": 12.3, "told": True},
        failed | {"attempt": "t1", "ms": 2000},
        failed | {"attempt": "t2", "ms": 2001, "retry": 1},
        {"provider": "c", "account": "c/1", "model": "m", "outcome": "answered", "attempt": "t3",
         "first_byte_ms": 130, "pricing": "priced", "price": price},
    ]  # fmt: skip
    assert found.losses == ("top_k",)


def test_one_that_was_asked_before_its_time_and_whose_client_left_says_so() -> None:
    found = decided(trail=(Skip(A, "a/1", "failing", 9, told=False),), tried=(tried(A, early=True),))
    assert [(step.outcome, step.early) for step in found.steps] == [("passed_over", False), ("left", True)]


def test_of_two_that_were_asked_side_by_side_the_one_that_was_let_go_says_so() -> None:
    slow, fast = tried(A, "t1"), tried(B, "t2", 130, hedge=True)
    found = decided(trail=(Outran(A, 800),), tried=(slow, fast))
    told = [(step.attempt, step.outcome, step.ms, step.hedge, step.first_byte_ms) for step in found.steps]
    assert told == [("t1", "outrun", 800, False, None), ("t2", "answered", None, True, 130)]
    assert (
        trace(found) == "combo best fill-first; a/1 (m) outrun after 800 ms; b/1 (m) answers in 130 ms, asked besides"
    )
    late = decided(trail=(Failure(C, UpstreamTimeout("late"), 5), Outran(B, 80)), tried=(tried(C), fast, slow))
    assert [step.outcome for step in late.steps] == ["failed", "outrun", "left"]
    assert trace(late).endswith("b/1 (m) outrun after 80 ms, asked besides; a/1 (m) was asked")


def test_what_a_provider_said_is_not_repeated() -> None:
    trail = (Failure(A, UpstreamRejected("your prompt 'the secret plan' is too long", status=400), 5),)
    data = encode(decided(trail=trail, tried=(tried(A),)))
    assert b"secret plan" not in data
    assert b'"status":400' in data


def test_of_a_place_is_told_what_its_strategy_goes_by() -> None:
    place = Place(
        name="a/m", weight=3, uses=4, in_flight=5, first_byte=0.25, headroom=0.5, cost=6, warm_ago=7.25, cooling=True
    )
    told = {
        "round-robin": {}, "random": {}, "weighted": {"weight": 3}, "least-used": {"uses": 4},
        "p2c": {"in_flight": 5, "first_byte_ms": 250}, "lowest-latency": {"in_flight": 5, "first_byte_ms": 250},
        "usage-headroom": {"in_flight": 5, "headroom": 0.5},
        "cost-optimized": {"expected_cost_nano_usd": 6, "warm_seconds_ago": 7.2},
        "cache-affinity": {"expected_cost_nano_usd": 6, "warm_seconds_ago": 7.2},
    }  # fmt: skip
    assert {"fill-first", *told} == set(STRATEGIES), "a new strategy says what it goes by"
    for name, values in told.items():
        level = Level("combo best", STRATEGIES[name], 2, ())
        (order,) = msgspec.json.decode(encode(decided(orders=(Ordered(level, [place], 8),))))["orders"]
        turn = {"turn": 8} if name == "round-robin" else {}
        options = [{"name": "a/m", "cooling": True} | values]
        assert order == {"scope": "combo best", "strategy": name, "sticky": 2, "options": options} | turn


def test_a_price_is_given_as_it_was_counted_with() -> None:
    assert decided(tried=(tried(A),)).steps[0].price == Prices(input=1, output=2, cached_input=3, cache_write=4)


def test_the_trace_is_a_line_that_says_who_was_passed_over_who_failed_and_who_answers() -> None:
    level = Level("combo best", STRATEGIES["least-used"], 1, ())
    found = decided(
        orders=(Ordered(level, [Place(name="a/m")], 0),),
        trail=(
            Skip(A, "a/1", "rate_limit", 12.34, told=True),
            Skip(A, "a/1 m", "failing", 3, told=False),
            Failure(B, UpstreamTimeout("late"), 2000),
        ),
        tried=(tried(B), tried(C, first_byte_ms=130)),
    )
    assert trace(found) == (
        "combo best least-used; a/1 (m) passed over: rate_limit for 12.3 s, the provider said so; "
        "a/1 (m) passed over: failing for 3 s, suspected; b/1 (m) failed in 2000 ms: upstream_timeout 504; "
        "c/1 (m) answers in 130 ms"
    )
    assert trace(decided(combo="", tried=(tried(C, first_byte_ms=1),))) == "model best; c/1 (m) answers in 1 ms"
    assert trace(decided()) == ""


def test_a_long_trace_is_cut_in_the_middle() -> None:
    line = trace(decided(trail=[Skip(A, "a/1", "failing", 1, told=False)] * 99, tried=(tried(C, first_byte_ms=1),)))
    assert len(line) <= TRACE_LIMIT
    told = line.count("passed over")
    assert line.endswith(f"; {99 - told} more; c/1 (m) answers in 1 ms")


texts = st.text(max_size=400)


@given(st.data())
def test_nothing_makes_it_longer_than_its_bound_and_what_is_left_out_is_counted(data: st.DataObject) -> None:
    name = data.draw(texts)
    number = st.integers(0, 200)
    skips, failures, places, orders = (data.draw(number) for _ in range(4))
    of = priced(name)
    level = Level(name, STRATEGIES["weighted"], 1, ())
    losses = tuple(data.draw(st.lists(texts, max_size=60)))
    encoded = encode(
        decided(
            model=name, combo=name, router=name, candidates=10**6,
            orders=[Ordered(level, [Place(name=name)] * places, 0)] * orders,
            trail=[Skip(of, name, "failing", 1.0, told=False)] * skips
            + [Failure(of, UpstreamTimeout(name), 1)] * failures,
            tried=[tried(of)] * failures + [tried(C, "the last", 1, losses=losses)],
        )
    )  # fmt: skip
    assert len(encoded) <= LIMIT
    found = msgspec.json.decode(encoded, type=Decision)
    assert len(found.steps) + found.steps_left_out == skips + failures + 1
    assert found.steps[-1].attempt == "the last", "who answered is never left out"
    assert len(found.orders) + found.orders_left_out == orders
    assert all(len(order.options) + order.left_out == places for order in found.orders)
    assert len(found.losses) + found.losses_left_out == len(losses)
