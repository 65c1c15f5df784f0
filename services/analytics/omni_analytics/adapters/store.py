"""Usage in SQLite: one file, one connection, one thread, one writer.

Every write is one ``BEGIN IMMEDIATE`` transaction of rows and rollup together; ``synchronous=FULL`` makes a commit
survive a power cut. Nearly always no row is known yet, so all are simply inserted. Where the database finds an id
twice, the transaction starts over, reads what is stored and lets ``domain.rollup.plan`` decide. Questions about whole
hours read the rollup alone; the broken hours at either end are read from the rows.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from omni_core.ports.analytics import KeyUse, RequestFound, UsageQuery, UsageReport, UsageTotals
from omni_wire.errors import DependencyUnavailable, WireError

from omni_analytics.adapters.finding import find_request
from omni_analytics.adapters.schema import migrate
from omni_analytics.adapters.tables import Tables
from omni_analytics.domain.rollup import HOUR_MS, MEASURES, ZERO, Sums, merge, plan, tally
from omni_analytics.domain.rows import AttemptRow, RequestRow, UsageRow
from omni_analytics.ports import Recorded

T = TypeVar("T")

_COLUMN = {
    "key": "key_id",
    "model": "model",
    "provider": "provider",
    "account": "account_id",
    "status": "status",
}
_SUMS = ", ".join(f"sum({name})" for name in MEASURES)


def usage_path(data_dir: Path) -> Path:
    return data_dir / "analytics" / "usage.sqlite3"


class SqliteStore:
    """Satisfies ``UsageStore``. ``query_timeout`` in seconds."""

    def __init__(self, path: Path, *, query_timeout: float = 5.0) -> None:
        self._path = path
        self._query_timeout = query_timeout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="usage-store")
        self._connection: sqlite3.Connection | None = None
        self._tables: Tables
        self.fault = "not open"

    async def open(self) -> None:
        """Make the file and its tables where they are missing. Raises ``DependencyUnavailable`` or ``Internal``."""
        await self._run(self._open)

    async def close(self) -> None:
        """Safe to call at any time; afterwards every call raises ``DependencyUnavailable``."""
        if self._connection is not None:
            await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def record(self, rows: Sequence[UsageRow]) -> Recorded:
        return await self._run(lambda: self._record(rows)) if rows else Recorded()

    async def query(self, query: UsageQuery) -> UsageReport:
        return await self._run(lambda: self._query(query))

    async def key_use(self) -> dict[str, KeyUse]:
        return await self._run(lambda: self._in_time(_key_use))

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        return await self._run(lambda: self._in_time(lambda connection: find_request(connection, id_, key_ids)))

    # ---- below: in the store's own thread ---------------------------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.OperationalError, OSError) as error:
            # Disk full, I/O error, locked for too long: the store's trouble, not the row's.
            self.fault = str(error)
            raise DependencyUnavailable(f"the usage store is not available: {error}") from error
        except (sqlite3.Error, OverflowError) as error:
            raise WireError(f"the usage store refuses a row: {error}") from error
        self.fault = ""
        return result

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=5.0, cached_statements=256)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._tables = connection, Tables(connection)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self.fault = "closed"
        if connection is not None:
            connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("it is not open")
        return self._connection

    def _record(self, rows: Sequence[UsageRow]) -> Recorded:
        attempts = [row for row in rows if type(row) is AttemptRow]
        requests = [row for row in rows if type(row) is RequestRow]
        try:
            return self._transact(lambda tables: _insert(tables, attempts, requests))
        except sqlite3.IntegrityError:
            return self._transact(lambda tables: _reconcile(tables, attempts, requests))

    def _transact(self, work: Callable[[Tables], Recorded]) -> Recorded:
        connection, tables = self._opened(), self._tables
        connection.execute("BEGIN IMMEDIATE")
        try:
            recorded = work(tables)
            connection.execute("COMMIT")
        except BaseException:
            tables.forget()
            # A failed COMMIT may have ended the transaction already (disk full).
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return recorded

    def _query(self, query: UsageQuery) -> UsageReport:
        groups = self._in_time(lambda connection: _groups(connection, query))
        totals = tuple(map(sum, zip(ZERO, *groups.values(), strict=True)))
        named = groups if query.group_by else {}
        return UsageReport(UsageTotals(*totals), {value: UsageTotals(*sums) for value, sums in named.items()})

    def _in_time(self, question: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._opened()
        deadline = time.monotonic() + self._query_timeout
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 50_000)
        try:
            return question(connection)
        except sqlite3.OperationalError as error:
            if time.monotonic() <= deadline:
                raise
            raise DependencyUnavailable(
                "this question takes too long; ask for whole hours or a shorter span"
            ) from error
        finally:
            connection.set_progress_handler(None, 0)


def _insert(tables: Tables, attempts: Sequence[AttemptRow], requests: Sequence[RequestRow]) -> Recorded:
    """Raises ``sqlite3.IntegrityError`` when an id is stored already, or twice in the rows."""
    tables.attempts.insert(attempts)
    tables.requests.insert(requests)
    tables.decide(requests)
    tables.roll_up(merge(tally(attempts), tally(requests)))
    return Recorded(len(attempts), 0, len(requests), 0)


def _reconcile(tables: Tables, attempts: Sequence[AttemptRow], requests: Sequence[RequestRow]) -> Recorded:
    attempt_change = plan(tables.attempts.stored(attempts), attempts)
    request_change = plan(tables.requests.stored(requests), requests)
    tables.attempts.insert(attempt_change.write, "REPLACE")
    tables.requests.insert(request_change.write, "REPLACE")
    tables.decide(request_change.write, again=True)
    tables.roll_up(merge(attempt_change.cells, request_change.cells))
    return Recorded(
        len(attempt_change.write), attempt_change.ignored, len(request_change.write), request_change.ignored
    )


def _groups(connection: sqlite3.Connection, query: UsageQuery) -> dict[str, Sums]:
    """Sums by the value of ``group_by`` (all under "" without one), from at most three pieces of the span."""
    column = _COLUMN[query.group_by] if query.group_by else "''"
    groups: dict[str, Sums] = {}
    # Nothing commits between the pieces: this thread is the only writer.
    for table, time_column, start, end in pieces(query.from_ms, query.until_ms):
        bounds = [(">=", start)] if start else []
        bounds += [("<", end)] if end else []
        where = [f"{time_column} {sign} ?" for sign, _ in bounds] + (["key_id = ?"] if query.key_id else [])
        values = [value for _, value in bounds] + ([query.key_id] if query.key_id else [])
        sql = f"SELECT {column}, {_SUMS} FROM {table}"  # noqa: S608 - names from this code only
        sql += f" WHERE {' AND '.join(where)}" if where else ""
        sql += " GROUP BY 1"
        for value, *sums in connection.execute(sql, values):
            groups[value] = tuple(map(sum, zip(groups.get(value, ZERO), sums, strict=True)))
    return groups


def _key_use(connection: sqlite3.Connection) -> dict[str, KeyUse]:
    """From the rollup, and the rows of its newest hour alone."""
    found = connection.execute(
        "SELECT key_id, sum(requests), max(hour_ms) FROM usage_hour WHERE requests > 0 GROUP BY key_id"
    ).fetchall()
    newest = max([hour for _, _, hour in found], default=0)
    recent = "SELECT key_id, max(started_ms) FROM usage_fact WHERE started_ms >= ? AND requests > 0 GROUP BY key_id"
    exact = dict(connection.execute(recent, (newest,)).fetchall())
    return {key: KeyUse(requests, exact.get(key, hour)) for key, requests, hour in found}


def read_key_use(path: Path) -> dict[str, KeyUse]:
    """What is in a file that may be another process's; nothing where it is missing or cannot be read."""
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return _key_use(connection)
    except sqlite3.Error:
        return {}


def pieces(from_ms: int, until_ms: int) -> list[tuple[str, str, int, int]]:
    """How to read a span: (table, time column, from, until), 0 for an open end. Whole hours come from the rollup."""
    first_hour = -(-from_ms // HOUR_MS) * HOUR_MS
    last_hour = until_ms // HOUR_MS * HOUR_MS
    if until_ms and last_hour <= first_hour:
        return [("usage_fact", "started_ms", from_ms, until_ms)] if from_ms < until_ms else []
    spans = [("usage_hour", "hour_ms", first_hour, last_hour if until_ms else 0)]
    if from_ms < first_hour:
        spans.append(("usage_fact", "started_ms", from_ms, first_hour))
    if last_hour < until_ms:
        spans.append(("usage_fact", "started_ms", last_hour, until_ms))
    return spans
