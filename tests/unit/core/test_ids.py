"""Ids are UUIDv7: unique, sorted by the millisecond of their birth, and within a process by their order."""

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st
from omni_core.ids import Mint, new_id, uuid7

MILLIS = st.integers(min_value=0, max_value=(1 << 48) - 1)
CHANCE = st.integers(min_value=0, max_value=(1 << 74) - 1)


@given(MILLIS, CHANCE)
def test_an_id_is_a_well_formed_uuid_version_7(millis: int, chance: int) -> None:
    made = uuid7(millis, chance)
    parsed = uuid.UUID(hex=made)
    assert len(made) == 32
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == millis


@given(MILLIS, MILLIS, CHANCE, CHANCE)
def test_ids_sort_by_their_time_and_then_by_their_chance(first: int, second: int, one: int, two: int) -> None:
    assert (uuid7(first, one) < uuid7(second, two)) == ((first, one) < (second, two))


@given(MILLIS, CHANCE, CHANCE)
@example(0, 0, 1 << 73)
@example(0, (1 << 62) - 1, 1 << 62)
def test_within_a_millisecond_every_bit_of_chance_counts(millis: int, one: int, two: int) -> None:
    assert (uuid7(millis, one) < uuid7(millis, two)) == (one < two)


@given(st.lists(st.integers(min_value=1, max_value=5), min_size=2, max_size=60), st.randoms(use_true_random=False))
def test_ids_of_one_process_only_grow_whatever_its_clock_does(times: list[int], random: Random) -> None:
    clock = iter(times)
    mint = Mint(lambda: next(clock), random.getrandbits)
    made = [mint() for _ in times]
    assert all(one < two for one, two in pairwise(made))


def test_where_the_bits_of_a_millisecond_run_out_the_next_one_is_borrowed() -> None:
    mint = Mint(lambda: 7, lambda bits: (1 << bits) - 1)
    made = [mint() for _ in range(20_000)]
    assert all(one < two for one, two in pairwise(made))
    assert {int(one, 16) >> 80 for one in made} == {7, 8, 9}


def test_an_id_is_named_after_the_clock_when_that_has_gone_on() -> None:
    times = iter([10, 10, 12])
    mint = Mint(lambda: next(times), Random(1).getrandbits)
    assert [int(mint(), 16) >> 80 for _ in range(3)] == [10, 10, 12]


def test_thousands_of_ids_fit_into_one_millisecond() -> None:
    mint = Mint(lambda: 5, Random(2).getrandbits)
    assert {int(mint(), 16) >> 80 for _ in range(8_000)} == {5}


def test_the_next_id_of_a_millisecond_is_not_to_be_guessed() -> None:
    steps = set()
    for seed in range(200):
        mint = Mint(lambda: 5, Random(seed).getrandbits)
        one, two = mint(), mint()
        steps.add(int(two, 16) - int(one, 16))
    assert len(steps) == 200
    assert max(step.bit_length() for step in steps) >= 59


def test_ids_of_this_process_do_not_repeat_and_do_not_go_back() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_threads_share_the_order() -> None:
    def some(_: int) -> list[str]:
        return [new_id() for _ in range(2_000)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(some, range(8)))
    assert all(one == sorted(one) for one in made)
    assert len({found for one in made for found in one}) == 16_000


def test_a_child_that_was_forked_makes_other_ids_than_its_parent() -> None:
    new_id()
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, "".join(new_id() for _ in range(50)).encode())
        os._exit(0)
    os.close(write)
    own = {new_id() for _ in range(50)}
    with os.fdopen(read) as told:
        text = told.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    theirs = {text[at : at + 32] for at in range(0, len(text), 32)}
    assert len(theirs) == len(own) == 50
    assert not own & theirs
