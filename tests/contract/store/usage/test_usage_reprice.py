"""Costs of the past are corrected by the prices that are known today, with all that they add up to: on every kind of
database."""

import msgspec
import pytest
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.repricing import usage_of
from omni_analytics.domain.rollup import DAY_MS, HOUR_MS
from omni_analytics.domain.rows import UsageRow
from omni_catalogue.pricebook import Listed, PriceBook
from omni_catalogue.prices import Dated, Price, Terms, cost, version
from omni_core.ports.analytics import Charge, Repriced, RepricedGroup, StatementLine, UsageQuery
from omni_wire.errors import DependencyUnavailable, WireError
from omni_wire.usage import Apart

from tests.support.usage_store import Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST, T0

change = msgspec.structs.replace
DAY = T0 - T0 % DAY_MS
END = DAY + DAY_MS


def flat(rate: int) -> Price:
    return Price(input=rate, output=rate, cached_input=rate, cache_write=rate)


def book(*changes: Dated, terms: tuple[Terms, ...] = (), keys: tuple[str, ...] = ("k1", "k2")) -> PriceBook:
    return PriceBook((Listed("acme", "gpt-x", flat(4 * 10**9), changes, terms),), dict.fromkeys(keys, "default"))


# 150 tokens at 4 USD a million.
COST = 600_000


async def test_where_no_price_has_changed_nothing_comes_out_otherwise(store: SqlStore) -> None:
    assert cost(usage_of(ATTEMPT), flat(4 * 10**9)) == ATTEMPT.cost_nano_usd == COST
    await store.record([ATTEMPT, REQUEST])
    assert await store.reprice(DAY, END, book(), apply=True) == Repriced((), attempts=1)


