"""Slices of a key's limits, and what is taken of them in memory. Pure: no I/O, and time is an argument.

Theory of operation. What an attempt takes at most is five amounts: requests, tokens of input, of output, of both, and
nano-USD. A *purse* is all holds of one key under the same limits; the *slice* that it has now is what Redis has set
aside for it on all of these limits at once (``lua/leases.lua``). An attempt moves its amounts from *free* to in flight;
when it settles, they are *pending* with what it came to, until a *word* tells Redis:

    wanted ──added──▶ free ──take──▶ in flight ──settle──▶ pending ──word──▶ Redis
                       └──────────────── given back ─────────▲

Words are numbered, and there is one on its way at a time, so that one which is said again changes nothing. A slice ends
before the first of its windows does; it then *drains*: what is free goes back, what is in flight settles to it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import msgspec

from omni_ledger.model import Hold
from omni_ledger.operations import MAX_AMOUNT, Leased, Pot

KINDS = {"requests": 0, "input": 1, "output": 2, "tokens": 3, "usd": 4}
Amounts = tuple[int, int, int, int, int]
NOTHING: Amounts = (0, 0, 0, 0, 0)
# Times an attempt's amounts that a slice has at least when it is made; less does not save a round trip.
LEAST = 4
# Times what the last two tenths of a second took, and times an attempt's amounts, that it has free.
AMPLE, ATTEMPTS = 2, 16
# Seconds' worth of it where it shall last while Redis is away.
AWAY_FOR = 30
MAX_WORD = 256
MAX_WORD_BYTES = 128 * 1024

Name = tuple[Any, ...]


def ask(hold: Hold) -> tuple[Name, Amounts] | None:
    """Whose purse may pay it, and what it takes at most; None where it asks for what must be exact for the fleet."""
    if hold.early or hold.retrying is not None:
        return None
    passage = hold.passage
    if passage is not None and passage.ticket is not None and passage.ticket.came_ms:
        return None  # it leaves a queue
    wanted, budget = hold.wanted_output, hold.budget
    usd = 0
    name: Name = (hold.key_id, hold.requests_per_minute)
    if budget is not None:
        usd = budget.fixed_nano_usd + wanted * budget.per_output_token_nano_usd
        if not 0 <= usd <= MAX_AMOUNT:
            return None  # as below
        name = (hold.key_id, hold.requests_per_minute, budget.cap_nano_usd, budget.window)
    if not hold.levels:
        return name, (1 if hold.count_request else 0, 0, 0, 0, usd)
    parts: list[Any] = [*name]
    most = [1 if hold.count_request else 0, 0, 0, 0, usd]
    for level in hold.levels:
        if not level.leasable:
            return None
        budget = level.budget
        parts += (level.owner, level.requests_per_minute)
        if budget is not None:
            parts += (budget.cap_nano_usd, budget.window)
            usd = budget.fixed_nano_usd + wanted * budget.per_output_token_nano_usd
            if usd < 0:
                return None  # as below
            most[4] = max(most[4], usd)
        for each in level.allowances:
            # An attempt that is a request on some levels only has no one amount of them.
            if each.of == "concurrent" or (each.of == "requests" and bool(each.fixed) != hold.count_request):
                return None
            parts += (each.of, each.most, each.window, each.warn, each.refuses)
            kind = KINDS[each.of]
            amount = each.fixed + wanted * each.per_output_token
            if amount < 0:
                return None  # as below
            most[kind] = max(most[kind], amount)
    if max(most) > MAX_AMOUNT:
        return None  # the direct way says what is wrong with it, or takes it as the most there is
    return tuple(parts), (most[0], most[1], most[2], most[3], most[4])


def pots_of(hold: Hold) -> tuple[Pot, ...]:
    """The windows that a slice for it is taken of."""
    found = _pots(hold.key_id, hold.requests_per_minute, hold.budget)
    for level in hold.levels:
        found += _pots(level.owner, level.requests_per_minute, level.budget)
        found += [
            Pot(each.of, level.owner, each.most, each.window, each.warn, each.limit, each.refuses)
            for each in level.allowances
        ]
    return tuple(found)


def _pots(owner: str, rate: int, budget: Any) -> list[Pot]:
    found = [Pot("rpm", owner, rate)] if rate else []
    return [*found, Pot("budget", owner, budget.cap_nano_usd, budget.window)] if budget is not None else found


class Word(msgspec.Struct, frozen=True):
    """What is told of a slice at once. ``settled``, ``truth``, ``back``, ``wanted`` and ``least`` are amounts;
    ``count`` attempts are in it."""

    seq: int
    settled: Amounts
    truth: Amounts
    back: Amounts
    wanted: Amounts
    least: Amounts
    count: int
    events: tuple[bytes, ...]
    closes: bool
    done: tuple[Callable[[], None], ...] = ()


class Settled(msgspec.Struct, frozen=True):
    """An attempt that has ended: what it had taken, what it came to."""

    amounts: Amounts
    truth: Amounts
    events: tuple[bytes, ...]
    done: Callable[[], None] | None = None


class Slice:
    """``good_until`` is in seconds of the process' own clock; ``free`` may be taken until then."""

    __slots__ = (
        "draining", "free", "good_until", "id", "in_flight", "on_its_way", "pending", "said_at", "seq", "taken",
        "used_at",
    )  # fmt: skip

    def __init__(self, name: str, now: float) -> None:
        self.id = name
        self.free = [0, 0, 0, 0, 0]
        self.taken = [0, 0, 0, 0, 0]  # since the last look at it
        self.good_until = inf
        self.in_flight = 0
        self.pending: deque[Settled] = deque()
        self.seq = 0
        self.on_its_way: Word | None = None
        self.draining = False
        self.used_at = self.said_at = now

    def take(self, amounts: Amounts) -> bool:
        """Whether there was as much; it is in flight then."""
        free = self.free
        one, two, three, four, five = amounts
        if free[0] < one or free[4] < five or free[3] < four or free[1] < two or free[2] < three:
            return False
        free[0] -= one
        free[4] -= five
        if two or three or four:
            free[1] -= two
            free[2] -= three
            free[3] -= four
        self.in_flight += 1
        return True

    def settle(self, settled: Settled) -> None:
        self.in_flight -= 1
        self.pending.append(settled)

    def word(self, wanted: Amounts, least: Amounts, keep: Amounts) -> Word:
        """The next to be said. Of what is free so much is kept, none when it drains."""
        told: list[Settled] = []
        events: list[bytes] = []
        back = [0] * 5
        size = 0
        while self.pending and len(told) < MAX_WORD and size < MAX_WORD_BYTES:
            one = self.pending.popleft()
            told.append(one)
            events += one.events
            size += sum(map(len, one.events))
        for kind in range(5):
            back[kind] = self.free[kind] if self.draining else max(0, self.free[kind] - keep[kind])
            self.free[kind] -= back[kind]
        self.seq += 1
        closes = self.draining and not self.in_flight and not self.pending
        self.on_its_way = Word(
            self.seq, summed([one.amounts for one in told]), summed([one.truth for one in told]), amounts(back),
            NOTHING if self.draining else wanted, NOTHING if self.draining else least, len(told), tuple(events), closes,
            tuple([one.done for one in told if one.done is not None]),
        )  # fmt: skip
        return self.on_its_way

    def heard(self, said: Leased) -> None:
        """Redis has the word that was on its way."""
        self.on_its_way = None
        for kind in range(5):
            self.free[kind] += said.added[kind]

    @property
    def is_over(self) -> bool:
        """There is nothing more to be said of it."""
        return self.draining and not self.in_flight and not self.pending and not any(self.free)


