"""Usage in PostgreSQL. Writers take turns by an advisory lock, so that two analytics on one database (a roll-out) count
as one; a connection that broke is made anew by the next call."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from omni_core.database_url import DatabaseUrl
from omni_wire.errors import DependencyUnavailable, GatewayError, Internal, WireError

from omni_analytics.adapters.database import TOO_LONG, Rows, Tables, Values
from omni_analytics.adapters.schema_postgres import MIGRATIONS
from omni_analytics.adapters.tables import SqlTables

if TYPE_CHECKING:
    import psycopg

# Of all advisory locks in a database, the one that analytics' writers take. Auth's is another.
WRITERS = 0x75736167
CONNECT_SECONDS = 5
LOCK_SECONDS = 5
ANSWER_SECONDS = 30


class PostgresDatabase:
    """Satisfies ``SqlDatabase``. ``busy`` in seconds, how long to wait for another writer."""

    may_be_away = True
    outrun: tuple[type[Exception], ...] = ()

    def __init__(self, where: DatabaseUrl, *, busy: int = LOCK_SECONDS, answer: int = ANSWER_SECONDS) -> None:
        try:
            import psycopg
            from psycopg import errors
        except ImportError as error:
            raise DependencyUnavailable(
                "PostgreSQL needs its driver here: pip install 'omniroute[postgres]'"
            ) from error
        self.shown = where.shown
        self.conflict: type[Exception] = errors.UniqueViolation
        self.failures: tuple[type[Exception], ...] = (psycopg.Error, OSError, OverflowError)
        self._refused = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, OverflowError)
        self._canceled = errors.QueryCanceled
        self._where = where
        self._options = f"-c lock_timeout={busy}s -c statement_timeout={answer}s"
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def open(self) -> None:
        """The database must be there; its tables are made where they are missing."""
        import psycopg

        self.close()
        connection: psycopg.Connection[Any] = psycopg.connect(
            self._where.url,
            password=self._where.password or None,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            options=self._options,
            application_name="omniroute-analytics",
        )
        self._connection = connection
        try:
            _read_as_sqlite_does(connection)
            self._migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def tables(self) -> Tables:
        return SqlTables(self)

    def execute(self, sql: str, values: Values = ()) -> Rows:
        return self._opened().execute(_in_its_words(sql), values)

    def executemany(self, sql: str, values: Iterable[Values]) -> None:
        with self._opened().cursor() as cursor:
            cursor.executemany(_in_its_words(sql), values)

    def among(self, column: str, values: Sequence[str]) -> tuple[str, Values]:
        return f"{column} = ANY(?)", ([*values],)  # type: ignore[return-value]

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._transaction("BEGIN"):
            self.execute("SELECT pg_advisory_xact_lock(?)", (WRITERS,))
            yield

    @contextmanager
    def asking(self, seconds: float) -> Iterator[None]:
        try:
            with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
                self.execute(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
                yield
        except self._canceled as error:
            raise DependencyUnavailable(TOO_LONG) from error

    def told(self, error: Exception) -> GatewayError | WireError:
        # The first line, which says what is wrong; those after it may show what was to be stored.
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, self._refused):
            return WireError(f"the usage store refuses a row: {what}")
        return DependencyUnavailable(f"the usage store is not available: {what}")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        connection = self._opened()
        connection.execute(begin)
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(*self.failures):  # of a connection that broke there is nothing to undo
                connection.execute("ROLLBACK")
            raise

    def _migrate(self) -> None:
        """Raises ``Internal`` for tables newer than this code."""
        with self.writing():
            self.execute("CREATE TABLE IF NOT EXISTS usage_schema (version BIGINT NOT NULL)")
            found = self.execute("SELECT version FROM usage_schema").fetchone()
            version = int(found[0]) if found else 0
            if version > len(MIGRATIONS):
                raise Internal(f"the usage store has schema version {version}; this version knows {len(MIGRATIONS)}")
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    self.execute(statement)
            if version < len(MIGRATIONS):
                self.execute("DELETE FROM usage_schema")
                self.execute("INSERT INTO usage_schema VALUES (?)", (len(MIGRATIONS),))

    def _opened(self) -> "psycopg.Connection[Any]":
        if self._connection is None or self._connection.closed:
            raise OSError("it is not connected")
        return self._connection


@cache
def _in_its_words(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _read_as_sqlite_does(connection: "psycopg.Connection[Any]") -> None:
    """Truth is 0 or 1; a text has no NUL here, so U+FFFD stands for it; a sum of integers is an integer."""
    from psycopg.adapt import Dumper, Loader
    from psycopg.types.string import StrDumper

    class Truth(Dumper):
        oid = 20  # int8

        def dump(self, obj: bool) -> bytes:
            return b"1" if obj else b"0"

    class Text(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)

    class Whole(Loader):
        def load(self, data: Any) -> int:
            return int(bytes(data))

    connection.adapters.register_dumper(bool, Truth)
    connection.adapters.register_dumper(str, Text)
    connection.adapters.register_loader("numeric", Whole)
