"""The store counts every row once, and its rollup is at all times the sum of its rows."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_analytics.adapters.schema import MIGRATIONS
from omni_analytics.adapters.store import SqliteStore, pieces, read_key_use, usage_path
from omni_analytics.domain.rollup import HOUR_MS, MEASURES, cell_of, newest, sums_of
from omni_analytics.domain.rows import AttemptRow, RequestRow, UsageRow, parts
from omni_analytics.ports import Recorded
from omni_core.ports.analytics import KeyUse, UsageQuery, UsageTotals
from omni_wire.errors import DependencyUnavailable, Internal, WireError

from tests.unit.analytics.events import ATTEMPT, REQUEST, T0

change = msgspec.structs.replace
HOUR = T0 - T0 % HOUR_MS


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "analytics" / "usage.sqlite3")
    await opened.open()
    yield opened
    await opened.close()


def file_of(tmp_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(tmp_path / "analytics" / "usage.sqlite3")


def check_rollup(path: Path) -> None:
    """Rollup = rows, cell by cell, exactly."""
    columns = "key_id, provider, account_id, model, status"
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    connection = sqlite3.connect(path)
    try:
        from_rows = connection.execute(
            f"SELECT started_ms - started_ms % {HOUR_MS} AS hour, {columns}, {sums} FROM usage_fact "
            f"GROUP BY hour, {columns} ORDER BY hour, {columns}"
        ).fetchall()
        rolled = connection.execute(
            f"SELECT hour_ms, {columns}, {', '.join(MEASURES)} FROM usage_hour ORDER BY hour_ms, {columns}"
        ).fetchall()
    finally:
        connection.close()
    assert rolled == from_rows


async def test_a_row_is_stored_as_it_was(store: SqliteStore, tmp_path: Path) -> None:
    assert await store.record([ATTEMPT, REQUEST]) == Recorded(attempts_stored=1, requests_stored=1)
    connection = file_of(tmp_path)
    (attempt,) = connection.execute("SELECT * FROM attempt_event").fetchall()
    (request,) = connection.execute("SELECT * FROM request_event").fetchall()
    connection.close()
    assert msgspec.structs.asdict(ATTEMPT) == by_column(tmp_path, "attempt_event", attempt)
    own = {name: value for name, value in msgspec.structs.asdict(REQUEST).items() if name != "decision"}
    assert own == by_column(tmp_path, "request_event", request)


def by_column(tmp_path: Path, table: str, row: tuple[object, ...]) -> dict[str, object]:
    connection = file_of(tmp_path)
    columns = [info[1] for info in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    return dict(zip(columns, row, strict=True))


async def test_the_same_row_again_changes_nothing(store: SqliteStore) -> None:
    await store.record([ATTEMPT, REQUEST])
    before = await store.query(UsageQuery())
    assert await store.record([REQUEST, ATTEMPT, ATTEMPT]) == Recorded(attempts_ignored=2, requests_ignored=1)
    assert await store.query(UsageQuery()) == before


async def test_a_higher_seq_replaces_and_the_totals_change_by_the_difference(store: SqliteStore) -> None:
    aborted = [
        change(REQUEST, seq=0, outcome="failed", status=500),
        change(ATTEMPT, seq=0, outcome="aborted", provider_status=0, output_tokens=0, cost_nano_usd=900_000),
    ]
    await store.record(aborted)
    assert (await store.query(UsageQuery())).totals == UsageTotals(1, 1, 1, 100, 10, 5, 0, 7, 900_000, 0)
    assert await store.record([REQUEST, ATTEMPT]) == Recorded(attempts_stored=1, requests_stored=1)
    report = await store.query(UsageQuery(group_by="status"))
    assert report.totals == UsageTotals(1, 0, 1, 100, 10, 5, 50, 7, 600_000, 0)
    assert list(report.groups) == ["2xx"]


async def test_a_lower_seq_that_comes_late_is_ignored(store: SqliteStore) -> None:
    await store.record([change(ATTEMPT, seq=5, cost_nano_usd=7)])
    assert await store.record([change(ATTEMPT, seq=4, cost_nano_usd=9)]) == Recorded(attempts_ignored=1)
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 7


async def test_of_one_id_twice_in_a_batch_the_highest_seq_counts(store: SqliteStore) -> None:
    rows = [change(ATTEMPT, seq=2, cost_nano_usd=2), change(ATTEMPT, seq=3, cost_nano_usd=3), ATTEMPT]
    assert await store.record(rows) == Recorded(attempts_stored=1, attempts_ignored=2)
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 3


async def test_an_attempt_and_a_request_of_one_id_are_two_things(store: SqliteStore) -> None:
    await store.record([change(ATTEMPT, id="same"), change(REQUEST, id="same")])
    totals = (await store.query(UsageQuery())).totals
    assert (totals.requests, totals.attempts) == (1, 1)


async def test_tokens_and_cost_count_once_and_on_the_account_that_billed_them(store: SqliteStore) -> None:
    first = change(
        ATTEMPT, id="a0", account_id="claude/a", provider="claude", outcome="failed", input_tokens=9,
        cached_input_tokens=0, cache_write_tokens=0, output_tokens=1, reasoning_tokens=0, cost_nano_usd=11,
    )  # fmt: skip
    await store.record([change(REQUEST, input_tokens=109, output_tokens=51, cost_nano_usd=600_011), first, ATTEMPT])
    report = await store.query(UsageQuery(group_by="provider"))
    assert report.totals == UsageTotals(1, 0, 2, 109, 10, 5, 51, 7, 600_011, 0)
    assert report.groups["claude"] == UsageTotals(0, 0, 1, 9, 0, 0, 1, 0, 11, 0)


async def test_what_an_earlier_try_of_the_edge_spent_is_not_lost(store: SqliteStore) -> None:
    """The second try's request replaces the first's, but both had attempts of their own."""
    await store.record([ATTEMPT, change(REQUEST, seq=1, outcome="partial")])
    await store.record([change(ATTEMPT, id="a2"), change(REQUEST, seq=2)])
    assert (await store.query(UsageQuery())).totals == UsageTotals(1, 0, 2, 200, 20, 10, 100, 14, 1_200_000, 0)


async def test_a_client_that_went_away_is_no_error_and_a_broken_stream_is_one(store: SqliteStore) -> None:
    outcomes = ["ok", "cancelled", "failed", "partial", "aborted"]
    await store.record([change(REQUEST, id=outcome, outcome=outcome) for outcome in outcomes])
    assert (await store.query(UsageQuery())).totals.errors == 3


async def test_a_request_that_was_told_an_earlier_answer_is_a_good_one_without_tokens_or_cost(
    store: SqliteStore,
) -> None:
    await store.record([ATTEMPT, REQUEST])
    before = (await store.query(UsageQuery())).totals
    told = [change(REQUEST, id=outcome, outcome=outcome, cost_nano_usd=0) for outcome in ("replayed", "cached")]
    await store.record(told)
    after = (await store.query(UsageQuery())).totals
    assert after == msgspec.structs.replace(before, requests=3)


async def test_a_request_that_nothing_served_counts_under_the_model_asked_for(store: SqliteStore) -> None:
    refused = change(REQUEST, model_served="", provider="", account_id="", status=402, outcome="failed")
    await store.record([refused])
    assert list((await store.query(UsageQuery(group_by="model"))).groups) == ["always-on"]
    assert list((await store.query(UsageQuery(group_by="status"))).groups) == ["4xx"]


async def test_unpriced_requests_are_counted(store: SqliteStore) -> None:
    await store.record([change(REQUEST, id=p, pricing=p) for p in ("priced", "unpriced", "assumed")])
    assert (await store.query(UsageQuery())).totals.unpriced_requests == 1


async def test_a_key_sees_its_own_and_a_span_takes_its_start_and_not_its_end(store: SqliteStore) -> None:
    await store.record([REQUEST, change(REQUEST, id="r2", key_id="k2"), change(REQUEST, id="r3", started_ms=T0 + 5)])
    assert (await store.query(UsageQuery(key_id="k1"))).totals.requests == 2
    assert (await store.query(UsageQuery(key_id="nobody", group_by="key"))).groups == {}
    assert (await store.query(UsageQuery(from_ms=T0, until_ms=T0 + 5))).totals.requests == 2
    assert (await store.query(UsageQuery(from_ms=T0 + 1))).totals.requests == 1
    assert (await store.query(UsageQuery(from_ms=T0 + 9, until_ms=T0))).totals.requests == 0


async def test_a_row_the_database_cannot_hold_spoils_the_whole_transaction(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(WireError):
        await store.record([ATTEMPT, change(REQUEST, duration_ms=2**80)])
    assert (await store.query(UsageQuery())).totals == UsageTotals()
    assert await store.record([ATTEMPT]) == Recorded(attempts_stored=1)
    check_rollup(tmp_path / "analytics" / "usage.sqlite3")


async def test_what_was_committed_is_there_after_a_restart(store: SqliteStore, tmp_path: Path) -> None:
    await store.record([ATTEMPT, REQUEST])
    report = await store.query(UsageQuery(group_by="account"))
    await store.close()
    again = SqliteStore(tmp_path / "analytics" / "usage.sqlite3")
    await again.open()
    assert await again.query(UsageQuery(group_by="account")) == report
    assert await again.record([ATTEMPT]) == Recorded(attempts_ignored=1)
    await again.close()


async def test_the_file_is_durable_and_versioned(store: SqliteStore, tmp_path: Path) -> None:
    connection = file_of(tmp_path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()
    assert store._connection is not None
    assert await store._run(lambda: store._opened().execute("PRAGMA synchronous").fetchone()) == (2,)  # FULL


async def test_a_file_of_the_first_version_keeps_every_row(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite3"
    old: list[UsageRow] = [ATTEMPT, REQUEST, change(ATTEMPT, id="a2", key_id="k2"), change(REQUEST, id="r2")]
    connection = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    for row in old:
        table = "attempt_event" if isinstance(row, AttemptRow) else "request_event"
        fields = {name: getattr(row, name) for name in parts(type(row)).all}
        marks = ", ".join(f":{name}" for name in fields)
        connection.execute(f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})", fields)
    columns = f"key_id, provider, account_id, model, status, {', '.join(MEASURES)}"
    connection.execute(f"INSERT INTO usage_hour (hour_ms, {columns}) SELECT {HOUR}, {columns} FROM usage_fact WHERE 0")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    store = SqliteStore(path)
    await store.open()
    for kind in (AttemptRow, RequestRow):
        table = "attempt_event" if kind is AttemptRow else "request_event"
        sql = f"SELECT {', '.join(parts(kind).all)} FROM {table} ORDER BY id"
        found = await store._run(lambda sql=sql: store._opened().execute(sql).fetchall())  # type: ignore[misc]
        assert [kind(*values) for values in found] == [row for row in old if type(row) is kind]
    assert await store.record([REQUEST, change(ATTEMPT, id="a3")]) == Recorded(attempts_stored=1, requests_ignored=1)
    await store.close()


async def test_what_was_learned_in_a_transaction_that_failed_is_learned_again(
    store: SqliteStore, tmp_path: Path
) -> None:
    """The kind of a row is remembered by number, and the number is gone with the transaction that gave it."""
    with pytest.raises(WireError):
        await store.record([change(ATTEMPT, model="new"), change(REQUEST, duration_ms=2**80)])
    await store.record([change(ATTEMPT, id="a2", model="other")])
    await store.record([change(ATTEMPT, id="a3", model="new")])
    assert set((await store.query(UsageQuery(group_by="model"))).groups) == {"new", "other"}
    check_rollup(tmp_path / "analytics" / "usage.sqlite3")


async def test_a_large_batch_of_many_kinds_with_one_known_row_is_counted_exactly(
    store: SqliteStore, tmp_path: Path
) -> None:
    """More rows than one statement takes, over an hour's end, one of them stored before."""
    rows: list[UsageRow] = [
        change(ATTEMPT, id=f"a{n}", model=f"m{n % 7}", started_ms=HOUR + HOUR_MS - 50 + n) for n in range(100)
    ]
    rows += [change(REQUEST, id=f"r{n}", started_ms=HOUR + HOUR_MS - 50 + n) for n in range(100)]
    await store.record([rows[42]])
    assert await store.record(rows) == Recorded(attempts_stored=99, attempts_ignored=1, requests_stored=100)
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 100 * ATTEMPT.cost_nano_usd
    check_rollup(tmp_path / "analytics" / "usage.sqlite3")


