"""The store counts every row once, and its rollups are at all times the sum of its rows: on every kind of database."""

import asyncio
import sqlite3
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_analytics.adapters import asking, schema, schema_postgres
from omni_analytics.adapters.asking import Piece, pieces, read_key_use
from omni_analytics.adapters.copying import AT_THE_END
from omni_analytics.adapters.retention import horizon
from omni_analytics.adapters.store import SqlStore
from omni_analytics.adapters.tables import _STANDING, _TIMED
from omni_analytics.domain.rollup import DAY_MS, GRAINS, HOUR_MS, MEASURES, MINUTE_MS, cell_of, newest, sums_of
from omni_analytics.domain.rows import AttemptRow, RequestRow, UsageRow, parts
from omni_analytics.ports import Recorded
from omni_core.ports.analytics import KeyUse, UsagePoint, UsageQuery, UsageTotals
from omni_wire.errors import DependencyUnavailable, Internal, InvalidRequest, WireError
from omni_wire.latency import bucket_of

from tests.support.postgres import PostgresServer
from tests.support.usage_store import KINDS, Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST, T0

change = msgspec.structs.replace
HOUR = T0 - T0 % HOUR_MS
DAY = T0 - T0 % DAY_MS


@pytest.fixture
def file(tmp_path: Path) -> Usage:
    """For what only a file has."""
    return Usage("sqlite", tmp_path, None)


async def test_a_row_is_stored_as_it_was(store: SqlStore, usage: Usage) -> None:
    assert await store.record([ATTEMPT, REQUEST]) == Recorded(attempts_stored=1, requests_stored=1)
    for row, table in ((ATTEMPT, "attempt_event"), (REQUEST, "request_event")):
        names = parts(type(row)).all
        (found,) = usage.asked(f"SELECT {', '.join(names)} FROM {table}")
        assert dict(zip(names, found, strict=True)) == {name: getattr(row, name) for name in names}


async def test_the_same_row_again_changes_nothing(store: SqlStore) -> None:
    await store.record([ATTEMPT, REQUEST])
    before = await store.query(UsageQuery())
    assert await store.record([REQUEST, ATTEMPT, ATTEMPT]) == Recorded(attempts_ignored=2, requests_ignored=1)
    assert await store.query(UsageQuery()) == before


async def test_a_higher_seq_replaces_and_the_totals_change_by_the_difference(store: SqlStore) -> None:
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


async def test_a_lower_seq_that_comes_late_is_ignored(store: SqlStore) -> None:
    await store.record([change(ATTEMPT, seq=5, cost_nano_usd=7)])
    assert await store.record([change(ATTEMPT, seq=4, cost_nano_usd=9)]) == Recorded(attempts_ignored=1)
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 7


async def test_of_one_id_twice_in_a_batch_the_highest_seq_counts(store: SqlStore) -> None:
    rows = [change(ATTEMPT, seq=2, cost_nano_usd=2), change(ATTEMPT, seq=3, cost_nano_usd=3), ATTEMPT]
    assert await store.record(rows) == Recorded(attempts_stored=1, attempts_ignored=2)
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 3


async def test_an_attempt_and_a_request_of_one_id_are_two_things(store: SqlStore) -> None:
    await store.record([change(ATTEMPT, id="same"), change(REQUEST, id="same")])
    totals = (await store.query(UsageQuery())).totals
    assert (totals.requests, totals.attempts) == (1, 1)


async def test_tokens_and_cost_count_once_and_on_the_account_that_billed_them(store: SqlStore) -> None:
    first = change(
        ATTEMPT, id="a0", account_id="claude/a", provider="claude", outcome="failed", input_tokens=9,
        cached_input_tokens=0, cache_write_tokens=0, output_tokens=1, reasoning_tokens=0, cost_nano_usd=11,
    )  # fmt: skip
    await store.record([change(REQUEST, input_tokens=109, output_tokens=51, cost_nano_usd=600_011), first, ATTEMPT])
    report = await store.query(UsageQuery(group_by="provider"))
    assert report.totals == UsageTotals(1, 0, 2, 109, 10, 5, 51, 7, 600_011, 0)
    assert report.groups["claude"] == UsageTotals(0, 0, 1, 9, 0, 0, 1, 0, 11, 0)