async def test_what_was_answered_as_a_batch_is_corrected_by_the_rates_of_batches(store: SqlStore) -> None:
    flex = change(ATTEMPT, apart='{"tier":"flex"}')
    await store.record([flex, REQUEST])
    price = msgspec.structs.replace(flat(4 * 10**9), batch=flat(10**9))
    corrected = await store.reprice(DAY, END, book(Dated(1, price)), apply=True)
    assert [(group.old_nano_usd, group.new_nano_usd) for group in corrected.groups] == [(COST, COST // 4)]
    request = await store.find_request(REQUEST.id, None)
    assert request is not None
    assert request.attempts[0].usage.apart == Apart(tier="flex")


async def test_from_its_date_on_a_new_price_is_shown_first_and_then_written_with_all_that_it_adds_up_to(
    store: SqlStore, usage: Usage
) -> None:
    """Over an hour's border, two keys, and a request that two attempts answer."""
    later = change(ATTEMPT, id="a2", started_ms=T0 + HOUR_MS, key_id="k2", request_id="r2")
    second = change(later, id="a3", started_ms=T0 + HOUR_MS + 1)
    rows: list[UsageRow] = [ATTEMPT, REQUEST, later, second]
    rows += [change(REQUEST, id="r2", key_id="k2", started_ms=T0 + HOUR_MS, attempts=2, cost_nano_usd=2 * COST)]
    await store.record(rows)
    dearer = Dated(T0 + HOUR_MS, flat(6 * 10**9))
    expected = Repriced((RepricedGroup("k2", "acme", "gpt-x", 2, 2 * COST, 3 * COST),), attempts=3)

    before = await store.query(UsageQuery(group_by="key"))
    assert await store.reprice(DAY, END, book(dearer), apply=False) == expected
    assert await store.query(UsageQuery(group_by="key")) == before, "it was only looked at"

    assert await store.reprice(DAY, END, book(dearer), apply=True) == expected
    found = await store.query(UsageQuery(group_by="key"))
    assert {key: totals.cost_nano_usd for key, totals in found.groups.items()} == {"k1": COST, "k2": 3 * COST}
    usage.check_rollups()
    assert usage.rebuilt(check=True).wrong == 0
    request = await store.find_request("r2", None)
    assert request is not None
    assert request.cost_nano_usd == 3 * COST
    assert [each.repriced_nano_usd for each in request.attempts] == [COST // 2] * 2
    assert {each.price_version for each in request.attempts} == {version(dearer)}
    assert await store.reprice(DAY, END, book(dearer), apply=True) == Repriced((), attempts=3), "once is enough"


async def test_back_and_forth_leaves_no_trace_in_what_was_charged(store: SqlStore, usage: Usage) -> None:
    await store.record([ATTEMPT, REQUEST])
    before = await store.charges(DAY, END)
    assert before == [Charge("k1", ("key", "limit-all"), True, COST, COST)]
    await store.reprice(DAY, END, book(Dated(1, flat(8 * 10**9))), apply=True)
    assert await store.charges(DAY, END) == [Charge("k1", ("key", "limit-all"), True, COST, 2 * COST)]
    await store.reprice(DAY, END, book(), apply=True)
    assert await store.charges(DAY, END) == before
    usage.check_rollups()


async def test_a_truth_that_comes_late_replaces_a_row_that_was_corrected_and_a_message_again_does_not(
    store: SqlStore, usage: Usage
) -> None:
    await store.record([ATTEMPT, REQUEST])
    await store.reprice(DAY, END, book(Dated(1, flat(8 * 10**9))), apply=True)
    await store.record([ATTEMPT, REQUEST])
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 2 * COST
    await store.record([change(ATTEMPT, seq=2, cost_nano_usd=1)])
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 1
    usage.check_rollups()


async def test_what_had_no_price_gets_one_and_what_has_none_is_left_and_counted(store: SqlStore, usage: Usage) -> None:
    unpriced = change(ATTEMPT, cost_nano_usd=0, pricing="unpriced", price_version="", charged="")
    rows: list[UsageRow] = [unpriced, change(REQUEST, cost_nano_usd=0, pricing="unpriced")]
    rows += [
        change(unpriced, id="a2", request_id="x", model="other"),
        change(ATTEMPT, id="a3", request_id="x", model="other", pricing="assumed"),
        change(ATTEMPT, id="a4", request_id="x", outcome="aborted", seq=0, cost_nano_usd=900_000),
    ]
    await store.record(rows)
    found = await store.reprice(DAY, END, book(), apply=True)
    group = RepricedGroup("k1", "acme", "gpt-x", 1, 0, COST)
    assert found == Repriced((group,), attempts=4, unknown=1, aborted=1, assumed=1)
    totals = (await store.query(UsageQuery())).totals
    assert (totals.unpriced_requests, totals.cost_nano_usd) == (0, COST + COST + 900_000)
    usage.check_rollups()
    charged = {(each.charged, each.told): each.nano_usd for each in await store.charges(DAY, END)}
    assert charged == {((), True): 0, (("key", "limit-all"), True): COST + 900_000}, "nobody was charged for it"


async def test_what_a_key_pays_that_is_no_more_is_left_where_it_depends_on_whose_it_was(store: SqlStore) -> None:
    await store.record([ATTEMPT])
    terms = (Terms(organisation="lab", price=flat(1)),)
    assert (await store.reprice(DAY, END, book(terms=terms, keys=()), apply=True)).unknown == 1
    assert (await store.reprice(DAY, END, book(terms=terms), apply=True)).unknown == 0


async def test_what_a_router_of_before_charged_is_not_told_also_after_a_correction(store: SqlStore) -> None:
    await store.record([change(ATTEMPT, price_version="", charged="")])
    assert await store.charges(DAY, END) == [Charge("k1", (), False, COST, COST)]
    await store.reprice(DAY, END, book(Dated(1, flat(8 * 10**9))), apply=True)
    assert await store.charges(DAY, END) == [Charge("k1", (), False, COST, 2 * COST)]


async def test_a_statement_tells_a_providers_day_by_what_is_to_be_known_of_its_counts(store: SqlStore) -> None:
    odd = change(ATTEMPT, id="a2", estimated=True, outcome="partial", suspect="unreadable")
    await store.record([ATTEMPT, change(ATTEMPT, id="a1b"), odd, change(ATTEMPT, id="a3", provider="other")])
    line = StatementLine(DAY, "gpt-x", "ok", "priced", False, "", 2, 200, 20, 10, 100, 2 * COST)
    other = StatementLine(DAY, "gpt-x", "partial", "priced", True, "unreadable", 1, 100, 10, 5, 50, COST)
    assert await store.statement("acme", DAY, END) == [line, other]
    assert await store.statement("acme", END, END + DAY_MS) == []


async def test_a_correction_that_fails_leaves_everything_as_it_was(usage: Usage) -> None:
    store = usage.store()
    await store.open()
    await store.record([ATTEMPT, REQUEST])
    before = await store.query(UsageQuery(group_by="model"))
    usage.change("ALTER TABLE usage_day RENAME TO usage_day_away")
    with pytest.raises((DependencyUnavailable, WireError)):
        await store.reprice(DAY, END, book(Dated(1, flat(8 * 10**9))), apply=True)
    usage.change("ALTER TABLE usage_day_away RENAME TO usage_day")
    assert await store.query(UsageQuery(group_by="model")) == before
    usage.check_rollups()
    await store.close()
