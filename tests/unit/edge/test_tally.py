"""Counts of a minute: here, and together with others."""

from hypothesis import given
from hypothesis import strategies as st
from omni_edge.domain.tally import WINDOW, Heard, Running, Tally, Told

START = 1_700_000_040.0 // WINDOW * WINDOW

steps = st.lists(st.floats(0, 40), max_size=200)


@given(steps, st.integers(1, 20))
def test_no_minute_of_the_clock_has_more_than_the_limit(gaps: list[float], limit: int) -> None:
    tally, now = Tally(), START
    came: list[float] = []
    for gap in gaps:
        now += gap
        if not tally.wait("a", limit, now):
            tally.count("a", now)
            came.append(now)
    minutes = [int(at // WINDOW) for at in came]
    assert all(minutes.count(minute) <= limit for minute in set(minutes))
    assert all(sum(at <= other < at + WINDOW for other in came) <= 2 * limit for at in came)


@given(steps, st.integers(1, 20))
def test_who_waits_as_long_as_it_says_is_let_in(gaps: list[float], limit: int) -> None:
    tally, now = Tally(), START
    for gap in gaps:
        now += gap
        if wait := tally.wait("a", limit, now):
            assert 0 < wait <= 2 * WINDOW
            now += wait + 0.001
            assert tally.wait("a", limit, now) <= 0.2, "but for what two halves of a window are rounded by"
            now += 0.2
        tally.count("a", now)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 30)), max_size=100))
def test_edges_that_tell_each_other_all_know_the_same_and_tell_nothing_twice(come: list[tuple[int, float]]) -> None:
    edges, common, now, counted = [Tally() for _ in range(3)], {}, START, {}
    for edge, gap in come:
        now += gap
        window = int(now // WINDOW)
        edges[edge].count("a", now)
        counted[window] = counted.get(window, 0) + 1
        for told in edges[edge].take(now):
            common[told.window] = common.get(told.window, 0) + told.count
            edges[edge].hear(told, Heard(common[told.window], common.get(told.window - 1, 0)))
        assert common == counted
        assert edges[edge].wait("a", counted[window], now) > 0, "it has heard of all of them"
        assert edges[edge].take(now) == []


def test_what_was_not_heard_is_told_again_and_what_is_of_a_minute_ago_is_not() -> None:
    tally = Tally()
    tally.count("a", START)
    told = tally.take(START)
    assert told == [Told("a", int(START // WINDOW), 1)]
    tally.give_back(told)
    tally.count("a", START + 1)
    assert tally.take(START + 1) == [Told("a", int(START // WINDOW), 2)]
    tally.give_back(told)
    assert tally.take(START + WINDOW) == []


def test_only_so_many_are_remembered_and_the_oldest_are_forgotten() -> None:
    tally = Tally(most=3)
    for name in "abacd":
        tally.count(name, START)
    assert len(tally) == 3
    assert tally.wait("b", 1, START) == 0
    assert tally.wait("a", 1, START) > 0
    assert {told.name for told in tally.take(START)} == {"a", "c", "d"}


def test_who_has_left_is_not_counted() -> None:
    running = Running()
    for _ in range(2):
        running.enter("a")
    running.leave("a")
    assert (running.of("a"), len(running)) == (1, 1)
    running.leave("a")
    assert (running.of("a"), len(running)) == (0, 0)
