"""Costs of the past by today's prices: looked at, or corrected with all that they add up to."""

from collections.abc import Iterator

from omni_catalogue.pricebook import PriceBook
from omni_core.ports.analytics import Repriced, RepricedGroup

from omni_analytics.adapters.database import Tables
from omni_analytics.domain.repricing import Correction, Looked, correct, corrected, together
from omni_analytics.domain.rollup import HOUR_MS, less, tally


def told(found: Looked) -> Repriced:
    """As the port has it."""
    groups = tuple(RepricedGroup(*of, *sums) for of, sums in sorted(found.groups.items()))
    return Repriced(groups, found.attempts, found.unknown, found.aborted, found.assumed)


# Ids in a question.
_AT_ONCE = 1000


def repriced(tables: Tables, from_ms: int, until_ms: int, book: PriceBook) -> Looked:
    """What would be changed."""
    return together(done.looked for done in _corrections(tables, from_ms, until_ms, book))


def reprice(tables: Tables, from_ms: int, until_ms: int, book: PriceBook) -> Looked:
    """Change it, in a transaction of the caller's. A row keeps its ``seq``: what comes late and is newer replaces it as
    ever, and with it the correction."""
    return together([_change(tables, done) for done in _corrections(tables, from_ms, until_ms, book)])


def _change(tables: Tables, done: Correction) -> Looked:
    tables.attempts.insert([*done.attempts.values()], over=True)
    tables.roll_up(less(tally([*done.attempts.values()]), tally([*done.were.values()])))
    ids = [*dict.fromkeys(attempt.request_id for attempt in done.attempts.values())]
    for start in range(0, len(ids), _AT_ONCE):
        old = tables.requests.of(ids[start : start + _AT_ONCE])
        new = corrected(old, done)
        tables.requests.insert(new, over=True)
        tables.roll_up(less(tally(new), tally([old[row.id] for row in new])))
    return done.looked


def _corrections(tables: Tables, from_ms: int, until_ms: int, book: PriceBook) -> Iterator[Correction]:
    """Hour by hour: a day has more rows than need be in memory."""
    for hour in range(from_ms - from_ms % HOUR_MS, until_ms, HOUR_MS):
        span = max(hour, from_ms), min(hour + HOUR_MS, until_ms)
        yield correct(tables.attempts.within(*span), book)
