"""The arithmetic of slices: nothing is taken twice, told twice or forgotten, whatever comes in whichever order."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from omni_catalogue.lanes import Lane
from omni_ledger import Passage, Retrying, Ticket
from omni_ledger.leases import (
    MAX_WORD,
    NOTHING,
    Amounts,
    Demand,
    Settled,
    Slice,
    amounts,
    ask,
    lacking,
    pots_of,
    times,
)
from omni_ledger.operations import MAX_AMOUNT, Leased, Pot

from tests.support.ledger import allowance, budget, hold, level

few = st.tuples(*(st.integers(0, 30),) * 5)


class Lease(RuleBasedStateMachine):
    """Against Redis' side of it, which adds what was wanted and believes each word."""

    def __init__(self) -> None:
        super().__init__()
        self.slice = Slice("s", 0.0)
        self.held = [0] * 5  # what Redis has set aside
        self.in_flight: list[Amounts] = []
        self.names: Counter[bytes] = Counter()
        self.told: Counter[bytes] = Counter()
        self.done = self.count = 0
        self.spent = [0] * 5
        self.true = [0] * 5

    @rule(taken=few)
    def take(self, taken: Amounts) -> None:
        enough = all(has >= one for has, one in zip(self.slice.free, taken, strict=True))
        assert self.slice.take(taken) is enough
        if enough:
            self.in_flight.append(taken)

    @rule(truth=few, many=st.integers(1, 3))
    def settle(self, truth: Amounts, many: int) -> None:
        for taken in self.in_flight[:many]:
            self.count += 1
            name = b"e%d" % self.count
            self.names[name] += 1

            def heard() -> None:
                self.done += 1

            self.slice.settle(Settled(taken, truth, (name,), heard))
            self.true = [one + more for one, more in zip(self.true, truth, strict=True)]
        self.in_flight = self.in_flight[many:]

    @rule(wanted=few, keep=few)
    @precondition(lambda self: self.slice.on_its_way is None and not self.slice.is_over)
    def say(self, wanted: Amounts, keep: Amounts) -> None:
        before = self.slice.seq
        word = self.slice.word(wanted, NOTHING, keep)
        assert word.seq == before + 1
        for kind in range(5):
            self.held[kind] += word.wanted[kind] - word.settled[kind] - word.back[kind]
            self.spent[kind] += word.truth[kind]
        self.told.update(word.events)
        assert not word.closes or self.held == [0] * 5, "all is given back with the last word"

    @rule()
    @precondition(lambda self: self.slice.on_its_way is not None)
    def hear(self) -> None:
        word = self.slice.on_its_way
        assert word is not None
        self.slice.heard(Leased(word.wanted))
        for each in word.done:
            each()

    @rule()
    def drain(self) -> None:
        self.slice.draining = True

    @invariant()
    def what_redis_holds_is_free_in_flight_pending_or_on_its_way(self) -> None:
        word = self.slice.on_its_way
        for kind in range(5):
            known = self.slice.free[kind] + sum(one[kind] for one in self.in_flight)
            known += sum(one.amounts[kind] for one in self.slice.pending)
            assert known + (word.wanted[kind] if word is not None else 0) == self.held[kind]
            assert self.slice.free[kind] >= 0
        assert self.slice.in_flight == len(self.in_flight)

    def teardown(self) -> None:
        self.slice.draining = True
        for taken in self.in_flight:
            self.slice.settle(Settled(taken, NOTHING, ()))
        for _ in range(3 + self.count):
            if self.slice.on_its_way is not None:
                self.hear()
            if self.slice.is_over and self.held == [0] * 5:
                break
            self.say(NOTHING, NOTHING)
        assert self.held == [0] * 5
        assert self.spent == self.true
        assert self.told == self.names
        assert self.done == self.count


TestLease = Lease.TestCase


def test_a_word_is_bounded_and_the_rest_comes_with_the_next() -> None:
    part = Slice("s", 0.0)
    for i in range(MAX_WORD + 5):
        part.in_flight += 1
        part.settle(Settled(NOTHING, NOTHING, (b"%d" % i,)))
    first = part.word(NOTHING, NOTHING, NOTHING)
    part.heard(Leased(NOTHING))
    second = part.word(NOTHING, NOTHING, NOTHING)
    assert (first.count, second.count) == (MAX_WORD, 5)
    assert [*first.events, *second.events] == [b"%d" % i for i in range(MAX_WORD + 5)]


def test_a_word_with_large_events_is_short() -> None:
    part = Slice("s", 0.0)
    for _ in range(4):
        part.in_flight += 1
        part.settle(Settled(NOTHING, NOTHING, (b"x" * 100_000,)))
    assert part.word(NOTHING, NOTHING, NOTHING).count == 2