class Demand:
    """How much a slice shall have free: ``attempt`` is what the last attempt took, ``recent`` what all of them take in
    a twentieth of a second."""

    __slots__ = ("attempt", "recent")

    def __init__(self) -> None:
        self.attempt: Amounts = NOTHING
        self.recent = [0.0] * 5

    def look(self, taken: list[int]) -> None:
        """Once in a twentieth of a second, with what was taken since."""
        for kind in range(5):
            self.recent[kind] = max(taken[kind], 0.8 * self.recent[kind])
            taken[kind] = 0

    def target(self, *, away: bool) -> Amounts:
        """``away`` is whether it shall last for while Redis is."""
        times = 20 * AWAY_FOR if away else 4 * AMPLE
        return amounts(
            [
                min(MAX_AMOUNT, max(ATTEMPTS * one, int(times * recent)))
                for one, recent in zip(self.attempt, self.recent, strict=True)
            ]
        )


def amounts(values: "list[int]") -> Amounts:
    one, two, three, four, five = values
    return one, two, three, four, five


def summed(each: Sequence[Sequence[int]]) -> Amounts:
    one, two, three, four, five = map(sum, zip(*each, strict=True)) if each else NOTHING
    return one, two, three, four, five


def lacking(target: Amounts, free: list[int]) -> Amounts:
    return amounts([max(0, most - has) for most, has in zip(target, free, strict=True)])


def times(one: Amounts, number: int) -> Amounts:
    return amounts([each * number for each in one])
