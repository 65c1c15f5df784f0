"""The books are proven only where they are right, and a difference is explained only by what can make it."""

from collections.abc import Mapping

import pytest
from omni_core.ports.quota import KeyState, LimitState, QuotaSnapshot
from omni_dashboard.auditing import books
from omni_dashboard.domain.reconciliation import (
    SLACK_MS,
    Proof,
    Spent,
    Verdict,
    judge,
    moments,
    only_by_key,
    rollup_difference,
)

B = 1_760_000_400_000  # since when all is in the budgets
EARLY = B - SLACK_MS


def ledger(k1: int, limit: int, *, since: int = B, resets: int = 9) -> QuotaSnapshot:
    """Of a key k1 with a budget, and of k1 and k2 with one that they share."""
    return QuotaSnapshot(
        (
            KeyState("k1", 0, 0, k1, 0, 10**9, "month", resets, since, ("l1",)),
            KeyState("k2", 0, 0, 0, 0, 0, "", 0, 0, ("l1",)),
        ),
        (),
        0,
        (
            LimitState("l1", "team/core/monthly", "default", 0, 0, limit, 0, 10**9, "month", resets, since),
            LimitState("l2", "all", "default", 3, 9, 0, 0, 0, "", 0),
        ),
    )


def proof(
    before: QuotaSnapshot,
    after: QuotaSnapshot | None = None,
    *,
    late: Mapping[str, int],
    early: Mapping[str, int] | None = None,
    waiting: int = 0,
    pending: int = 0,
) -> Proof:
    """``late`` is what each key spent since ``B``, ``early`` since the slack before."""
    spent = {B: only_by_key(late), EARLY: only_by_key(early or late)}
    return judge(
        books(before), books(after or before), spent, frozenset({"k1", "k2"}),
        waiting_events=waiting, pending_messages=pending, kept_from_ms=0, from_rows=True,
    )  # fmt: skip


def both(found: Proof) -> tuple[Verdict, Verdict]:
    key, limit = found.verdicts
    assert (key.book.level, key.book.name) == ("key", "k1")
    assert (limit.book.level, limit.book.name) == ("limit", "team/core/monthly")
    return key, limit


def test_equal_books_are_proven_for_the_key_and_for_what_it_shares() -> None:
    found = proof(ledger(70, 100), late={"k1": 70, "k2": 30, "other": 5})
    assert [(one.ledger, one.events, one.difference, one.causes) for one in both(found)] == [
        (70, 70, 0, ()),
        (100, 100, 0, ()),
    ]
    assert found.holds
    assert found.settled


def test_an_event_that_is_missing_is_found_in_every_budget_it_was_charged_to() -> None:
    found = proof(ledger(70, 100), late={"k1": 58, "k2": 30})
    assert [(one.difference, one.explained) for one in both(found)] == [(12, False), (12, False)]
    assert not found.holds


def test_an_event_that_nobody_charged_is_found() -> None:
    found = proof(ledger(70, 100), late={"k1": 71, "k2": 30})
    assert [(one.difference, one.explained) for one in both(found)] == [(-1, False), (-1, False)]


def test_what_is_charged_while_somebody_looks_is_no_difference() -> None:
    assert all(one.difference == 0 for one in both(proof(ledger(70, 100), ledger(90, 120), late={"k1": 80, "k2": 30})))
    assert all(one.difference == 0 for one in both(proof(ledger(90, 120), ledger(70, 100), late={"k1": 80, "k2": 30})))
    key, _ = both(proof(ledger(70, 100), ledger(90, 120), late={"k1": 69, "k2": 30}))
    assert (key.difference, key.explained) == (1, False)


def test_what_began_just_before_a_budget_may_be_in_it_or_not() -> None:
    for charged in (70, 75, 80):
        found = proof(ledger(charged, 100 + charged - 70), late={"k1": 70, "k2": 30}, early={"k1": 80, "k2": 30})
        assert [one.difference for one in both(found)] == [0, 0]
    key, _ = both(proof(ledger(81, 100), late={"k1": 70, "k2": 30}, early={"k1": 80, "k2": 30}))
    assert (key.difference, key.explained) == (1, False)


