"""What a router remembers of targets and accounts."""

import pytest
from omni_router.domain.circuits import Circuits
from omni_router.service.standings import Standing, Standings


def test_the_time_to_the_first_byte_is_a_mean_in_which_the_newest_counts_most() -> None:
    standing = Standing()
    assert standing.first_byte(0.0) is None
    standing.answered(1.0, 10.0)
    assert standing.first_byte(10.0) == 1.0
    standing.answered(2.0, 11.0)
    assert standing.first_byte(11.0) == pytest.approx(1.3)


def test_a_measurement_that_is_old_is_none_and_the_next_begins_anew() -> None:
    standing = Standing()
    standing.answered(9.0, 0.0)
    assert standing.first_byte(300.0) == 9.0
    assert standing.first_byte(301.0) is None
    standing.answered(1.0, 400.0)
    assert standing.first_byte(400.0) == 1.0


def test_who_fails_fast_is_slower_than_who_answers_slowly() -> None:
    failing, slow = Standing(), Standing()
    failing.failed(0.01, 0.0)
    slow.answered(5.0, 0.0)
    assert (failing.first_byte(0.0) or 0.0) > (slow.first_byte(0.0) or 0.0)


def test_one_that_was_outrun_is_as_slow_as_it_was_seen_to_be_and_no_faster() -> None:
    standing = Standing()
    standing.outrun(2.0, 10.0)
    assert standing.first_byte(10.0) == 2.0
    standing.outrun(0.1, 11.0)
    assert standing.first_byte(11.0) == 2.0, "it may have taken any time longer"
    standing.outrun(3.0, 12.0)
    assert standing.first_byte(12.0) == pytest.approx(2.3)


def test_what_was_told_of_a_quota_is_forgotten_after_its_window() -> None:
    standing = Standing()
    assert standing.headroom(0.0) is None
    standing.told({"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "5"}, 0.0)
    standing.told({}, 1.0)
    assert standing.headroom(59.0) == 0.05
    assert standing.headroom(61.0) is None


def test_who_waits_for_one_of_its_circuits_cools_until_then() -> None:
    first, second = Circuits("a/first", "a/first m", "target:best a/m"), Circuits("a/second", "a/second m")
    for circuit in (first.account, first.seat, first.target):
        standings = Standings()
        assert not standings.is_cooling(first, 5.0)
        standings.cools(circuit, 10.0)
        assert standings.is_cooling(first, 9.0)
        assert not standings.is_cooling(first, 10.0)
        assert not standings.is_cooling(second, 9.0)


def test_a_typical_answer_is_the_limit_until_one_was_seen_and_never_more() -> None:
    standings = Standings()
    assert standings.typical_output("m", 0) == 500
    assert standings.typical_output("m", 32_000) == 32_000
    standings.saw_output("m", 100)
    assert standings.typical_output("m", 32_000) == 100
    standings.saw_output("m", 200)
    assert standings.typical_output("m", 0) == 130
    assert standings.typical_output("m", 50) == 50
    assert standings.typical_output("other", 7) == 7


def test_what_clients_can_invent_names_for_is_bounded() -> None:
    standings = Standings()
    for number in range(10_000):
        standings.of(f"a/{number}")
        standings.saw_output(f"{number}", 1)
    assert len(standings._standings) <= 4096
    assert len(standings._outputs) <= 4096
    assert [standings.turn("combo c") for _ in range(3)] == [0, 1, 2]
