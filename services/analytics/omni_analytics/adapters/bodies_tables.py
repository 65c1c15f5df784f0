"""Where kept bodies are: a file of their own beside the usage's, or a table of their own in its PostgreSQL. Nothing
that is written here waits for usage, and usage waits for nothing here."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from omni_core.database_url import CLICKHOUSE, POSTGRESQL, database_url
from omni_wire.errors import Internal

from omni_analytics.adapters.database import SqlDatabase
from omni_analytics.adapters.location import PASSWORD_FILE, URL
from omni_analytics.adapters.postgres import PostgresDatabase
from omni_analytics.adapters.sqlite import SqliteDatabase

# What is looked at most comes first; the largest column is last, so that the others are read without it.
_BODY = """CREATE TABLE kept_body (request_id TEXT NOT NULL, stage TEXT NOT NULL, attempt INTEGER NOT NULL,
  seq INTEGER NOT NULL, told_id TEXT NOT NULL, key_id TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
  wire_format TEXT NOT NULL, at_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, size INTEGER NOT NULL,
  redacted INTEGER NOT NULL, cut INTEGER NOT NULL, stored INTEGER NOT NULL, sealed_with TEXT NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (request_id, stage, attempt))"""
# Never edit a statement once it was released: add a tuple.
MIGRATIONS = (
    (
        _BODY,
        "CREATE INDEX kept_body_told ON kept_body (told_id)",
        "CREATE INDEX kept_body_until ON kept_body (until_ms)",
        "CREATE INDEX kept_body_at ON kept_body (at_ms, stored)",
    ),
)
_TYPES = (("INTEGER", "BIGINT"), ("BLOB", "BYTEA"))


class BodiesFile(SqliteDatabase):
    """``bodies.sqlite3``. What is deleted is overwritten, and its room is given back."""

    pragmas = ("auto_vacuum = INCREMENTAL", "secure_delete = ON", *SqliteDatabase.pragmas)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        _refuse_newer(version)
        with self.writing():
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def give_back(self) -> None:
        """The room of what was deleted: a page a step, and ``execute`` would take one."""
        self._opened().executescript("PRAGMA incremental_vacuum")


class BodiesPostgres(PostgresDatabase):
    """A table beside the usage's. Its writers take no turns with those of usage."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._transaction("BEGIN"):
            yield

    def _migrate(self) -> None:
        with super().writing():  # two that start at once make the tables one after the other
            self.execute("CREATE TABLE IF NOT EXISTS kept_body_schema (version BIGINT NOT NULL)")
            found = self.execute("SELECT version FROM kept_body_schema").fetchone()
            version = int(found[0]) if found else 0
            _refuse_newer(version)
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    for theirs, ours in _TYPES:
                        statement = statement.replace(theirs, ours)
                    self.execute(statement)
            self.execute("DELETE FROM kept_body_schema")
            self.execute("INSERT INTO kept_body_schema VALUES (?)", (len(MIGRATIONS),))


def _refuse_newer(version: int) -> None:
    if version > len(MIGRATIONS):
        raise Internal(f"the store of bodies has schema version {version}; this version knows {len(MIGRATIONS)}")


def bodies_database(data_dir: Path, env: Mapping[str, str]) -> SqlDatabase:
    """Where usage is, as ``location.usage_database`` reads it; beside a ClickHouse, which deletes nothing at once, the
    file. Not open yet; raises as that."""
    found = database_url(env, URL, PASSWORD_FILE, (POSTGRESQL, CLICKHOUSE))
    if found is None or found.scheme == CLICKHOUSE:
        return BodiesFile(data_dir / "analytics" / "bodies.sqlite3")
    return BodiesPostgres(found)