async def test_what_an_earlier_try_of_the_edge_spent_is_not_lost(store: SqlStore) -> None:
    """The second try's request replaces the first's, but both had attempts of their own."""
    await store.record([ATTEMPT, change(REQUEST, seq=1, outcome="partial")])
    await store.record([change(ATTEMPT, id="a2"), change(REQUEST, seq=2)])
    assert (await store.query(UsageQuery())).totals == UsageTotals(1, 0, 2, 200, 20, 10, 100, 14, 1_200_000, 0)


async def test_a_client_that_went_away_is_no_error_and_a_broken_stream_is_one(store: SqlStore) -> None:
    outcomes = ["ok", "cancelled", "failed", "partial", "aborted"]
    await store.record([change(REQUEST, id=outcome, outcome=outcome) for outcome in outcomes])
    assert (await store.query(UsageQuery())).totals.errors == 3


async def test_a_request_that_was_told_an_earlier_answer_is_a_good_one_without_tokens_or_cost(
    store: SqlStore,
) -> None:
    await store.record([ATTEMPT, REQUEST])
    before = (await store.query(UsageQuery())).totals
    told = [change(REQUEST, id=outcome, outcome=outcome, cost_nano_usd=0) for outcome in ("replayed", "cached")]
    await store.record(told)
    after = (await store.query(UsageQuery())).totals
    assert after == msgspec.structs.replace(before, requests=3)


async def test_a_request_that_nothing_served_counts_under_the_model_asked_for(store: SqlStore) -> None:
    refused = change(REQUEST, model_served="", provider="", account_id="", status=402, outcome="failed")
    await store.record([refused])
    assert list((await store.query(UsageQuery(group_by="model"))).groups) == ["always-on"]
    assert list((await store.query(UsageQuery(group_by="status"))).groups) == ["4xx"]


async def test_unpriced_requests_are_counted(store: SqlStore) -> None:
    await store.record([change(REQUEST, id=p, pricing=p) for p in ("priced", "unpriced", "assumed")])
    assert (await store.query(UsageQuery())).totals.unpriced_requests == 1


async def test_a_key_sees_its_own_and_a_span_takes_its_start_and_not_its_end(store: SqlStore) -> None:
    await store.record([REQUEST, change(REQUEST, id="r2", key_id="k2"), change(REQUEST, id="r3", started_ms=T0 + 5)])
    assert (await store.query(UsageQuery(key_id="k1"))).totals.requests == 2
    assert (await store.query(UsageQuery(key_id="nobody", group_by="key"))).groups == {}
    assert (await store.query(UsageQuery(from_ms=T0, until_ms=T0 + 5))).totals.requests == 2
    assert (await store.query(UsageQuery(from_ms=T0 + 1))).totals.requests == 1
    assert (await store.query(UsageQuery(from_ms=T0 + 9, until_ms=T0))).totals.requests == 0


async def test_a_row_the_database_cannot_hold_spoils_the_whole_transaction(store: SqlStore, usage: Usage) -> None:
    with pytest.raises(WireError):
        await store.record([ATTEMPT, change(REQUEST, duration_ms=2**80)])
    assert (await store.query(UsageQuery())).totals == UsageTotals()
    assert await store.record([ATTEMPT]) == Recorded(attempts_stored=1)
    usage.check_rollups()


async def test_what_was_committed_is_there_after_a_restart(store: SqlStore, usage: Usage) -> None:
    await store.record([ATTEMPT, REQUEST])
    report = await store.query(UsageQuery(group_by="account"))
    await store.close()
    again = usage.store()
    await again.open()
    assert await again.query(UsageQuery(group_by="account")) == report
    assert await again.record([ATTEMPT]) == Recorded(attempts_ignored=1)
    await again.close()


async def test_the_file_is_durable_and_versioned(file: Usage) -> None:
    database = file.database()
    database.open()
    names = ("journal_mode", "user_version", "synchronous")
    told = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    database.close()
    assert told == ["wal", len(schema.MIGRATIONS), 2]  # FULL


# What rows of the first versions do not say.
UNTOLD = {
    **dict.fromkeys(("apart", "price_version", "charged", "suspect", "proxy", "proxy_level"), ""),
    "repriced_nano_usd": 0,
}
ADDED_LATER = {"overhead_us", *UNTOLD}


