"""Operations say what they are given, and refuse what no caller should ask."""

from typing import Any

import msgspec
import pytest
from omni_catalogue.snapshot import BreakerPolicy
from omni_ledger import Grant, Pick, Picked, Refusal, WarmPlace, operations
from omni_wire.errors import DependencyUnavailable

from tests.support.ledger import budget, hold, level, settlement


def test_an_admission_carries_every_limit_and_its_events_beside_it() -> None:
    asked = hold(
        "a1",
        requests_per_minute=60,
        budget=budget(25_000_000_000, fixed=7, per_token=10_000),
        breaker=BreakerPolicy(failures=5, window=60, open_for=30),
        abort_events=(b"\xff\x00", b"two"),
        circuits=("acme/first gpt-x",),
        secret="v1",
        early=True,
    )
    head, *blobs = operations.admit(asked)
    assert msgspec.msgpack.decode(head) == [
        "a", 2, "a1", "key", "acme/first", 1, 60, 100, [25_000_000_000, "month", 7, 10_000],
        [5, 60_000, 30_000, 1_000, 120_000, 120_000, 1_800_000, 86_400_000], 60_000, "router",
        ["acme/first", "acme/first gpt-x"], "v1", 1,
    ]  # fmt: skip
    assert blobs == [b"\xff\x00", b"two"]


def test_shared_levels_are_one_element_more_and_only_where_there_are_some() -> None:
    team = level("limit:team", budget(9, fixed=7, per_token=2, window="day"), 5)
    asked = hold("a1", budget=budget(25, fixed=7, per_token=2), levels=(team, level("limit:all", None, 60)))
    (head,) = operations.admit(asked)
    packed = msgspec.msgpack.decode(head)
    assert packed[15:] == [[["limit:team", 5, [9, "day", 7, 2]], ["limit:all", 60, 0]]]
    (plain,) = operations.admit(msgspec.structs.replace(asked, levels=()))
    assert msgspec.msgpack.decode(plain) == packed[:15]


def test_an_attempt_costs_the_same_on_every_level() -> None:
    with pytest.raises(ValueError):
        operations.admit(hold("a", budget=budget(9, fixed=7), levels=(level("limit:team", budget(9, fixed=8)),)))


def test_amounts_beyond_what_a_double_holds_are_taken_as_the_largest_it_does() -> None:
    head, *_ = operations.admit(hold("a", wanted_output=2**70, budget=budget(2**60)))
    packed = msgspec.msgpack.decode(head)
    assert packed[7] == 2**53 - 1
    assert packed[8][0] == 2**53 - 1


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt_id": ""},
        {"ttl_ms": 0},
        {"ttl_ms": 25 * 3600 * 1000},
        {"wanted_output": -1},
        {"budget": budget(1, window="fortnight")},
        {"budget": budget(-1)},
        {"abort_events": (b"x" * (256 * 1024 + 1),)},
    ],
)
def test_a_hold_that_makes_no_sense_is_a_mistake_of_the_caller(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        operations.admit(hold("a", **changes) if "attempt_id" not in changes else hold(""))


@pytest.mark.parametrize("changes", [{"cost_nano_usd": -1}, {"outcome": "great"}, {"cause": "mood"}])
def test_a_settlement_that_makes_no_sense_is_a_mistake_of_the_caller(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        operations.settle(settlement("a", **changes))


def test_a_pick_says_what_it_wants_and_counts_of_nobody_are_a_mistake() -> None:
    (head,) = operations.pick(Pick(cursor="c", uses="u", members=("a", "b"), conversation="t"))
    assert msgspec.msgpack.decode(head) == ["pick", 0, "c", "u", ["a", "b"], "t"]
    with pytest.raises(ValueError):
        operations.pick(Pick(uses="u"))
    found = operations.picked([3, [1, 2], [["a m", 5, 1.5]]], Pick())
    assert found == Picked(3, (1, 2), (WarmPlace("a m", 5, 1.5),))
    left = Pick(left=("a", "b"))
    assert msgspec.msgpack.decode(operations.pick(left)[0])[6:] == [0, ["a", "b"]]
    assert msgspec.msgpack.decode(operations.pick(left, dry=True)[0])[6:] == [1, ["a", "b"]]
    assert operations.picked([0, [], [], [250_000, -1]], left).left == {"a": 0.25}


def test_results_are_read_back_as_what_callers_know() -> None:
    assert operations.admitted(["g", 5, 70, 1]) == Grant(5, 70, True)
    assert operations.admitted(["n", "rate_limited", 12]) == Refusal("rate_limited", 12.0)
    refused = operations.admitted(["n", "breaker_open", 1.5, "acme/first m", "rate_limit", 1])
    assert refused == Refusal("breaker_open", 1.5, "acme/first m", "rate_limit", True)
    assert operations.admitted(["n", "budget_held", 1, "", "", 0, "limit:t"]) == Refusal(
        "budget_held", 1.0, level="limit:t"
    )
    assert operations.admitted(["c"]) is None
    assert operations.failure(["!", "WRONGTYPE"]) == "WRONGTYPE"
    assert operations.failure([]) is None


@pytest.mark.parametrize("reply", [None, b"", b"\xc1", 5, [b"x"]])
def test_an_answer_that_is_not_the_scripts_counts_as_no_answer(reply: object) -> None:
    with pytest.raises(DependencyUnavailable):
        operations.results(reply)
