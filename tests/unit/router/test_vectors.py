"""Vectors as they are kept: near ones are found, and nothing of their nearness is lost on the way."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain import vectors

FLOATS = st.floats(-1000, 1000, allow_nan=False)
VECTORS = st.integers(1, 80).flatmap(
    lambda size: st.tuples(*(st.lists(FLOATS, min_size=size, max_size=size) for _ in range(2)))
)


def cosine(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


@given(VECTORS)
def test_the_cosine_of_packed_vectors_is_that_of_the_vectors(pair: tuple[list[float], list[float]]) -> None:
    units = [vectors.direction(vector) for vector in pair]
    if units[0] is None or units[1] is None or min(math.hypot(*vector) for vector in pair) < 1e-3:
        return
    packed = vectors.pack(units[1])
    assert len(packed) == 2 * len(pair[1])
    assert vectors.similarity(units[0], packed) == pytest.approx(cosine(*pair), abs=2e-3)
    assert vectors.similarity(units[1], packed) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    "vector",
    [[], [0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [1.0] * (vectors.MAX_DIMENSIONS + 1)],
)
def test_what_points_nowhere_has_no_direction(vector: list[float]) -> None:
    assert vectors.direction(vector) is None


def test_vectors_of_other_sizes_are_never_near() -> None:
    unit = vectors.direction([1.0, 2.0])
    assert unit is not None
    assert vectors.similarity(unit, vectors.pack([1.0])) == -1.0
    assert vectors.similarity(unit, b"") == -1.0
    assert vectors.closest(vectors.sketch(unit), [("longer", b"\xff\xff")], 5) == []


def test_the_nearest_of_many_is_among_the_closest_by_their_sketches() -> None:
    chance = random.Random(7)

    def draw() -> list[float]:
        return [chance.gauss(0, 1) for _ in range(384)]

    kept = {}
    near: dict[str, list[float]] = {}
    for number in range(200):
        one = draw()
        kept[f"n{number}"] = vectors.sketch(one)
        # At a cosine of about 0.95.
        near[f"n{number}"] = [each + 0.33 * noise for each, noise in zip(one, draw(), strict=True)]
    for name, other in near.items():
        assert vectors.closest(vectors.sketch(other), kept.items(), 4)[0] == name
