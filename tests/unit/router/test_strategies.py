"""The strategies as pure functions: every order is one of all, and its first is what the strategy's name promises."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue import snapshot
from omni_router.domain.strategies import FILL_FIRST, STRATEGIES, Place, Turn, order, strategy

SEEDS = st.integers(0, 2**32).map(Random)
NAMES = st.sampled_from(sorted(STRATEGIES))


def known(value: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | value


PLACES = st.lists(
    st.builds(
        Place,
        name=st.just(""),
        weight=st.integers(0, 10_000),
        uses=st.integers(0, 5),
        in_flight=st.integers(0, 5),
        first_byte=known(st.floats(0, 100)),
        headroom=known(st.floats(0, 1)),
        cost=st.none() | st.integers(0, 1000),
        warm_ago=known(st.floats(0, 300)),
        cooling=st.booleans(),
    ),
    min_size=1,
    max_size=8,
).map(
    lambda places: [
        Place(**{**{f: getattr(p, f) for f in Place.__struct_fields__}, "name": str(i)}) for i, p in enumerate(places)
    ]
)


def names(places: list[Place]) -> list[str]:
    return [place.name for place in places]


def ordered(
    name: str, places: list[Place], random: Random | None = None, cursor: int = 0, sticky: int = 1
) -> list[str]:
    return names(order(STRATEGIES[name], places, Turn((random or Random(1)).random, cursor, sticky)))


def firsts(name: str, places: list[Place], rounds: int = 20_000) -> dict[str, float]:
    """The share of each in what is tried first."""
    random = Random(417)
    counted = Counter(ordered(name, places, random, cursor)[0] for cursor in range(rounds))
    return {place.name: counted[place.name] / rounds for place in places}


def places(count: int, **fields: list) -> list[Place]:
    return [
        Place(name=str(index), **{field: values[index] for field, values in fields.items()}) for index in range(count)
    ]


# ---- of all of them -------------------------------------------------------------------------------------------------


def test_there_is_one_for_every_word_of_the_configuration() -> None:
    assert tuple(STRATEGIES) == snapshot.STRATEGIES
    assert strategy("of-a-later-version") is FILL_FIRST


@given(NAMES, PLACES, SEEDS, st.integers(0, 2**53), st.integers(1, 10_000))
def test_every_order_is_one_of_all_there_are(
    name: str, given: list[Place], random: Random, cursor: int, sticky: int
) -> None:
    assert sorted(ordered(name, given, random, cursor, sticky)) == sorted(names(given))


@given(NAMES, PLACES, st.integers(0, 2**32), st.integers(0, 1000))
def test_the_same_state_and_the_same_chance_give_the_same_order(
    name: str, given: list[Place], seed: int, cursor: int
) -> None:
    assert ordered(name, given, Random(seed), cursor) == ordered(name, given, Random(seed), cursor)


@given(NAMES.filter(lambda name: name != "fill-first"), PLACES, SEEDS)
def test_who_cools_down_is_behind_all_others(name: str, given: list[Place], random: Random) -> None:
    cooling = {place.name: place.cooling for place in given}
    found = [cooling[each] for each in ordered(name, given, random)]
    assert found == sorted(found)


@given(NAMES, st.floats(0, 1, exclude_max=True), st.integers(1, 9))
def test_no_number_that_chance_may_give_is_out_of_bounds(name: str, drawn: float, count: int) -> None:
    given = places(count)
    assert sorted(names(order(STRATEGIES[name], given, Turn(lambda: drawn)))) == sorted(names(given))


# ---- each -----------------------------------------------------------------------------------------------------------


@given(PLACES, SEEDS, st.integers(0, 100))
def test_fill_first_is_the_order_of_the_configuration_whatever_happens(
    given: list[Place], random: Random, cursor: int
) -> None:
    assert ordered("fill-first", given, random, cursor) == names(given)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10_000))
def test_round_robin_gives_each_its_turns_in_a_row_and_the_rest_in_the_round(
    count: int, sticky: int, start: int
) -> None:
    begin = start * sticky * count
    given = places(count)
    round_ = [ordered("round-robin", given, cursor=begin + step, sticky=sticky) for step in range(count * sticky)]
    assert [found[0] for found in round_] == [str(index) for index in range(count) for _ in range(sticky)]
    for found in round_:
        at = int(found[0])
        assert found == [str((at + step) % count) for step in range(count)]


def test_random_has_any_order_alike_often() -> None:
    random = Random(417)
    counted = Counter(tuple(ordered("random", places(3), random)) for _ in range(12_000))
    assert len(counted) == 6
    assert all(1_800 < count < 2_200 for count in counted.values())


@pytest.mark.parametrize("weights", [[1, 1, 1], [5, 3, 2], [0, 1, 3], [10_000, 1, 0]])
def test_weighted_chooses_each_as_often_as_its_weight_is_of_all(weights: list[int]) -> None:
    found = firsts("weighted", places(3, weight=weights))
    for index, weight in enumerate(weights):
        assert found[str(index)] == pytest.approx(weight / sum(weights), abs=0.015)
        assert weight or not found[str(index)]


def test_weights_of_nothing_are_all_alike() -> None:
    assert all(
        share == pytest.approx(1 / 3, abs=0.015) for share in firsts("weighted", places(3, weight=[0] * 3)).values()
    )


@given(PLACES, SEEDS)
def test_weighted_falls_back_to_the_heaviest_that_is_left(given: list[Place], random: Random) -> None:
    ready = [place for place in given if not place.cooling]
    weights = {place.name: place.weight for place in given}
    rest = [weights[name] for name in ordered("weighted", ready, random)[1:]] if ready else []
    assert rest == sorted(rest, reverse=True)


def test_p2c_gives_equals_as_much_and_the_worst_nothing() -> None:
    assert all(share == pytest.approx(0.25, abs=0.015) for share in firsts("p2c", places(4)).values())
    # Of each two drawn the one with less to do: the best is in 3 of 6 pairs, the worst never better.
    found = firsts("p2c", places(4, in_flight=[0, 1, 2, 3]))
    assert [found[str(index)] for index in range(4)] == [pytest.approx(each / 6, abs=0.015) for each in (3, 2, 1, 0)]


@given(PLACES, SEEDS)
def test_p2c_never_puts_the_one_with_more_to_do_before_the_other_of_its_two(given: list[Place], random: Random) -> None:
    ready = [place for place in given if not place.cooling and place.first_byte is not None]
    if len(ready) < 2:
        return
    first, second, *_ = order(STRATEGIES["p2c"], ready, Turn(random.random))
    faster = (second.first_byte or 0.0) <= (first.first_byte or 0.0)
    assert not (faster and second.in_flight < first.in_flight)


def test_p2c_takes_about_as_fast_for_alike_and_leaves_the_slow_alone() -> None:
    found = firsts("p2c", places(3, first_byte=[1.0, 1.4, 9.0]))
    assert [found[name] for name in "012"] == pytest.approx([0.5, 0.5, 0.0], abs=0.015)
    busy = firsts("p2c", places(3, first_byte=[1.0, 1.4, 9.0], in_flight=[20, 20, 0]))
    assert busy["2"] == pytest.approx(2 / 3, abs=0.015), "but not when they have all hands full"


@given(PLACES, SEEDS)
def test_least_used_never_prefers_the_more_used(given: list[Place], random: Random) -> None:
    uses = {place.name: place.uses for place in given if not place.cooling}
    found = [uses[name] for name in ordered("least-used", given, random) if name in uses]
    assert found == sorted(found)


@given(PLACES, SEEDS)
def test_cost_optimized_never_prefers_the_dearer_and_puts_the_unknown_last(given: list[Place], random: Random) -> None:
    costs = {place.name: place.cost for place in given if not place.cooling}
    found = [costs[name] for name in ordered("cost-optimized", given, random) if name in costs]
    told = [cost for cost in found if cost is not None]
    assert found == sorted(told) + [None] * (len(found) - len(told))


@given(PLACES, SEEDS)
def test_lowest_latency_never_prefers_the_slower_of_two_it_knows(given: list[Place], random: Random) -> None:
    times = {place.name: place.first_byte for place in given if not place.cooling}
    found = [times[name] for name in ordered("lowest-latency", given, random) if times.get(name) is not None]
    assert found == sorted(found, key=lambda each: each or 0.0)


def test_lowest_latency_tries_out_whom_it_does_not_know_one_request_at_a_time() -> None:
    assert ordered("lowest-latency", places(3, first_byte=[0.5, None, 0.2])) == ["1", "2", "0"]
    tried = places(3, first_byte=[0.5, None, 0.2], in_flight=[0, 1, 0])
    assert ordered("lowest-latency", tried) == ["2", "0", "1"]
    assert firsts("lowest-latency", places(3)) == pytest.approx({"0": 1 / 3, "1": 1 / 3, "2": 1 / 3}, abs=0.015)


@given(PLACES, SEEDS)
def test_usage_headroom_never_prefers_who_is_known_to_have_less_left(given: list[Place], random: Random) -> None:
    left = {place.name: 1.0 if place.headroom is None else place.headroom for place in given if not place.cooling}
    found = [left[name] for name in ordered("usage-headroom", given, random) if name in left]
    assert found == sorted(found, reverse=True)


def test_of_equal_headroom_the_less_busy_is_first() -> None:
    given = places(3, headroom=[0.5, None, 1.0], in_flight=[0, 4, 2])
    assert ordered("usage-headroom", given) == ["2", "1", "0"]


@pytest.mark.parametrize(
    ("warm", "costs", "expected"),
    [
        ([None, None, None], [3, 2, 1], "012"),  # nowhere yet: as listed
        ([None, 5.0, None], [90, 80, 85], "102"),  # stays
        ([None, 5.0, None], [70, 80, 60], "201"),  # until moving is cheaper, to the cheapest
        ([9.0, 5.0, None], [90, 90, 90], "102"),  # where it was last
        ([None, 5.0, None], [None, None, 1], "102"),  # not knowing what it costs is no reason to go
        ([None, 5.0, None], [0, 0, 0], "102"),
        ([None, 5.0, None], [None, 80, None], "102"),
    ],
)
def test_cache_affinity_stays_where_it_is_warm_until_moving_is_cheaper(
    warm: list[float | None], costs: list[int | None], expected: str
) -> None:
    given = places(3, warm_ago=warm, cost=costs)
    found = ordered("cache-affinity", given)
    assert "".join(found) == expected