async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = SqliteStore(path)
    with pytest.raises(Internal, match="version 99"):
        await store.open()
    await store.close()


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "usage.sqlite3")
    with pytest.raises(DependencyUnavailable):
        await store.record([ATTEMPT])
    await store.close()


async def test_a_question_that_takes_too_long_is_given_up_and_the_store_stays_well(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "usage.sqlite3", query_timeout=-1.0)
    await store.open()
    await store.record([change(REQUEST, id=f"r{n}", started_ms=T0 + n) for n in range(20_000)])
    with pytest.raises(DependencyUnavailable, match="too long"):
        await store.query(UsageQuery(from_ms=T0 + 1, until_ms=T0 + 2_000_000, group_by="model"))
    assert store.fault == ""
    assert await store.record([ATTEMPT]) == Recorded(attempts_stored=1)
    await store.close()


async def test_a_broken_hour_is_found_through_the_index(store: SqliteStore) -> None:
    sql = "EXPLAIN QUERY PLAN SELECT key_id, sum(requests) FROM usage_fact WHERE started_ms >= 1 AND started_ms < 9"
    plan = await store._run(lambda: store._opened().execute(sql + " GROUP BY 1").fetchall())
    steps = " ".join(row[3] for row in plan)
    assert "attempt_event_started" in steps
    assert "request_event_started" in steps


