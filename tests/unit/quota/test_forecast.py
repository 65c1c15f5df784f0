"""When a window would be used up."""

from hypothesis import assume, given
from hypothesis import strategies as st
from omni_quota.domain.forecast import exhausted_at, used_up_at

BEGINS, ENDS = 1_000_000.0, 1_018_000.0
inside = st.floats(BEGINS, ENDS, exclude_min=True, exclude_max=True)
amounts = st.floats(0.001, 1e12)


def test_half_used_in_a_third_of_the_time_lasts_two_thirds() -> None:
    assert exhausted_at(50, 100, BEGINS, ENDS, BEGINS + 6_000) == BEGINS + 12_000
    assert exhausted_at(30, 100, BEGINS, ENDS, BEGINS + 6_000) is None, "it lasts"


@given(amounts, amounts, inside)
def test_it_is_never_before_now_and_always_before_the_end(used: float, total: float, now: float) -> None:
    at = exhausted_at(used, total, BEGINS, ENDS, now)
    assert at is None or now <= at < ENDS
    assert used < total or at == now


@given(amounts, amounts, amounts, inside)
def test_more_use_is_no_later(used: float, more: float, total: float, now: float) -> None:
    first, second = (exhausted_at(each, total, BEGINS, ENDS, now) for each in (used, used + more))
    if first is not None:
        assert second is not None
        assert second <= first


@given(amounts, amounts, inside, st.floats(1e-3, 1e3))
def test_what_it_is_measured_in_does_not_matter(used: float, total: float, now: float, unit: float) -> None:
    plain, scaled = (exhausted_at(used * by, total * by, BEGINS, ENDS, now) for by in (1.0, unit))
    assume((plain is None) == (scaled is None))  # but for a hair's breadth from the end
    assert plain is None or scaled is None or abs(plain - scaled) < 1


@given(
    st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(allow_nan=False),
    st.floats(allow_nan=False),
)  # fmt: skip
def test_whatever_it_is_given_it_says_a_time_in_the_window_or_nothing(
    used: float, total: float, begins: float, ends: float, now: float
) -> None:
    at = exhausted_at(used, total, begins, ends, now)
    assert at is None or begins < now <= at < ends


def test_nothing_is_said_at_its_very_beginning_nor_where_nobody_knows() -> None:
    assert exhausted_at(50, 100, BEGINS, ENDS, BEGINS + 59) is None
    assert exhausted_at(0, 100, BEGINS, ENDS, BEGINS + 6_000) is None
    assert exhausted_at(50, 0, BEGINS, ENDS, BEGINS + 6_000) is None
    assert exhausted_at(50, 100, ENDS, BEGINS, BEGINS + 6_000) is None


def test_what_is_given_once_goes_on_as_in_the_last_days() -> None:
    now, day = 1_000_000.0, 86_400.0
    assert used_up_at(40, 100, [(now - 2 * day, 20), (now - day, 35)], now) == now + 6 * day
    assert used_up_at(100, 100, [], now) == now
    assert used_up_at(40, 100, [(now - 3_600, 20)], now) is None, "an hour says nothing"
    assert used_up_at(40, 100, [(now - 2 * day, 40)], now) is None, "nothing of late"
    assert used_up_at(40, 10**9, [(now - 2 * day, 39)], now) is None, "nobody foresees years"
    assert used_up_at(40, 0, [(now - 2 * day, 20)], now) is None, "nobody knows how much there is"
