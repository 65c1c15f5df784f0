"""Of what a provider counts no more is believed than can be, and nothing is changed that may be true."""

from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.believing import believed
from omni_wire.usage import ABSURD, BEYOND_CONTEXT, MOST_TOKENS, UNREADABLE, Usage

possible = st.integers(0, MOST_TOKENS)
any_count = st.integers(0, 2**80)


@given(possible, possible)
def test_what_may_be_true_is_left_as_it_is(given_: int, said: int) -> None:
    usage = Usage(given_, output_tokens=said)
    assert believed(usage, context=0, input_estimate=9) is usage
    assert believed(usage, context=MOST_TOKENS, input_estimate=9) is usage


@given(any_count, any_count, st.sampled_from(("", UNREADABLE)), possible, st.integers(0, 10**6))
def test_whatever_is_told_comes_to_a_count_that_can_be_stored(
    given_: int, said: int, suspect: str, estimate: int, context: int
) -> None:
    found = believed(Usage(given_, output_tokens=said, suspect=suspect), context=context, input_estimate=estimate)
    assert 0 <= found.input_tokens <= MOST_TOKENS
    assert 0 <= found.output_tokens <= MOST_TOKENS
    assert found.estimated == (max(given_, said) > MOST_TOKENS or suspect == UNREADABLE)
    assert bool(found.suspect) == bool(found.estimated or 0 < context < given_)


def test_of_two_counts_the_one_that_can_be_is_kept() -> None:
    found = believed(Usage(MOST_TOKENS + 1, output_tokens=7), context=0, input_estimate=12)
    assert (found.input_tokens, found.output_tokens, found.suspect) == (12, 7, ABSURD)
    assert believed(Usage(11), context=10, input_estimate=1) == Usage(11, suspect=BEYOND_CONTEXT)