def a_file_of_the_first_version(path: Path, rows: list[UsageRow]) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    for statement in schema.MIGRATIONS[0]:
        connection.execute(statement)
    for row in rows:
        table = "attempt_event" if isinstance(row, AttemptRow) else "request_event"
        fields = {name: getattr(row, name) for name in parts(type(row)).all if name not in ADDED_LATER}
        marks = ", ".join(f":{name}" for name in fields)
        connection.execute(f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({marks})", fields)
    cell, sums = "key_id, provider, account_id, model, status", ", ".join(f"sum({name})" for name in MEASURES)
    connection.execute(
        f"INSERT INTO usage_hour SELECT started_ms - started_ms % {HOUR_MS}, {cell}, {sums} FROM usage_fact "
        f"GROUP BY 1, {cell}"
    )
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


async def test_a_file_of_the_first_version_keeps_every_row_and_gets_its_rollups(file: Usage) -> None:
    first = change(REQUEST, overhead_us=0)
    attempt = change(ATTEMPT, **UNTOLD)
    old: list[UsageRow] = [attempt, first, change(attempt, id="a2", key_id="k2"), change(first, id="r2")]
    old += [change(first, id="r3", started_ms=T0 + 3 * DAY_MS, outcome="cached")]
    a_file_of_the_first_version(file.path, old)
    store = file.store()
    await store.open()
    for kind, table in ((AttemptRow, "attempt_event"), (RequestRow, "request_event")):
        found = file.asked(f"SELECT {', '.join(parts(kind).all)} FROM {table} ORDER BY id")
        assert [kind(*values) for values in found] == [row for row in old if type(row) is kind]
    file.check_rollups()
    assert await store.record([REQUEST, change(ATTEMPT, id="a3")]) == Recorded(attempts_stored=1, requests_ignored=1)
    file.check_rollups()
    await store.close()


def test_both_kinds_of_database_have_the_same_tables(file: Usage, postgres: PostgresServer) -> None:
    other = Usage("postgresql", file.data_dir, postgres)
    ours = file.asked(
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type IN ('table', 'view')"
    )
    theirs = other.asked(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
        "AND table_name <> 'usage_schema'"
    )
    assert sorted(ours) == sorted(theirs)
    assert other.asked("SELECT version FROM usage_schema") == [(len(schema_postgres.MIGRATIONS),)]


async def test_what_was_learned_in_a_transaction_that_failed_is_learned_again(store: SqlStore, usage: Usage) -> None:
    """The kind of a row is remembered by number, and the number is gone with the transaction that gave it."""
    with pytest.raises(WireError):
        await store.record([change(ATTEMPT, model="new"), change(REQUEST, duration_ms=2**80)])
    await store.record([change(ATTEMPT, id="a2", model="other")])
    await store.record([change(ATTEMPT, id="a3", model="new")])
    assert set((await store.query(UsageQuery(group_by="model"))).groups) == {"new", "other"}
    usage.check_rollups()


async def test_a_large_batch_of_many_kinds_with_one_known_row_is_counted_exactly(store: SqlStore, usage: Usage) -> None:
    """More rows than one statement takes, over an hour's end, one of them stored before."""
    rows: list[UsageRow] = [
        change(ATTEMPT, id=f"a{n}", model=f"m{n % 7}", started_ms=HOUR + HOUR_MS - 50 + n) for n in range(100)
    ]
    rows += [change(REQUEST, id=f"r{n}", started_ms=HOUR + HOUR_MS - 50 + n) for n in range(100)]
    await store.record([rows[42]])
    assert await store.record(rows) == Recorded(attempts_stored=99, attempts_ignored=1, requests_stored=100)
    assert (await store.query(UsageQuery())).totals.cost_nano_usd == 100 * ATTEMPT.cost_nano_usd
    usage.check_rollups()


async def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(usage: Usage) -> None:
    is_file = usage.kind == "sqlite"
    usage.asked("SELECT 1")
    if is_file:
        with sqlite3.connect(usage.path) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        usage.change("UPDATE usage_schema SET version = ?", 99)
    store = usage.store()
    with pytest.raises(Internal, match="version 99"):
        await store.open()
    await store.close()


async def test_a_store_that_is_closed_says_so(usage: Usage) -> None:
    store = usage.store()
    await store.close()
    with pytest.raises(DependencyUnavailable):
        await store.record([ATTEMPT])
    assert store.fault == "closed"


async def test_a_question_that_takes_too_long_is_given_up_and_the_store_stays_well(usage: Usage) -> None:
    store = usage.store(query_timeout=-1.0)
    await store.open()
    await store.record([change(REQUEST, id=f"r{n}", started_ms=HOUR + 1 + n) for n in range(30_000)])
    with pytest.raises(DependencyUnavailable, match="too long"):
        await store.query(UsageQuery(from_ms=HOUR + 2, until_ms=HOUR + 30_000, group_by="model"))
    assert store.fault == ""
    assert await store.record([ATTEMPT]) == Recorded(attempts_stored=1)
    await store.close()


async def test_a_database_that_goes_away_is_told_and_comes_back_by_itself(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    usage = Usage("postgresql", tmp_path, postgres)
    store = usage.store()
    await store.record([REQUEST])
    usage.asked(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pytest.raises(DependencyUnavailable):
        await store.record([ATTEMPT])
    assert store.fault
    assert await store.record([ATTEMPT, REQUEST]) == Recorded(attempts_stored=1, requests_ignored=1)
    assert store.fault == ""
    await store.close()


async def test_two_analytics_on_one_database_count_as_one(tmp_path: Path, postgres: PostgresServer) -> None:
    """As in a roll-out: the same messages may come to both."""
    usage = Usage("postgresql", tmp_path, postgres)
    one, other = usage.store(), usage.store()
    rows: list[UsageRow] = [change(ATTEMPT, id=f"a{n}", model=f"m{n % 5}") for n in range(50)]
    rows += [change(REQUEST, id=f"r{n}") for n in range(50)]
    found = await asyncio.gather(*(store.record(rows[at : at + 40]) for at in (0, 20, 60) for store in (one, other)))
    assert sum(recorded.attempts_stored for recorded in found) == 50
    assert sum(recorded.requests_stored for recorded in found) == 50
    await one.close()
    await other.close()
    usage.check_rollups()


async def test_what_a_text_may_hold_is_stored_and_counted_once(store: SqlStore, usage: Usage) -> None:
    """Model names come from clients."""
    rows = [change(ATTEMPT, model="a\0b'\\%s?ü"), change(REQUEST, losses='["' + "é" * 3000 + '"]')]
    await store.record(rows)
    assert await store.record([*rows, change(ATTEMPT, id="a2", model="a\0b'\\%s?ü")]) == Recorded(1, 1, 0, 1)
    groups = (await store.query(UsageQuery(group_by="model"))).groups
    assert sorted(totals.attempts for totals in groups.values()) == [0, 2]


def test_a_broken_minute_is_found_through_the_index(file: Usage) -> None:
    sql = "EXPLAIN QUERY PLAN SELECT key_id, sum(requests) FROM usage_fact WHERE started_ms >= 1 AND started_ms < 9"
    steps = " ".join(row[3] for row in file.asked(sql + " GROUP BY 1"))
    assert "attempt_event_started" in steps
    assert "request_event_started" in steps


def test_histograms_are_found_through_their_key(file: Usage) -> None:
    cells = f"WITH wanted ({_TIMED}) AS (VALUES (1, 'a', 'b', 'c', 'd', 'e', 'f'), (2, 'a', 'b', 'c', 'd', 'e', 'f')) "
    steps = " ".join(row[3] for row in file.asked("EXPLAIN QUERY PLAN " + cells + _STANDING["day"]))
    assert "SEARCH standing USING PRIMARY KEY" in steps


def test_a_span_is_read_from_the_coarsest_rollups_that_fit_and_the_rest_from_the_rows() -> None:
    h, m, d = HOUR_MS, MINUTE_MS, DAY_MS
    assert pieces(0, 0) == [Piece("day", 0, 0)]
    assert pieces(h, 5 * h) == [Piece("hour", h, 5 * h)]
    assert pieces(h + 1, d + 2 * m, exactly=True) == [
        Piece("", h + 1, h + m),
        Piece("minute", h + m, 2 * h),
        Piece("hour", 2 * h, d),
        Piece("minute", d, d + 2 * m),
    ]
    assert pieces(d, 3 * d + h) == [Piece("day", d, 3 * d), Piece("hour", 3 * d, 3 * d + h)]
    assert pieces(h + 1, h + 9) == [Piece("", h + 1, h + 9)]
    assert pieces(h, h) == []
    assert pieces(h + 1, 2 * h + 1, kept_from_ms=d) == [Piece("hour", h, 2 * h), Piece("minute", 2 * h, 2 * h + m)]
    assert pieces(0, d + h, grain="hour") == [Piece("hour", 0, d + h)]


def test_of_what_is_asked_in_its_greater_part_all_is_read_and_the_rest_taken_from_it() -> None:
    h, m, d = HOUR_MS, MINUTE_MS, DAY_MS
    assert pieces(d + h, 3 * d - h - m) == [
        Piece("hour", d, d + h, -1),
        Piece("day", d, 3 * d),
        Piece("minute", 3 * d - h - m, 3 * d - h, -1),
        Piece("hour", 3 * d - h, 3 * d, -1),
    ]
    assert pieces(d + m, d + h - 1) == [
        Piece("minute", d, d + m, -1),
        Piece("hour", d, d + h),
        Piece("", d + h - 1, d + h, -1),
    ]


@given(ends=st.tuples(st.integers(0, 5 * DAY_MS), st.integers(1, 5 * DAY_MS)), exactly=st.booleans())
def test_the_pieces_of_a_span_are_the_span(ends: tuple[int, int], *, exactly: bool) -> None:
    start, end = ends
    edges: Counter[int] = Counter()
    for piece in pieces(start, end, exactly=exactly):
        edges[piece.from_ms] += piece.times
        edges[piece.until_ms] -= piece.times
    assert {at: count for at, count in edges.items() if count} == ({start: 1, end: -1} if start < end else {})


def test_what_is_asked_of_the_rows_is_read_from_the_rollups_only_where_rows_are_forgotten() -> None:
    h, d = HOUR_MS, DAY_MS
    assert pieces(h, 0, from_rows=True) == [Piece("", h, 0)]
    assert pieces(h, 9 * d, from_rows=True) == [Piece("", h, 9 * d)]
    assert pieces(h, 9 * d, kept_from_ms=2 * d, from_rows=True, exactly=True) == [
        Piece("hour", h, d),
        Piece("day", d, 2 * d),
        Piece("", 2 * d, 9 * d),
    ]
    assert pieces(h, 2 * h, kept_from_ms=2 * d, from_rows=True) == [Piece("hour", h, 2 * h)]


async def test_a_row_that_is_gone_is_missed_by_who_asks_the_rows(store: SqlStore, usage: Usage) -> None:
    await store.record([ATTEMPT, change(ATTEMPT, id="a2")])
    usage.change("DELETE FROM attempt_row WHERE id = 'a2'")
    assert (await store.query(UsageQuery(1))).totals.attempts == 2
    assert (await store.query(UsageQuery(1, from_rows=True))).totals.attempts == 1


# ---- points in time, and latency ------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.builds(
            lambda **given: change(REQUEST, **given),
            id=st.uuids().map(str), started_ms=st.integers(HOUR - 2 * MINUTE_MS, HOUR + 2 * HOUR_MS),
            model_served=st.sampled_from(["", "a"]), model_requested=st.sampled_from(["b", "c"]),
            status=st.sampled_from([0, 200, 429]), duration_ms=st.integers(0, 90_000),
            first_byte_ms=st.integers(-1, 500),
        ), max_size=30, unique_by=lambda row: row.id,
    ),
    grain=st.sampled_from(["", *GRAINS]), group_by=st.sampled_from(["", "model", "status", "provider"]),
    start=st.one_of(st.just(0), st.integers(HOUR - 2 * MINUTE_MS, HOUR + 2 * MINUTE_MS)),
)  # fmt: skip
async def test_points_and_their_histograms_are_those_of_the_requests(
    file: Usage, rows: list[RequestRow], grain: str, group_by: str, start: int
) -> None:
    file.path.unlink(missing_ok=True)
    store = file.store()
    await store.record(rows)
    report = await store.query(UsageQuery(start, group_by=group_by, grain=grain, latency=True))
    await store.close()
    wanted: dict[tuple[int, str], list[RequestRow]] = {}
    for row in rows:
        if row.started_ms >= start:
            at = row.started_ms - row.started_ms % GRAINS[grain] if grain else 0
            wanted.setdefault((at, getattr(cell_of(row), group_by) if group_by else ""), []).append(row)
    assert [(point.at_ms, point.value) for point in report.points] == sorted(wanted)
    for point in report.points:
        found = wanted[point.at_ms, point.value]
        assert point.totals.requests == len(found)
        assert point.total == Counter(bucket_of(row.duration_ms) for row in found)
        assert point.ttft == Counter(bucket_of(row.first_byte_ms) for row in found if row.first_byte_ms >= 0)
    assert report.totals.requests == sum(point.totals.requests for point in report.points)


