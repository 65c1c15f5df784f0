"""What the ledger says was spent, held against what the recorded attempts were settled at: budget by budget. Pure.

An attempt says which budgets it was charged to. One of a router that does not say so yet is taken to be on all that its
key shares now.

The ledger is looked at twice, and the events are added up in between; so while there is traffic the events must be
between the two. A budget counts what was reserved on it since a moment of Redis' clock. An attempt says when it began
by its router's clock, which is about the same: what began ``SLACK_MS`` before that moment may be in or out.
"""

from collections.abc import Iterable, Mapping

import msgspec

SLACK_MS = 5000

WAY = "events are still under way: {} in outboxes, {} messages in the stream"
UNRESERVED = "nothing was reserved on it in this window yet, or Redis has lost it"
UNKNOWN = "Redis had lost what was in it, or it was begun by a version that does not say since when"
GONE = "{} nano-USD were spent by keys that are no more, which may have shared it"

# What an attempt calls its key's own budget.
OWN = "key"

Spent = Mapping[tuple[str, tuple[str, ...] | None], int]
"""Nano-USD by key and the budgets that were charged, None where nobody says which."""


class Book(msgspec.Struct, frozen=True):
    """A budget in its present window. ``level`` is "key" or "limit"; ``keys`` are whose attempts it counts."""

    level: str
    id: str
    name: str
    window: str
    resets_at: int
    since_ms: int
    spent: int
    keys: frozenset[str]


class Verdict(msgspec.Struct, frozen=True):
    """``ledger`` and ``events`` in nano-USD; ``difference`` is what the ledger has more, or (below zero) less. It is
    ``explained`` where ``causes`` say what makes it, and where there is none."""

    book: Book
    ledger: int
    events: int
    difference: int
    explained: bool
    causes: tuple[str, ...]


class Proof(msgspec.Struct, frozen=True):
    """``settled`` says that nothing was under way; ``from_rows`` that each attempt was added up, and not the rollup.
    ``rollup_difference`` is what the rollups have more than the rows, or (below zero) less, since the first window."""

    verdicts: tuple[Verdict, ...]
    waiting_events: int
    pending_messages: int
    from_rows: bool
    rollup_difference: int = 0

    @property
    def settled(self) -> bool:
        return not self.waiting_events and not self.pending_messages

    @property
    def holds(self) -> bool:
        return not self.rollup_difference and all(verdict.explained for verdict in self.verdicts)

    def drift(self) -> dict[str, int]:
        """What no cause explains, in nano-USD by level; "rollup" is between rows and what they add up to."""
        found = {"key": 0, "limit": 0, "rollup": abs(self.rollup_difference)}
        for verdict in self.verdicts:
            if not verdict.explained:
                found[verdict.book.level] += abs(verdict.difference)
        return found


def moments(found: Iterable[Book], kept_from_ms: int) -> set[int]:
    """From when on (epoch milliseconds) it must be known what every key spent."""
    return {moment for book in found if book.since_ms > 0 for moment in _bounds(book, kept_from_ms)}


def _bounds(book: Book, kept_from_ms: int) -> tuple[int, int]:
    """The earliest beginning of what is in the book, and the latest. Where rows are forgotten, whole minutes."""
    early, late = max(1, book.since_ms - SLACK_MS), book.since_ms
    if early >= kept_from_ms:
        return early, late
    return early - early % 60_000, late + -late % 60_000


def judge(
    before: Iterable[Book],
    after: Iterable[Book],
    spent: Mapping[int, Spent],
    known: frozenset[str],
    *,
    waiting_events: int,
    pending_messages: int,
    kept_from_ms: int,
    from_rows: bool,
    rollup_difference: int = 0,
) -> Proof:
    """``spent`` is what was spent from a moment of ``moments`` on; ``known`` are the keys there are. A budget that
    came, went or began anew in between is left out."""
    later = {(book.level, book.id, book.window, book.resets_at): book for book in after}
    verdicts = []
    for book in before:
        again = later.get((book.level, book.id, book.window, book.resets_at))
        if again is None or again.since_ms != book.since_ms:
            continue
        way = (waiting_events, pending_messages)
        verdicts.append(_verdict(book, again, spent, known, way, kept_from_ms))
    return Proof(tuple(verdicts), waiting_events, pending_messages, from_rows, rollup_difference)


def rollup_difference(before: int, rows: int, after: int) -> int:
    """What rollups that were looked at ``before`` and ``after`` the rows have more than these, or less."""
    low, high = sorted((before, after))
    return max(low - rows, 0) + min(high - rows, 0)


def _on(book: Book, spent: Spent) -> int:
    """What of it was charged to ``book``."""
    total = 0
    for (key, charged), nano_usd in spent.items():
        if charged is None:
            counts = key in book.keys
        else:
            counts = key == book.id and OWN in charged if book.level == "key" else book.id in charged
        total += nano_usd if counts else 0
    return total


def only_by_key(spent: Mapping[str, int]) -> Spent:
    return {(key, None): nano_usd for key, nano_usd in spent.items()}


def _verdict(
    book: Book,
    again: Book,
    spent: Mapping[int, Spent],
    known: frozenset[str],
    way: tuple[int, int],
    kept_from_ms: int,
) -> Verdict:
    if book.since_ms <= 0:
        cause = UNRESERVED if book.since_ms == 0 else UNKNOWN
        return Verdict(book, again.spent, 0, 0, True, (cause,))
    early, late = _bounds(book, kept_from_ms)
    most, least = (_on(book, spent[moment]) for moment in (early, late))
    low, high = sorted((book.spent, again.spent))
    if max(low, least) <= min(high, most):
        return Verdict(book, again.spent, min(max(again.spent, least), most), 0, True, ())
    difference = low - most if low > most else high - least
    causes: list[str] = []
    if difference > 0 and any(way):
        causes.append(WAY.format(*way))
    if book.level == "limit" and difference > 0:
        gone = sum(cost for (key, charged), cost in spent[early].items() if charged is None and key not in known)
        if gone >= difference:
            causes.append(GONE.format(gone))
    return Verdict(book, again.spent, most if difference > 0 else least, difference, bool(causes), tuple(causes))