def test_whole_hours_are_read_from_the_rollup_and_broken_ones_from_the_rows() -> None:
    h = HOUR_MS
    assert pieces(0, 0) == [("usage_hour", "hour_ms", 0, 0)]
    assert pieces(h, 5 * h) == [("usage_hour", "hour_ms", h, 5 * h)]
    assert pieces(h + 1, 3 * h + 1) == [
        ("usage_hour", "hour_ms", 2 * h, 3 * h),
        ("usage_fact", "started_ms", h + 1, 2 * h),
        ("usage_fact", "started_ms", 3 * h, 3 * h + 1),
    ]
    assert pieces(h + 1, h + 9) == [("usage_fact", "started_ms", h + 1, h + 9)]
    assert pieces(h, h) == []


# ---- the property ---------------------------------------------------------------------------------------------------

names = st.sampled_from(["", "a", "b"])
times = st.integers(HOUR - HOUR_MS, HOUR + 2 * HOUR_MS)
counts = st.integers(0, 10**12)
attempts = st.builds(
    lambda **given: change(ATTEMPT, **given),
    id=st.sampled_from("uvwxyz"), seq=st.integers(0, 4), started_ms=times, key_id=names, provider=names, model=names,
    account_id=names, provider_status=st.sampled_from([0, -1, 200, 429, 599, 600]), cost_nano_usd=counts,
    input_tokens=counts, cached_input_tokens=counts, cache_write_tokens=counts, output_tokens=counts,
    reasoning_tokens=counts,
)  # fmt: skip
requests = st.builds(
    lambda **given: change(REQUEST, **given),
    id=st.sampled_from("uvwxyz"), seq=st.integers(0, 4), started_ms=times, key_id=names, provider=names,
    account_id=names, model_served=names, model_requested=names, status=st.sampled_from([0, 99, 200, 404, 499, 502]),
    outcome=st.sampled_from(["ok", "failed", "partial", "cancelled", "aborted", ""]), input_tokens=counts,
    cached_input_tokens=counts, cache_write_tokens=counts, output_tokens=counts, reasoning_tokens=counts,
    cost_nano_usd=counts, pricing=st.sampled_from(["priced", "unpriced", "assumed"]),
)  # fmt: skip
spans = st.tuples(st.one_of(st.just(0), st.just(HOUR), times), st.one_of(st.just(0), st.just(HOUR + HOUR_MS), times))
groupings = st.sampled_from(["", "key", "model", "provider", "account", "status"])