async def test_points_are_told_of_on_either_database_and_are_not_too_many(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.record([ATTEMPT, REQUEST, change(REQUEST, id="r2", started_ms=T0 + DAY_MS, first_byte_ms=-1)])
    await store.record([change(REQUEST, seq=2, duration_ms=40)])
    for start in (0, T0):  # from the rollups, and from the rows at the beginning
        report = await store.query(UsageQuery(start, grain="hour", group_by="model", latency=True))
        assert report.points == (
            UsagePoint(HOUR, "gpt-x", UsageTotals(1, 0, 1, 100, 10, 5, 50, 7, 600_000, 0),
                       {bucket_of(40): 1}, {bucket_of(130): 1}),
            UsagePoint(HOUR + DAY_MS, "gpt-x", UsageTotals(requests=1), {bucket_of(950): 1}),
        )  # fmt: skip
    assert (await store.query(UsageQuery(grain="day"))).points[0].total == {}, "unless latency is asked for"
    monkeypatch.setattr(asking, "MOST_POINTS", 1)
    with pytest.raises(InvalidRequest, match="coarser grain"):
        await store.query(UsageQuery(grain="hour"))


# ---- what is forgotten, and what stays ------------------------------------------------------------------------------


async def test_rows_are_forgotten_and_what_they_added_up_to_stays(store: SqlStore, usage: Usage) -> None:
    rows: list[UsageRow] = []
    for day in range(5):
        at = DAY + day * DAY_MS + 12 * HOUR_MS
        rows += [change(ATTEMPT, id=f"a{day}", started_ms=at), change(REQUEST, id=f"r{day}", started_ms=at)]
    await store.record([*rows, change(REQUEST, id="decided", started_ms=DAY, decision=b"{}")])
    before = await store.query(UsageQuery(group_by="model"))
    assert await store.forget_some(horizon(DAY + 5 * DAY_MS + 7, 2)) is False
    assert await store.query(UsageQuery(group_by="model")) == before
    assert usage.asked("SELECT count(*) FROM attempt_event") == usage.asked("SELECT count(*) FROM request_event")
    assert sorted(usage.asked("SELECT id FROM attempt_event")) == [("a3",), ("a4",)]
    assert usage.asked("SELECT count(*) FROM decision") == [(0,)]
    span = UsageQuery(DAY + 12 * HOUR_MS + 1, DAY + 2 * DAY_MS + 12 * HOUR_MS + 1)
    assert (await store.query(span)).totals.requests == 3, "whole minutes, where no rows are left"
    found = usage.rebuilt()
    assert (found.wrong, found.days, found.from_ms) == (0, 2, DAY + 3 * DAY_MS)
    assert await store.query(UsageQuery(group_by="model")) == before, "days without rows are left alone"


async def test_a_row_that_comes_after_its_day_was_forgotten_still_counts(store: SqlStore, usage: Usage) -> None:
    await store.forget_some(DAY + DAY_MS)
    assert await store.record([ATTEMPT]) == Recorded(attempts_stored=1)
    assert usage.rebuilt().wrong == 0
    await store.forget_some(DAY + DAY_MS)
    assert (await store.query(UsageQuery())).totals.attempts == 1


# ---- made anew ------------------------------------------------------------------------------------------------------


async def test_a_rollup_that_is_wrong_is_found_and_put_right(store: SqlStore, usage: Usage) -> None:
    await store.record([ATTEMPT, REQUEST, change(REQUEST, id="r2", started_ms=T0 + 2 * DAY_MS, duration_ms=77)])
    tables = [f"{name}_{grain}" for name in ("usage", "latency") for grain in GRAINS]
    columns = {table: AT_THE_END[table] for table in tables}
    right = {table: sorted(usage.asked(f"SELECT {columns[table]} FROM {table}")) for table in tables}
    assert usage.rebuilt(check=True).wrong == 0
    usage.change("UPDATE usage_hour SET cost_nano_usd = cost_nano_usd + 1 WHERE cost_nano_usd > 0")
    usage.change("DELETE FROM usage_day WHERE at_ms > ?", DAY)
    usage.change(
        f"INSERT INTO latency_minute ({columns['latency_minute']}) "
        "SELECT 60000, key_id, 'x', account_id, model, status, measure, counts "
        "FROM latency_minute WHERE measure = 'total' AND at_ms < ?",
        DAY + DAY_MS,
    )
    assert usage.rebuilt(check=True).wrong == 3
    assert usage.rebuilt().wrong == 3
    assert {table: sorted(usage.asked(f"SELECT {columns[table]} FROM {table}")) for table in tables} == right
    assert usage.rebuilt(check=True).wrong == 0


# ---- the property ---------------------------------------------------------------------------------------------------

names = st.sampled_from(["", "a", "b"])
times = st.one_of(st.integers(HOUR - HOUR_MS, HOUR + 2 * HOUR_MS), st.integers(DAY - DAY_MS, DAY + 2 * DAY_MS))
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
    outcome=st.sampled_from(["ok", "failed", "partial", "cancelled", "cached", "aborted", ""]), input_tokens=counts,
    cached_input_tokens=counts, cache_write_tokens=counts, output_tokens=counts, reasoning_tokens=counts,
    duration_ms=st.integers(-5, 2**40), first_byte_ms=st.integers(-1, 90_000),
    cost_nano_usd=counts, pricing=st.sampled_from(["priced", "unpriced", "assumed"]),
)  # fmt: skip
spans = st.tuples(st.one_of(st.just(0), st.just(HOUR), times), st.one_of(st.just(0), st.just(HOUR + HOUR_MS), times))
groupings = st.sampled_from(["", "key", "model", "provider", "account", "status"])
Question = tuple[tuple[int, int], str, str]


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


