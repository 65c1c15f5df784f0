"""Counts as providers tell them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.usage import count_of


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
