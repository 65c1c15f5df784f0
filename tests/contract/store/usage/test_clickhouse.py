"""What of ClickHouse is not in the contract of all stores: transactions where there are none, whoever dies in them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omni_analytics.adapters import clickhouse
from omni_analytics.adapters.clickhouse import ClickhouseDatabase
from omni_analytics.adapters.clickhouse_literals import literal
from omni_analytics.adapters.schema_clickhouse import ENTRIES
from omni_analytics.domain.rollup import DAY_MS
from omni_analytics.domain.rows import UsageRow
from omni_analytics.ports import Recorded
from omni_core.ports.analytics import UsageQuery
from omni_wire.errors import DependencyUnavailable

from tests.support import clickhouse as support
from tests.support.clickhouse import ClickhouseServer
from tests.support.usage_store import Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not support.THERE, reason="needs the extra chdb")]
change = msgspec.structs.replace


@pytest.fixture
def usage(clickhouse: ClickhouseServer, tmp_path: Path) -> Usage:
    return Usage("clickhouse", tmp_path, clickhouse)


def batch(number: int) -> list[UsageRow]:
    """One of it replaces what the batch before has, on another day."""
    at = ATTEMPT.started_ms + number * DAY_MS // 2
    return [
        change(ATTEMPT, id=f"a{number}", started_ms=at, model=f"m{number % 2}"),
        change(REQUEST, id=f"r{number}", started_ms=at, decision=b"{}", tags=("x",)),
        change(ATTEMPT, id=f"a{number - 1}", seq=9, started_ms=at, cost_nano_usd=number),
    ]


async def test_who_dies_anywhere_in_a_commit_leaves_all_of_it_or_nothing(
    usage: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ClickhouseDatabase._command
    monkeypatch.setattr(clickhouse, "PIECE", 300)  # several statements a table
    fails, number, committed = 1, 0, 0
    while True:
        store, left = usage.store(), fails
        await store.open()

        def dying(self: ClickhouseDatabase, sql: str, **more: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError("killed")
            whole(self, sql, **more)

        number += 1
        before = (await store.query(UsageQuery())).totals
        monkeypatch.setattr(ClickhouseDatabase, "_command", dying)
        died = False
        try:
            await store.record(batch(number))
        except DependencyUnavailable:
            died = True
        monkeypatch.setattr(ClickhouseDatabase, "_command", whole)
        await store.close()
        again = usage.store()
        await again.open()
        there = (await again.query(UsageQuery())).totals != before
        committed += there
        usage.check_rollups()
        assert usage.rebuilt(check=True).wrong == 0
        said = await again.record(batch(number))
        assert said.requests_stored == (0 if there else 1), "a message that comes again is counted once"
        usage.check_rollups()
        await again.close()
        if not died:
            break
        fails += 2
    assert 0 < committed < number


async def test_a_server_that_is_killed_comes_back_with_all_that_was_answered(tmp_path: Path) -> None:
    with support.clickhouse_server() as server:
        usage = Usage("clickhouse", tmp_path, server)
        store = usage.store()
        await store.record(batch(1))
        server.kill()
        with pytest.raises(DependencyUnavailable):
            await store.record(batch(2))
        assert store.fault
        server.start()
        assert await store.record(batch(2)) == Recorded(attempts_stored=2, requests_stored=1)
        assert await store.record(batch(2)) == Recorded(attempts_ignored=2, requests_ignored=1)
        assert store.fault == ""
        usage.check_rollups()
        await store.close()


async def test_two_analytics_on_one_database_count_as_one(usage: Usage) -> None:
    """As in a roll-out: the same messages may come to both."""
    stores = [usage.store(), usage.store()]
    rows: list[UsageRow] = [change(ATTEMPT, id=f"a{n}", model=f"m{n % 5}") for n in range(50)]
    rows += [change(REQUEST, id=f"r{n}") for n in range(50)]
    found = await asyncio.gather(*(store.record(rows[at : at + 40]) for at in (0, 20, 60) for store in stores))
    assert sum(recorded.attempts_stored for recorded in found) == 50
    assert sum(recorded.requests_stored for recorded in found) == 50
    for store in stores:
        await store.close()
    usage.check_rollups()


async def test_rows_of_an_entry_that_are_written_late_change_nothing_newer(
    usage: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    whole = ClickhouseDatabase._command

    def heard(self: ClickhouseDatabase, sql: str, **more: str) -> None:
        said.append(sql)
        whole(self, sql, **more)

    monkeypatch.setattr(ClickhouseDatabase, "_command", heard)
    store = usage.store()
    for number in range(4):
        await store.record(batch(number))
    before = (await store.query(UsageQuery(group_by="model", latency=True)), usage.asked("SELECT * FROM attempt_event"))
    with usage.opened() as database:
        assert isinstance(database, ClickhouseDatabase)
        for sql in said:
            if sql.startswith("INSERT INTO ") and not sql.startswith(
                ("INSERT INTO journal", "INSERT INTO usage_schema")
            ):
                whole(database, sql)
    after = (await store.query(UsageQuery(group_by="model", latency=True)), usage.asked("SELECT * FROM attempt_event"))
    assert [after[0], sorted(after[1])] == [before[0], sorted(before[1])]
    usage.check_rollups()
    await store.close()


def test_of_the_journal_only_the_last_entries_are_kept(usage: Usage) -> None:
    with usage.opened() as database:
        for number in range(2 * ENTRIES + 5):
            with database.writing():
                database.tables().note("count", number)
    ((first, last, count),) = usage.asked("SELECT min(number), max(number), count(*) FROM journal")
    assert (first, last, count) == (ENTRIES, 2 * ENTRIES + 5, ENTRIES + 6)
    assert usage.asked("SELECT value FROM meta") == [(2 * ENTRIES + 4,)]


@pytest.fixture
def database(usage: Usage) -> Iterator[ClickhouseDatabase]:
    with usage.opened() as found:
        assert isinstance(found, ClickhouseDatabase)
        yield found


values = st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.booleans())


def test_any_value_is_in_a_statement_what_it_is(database: ClickhouseDatabase) -> None:
    @settings(max_examples=60, deadline=None)
    @given(value=values, raw=st.binary(), some=st.lists(st.text(), max_size=4))
    def holds(value: str | int, raw: bytes, some: list[str]) -> None:
        asked = f"SELECT {literal(value)}, {literal(raw)} AS counts, {literal(tuple(some))}::Array(String)"
        assert database.execute(asked).fetchone() == (value, raw, some)
        among, given_ = database.among("x", some)
        (found,) = database.execute(f"SELECT count() FROM (SELECT ? AS x) WHERE {among}", ("a", *given_)).fetchone()
        assert found == ("a" in some)

    holds()