histories = st.lists(st.lists(st.one_of(attempts, requests), max_size=8), max_size=6)
questions = st.lists(st.tuples(spans, names, groupings), min_size=1, max_size=6)
once = [HealthCheck.function_scoped_fixture]


@settings(max_examples=60, deadline=None, suppress_health_check=once)
@given(batches=histories, questions=questions)
async def test_any_order_of_any_events_leaves_rollups_rows_and_answers_equal(
    file: Usage, batches: list[list[UsageRow]], questions: list[Question]
) -> None:
    await adds_up(file, batches, questions)


@pytest.mark.parametrize("kind", KINDS[1:])
@settings(max_examples=8, deadline=None, suppress_health_check=once)
@given(batches=histories, questions=questions)
async def test_any_order_of_any_events_leaves_them_equal_in_a_server_too(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    kind: str,
    batches: list[list[UsageRow]],
    questions: list[Question],
) -> None:
    await adds_up(Usage.of(request, kind, tmp_path), batches, questions)


async def adds_up(usage: Usage, batches: list[list[UsageRow]], questions: list[Question]) -> None:
    usage.path.unlink(missing_ok=True)
    store = usage.store()
    await store.open()
    for rows in batches:
        await store.record(rows)
    usage.check_rollups()
    assert usage.rebuilt(check=True).wrong == 0
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
    store: SqlStore, usage: Usage, tmp_path: Path
) -> None:
    assert await store.key_use() == {}
    used = [("old", HOUR - 3 * HOUR_MS + 7), ("old", HOUR - 5 * HOUR_MS), ("new", HOUR + 5), ("new", HOUR + 9)]
    await store.record(
        [change(REQUEST, id=f"r{place}", key_id=key, started_ms=at) for place, (key, at) in enumerate(used)]
    )
    await store.record([change(ATTEMPT, id="a1", key_id="tried", started_ms=HOUR + 3)])
    wanted = {"old": KeyUse(2, HOUR - 3 * HOUR_MS), "new": KeyUse(2, HOUR + 9)}
    assert await store.key_use() == wanted
    assert read_key_use(usage.path) == (wanted if usage.kind == "sqlite" else {})
    (tmp_path / "garbage").write_text("no database")
    assert read_key_use(tmp_path / "garbage") == {}
