"""Usage in ClickHouse, over HTTP. It has no transactions and no ids that are unique; this makes them.

    writing()                collects rows by table and key: what they are to be
      journal_piece,         the whole of it as one numbered entry: from here on it is committed
      journal
      each table             the rows themselves, under a version that follows from the number

An entry is there or not. Its number is one behind the last that this writer has seen; where somebody else has taken
that number meanwhile (two analytics in a roll-out), ClickHouse drops the later one as a duplicate, and who wrote it
begins anew. Who opens the database writes the last entry's rows again: they may not all be there, as its writer may
have died. That changes nothing where they are (see ``schema_clickhouse``), also where the writer was only slow. The
rows of all earlier entries are there: nobody writes an entry behind one whose rows they have not written or seen.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from omni_core.database_url import DatabaseUrl
from omni_core.ids import new_id
from omni_wire.errors import DependencyUnavailable, GatewayError, Internal, WireError

from omni_analytics.adapters.clickhouse_literals import literal, quoted
from omni_analytics.adapters.database import TOO_LONG, Rows, Tables, Values
from omni_analytics.adapters.schema_clickhouse import ENTRIES, STATEMENTS, TABLES, VERSION

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
_TLS_PORTS = (443, 8443)
# Of a question, and of an entry in the journal in one piece.
_MOST_BYTES = 2**30
PIECE = 4_000_000
_TIMEOUT = 159  # ClickHouse's number of it
_SETTINGS = {
    "final": 1,
    "aggregate_functions_null_for_empty": 1,
    "max_query_size": _MOST_BYTES,
    "max_partitions_per_insert_block": 0,
    "async_insert": 0,
    "mutations_sync": 1,
}
_BYTES: dict[str, str | dict[str, str]] = dict.fromkeys(("counts", "decision", "document"), "bytes")

Key = tuple[str | int, ...]


class KnownId(Exception):
    """An id is stored already, or stands there twice."""

    def __init__(self) -> None:
        super().__init__("an id is stored already")


class TakenEntry(Exception):
    """Somebody else has written meanwhile."""


class Answer:
    """Satisfies ``Rows``."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = iter(rows)
        self.rowcount = len(rows)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return [*self._rows]

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class ClickhouseDatabase:
    """Satisfies ``Database``. ``answer`` in seconds, how long anything may take."""

    may_be_away = True
    conflict: type[Exception] = KnownId
    outrun: tuple[type[Exception], ...] = (TakenEntry,)

    def __init__(self, where: DatabaseUrl, *, answer: int = ANSWER_SECONDS) -> None:
        try:
            import clickhouse_connect
            from clickhouse_connect.driver.exceptions import ClickHouseError
        except ImportError as error:
            raise DependencyUnavailable(
                "ClickHouse needs its driver here: pip install 'omniroute[clickhouse]'"
            ) from error
        self.shown = where.shown
        self.failures: tuple[type[Exception], ...] = (ClickHouseError, OSError, OverflowError, TakenEntry, KnownId)
        self._connect = clickhouse_connect.get_client
        self._refuses = ClickHouseError
        self._where = where
        self._answer = answer
        self._client: Client | None = None
        self._writer = ""
        self._number = 0  # of the last entry whose rows are surely there
        self._deadline = 0.0
        self._changes: dict[str, dict[Key, tuple[Any, ...]]] = {}
        self._forgotten: list[str] = []

    @property
    def is_open(self) -> bool:
        return self._client is not None

    def open(self) -> None:
        """The database must be there; its tables are made where they are missing."""
        self.close()
        parts = urlsplit(self._where.url)
        secure = parts.port in _TLS_PORTS or parse_qs(parts.query).get("secure") == ["true"]
        self._client = self._connect(
            host=parts.hostname or "",
            port=parts.port or (8443 if secure else 8123),
            secure=secure,
            username=unquote(parts.username) if parts.username else None,
            password=self._where.password,
            database=unquote(parts.path.strip("/")) or "default",
            connect_timeout=CONNECT_SECONDS,
            send_receive_timeout=self._answer,
            query_limit=0,
            client_name="omniroute-analytics",
            autogenerate_session_id=False,
        )
        try:
            self._migrate()
            self._recover()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def tables(self) -> Tables:
        from omni_analytics.adapters.clickhouse_tables import ClickhouseTables

        return ClickhouseTables(self)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """A question; what is written goes by ``put``."""
        settings: dict[str, Any] = dict(_SETTINGS)
        if self._deadline:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise DependencyUnavailable(TOO_LONG)
            settings["max_execution_time"] = round(left, 3)
        asked = _in_its_words(sql)
        if values:
            first, *rest = asked.split("?")
            asked = first + "".join(literal(value) + more for value, more in zip(values, rest, strict=True))
        found = self._opened().query(asked, settings=settings, column_formats=_BYTES)
        return Answer(found.result_rows)

    def among(self, column: str, values: Sequence[str]) -> tuple[str, Values]:
        return f"{column} IN ?", ([*values],)  # type: ignore[return-value]

    def put(self, table: str, key: Key, values: tuple[Any, ...]) -> None:
        """What is to be under ``key``, once the transaction is committed: a value for each column."""
        self._changes.setdefault(table, {})[key] = (*values, 0)

    def drop(self, table: str, key: Key, known: Mapping[str, str | int]) -> None:
        """That nothing is to be under ``key``. What is ``known`` of the row says in which partition it is."""
        blank = (known.get(name, _blank(kind)) for name, kind in TABLES[table].columns.items())
        self._changes.setdefault(table, {})[key] = (*blank, 1)

    def pending(self, table: str, key: Key) -> tuple[Any, ...] | None:
        """What this transaction has put there, () for nothing at all; None where it has left it as it is."""
        found = self._changes.get(table, {}).get(key)
        return found if found is None or not found[-1] else ()

    def forget_days(self, table: str, before_day: int) -> None:
        """Drop the partitions before a day (since the epoch), once the transaction is committed."""
        found = self.execute(
            "SELECT DISTINCT partition FROM system.parts "
            "WHERE database = currentDatabase() AND table = ? AND active AND toInt64(partition) < ?",
            (table, before_day),
        )
        self._forgotten += [f"ALTER TABLE {table} DROP PARTITION {int(day)}" for (day,) in found]

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._changes, self._forgotten = {}, []
        try:
            yield
            entry = [*self._statements(self._number + 1)]
            if entry:
                self._commit(entry)
            for statement in self._forgotten:
                self._command(statement)
        finally:
            self._changes, self._forgotten = {}, []

    @contextmanager
    def asking(self, seconds: float) -> Iterator[None]:
        """Nobody writes meanwhile in this process; what another one writes may be seen in part."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        except self._refuses as error:
            if getattr(error, "code", None) == _TIMEOUT:
                raise DependencyUnavailable(TOO_LONG) from error
            raise
        finally:
            self._deadline = 0.0

    def told(self, error: Exception) -> GatewayError | WireError:
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, OverflowError):
            return WireError(f"the usage store refuses a row: {what}")
        return DependencyUnavailable(f"the usage store is not available: {what[:300]}")

    # ---- the journal ------------------------------------------------------------------------------------------------

    def _statements(self, number: int) -> Iterator[str]:
        """What is collected, each table's rows as one statement or several."""
        for table, rows in self._changes.items():
            into = f"INSERT INTO {table} ({', '.join(TABLES[table].columns)}, version, gone) VALUES "  # noqa: S608 - ours
            some, size = list[str](), 0
            for *values, gone in rows.values():
                # What takes the place of another is the newer of both (see ``clickhouse_tables``).
                version = 2 * number + (not gone)
                some.append(f"({', '.join(map(literal, values))}, {version}, {gone})")
                size += len(some[-1])
                if size > PIECE:
                    yield into + ", ".join(some)
                    some, size = [], 0
            if some:
                yield into + ", ".join(some)

    def _commit(self, statements: Sequence[str]) -> None:
        number = self._number + 1
        try:
            if number % ENTRIES == 0:
                self._drop_entries(number)
            first, *rest = statements
            for piece, body in enumerate(rest):
                values = f"{number}, {quoted(self._writer)}, {piece}, {quoted(body)}"
                self._command(f"INSERT INTO journal_piece VALUES ({values})")  # noqa: S608 - all quoted
            values = f"{number}, {quoted(self._writer)}, {len(rest)}, {quoted(first)}"
            entry = f"INSERT INTO journal VALUES ({values})"  # noqa: S608 - as above
            self._command(entry, insert_deduplication_token=f"entry-{number}")
            self._own(number)
            for statement in statements:
                self._command(statement)
            self._number = number
        except BaseException:
            self.close()  # what is committed is not known; opening it again finds out
            raise

    def _own(self, number: int) -> None:
        if self._last() != (number, self._writer):
            raise TakenEntry("another analytics has written meanwhile")

    def _last(self) -> tuple[int, str]:
        (found,) = self.execute("SELECT max(number), argMax(writer, number) FROM journal").fetchall()
        return (int(found[0]), str(found[1])) if found[0] is not None else (0, "")

    def _recover(self) -> None:
        """Where the journal ends; all that it says is in the tables then."""
        self._writer = new_id()
        number, writer = self._last()
        if number:
            of = (number, writer)
            bodies = self.execute("SELECT body, pieces FROM journal WHERE number = ? AND writer = ?", of).fetchall()
            pieces = self.execute(
                "SELECT body FROM journal_piece WHERE number = ? AND writer = ? ORDER BY piece", of
            ).fetchall()
            if len(pieces) != bodies[0][1]:
                raise Internal(f"entry {number} of the usage store's journal is not whole")
            for body, *_ in (bodies[0], *pieces):
                self._command(body)
        self._number = number

    def _drop_entries(self, number: int) -> None:
        """Those of the partitions before the last full one, as the last entry must stay."""
        for table in ("journal", "journal_piece"):
            found = self.execute(
                "SELECT DISTINCT partition FROM system.parts "
                "WHERE database = currentDatabase() AND table = ? AND active AND toInt64(partition) < ?",
                (table, number // ENTRIES - 1),
            )
            for (partition,) in found.fetchall():
                self._command(f"ALTER TABLE {table} DROP PARTITION {int(partition)}")

    def _migrate(self) -> None:
        """Raises ``Internal`` for tables newer than this code."""
        self._command("CREATE TABLE IF NOT EXISTS usage_schema (version Int64) ENGINE = MergeTree ORDER BY tuple()")
        (found,) = self.execute("SELECT max(version) FROM usage_schema").fetchall()
        version = int(found[0] or 0)
        if version > VERSION:
            raise Internal(f"the usage store has schema version {version}; this version knows {VERSION}")
        if version < VERSION:
            for statement in STATEMENTS:
                self._command(statement)
            self._command(f"INSERT INTO usage_schema VALUES ({VERSION})")  # noqa: S608 - a number

    def _command(self, sql: str, **settings: str) -> None:
        self._opened().raw_query(sql, settings=_SETTINGS | settings)

    def _opened(self) -> "Client":
        if self._client is None:
            raise OSError("it is not connected")
        return self._client


def _blank(kind: str) -> str | int | tuple[str, ...]:
    return 0 if kind == "Int64" else () if kind.startswith("Array") else ""


@cache
def _in_its_words(sql: str) -> str:
    """A backslash escapes in LIKE anyway."""
    return sql.replace(" ESCAPE '\\'", "")
