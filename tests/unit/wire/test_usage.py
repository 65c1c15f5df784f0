"""Counts as providers tell them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.usage import Apart, Usage, apart, count_of


@given(st.integers(0, 10**15 - 1))
def test_a_count_is_the_same_as_a_number_and_as_its_text(count: int) -> None:
    assert count_of(count) == count_of(str(count)) == count
    assert count_of(float(count)) == count


@pytest.mark.parametrize(
    "odd",
    [None, True, -3, -3.0, 1.5, float("nan"), float("inf"), 1e300, "", "-3", "1.5", "²", " 7", "9" * 5000, [], {}],
)
def test_anything_odd_counts_nothing(odd: Any) -> None:
    assert count_of(odd) == 0


@pytest.mark.parametrize("odd", [None, "default", "priority", 7, [], {}])
def test_only_tiers_with_rates_of_batches_are_told_apart(odd: Any) -> None:
    assert apart(tier=odd) is None
    assert apart(tier="flex") == Apart(tier="flex")


def test_a_tier_that_was_told_once_stays_told() -> None:
    begun, ended = Usage(10, apart=Apart(tier="batch")), Usage(10, output_tokens=5)
    assert begun.merge(ended).apart == ended.merge(begun).apart == Apart(tier="batch")
    assert begun.plus(ended).apart == ended.plus(begun).apart == Apart(tier="batch")
    more = Usage(apart=Apart(audio_input_tokens=3))
    assert begun.plus(more).apart == Apart(audio_input_tokens=3, tier="batch")
