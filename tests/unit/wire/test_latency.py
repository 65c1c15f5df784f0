"""Buckets cover every time once, and a percentile is off by less than a sixteenth."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from omni_wire.latency import BUCKETS, bucket_of, longest_in, percentile

times = st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1))


@given(times)
def test_a_time_is_in_the_one_bucket_that_ends_no_earlier_and_begins_no_later(ms: int) -> None:
    bucket = bucket_of(ms)
    assert longest_in(bucket - 1) < ms <= longest_in(bucket) if bucket else ms == 0
    assert longest_in(bucket) - ms <= ms / 16


def test_what_is_no_time_counts_as_the_nearest_that_is() -> None:
    assert bucket_of(-7) == 0
    assert bucket_of(2**80) < BUCKETS
    assert bucket_of(2**80) == bucket_of(2**32 - 1)
    assert percentile({}, 0.5) is None


@given(st.lists(times, min_size=1), st.lists(times), st.floats(0.01, 1))
def test_histograms_add_up_to_that_of_both_and_percentiles_are_near(
    one: list[int], other: list[int], share: float
) -> None:
    both = Counter(map(bucket_of, one)) + Counter(map(bucket_of, other))
    assert both == Counter(map(bucket_of, one + other))
    every = sorted(one + other)
    exact = every[min(len(every), max(1, -int(-share * len(every) // 1))) - 1]
    found = percentile(both, share)
    assert found is not None
    assert exact <= found <= exact * 17 / 16
