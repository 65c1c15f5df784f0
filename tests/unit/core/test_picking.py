"""Which member a call goes to: never one that is left alone, rarely the busier, and what a setting names."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as some
from omni_core.clients import picking
from omni_core.settings import DISCOVER


@dataclass(eq=False)
class Seat:
    draining: bool = False
    ejected: bool = False
    in_flight: int = 0


seats = some.lists(some.builds(Seat, some.booleans(), some.booleans(), some.integers(0, 100)), max_size=12)
chances = some.floats(0, 1, exclude_max=True)


@given(seats)
def test_nobody_that_is_left_alone_is_usable_and_a_draining_one_only_when_all_others_are_away(made: list[Seat]) -> None:
    usable = picking.usable(made)
    there = [seat for seat in made if not seat.ejected]
    assert set(map(id, usable)) <= set(map(id, there))
    assert bool(usable) == bool(there)
    if any(not seat.draining for seat in there):
        assert usable == [seat for seat in there if not seat.draining]


@given(some.lists(some.builds(Seat, in_flight=some.integers(0, 100)), min_size=1, max_size=12), some.data())
def test_the_less_busy_of_two_different_ones_is_chosen(made: list[Seat], data: some.DataObject) -> None:
    drawn = [data.draw(chances), data.draw(chances)]
    chosen = picking.of_two(made, iter(drawn).__next__)
    assert chosen in made
    if len(made) > 1:
        assert any(other is not chosen and other.in_flight >= chosen.in_flight for other in made)


def test_the_busiest_of_many_is_never_chosen_and_idle_ones_are_chosen_evenly() -> None:
    chance = random.Random(1).random
    made = [Seat() for _ in range(4)] + [Seat(in_flight=9)]
    counts = [0] * 5
    for _ in range(4000):
        counts[made.index(picking.of_two(made, chance))] += 1
    assert counts[4] == 0
    assert all(800 < count < 1200 for count in counts[:4])


@given(seats, some.data())
def test_what_was_tried_is_tried_again_only_when_nothing_else_is_left(made: list[Seat], data: some.DataObject) -> None:
    tried = data.draw(some.lists(some.sampled_from(made), unique_by=id)) if made else []
    left = picking.untried(made, tried)
    fresh = [seat for seat in made if seat not in tried]
    assert list(left) == (fresh or made)


def test_the_pause_grows_and_ends() -> None:
    assert [picking.pause(failures) for failures in range(1, 8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert picking.pause(10_000) == 5.0


def test_an_address_setting_is_discovery_a_list_or_a_name() -> None:
    assert picking.addresses(DISCOVER) == ()
    assert picking.addresses("router:1") == ("router:1",)
    assert picking.addresses("a:1, [::1]:2") == ("a:1", "[::1]:2")
    assert picking.addresses("dns:///router:1") == ("dns:///router:1",)
    assert picking.addresses("dns://10.0.0.1:53/router:1") == ("dns://10.0.0.1:53/router:1",)


@pytest.mark.parametrize("setting", ["", "router", "a:1,", "a:1,,b:2", "router:http", ":1", "dns:///router"])
def test_anything_else_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=DISCOVER):
        picking.addresses(setting)