def test_what_an_attempt_takes_is_the_most_that_any_level_asks_for() -> None:
    levels = (
        level("limit:a", budget(900, fixed=5, per_token=2), 60, allowance("tokens", 10**6, "day", 7, 1)),
        level("limit:b", None, 0, allowance("tokens", 10**6, "5h", 9, 1), allowance("output", 500, "minute", 0, 3)),
    )
    asked = hold("a", wanted_output=10, budget=budget(1000, fixed=5, per_token=2), levels=levels)
    found = ask(asked)
    assert found is not None
    assert found[1] == (1, 0, 30, 19, 25)
    assert [(pot.of, pot.owner, pot.most) for pot in pots_of(asked)] == [
        ("budget", "key", 1000), ("rpm", "limit:a", 60), ("budget", "limit:a", 900), ("tokens", "limit:a", 10**6),
        ("tokens", "limit:b", 10**6), ("output", "limit:b", 500),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"requests_per_minute": 7},
        {"key_id": "other"},
        {"budget": budget(1001)},
        {"budget": budget(1000, window="day")},
        {"budget": budget(1000, window=("day", 1, 2, 3, 4))},
        {"levels": (level("limit:a", budget(10**6)),)},
        {"levels": (level("limit:a", None, 0, allowance("tokens", 5, "day")),)},
    ],
)
def test_another_key_or_limit_has_another_purse(changed: dict[str, Any]) -> None:
    one, other = ask(hold("a", budget=budget(1000))), ask(hold("b", **({"budget": budget(1000)} | changed)))
    assert one is not None
    assert other is not None
    assert one[0] != other[0]


def test_another_price_or_output_limit_has_the_same_purse() -> None:
    one = ask(hold("a", budget=budget(1000, fixed=4, per_token=1), wanted_output=5))
    other = ask(hold("b", budget=budget(1000, fixed=9, per_token=7), wanted_output=50, count_request=False))
    assert one is not None
    assert other is not None
    assert one[0] == other[0]
    assert (one[1], other[1]) == ((1, 0, 0, 0, 9), (0, 0, 0, 0, 359))


def test_what_must_be_exact_is_not_asked_of_a_purse() -> None:
    assert ask(hold("a", early=True)) is None
    assert ask(hold("a", retrying=Retrying(again=True, percent=1, least=1))) is None
    assert ask(hold("a", levels=(level("limit:a", None, 0, allowance("concurrent", 3)),))) is None
    lanes = (Lane("acme/first m"),)
    assert ask(hold("a", passage=Passage(lanes=lanes, tokens=1, ticket=Ticket(id="r/1")))) is not None
    assert ask(hold("a", passage=Passage(lanes=lanes, tokens=1, ticket=Ticket(id="r/1", came_ms=5)))) is None


@given(few, st.lists(few, max_size=6), st.booleans())
def test_the_target_follows_what_is_taken_and_is_an_amount_that_the_ledger_holds(
    attempt: Amounts, ticks: list[Amounts], away: bool
) -> None:
    demand = Demand()
    demand.attempt = attempt
    for taken in ticks:
        demand.look(list(taken))
    target = demand.target(away=away)
    assert all(most >= one for most, one in zip(target, attempt, strict=True))
    if ticks:
        assert all(most >= one for most, one in zip(target, ticks[-1], strict=True)), "a moment's worth at least"
    huge = Demand()
    huge.attempt = (MAX_AMOUNT,) * 5
    assert max(huge.target(away=away)) == MAX_AMOUNT


@given(few, few, st.integers(0, 5))
def test_amounts_are_counted_by_kind(target: Amounts, free: Amounts, number: int) -> None:
    assert all(
        lack + has >= most and lack >= 0
        for lack, has, most in zip(lacking(target, list(free)), free, target, strict=True)
    )
    assert amounts(list(times(target, number))) == tuple(each * number for each in target)


def test_a_soft_allowance_is_a_window_that_refuses_nothing() -> None:
    soft = allowance("requests", 10, "day", fixed=1, warn=(80,))
    (pot,) = pots_of(hold("a", levels=(level("limit:s", None, 0, soft),)))
    assert pot == Pot("requests", "limit:s", 10, "day", (80,), soft.limit, soft.refuses)


def test_what_takes_more_than_the_ledger_can_say_is_not_asked_of_a_purse() -> None:
    for asked in (budget(10, per_token=MAX_AMOUNT), budget(10, fixed=-1000)):
        assert ask(hold("a", budget=asked)) is None
        assert ask(hold("a", levels=(level("limit:x", asked),))) is None
