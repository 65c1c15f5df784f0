"""Where usage is stored, once for each kind of database there is, and what a test asks of it beside the port."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from omni_analytics.adapters.clickhouse import ClickhouseDatabase
from omni_analytics.adapters.database import Database
from omni_analytics.adapters.location import URL, usage_database, usage_path
from omni_analytics.adapters.rebuild import Rebuilt, rebuild
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.rollup import GRAINS, MEASURES
from omni_wire.latency import unpacked

from tests.support import clickhouse
from tests.support.clickhouse import ClickhouseServer
from tests.support.postgres import PostgresServer

# ClickHouse's engine is half a gigabyte: make clickhouse installs it and runs what is slow.
KINDS = (
    "sqlite",
    "postgresql",
    pytest.param(
        "clickhouse",
        marks=[pytest.mark.slow, pytest.mark.skipif(not clickhouse.THERE, reason="needs the extra chdb")],
    ),
)
_SERVERS = {"postgresql": "postgres", "clickhouse": "clickhouse"}
_COLUMNS = "key_id, provider, account_id, model, status"


class Usage:
    """An empty database, and how a process finds it: ``data_dir`` and ``env``."""

    def __init__(self, kind: str, data_dir: Path, server: PostgresServer | ClickhouseServer | None) -> None:
        self.kind = kind
        self.data_dir = data_dir
        self.env: Mapping[str, str] = {} if server is None else {URL: server.database()}

    @classmethod
    def of(cls, request: pytest.FixtureRequest, kind: str, data_dir: Path) -> "Usage":
        """On the server of this kind that all tests share."""
        return cls(kind, data_dir, request.getfixturevalue(_SERVERS[kind]) if kind in _SERVERS else None)

    @property
    def path(self) -> Path:
        """Of the file, where it is one."""
        return usage_path(self.data_dir)

    def database(self) -> Database:
        return usage_database(self.data_dir, self.env)

    def store(self, *, query_timeout: float = 5.0) -> SqlStore:
        return SqlStore(self.database(), query_timeout=query_timeout)

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """A connection of its own."""
        database = self.database()
        database.open()
        try:
            yield database
        finally:
            database.close()

    def asked(self, sql: str, *values: str | int) -> list[tuple[Any, ...]]:
        """What is committed, as seen from outside."""
        with self.opened() as database:
            return _rows(database, sql, *values)

    def change(self, sql: str, *values: str | int) -> None:
        """Behind everybody's back."""
        with self.opened() as database, database.writing():
            if isinstance(database, ClickhouseDatabase):
                database.execute(_as_mutation(sql), values)
                database.tables().note("changed", None)  # for what was recorded last not to be written again
            else:
                database.execute(sql, values)

    def rebuilt(self, *, check: bool = False) -> Rebuilt:
        with self.opened() as database, database.writing():
            return rebuild(database, check=check)

    def check_rollups(self) -> None:
        """Rollup = rows, cell by cell, exactly, in every grain; the histograms have as many as there are requests."""
        with self.opened() as database:
            for grain in GRAINS:
                _check(database, grain)


def _as_mutation(sql: str) -> str:
    """What changes rows in place, in ClickHouse's words."""
    if found := re.fullmatch(r"ALTER TABLE (\w+) RENAME TO (\w+)", sql):
        return f"RENAME TABLE {found[1]} TO {found[2]}"
    if found := re.fullmatch(r"DELETE FROM (\w+)", sql):
        return f"TRUNCATE TABLE {found[1]}"
    if found := re.fullmatch(r"DELETE FROM (\w+) WHERE (.*)", sql):
        return f"ALTER TABLE {found[1]} DELETE WHERE {found[2]}"
    if found := re.fullmatch(r"UPDATE (\w+) SET (.*?)(?: WHERE (.*))?", sql):
        return f"ALTER TABLE {found[1]} UPDATE {found[2]} WHERE {found[3] or 1}"
    return sql


def _rows(database: Database, sql: str, *values: str | int) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in database.execute(sql, values)]


def _check(database: Database, grain: str) -> None:
    unit, sums = GRAINS[grain], ", ".join(f"sum({name})" for name in MEASURES)
    from_rows = (
        f"SELECT started_ms - started_ms % {unit} AS at, {_COLUMNS}, {sums} FROM usage_fact GROUP BY 1, {_COLUMNS}"
    )
    rolled = f"SELECT at_ms, {_COLUMNS}, {', '.join(MEASURES)} FROM usage_{grain}"
    assert sorted(_rows(database, rolled)) == sorted(_rows(database, from_rows))
    counted = f"SELECT at_ms, {_COLUMNS}, counts FROM latency_{grain} WHERE measure = 'total'"
    requests = f"SELECT at_ms, {_COLUMNS}, requests FROM usage_{grain} WHERE requests > 0"
    timed = [(*cell, sum(unpacked(counts).values())) for *cell, counts in _rows(database, counted)]
    assert sorted(timed) == sorted(_rows(database, requests))
