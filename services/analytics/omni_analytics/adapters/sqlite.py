"""``usage.sqlite3``: one file, one connection, one writer. ``synchronous=FULL`` makes a commit survive a power cut."""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from omni_wire.errors import DependencyUnavailable, GatewayError, WireError

from omni_analytics.adapters.database import TOO_LONG, Rows, Tables, Values
from omni_analytics.adapters.rebuild import rebuild
from omni_analytics.adapters.schema import migrate
from omni_analytics.adapters.tables import SqlTables


class SqliteDatabase:
    """Satisfies ``SqlDatabase``."""

    may_be_away = False
    # In this order: the first that is written makes the file.
    pragmas: tuple[str, ...] = ("journal_mode = WAL", "synchronous = FULL")
    conflict: type[Exception] = sqlite3.IntegrityError
    outrun: tuple[type[Exception], ...] = ()
    failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError, OverflowError)

    def __init__(self, path: Path, *, busy: float = 5.0) -> None:
        self.shown = str(path)
        self._path = path
        self._busy = busy
        self._connection: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def open(self) -> None:
        """Makes the file and its tables where they are missing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=self._busy, cached_statements=256, check_same_thread=False
        )
        self._connection = connection
        try:
            for pragma in self.pragmas:
                connection.execute(f"PRAGMA {pragma}")
            self._migrate(connection)
        except BaseException:
            self.close()
            raise

    def _migrate(self, connection: sqlite3.Connection) -> None:
        migrate(connection, lambda: rebuild(self))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def tables(self) -> Tables:
        return SqlTables(self)

    def execute(self, sql: str, values: Values = ()) -> Rows:
        return self._opened().execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        self._opened().executemany(sql, values)

    def among(self, column: str, values: Sequence[str]) -> tuple[str, Values]:
        where = f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608 - names from this code only
        return where, (msgspec.json.encode(values).decode(),)

    @contextmanager
    def writing(self) -> Iterator[None]:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # A failed COMMIT may have ended the transaction already (disk full).
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def asking(self, seconds: float) -> Iterator[None]:
        connection = self._opened()
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 50_000)
        connection.execute("BEGIN")
        try:
            yield
        except sqlite3.OperationalError as error:
            if time.monotonic() <= deadline:
                raise
            raise DependencyUnavailable(TOO_LONG) from error
        finally:
            connection.set_progress_handler(None, 0)
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def told(self, error: Exception) -> GatewayError | WireError:
        if isinstance(error, sqlite3.OperationalError | OSError):
            # Disk full, I/O error, locked for too long: the store's trouble, not the row's.
            return DependencyUnavailable(f"the usage store is not available: {error}")
        return WireError(f"the usage store refuses a row: {error}")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("it is not open")
        return self._connection
