"""What a journal says is to be done: the same wherever its process was killed, and never twice."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_core.events import charged_event
from omni_ledger.recovery import Found, recover
from omniroute_proto.events.v1 import events_pb2

from tests.support.leasing import told

ONE = [1, 0, 0, 0, 100]
TRUE = [1, 0, 0, 0, 40]


def words(found: Found) -> list[dict[str, Any]]:
    made = []
    for operation in found.operations:
        head, *blobs = operation
        name, count, part, router, key, seq, _, closes, settled, truth, back, *_ = msgspec.msgpack.decode(head)
        assert (name, count, router, key) == ("lease", len(blobs), "heir", "key")
        made.append(
            {"slice": part, "seq": seq, "closes": bool(closes), "settled": settled, "truth": truth, "back": back,
             "events": blobs}
        )  # fmt: skip
    return made


def recovered(*records: Any, is_whole: bool = True) -> list[dict[str, Any]]:
    return words(recover([("b", "life"), *records], "heir", is_whole=is_whole))


def note(attempt: str) -> tuple[Any, ...]:
    return "n", "s1", attempt, ONE, [told(attempt, outcome="aborted")]


def test_a_slice_of_which_nothing_was_used_is_closed() -> None:
    (word,) = recovered(("o", "s1", "key"), ("f", "s1", 1, 0, [0] * 5, False), ("k", "s1", 1))
    assert (word["seq"], word["closes"], word["settled"]) == (2, True, [0] * 5)


def test_what_ended_is_settled_by_its_truth_and_what_did_not_is_charged_in_full() -> None:
    found = recover([("o", "s1", "key"), note("a"), note("b"), ("s", "a", TRUE, [b"true"])], "heir", is_whole=True)
    (word,) = words(found)
    assert (found.settled, found.aborted) == (1, 1)
    assert (word["settled"], word["truth"]) == ([2, 0, 0, 0, 200], [2, 0, 0, 0, 140])
    assert word["events"][0] == b"true"
    assert events_pb2.Event.FromString(word["events"][1]).attempt.cost_nano_usd == 100


def test_a_word_that_may_have_been_heard_is_said_again_as_it_was_and_the_rest_in_another() -> None:
    first, second = recovered(
        ("o", "s1", "key"), note("a"), note("b"), ("s", "a", TRUE, [b"a"]),
        ("f", "s1", 7, 1, [0, 0, 0, 0, 9], False), ("s", "b", TRUE, [b"b"]),
    )  # fmt: skip
    assert (first["seq"], first["back"], first["events"], first["closes"]) == (7, [0, 0, 0, 0, 9], [b"a"], False)
    assert (second["seq"], second["back"], second["events"], second["closes"]) == (8, [0] * 5, [b"b"], True)


def test_a_slice_that_was_over_needs_nothing() -> None:
    assert recovered(("o", "s1", "key"), ("f", "s1", 1, 0, [0] * 5, True), ("k", "s1", 1), ("c", "s1")) == []


def test_where_something_may_be_missing_nothing_is_given_back() -> None:
    (word,) = recovered(("o", "s1", "key"), note("a"), is_whole=False)
    assert (word["settled"], word["back"], word["closes"]) == (ONE, [0] * 5, False)


def test_one_that_was_written_again_says_the_same() -> None:
    first, second = recovered(
        ("o", "s1", "key"), ("q", "s1", 4), ("p", "s1", ONE, TRUE, [b"said"]), ("f", "s1", 5, 1, [0] * 5, False),
        ("p", "s1", ONE, TRUE, [b"waits"]), note("open"),
    )  # fmt: skip
    assert (first["seq"], first["events"]) == (5, [b"said"])
    assert (second["seq"], second["settled"], second["closes"]) == (6, [2, 0, 0, 0, 200], True)


def test_operations_that_wait_are_done_in_their_order_but_those_that_were() -> None:
    found = recover(
        [("w", 1, [b"one"]), ("w", 2, [b"two"]), ("d", 1), ("w", 3, [b"three", b"event"])], "heir", is_whole=True
    )
    assert found.operations == [[b"two"], [b"three", b"event"]]


def test_what_ended_of_which_the_note_is_lost_is_told_at_least() -> None:
    (operation,) = recover(
        [("o", "s1", "key"), ("c", "s1"), ("s", "a", TRUE, [b"e"])], "heir", is_whole=False
    ).operations
    assert operation[1:] == [b"e"]


def test_many_are_told_in_several_words_of_which_the_last_closes() -> None:
    many = recovered(("o", "s1", "key"), *(note(str(i)) for i in range(600)))
    assert [len(word["events"]) for word in many] == [256, 256, 88]
    assert [word["closes"] for word in many] == [False, False, True]
    assert [word["seq"] for word in many] == [1, 2, 3]


@given(st.integers(0, 2**53))
def test_an_event_says_what_was_charged(amount: int) -> None:
    event = events_pb2.Event.FromString(charged_event(told("a", outcome="aborted"), amount))
    assert (event.attempt.id, event.attempt.cost_nano_usd) == ("a", amount)


@pytest.mark.parametrize("records", [[("z", "what")], [("k", "nobody", 3)], [("c", "nobody")], [("d", 9)]])
def test_what_it_does_not_know_changes_nothing(records: list[Any]) -> None:
    assert recover(records, "heir", is_whole=True).operations == []