def by_hand(rows: list[UsageRow], query: UsageQuery) -> tuple[UsageTotals, dict[str, UsageTotals]]:
    column = {"key": "key_id", "account": "account_id"}.get(query.group_by, query.group_by)
    groups: dict[str, list[int]] = {}
    total = [0] * len(MEASURES)
    for row in rows:
        inside = row.started_ms >= query.from_ms and (not query.until_ms or row.started_ms < query.until_ms)
        if inside and query.key_id in ("", row.key_id):
            group = groups.setdefault(getattr(cell_of(row), column), [0] * len(MEASURES)) if column else total
            for sums in {id(group): group, id(total): total}.values():
                sums[:] = [a + b for a, b in zip(sums, sums_of(row), strict=True)]
    return UsageTotals(*total), {value: UsageTotals(*sums) for value, sums in groups.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(st.one_of(attempts, requests), max_size=8), max_size=6),
    questions=st.lists(st.tuples(spans, names, groupings), min_size=1, max_size=6),
)
async def test_any_order_of_any_events_leaves_rollup_rows_and_answers_equal(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[UsageRow]],
    questions: list[tuple[tuple[int, int], str, str]],
) -> None:
    path = tmp_path_factory.mktemp("usage") / "usage.sqlite3"
    store = SqliteStore(path)
    await store.open()
    for rows in batches:
        await store.record(rows)
        check_rollup(path)
    everything = [row for rows in batches for row in rows]
    kept: list[UsageRow] = [
        *newest([row for row in everything if isinstance(row, AttemptRow)]).values(),
        *newest([row for row in everything if isinstance(row, RequestRow)]).values(),
    ]
    for (start, end), key, group_by in questions:
        query = UsageQuery(start, end, key, group_by)
        report = await store.query(query)
        assert (report.totals, report.groups) == by_hand(kept, query)
    await store.close()


async def test_the_use_of_keys_is_counted_and_its_last_is_exact_in_the_newest_hour(
    store: SqliteStore, tmp_path: Path
) -> None:
    path = usage_path(tmp_path)
    assert await store.key_use() == read_key_use(path) == {}
    used = [("old", HOUR - 3 * HOUR_MS + 7), ("old", HOUR - 5 * HOUR_MS), ("new", HOUR + 5), ("new", HOUR + 9)]
    await store.record(
        [change(REQUEST, id=f"r{place}", key_id=key, started_ms=at) for place, (key, at) in enumerate(used)]
    )
    await store.record([change(ATTEMPT, id="a1", key_id="tried", started_ms=HOUR + 3)])
    wanted = {"old": KeyUse(2, HOUR - 3 * HOUR_MS), "new": KeyUse(2, HOUR + 9)}
    assert await store.key_use() == wanted
    assert read_key_use(path) == wanted
    assert read_key_use(tmp_path / "nothing") == {}
    (tmp_path / "garbage").write_text("no database")
    assert read_key_use(tmp_path / "garbage") == {}
