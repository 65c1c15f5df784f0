"""When a second is asked besides a first, and how often."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain import hedge
from omni_router.domain.circuits import Circuits, evidence
from omni_router.domain.hedge import BURST, Extra, Outrun
from omni_router.domain.times import ENOUGH, Times
from omni_router.domain.verdict import is_the_clients
from omni_wire.errors import InvalidRequest

seconds = st.floats(0.002, 1_500.0)


def times(*seconds: float) -> Times:
    made = Times()
    for each in seconds:
        made.add(each)
    return made


@given(st.lists(seconds, min_size=ENOUGH, max_size=199), st.floats(0.01, 1.0))
def test_what_a_share_of_the_times_took_is_never_too_little_and_a_fifth_too_much_at_most(
    found: list[float], share: float
) -> None:
    exact = sorted(found)[math.ceil(share * len(found)) - 1]
    told = times(*found).within(share)
    assert told is not None
    assert exact * 0.999 <= told <= exact * 1.201


@given(st.lists(seconds, max_size=600), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_greater_share_takes_no_less(found: list[float], one: float, other: float) -> None:
    made = times(*found)
    less, more = made.within(min(one, other)), made.within(max(one, other))
    assert (less is None) == (more is None) == (len(found) < ENOUGH)
    assert less is None or more is None or less <= more


@given(st.lists(st.floats(0.0, 1e9), max_size=600))
def test_few_numbers_are_kept_of_any_times(found: list[float]) -> None:
    made = times(*found)
    assert len(made._counts) <= 81
    assert made._total < 200


@given(seconds, seconds, st.integers(20, 2_000))
def test_what_was_is_forgotten_for_what_is(old: float, new: float, before: int) -> None:
    made = times(*[old] * before, *[new] * 900)
    assert made.within(hedge.SHARE) == pytest.approx(times(*[new] * ENOUGH).within(hedge.SHARE))


def test_too_few_times_say_nothing() -> None:
    assert times(*[1.0] * (ENOUGH - 1)).within(0.95) is None
    assert times(*[1.0] * ENOUGH).within(0.95) is not None


@given(st.integers(1, 100), st.lists(st.booleans(), max_size=400))
def test_no_more_requests_than_their_share_and_a_few_ask_a_second(percent: int, slow: list[bool]) -> None:
    extra, taken = Extra(percent), 0
    for came, is_slow in enumerate(slow, 1):
        extra.came()
        taken += is_slow and extra.takes()
        assert taken <= BURST + came * percent / 100


def test_each_of_the_share_that_is_slow_does_where_nobody_else_is() -> None:
    extra = Extra(10)
    taken = 0
    for number in range(1_000):
        extra.came()
        taken += number % 10 == 9 and extra.takes()
    assert taken == 100


@pytest.mark.parametrize(("headers", "wanted"), [({}, True), ({"x-omniroute-hedge": " OFF"}, False)])
def test_a_request_may_want_none(headers: dict[str, str], wanted: bool) -> None:
    assert hedge.is_wanted(headers) is wanted


@pytest.mark.parametrize("said", ["on", "0", "p95", "no"])
def test_what_its_header_cannot_mean_is_refused(said: str) -> None:
    with pytest.raises(InvalidRequest, match="x-omniroute-hedge must be off") as caught:
        hedge.is_wanted({"x-omniroute-hedge": said})
    assert (caught.value.status, caught.value.param) == (400, "x-omniroute-hedge")


def test_one_that_was_outrun_says_nothing_of_its_provider() -> None:
    circuits = Circuits("a/one", "a/one m", "target:c a/m")
    assert {each.outcome for each in evidence(circuits, Outrun("another began first"))} == {"neutral"}
    assert is_the_clients(Outrun("another began first"))
