"""Rows are listed a page at a time, each once, in the order in which they began, whatever passes."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.rollup import GRAINS
from omni_core.ports.analytics import Listing

from tests.contract.store.usage.test_breakdown import rows_of, value_of
from tests.support.usage_store import Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST, T0

change = msgspec.structs.replace


async def pages(store: SqlStore, asked: Listing) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    while True:
        page = await store.listed(asked)
        ids = [one.id for one in (*page.requests, *page.attempts)]
        assert len(ids) <= asked.limit
        found += ids
        if not page.next:
            return found
        asked = change(asked, after=page.next)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.sampled_from(["ok", "failed"])),
        max_size=12,
    ),
    kind=st.sampled_from(["request", "attempt"]),
    limit=st.integers(1, 5),
    oldest=st.booleans(),
    filters=st.dictionaries(
        st.sampled_from(["key", "model", "status"]),
        st.lists(st.sampled_from(["k0", "k1", "m0", "2xx", "5xx"]), max_size=3, unique=True).map(tuple),
        max_size=2,
    ),
    ends=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
async def test_all_pages_together_are_the_rows_that_pass(
    store: SqlStore,
    usage: Usage,
    places: list[tuple[int, int, int, str]],
    kind: str,
    limit: int,
    oldest: bool,
    filters: dict[str, tuple[str, ...]],
    ends: tuple[int, int],
) -> None:
    rollups = (f"{name}_{grain}" for name in ("usage", "latency") for grain in GRAINS)
    for table in ("attempt_row", "request_row", *rollups):
        usage.change(f"DELETE FROM {table}")
    rows = [change(row, started_ms=row.started_ms - row.started_ms % 60_000) for row in rows_of(places)]  # many at once
    await store.record(rows)
    start, end = (T0 - T0 % GRAINS["hour"] + minute * 60_000 if minute else 0 for minute in ends)
    passing = [
        row
        for row in rows
        if isinstance(row, type(REQUEST if kind == "request" else ATTEMPT))
        and row.started_ms >= start
        and (not end or row.started_ms < end)
        and all(value_of(row, name) in wanted for name, wanted in filters.items())
    ]
    passing.sort(key=lambda row: (row.started_ms, row.id), reverse=not oldest)
    asked = Listing(kind, start, end, filters, limit=limit, oldest=oldest)
    assert await pages(store, asked) == [row.id for row in passing]


async def test_a_text_is_an_id_or_a_part_of_a_name_and_nothing_in_it_is_a_pattern(store: SqlStore) -> None:
    await store.record(
        [
            change(REQUEST, id="r1", request_id="mine", model_requested="gpt_x%1"),
            change(REQUEST, id="r2", request_id="r2", model_requested="gptax11", error_kind="rate_limited"),
            change(ATTEMPT, id="a1", request_id="r1", model="gpt-x"),
        ]
    )

    async def found(text: str, kind: str = "request") -> list[str]:
        return await pages(store, Listing(kind, text=text))

    assert await found("mine") == await found("t_x") == await found("x%1") == ["r1"]
    assert await found("rate") == ["r2"]
    assert await found("min") == await found("\\") == []
    assert await found("r1", "attempt") == await found("pt-x", "attempt") == ["a1"]


async def test_a_row_that_comes_while_somebody_reads_on_moves_no_page(store: SqlStore) -> None:
    await store.record([change(REQUEST, id=f"r{n}", started_ms=T0 + n) for n in range(4)])
    first = await store.listed(Listing(limit=2))
    await store.record([change(REQUEST, id="new", started_ms=T0 + 99)])
    second = await store.listed(Listing(limit=2, after=first.next))
    assert [one.id for one in (*first.requests, *second.requests)] == ["r3", "r2", "r1", "r0"]
    assert second.next == ""


async def test_a_page_walks_an_index_and_sorts_nothing(usage: Usage, store: SqlStore) -> None:
    if usage.kind != "sqlite":
        pytest.skip("how it reads is told in SQLite's words")
    plan = usage.asked(
        "EXPLAIN QUERY PLAN SELECT id FROM request_event WHERE started_ms <= 5 AND (started_ms, id) < (5, 'x') "
        "ORDER BY started_ms DESC, id DESC LIMIT 2"
    )
    told = " ".join(str(row[-1]) for row in plan)
    assert "request_event_started" in told
    assert "TEMP B-TREE" not in told
