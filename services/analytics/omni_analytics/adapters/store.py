"""Usage in a database: one connection, one thread, and every write one transaction of rows and rollups together.

Nearly always no row is known yet, so all are simply inserted. Where the database finds an id twice, the transaction
starts over, reads what is stored and lets ``domain.rollup.plan`` decide.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from omni_catalogue.pricebook import PriceBook
from omni_core.ports.analytics import (
    Breakdown,
    Charge,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Repriced,
    RequestFound,
    Slice,
    StatementLine,
    UsageQuery,
    UsageReport,
)
from omni_wire.errors import DependencyUnavailable

from omni_analytics.adapters import asking, limit_events
from omni_analytics.adapters.database import Database, Tables
from omni_analytics.adapters.finding import find_request
from omni_analytics.adapters.histograms import Histograms
from omni_analytics.adapters.listing import listed
from omni_analytics.adapters.repricing import reprice, repriced, told
from omni_analytics.adapters.retention import kept_from
from omni_analytics.adapters.statements import charges, statement
from omni_analytics.domain.notices import Notice, Recipients
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.repricing import Looked, together
from omni_analytics.domain.rollup import HOUR_MS, merge, plan, tally
from omni_analytics.domain.rows import AttemptRow, RequestRow, UsageRow
from omni_analytics.ports import Recorded

T = TypeVar("T")

# How often a transaction is begun that another writer has outrun.
_TRIES = 10


class SqlStore:
    """Satisfies ``UsageStore``. ``query_timeout`` in seconds. A database that was away is opened again by the next
    call."""

    def __init__(self, database: Database, *, query_timeout: float = 5.0) -> None:
        self._database = database
        self._tables = database.tables()
        self._histograms = Histograms()
        self._query_timeout = query_timeout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="usage-store")
        self._ended = False
        self.may_be_away = database.may_be_away
        self.fault = "not open"

    async def open(self) -> None:
        """Make the tables where they are missing. Raises ``DependencyUnavailable`` or ``Internal``."""
        await self._run(lambda: None)

    async def close(self) -> None:
        """Safe to call at any time; afterwards every call raises ``DependencyUnavailable``."""
        if not self._ended:
            self._ended = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self.fault = "closed"
        self._thread.shutdown(wait=False)

    async def record(self, rows: Sequence[UsageRow]) -> Recorded:
        return await self._run(lambda: self._record(rows)) if rows else Recorded()

    async def query(self, query: UsageQuery) -> UsageReport:
        return await self._run(lambda: self._in_time(lambda: asking.report(self._database, self._histograms, query)))

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        return await self._run(lambda: self._in_time(lambda: asking.slices(self._database, self._histograms, asked)))

    async def listed(self, asked: Listing) -> Listed:
        return await self._run(lambda: self._in_time(lambda: listed(self._database, asked)))

    async def key_use(self) -> dict[str, KeyUse]:
        return await self._run(lambda: self._in_time(lambda: asking.key_use(self._database)))

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        return await self._run(lambda: self._in_time(lambda: find_request(self._database, id_, key_ids)))

    async def keep_reached(self, reached: Sequence[Reached], notify: Recipients) -> list[Reached]:
        return await self._run(lambda: self._transact(lambda tables: tables.keep_reached(reached, notify)))

    async def due_notices(self, now_ms: int, most: int, webhooks: Sequence[str]) -> list[Notice]:
        return await self._run(lambda: self._transact(lambda tables: tables.claim(now_ms, most, webhooks)))

    async def settle_notice(self, notice: Notice, state: str) -> None:
        await self._run(lambda: self._transact(lambda tables: tables.settle(notice, state)))

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        return await self._run(lambda: self._in_time(lambda: limit_events.listed(self._database, asked)))

    async def reprice(self, from_ms: int, until_ms: int, book: PriceBook, *, apply: bool) -> Repriced:
        if apply:
            return told(await self._run(lambda: self._reprice(from_ms, until_ms, book)))
        # Hour by hour, for recording to have its turn.
        hours = [*range(from_ms - from_ms % HOUR_MS, until_ms, HOUR_MS)]
        spans = [(max(hour, from_ms), min(hour + HOUR_MS, until_ms)) for hour in hours]
        return told(together([await self._run(partial(repriced, self._tables, *span, book)) for span in spans]))

    async def charges(self, from_ms: int, until_ms: int) -> list[Charge]:
        return await self._run(lambda: self._in_time(lambda: charges(self._database, from_ms, until_ms)))

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        return await self._run(lambda: self._in_time(lambda: statement(self._database, provider, from_ms, until_ms)))

    async def kept_from_ms(self) -> int:
        return await self._run(lambda: self._in_time(lambda: kept_from(self._database)))

    async def forget_some(self, before_ms: int) -> bool:
        return await self._run(lambda: self._transact(lambda tables: tables.forget_before(before_ms)))

    # ---- below: in the store's own thread ---------------------------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        if self._ended:
            raise DependencyUnavailable("the usage store is not available: it is closed")

        def opened() -> T:
            if not self._database.is_open:
                self._tables.forget()
                self._database.open()
            return work()

        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, opened)
        except self._database.failures as error:
            told = self._database.told(error)
            if isinstance(told, DependencyUnavailable):
                self.fault = told.message
            raise told from error
        self.fault = ""
        return result

    def _record(self, rows: Sequence[UsageRow]) -> Recorded:
        attempts = [row for row in rows if type(row) is AttemptRow]
        requests = [row for row in rows if type(row) is RequestRow]
        try:
            return self._transact(lambda tables: _insert(tables, attempts, requests))
        except self._database.conflict:
            return self._transact(lambda tables: _reconcile(tables, attempts, requests))

    def _transact(self, work: Callable[[Tables], T]) -> T:
        tries = 1
        while True:
            try:
                with self._database.writing():
                    return work(self._tables)
            except self._database.outrun:
                if tries == _TRIES:
                    raise
                tries += 1
                self._database.open()
            except BaseException:
                self._tables.forget()
                raise

    def _reprice(self, from_ms: int, until_ms: int, book: PriceBook) -> Looked:
        return self._transact(lambda tables: reprice(tables, from_ms, until_ms, book))

    def _in_time(self, question: Callable[[], T]) -> T:
        with self._database.asking(self._query_timeout):
            return question()


def _insert(tables: Tables, attempts: Sequence[AttemptRow], requests: Sequence[RequestRow]) -> Recorded:
    """Raises the database's ``conflict`` when an id is stored already, or twice in the rows."""
    tables.attempts.insert(attempts)
    tables.requests.insert(requests)
    tables.decide(requests)
    tables.roll_up(merge(tally(attempts), tally(requests)))
    return Recorded(len(attempts), 0, len(requests), 0)


def _reconcile(tables: Tables, attempts: Sequence[AttemptRow], requests: Sequence[RequestRow]) -> Recorded:
    attempt_change = plan(tables.attempts.stored(attempts), attempts)
    request_change = plan(tables.requests.stored(requests), requests)
    tables.attempts.insert(attempt_change.write, over=True)
    tables.requests.insert(request_change.write, over=True)
    tables.decide(request_change.write, again=True)
    tables.roll_up(merge(attempt_change.tally, request_change.tally))
    return Recorded(
        len(attempt_change.write), attempt_change.ignored, len(request_change.write), request_change.ignored
    )