@pytest.mark.parametrize(("waiting", "pending"), [(3, 0), (0, 2)])
def test_what_is_under_way_explains_too_few_events_and_never_too_many(waiting: int, pending: int) -> None:
    found = proof(ledger(70, 100), late={"k1": 58, "k2": 30}, waiting=waiting, pending=pending)
    assert all(one.explained and f"{waiting} in outboxes, {pending} messages" in one.causes[0] for one in both(found))
    assert found.holds
    assert not found.settled
    assert not proof(ledger(70, 100), late={"k1": 71, "k2": 30}, waiting=waiting, pending=pending).holds


def test_keys_that_are_no_more_explain_what_others_shared_with_them_and_no_more() -> None:
    key, limit = both(proof(ledger(70, 112), late={"k1": 70, "k2": 30, "gone": 12}))
    assert (key.difference, limit.difference, limit.explained) == (0, 12, True)
    assert "12 nano-USD" in limit.causes[0]
    assert not proof(ledger(70, 113), late={"k1": 70, "k2": 30, "gone": 12}).holds
    assert not proof(ledger(82, 112), late={"k1": 70, "k2": 30, "gone": 12}).holds, "the key's own budget is its own"


@pytest.mark.parametrize(("since", "why"), [(0, "nothing was reserved"), (-1, "Redis had lost")])
def test_where_nobody_knows_what_is_in_a_budget_it_is_said_and_nothing_is_claimed(since: int, why: str) -> None:
    snapshot = ledger(70, 100, since=since)
    assert moments(books(snapshot), 0) == set()
    found = judge(books(snapshot), books(snapshot), {}, frozenset(), waiting_events=0, pending_messages=0,
                  kept_from_ms=0, from_rows=True)  # fmt: skip
    assert all(one.explained and why in one.causes[0] for one in both(found))


def test_a_window_that_ends_in_between_is_left_out() -> None:
    assert proof(ledger(70, 100), ledger(1, 1, resets=10), late={"k1": 70, "k2": 30}).verdicts == ()


def test_where_rows_are_forgotten_whole_minutes_are_asked_for() -> None:
    found = books(ledger(70, 100))
    assert moments(found, 0) == {EARLY, B}
    assert moments(found, EARLY) == {EARLY, B}
    minute = 60_000
    assert moments(found, B + 1) == {EARLY - EARLY % minute, B + -B % minute}


def of(spent: Spent, *, before: QuotaSnapshot) -> Proof:
    return judge(
        books(before), books(before), {B: spent, EARLY: spent}, frozenset({"k1", "k2"}), waiting_events=0,
        pending_messages=0, kept_from_ms=0, from_rows=True,
    )  # fmt: skip


def test_what_a_key_spent_before_it_shared_a_limit_is_not_on_that() -> None:
    spent = {("k1", ("key", "l1")): 70, ("k2", ("l1",)): 30, ("k2", ("l9",)): 1000, ("k2", ()): 7}
    assert of(spent, before=ledger(70, 100)).holds
    assert not of({("k2", None): 1000, **spent}, before=ledger(70, 100)).holds, "nobody says what that was charged to"


def test_what_a_key_spent_while_it_had_no_budget_is_not_on_its_own() -> None:
    assert of({("k1", ("key", "l1")): 70, ("k1", ("l1",)): 30}, before=ledger(70, 100)).holds


def test_keys_that_are_no_more_are_counted_where_they_were_charged_and_explain_nothing_any_more() -> None:
    spent = {("k1", ("key", "l1")): 70, ("gone", ("l1",)): 42}
    assert of(spent, before=ledger(70, 112)).holds
    found = of(spent, before=ledger(70, 120))
    assert (found.holds, found.drift()) == (False, {"key": 0, "limit": 8, "rollup": 0})


@pytest.mark.parametrize(
    ("before", "rows", "after", "more"),
    [(100, 100, 100, 0), (90, 95, 100, 0), (100, 95, 90, 0), (100, 90, 100, 10), (100, 111, 110, -1)],
)
def test_rollups_that_say_something_else_than_their_rows_are_found(
    before: int, rows: int, after: int, more: int
) -> None:
    assert rollup_difference(before, rows, after) == more
    found = Proof((), 0, 0, True, more)
    assert (found.holds, found.drift()["rollup"]) == (not more, abs(more))
