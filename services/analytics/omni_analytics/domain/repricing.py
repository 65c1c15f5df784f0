"""What attempts of the past cost by the prices that are known today. Pure.

An attempt's cost follows from its tokens and from the price that was in force when it began, by the very function that
it was settled with; so where no price has changed, nothing comes out otherwise.
"""

from collections.abc import Iterable, Mapping
from operator import add

import msgspec
from omni_catalogue.pricebook import PriceBook
from omni_catalogue.prices import History, cost, in_force, version
from omni_wire.usage import Apart, Usage

from omni_analytics.domain.rows import UNTOLD, AttemptRow, RequestRow

Groups = dict[tuple[str, str, str], tuple[int, int, int]]
"""By key, provider and model: attempts, and what they cost before and after, in nano-USD."""


class Looked(msgspec.Struct, frozen=True):
    """What was found: ``groups`` of attempts whose cost is another now. Of all ``attempts`` that were looked at, those
    without a price that is known today (``unknown``), those that were charged at their reservation (``aborted``) and
    those that only a budget's ``assumed`` price counts are left as they are."""

    groups: Groups
    attempts: int = 0
    unknown: int = 0
    aborted: int = 0
    assumed: int = 0


class Correction(msgspec.Struct, frozen=True):
    """``attempts`` as they are to be, by id, and as they ``were``; ``looked`` is of all of them."""

    attempts: dict[str, AttemptRow]
    were: dict[str, AttemptRow]
    looked: Looked


def usage_of(row: AttemptRow) -> Usage:
    return Usage(
        row.input_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        row.estimated,
        msgspec.json.decode(row.apart, type=Apart) if row.apart else None,
    )


def correct(rows: Iterable[AttemptRow], book: PriceBook) -> Correction:
    """Those of ``rows`` that cost something else by ``book``. Left as they are: what was charged at its reservation, as
    nobody knows what it used; and what has no price today, or has had one by assumption only."""
    new, old = dict[str, AttemptRow](), dict[str, AttemptRow]()
    groups: Groups = {}
    versions: dict[tuple[int, History], str] = {}
    histories: dict[tuple[str, str, str, str], History] = {}
    attempts = unknown = aborted = assumed = 0
    for row in rows:
        attempts += 1
        if row.outcome == "aborted":
            aborted += 1
            continue
        whose = (row.provider, row.model, row.account_id, row.key_id)
        pays = histories.get(whose)
        if pays is None:
            pays = histories[whose] = book.pays(*whose)
        dated = in_force(pays, row.started_ms)
        if dated is None:
            unknown += row.pricing != "assumed"
            assumed += row.pricing == "assumed"
            continue
        spent = cost(usage_of(row), dated.price)
        if spent == row.cost_nano_usd and row.pricing == "priced":
            continue
        stamp = versions.get((dated.from_ms, pays))
        if stamp is None:
            stamp = versions[dated.from_ms, pays] = version(dated)
        old[row.id] = row
        new[row.id] = msgspec.structs.replace(
            row,
            cost_nano_usd=spent,
            repriced_nano_usd=row.repriced_nano_usd + spent - row.cost_nano_usd,
            pricing="priced",
            price_version=stamp,
            charged=UNTOLD if not row.price_version and row.cost_nano_usd else row.charged,
        )
        of = (row.key_id, row.provider, row.model)
        groups[of] = _plus(groups.get(of, _NONE), (1, row.cost_nano_usd, spent))
    return Correction(new, old, Looked(groups, attempts, unknown, aborted, assumed))


def corrected(requests: Mapping[str, RequestRow], done: Correction) -> list[RequestRow]:
    """The requests of those attempts, with what these cost more or less; one that was served unpriced is priced once
    the attempt that served it is."""
    changed = dict[str, RequestRow]()
    for id_, attempt in done.attempts.items():
        request = changed.get(attempt.request_id) or requests.get(attempt.request_id)
        if request is None:
            continue
        more = attempt.cost_nano_usd - done.were[id_].cost_nano_usd
        served = (request.provider, request.account_id, request.model_served)
        priced = served == (attempt.provider, attempt.account_id, attempt.model)
        changed[request.id] = msgspec.structs.replace(
            request,
            cost_nano_usd=max(0, request.cost_nano_usd + more),
            pricing="priced" if priced else request.pricing,
        )
    return list(changed.values())


def together(found: Iterable[Looked]) -> Looked:
    """Their sums."""
    groups: Groups = {}
    counts = (0, 0, 0, 0)
    for each in found:
        for of, sums in each.groups.items():
            groups[of] = _plus(groups.get(of, _NONE), sums)
        more = (each.attempts, each.unknown, each.aborted, each.assumed)
        counts = tuple(map(add, counts, more))
    return Looked(groups, *counts)


_NONE = (0, 0, 0)


def _plus(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
