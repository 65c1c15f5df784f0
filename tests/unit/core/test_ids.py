"""Ids are UUIDv7: unique, and sorted by the millisecond of their birth."""

import uuid

from hypothesis import given
from hypothesis import strategies as st
from omni_core.ids import new_id

MILLIS = st.integers(min_value=0, max_value=(1 << 48) - 1)
CHANCE = st.binary(min_size=10, max_size=10)


@given(MILLIS, CHANCE)
def test_an_id_is_a_well_formed_uuid_version_7(millis: int, chance: bytes) -> None:
    made = new_id(millis, chance)
    parsed = uuid.UUID(hex=made)
    assert len(made) == 32
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == millis


@given(MILLIS, MILLIS, CHANCE, CHANCE)
def test_ids_sort_by_their_time_whatever_the_chance(first: int, second: int, one: bytes, two: bytes) -> None:
    if first < second:
        assert new_id(first, one) < new_id(second, two)


@given(MILLIS, CHANCE, CHANCE)
def test_within_a_millisecond_chance_keeps_them_apart(millis: int, one: bytes, two: bytes) -> None:
    # 74 of the 80 random bits are used.
    mask = (1 << 74) - 1
    same = int.from_bytes(one, "big") & mask == int.from_bytes(two, "big") & mask
    assert (new_id(millis, one) == new_id(millis, two)) == same


def test_ids_of_this_process_do_not_repeat_and_do_not_go_back() -> None:
    made = [new_id() for _ in range(2000)]
    assert len(set(made)) == len(made)
    births = [int(one, 16) >> 80 for one in made]
    assert births == sorted(births)
