"""Stored histograms are added up to the same whatever is remembered, in whatever order, and however few may wait."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_analytics.adapters import histograms
from omni_analytics.adapters.histograms import Histograms
from omni_wire.latency import BUCKETS, packed

COUNTS = st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**50), min_size=1, max_size=6)
ROWS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), COUNTS), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(ROWS, min_size=1, max_size=4), most=st.integers(1, 4), waiting=st.integers(2, 9))
def test_what_places_have_is_the_sum_of_theirs(
    monkeypatch: pytest.MonkeyPatch, asked: list[list[tuple[int, str, dict[int, int]]]], most: int, waiting: int
) -> None:
    monkeypatch.setattr(histograms, "TOGETHER", 3)
    monkeypatch.setattr(histograms, "MOST_WAITING", waiting)
    kept = Histograms(most)
    for rows in (*asked, *asked):
        wanted: dict[tuple[int, str], Counter[int]] = {}
        for at, name, counts in rows:
            wanted.setdefault((at, name), Counter()).update(counts)
        found: dict[tuple[int, str], Counter[int]] = {}
        for place, pairs in kept.by_place([(at, name, packed(counts)) for at, name, counts in rows]):
            found.setdefault(place, Counter()).update(dict(zip(pairs[::2], pairs[1::2], strict=True)))
        assert found == wanted
        assert len(kept._sums) <= most
