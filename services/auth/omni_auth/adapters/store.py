"""Keys and publications in SQLite: ``<data dir>/auth/auth.sqlite3``, readable by its owner only.

One connection behind a lock, short transactions; another process (``omniroute keys``) may write at the same time.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from omni_wire.errors import DependencyUnavailable, InvalidRequest

from omni_auth.domain.apikeys import StoredKey
from omni_auth.ports import Publication

BUSY_SECONDS = 5.0

# One script a version; a database is brought from its ``user_version`` to the last.
MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE, role TEXT NOT NULL, models TEXT NOT NULL,
        requests_per_minute INTEGER NOT NULL, budget_nano_usd INTEGER NOT NULL, budget_window TEXT NOT NULL,
        created INTEGER NOT NULL, hint TEXT NOT NULL, revoked INTEGER
    );
    CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked IS NULL;
    CREATE TABLE publication (
        one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, content BLOB NOT NULL,
        created INTEGER NOT NULL
    );
    """,
)

_COLUMNS = "id, name, role, models, requests_per_minute, budget_nano_usd, budget_window, created, hint, digest"


def store_path(data_dir: Path) -> Path:
    return data_dir / "auth" / "auth.sqlite3"


class SqliteStore:
    """The ``KeyStore`` port."""

    def __init__(self, data_dir: Path) -> None:
        self._path = store_path(data_dir)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        with self._lock, self._telling():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made before SQLite does, so that it is never readable by others; its -wal and -shm take after it.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._path.chmod(0o600)
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def pepper(self) -> bytes:
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'pepper'").fetchone()
        return bytes(row[0])

    def stored_keys(self) -> list[StoredKey]:
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE revoked IS NULL ORDER BY id").fetchall()  # noqa: S608 - fixed names
        return [_key(row) for row in rows]

    def insert(self, key: StoredKey) -> None:
        values = (
            key.id, key.name, key.role, msgspec.json.encode(key.models).decode(), key.requests_per_minute,
            key.budget_nano_usd, key.budget_window, key.created, key.hint, key.digest,
        )  # fmt: skip
        with self._writing() as connection:
            taken = connection.execute("SELECT 1 FROM keys WHERE name = ? AND revoked IS NULL", (key.name,)).fetchone()
            if taken:
                raise InvalidRequest(f"there is a key called '{key.name}' already", param="name")
            connection.execute(f"INSERT INTO keys ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)", values)  # noqa: S608 - fixed names

    def revoke(self, key_id: str, now: int) -> bool:
        with self._writing() as connection:
            done = connection.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, key_id))
        return done.rowcount == 1

    def version(self) -> int:
        with self._reading() as connection:
            # data_version moves when another connection commits, total_changes when this one does.
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            return (int(version) << 32) + connection.total_changes

    def advance(self, content: bytes, above: int, now: int) -> Publication:
        with self._writing() as connection:
            row = connection.execute("SELECT revision, created, content FROM publication").fetchone()
            if row and bytes(row[2]) == content and row[0] > above:
                return Publication(row[0], row[1])
            revision = max(row[0] if row else 0, above) + 1
            connection.execute("INSERT OR REPLACE INTO publication VALUES (1, ?, ?, ?)", (revision, content, now))
        return Publication(revision, now)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        with _transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise DependencyUnavailable(f"{self._path} was made by a newer version of OmniRoute")
            for script in MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('pepper', ?)", (os.urandom(32),))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DependencyUnavailable(f"the key store {self._path} cannot be used: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._telling():
            if self._connection is None:
                raise DependencyUnavailable("the key store is closed")
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as connection, _transaction(connection):
            yield connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _key(row: tuple[object, ...]) -> StoredKey:
    values = dict(zip(StoredKey.__struct_fields__, row, strict=True))
    values["models"] = msgspec.json.decode(str(values["models"]), type=tuple[str, ...])
    return msgspec.convert(values, StoredKey)
