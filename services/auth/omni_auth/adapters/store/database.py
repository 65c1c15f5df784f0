"""One database, SQLite or PostgreSQL: connections, transactions, and whether anything changed.

Writers take turns, in SQLite because it is so and in PostgreSQL by an advisory lock: so changes have an order, which
the outbox's numbers and the audit chain need, and migrating is one more writer. Reading waits for nobody.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omni_wire.errors import DependencyUnavailable
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, PoolProxiedConnection, QueuePool

from omni_auth.adapters.store.location import Location
from omni_auth.adapters.store.tables import audit

BUSY_SECONDS = 5
CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
REBUILD_SECONDS = 60
# Of all advisory locks in this database, the one that auth's writers take. Any number that nobody else uses.
WRITERS = 0x6F6D6E69


class Database:
    """Every call blocks and raises ``DependencyUnavailable``, also for a database that is not open."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self.is_sqlite = not location.url
        self._engine: Engine | None = None
        self._watcher: PoolProxiedConnection | None = None
        self._watching, self._writers = threading.Lock(), threading.Lock()
        self._idle, self._uses = threading.Condition(), 0
        self._opened = 0

    def open(self) -> None:
        """Connect to what is there, whatever its schema; see ``upgrade``."""
        with self._telling():
            if self.is_sqlite:
                path = self.location.path
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                # Made before SQLite does, so that it is never readable by others; its -wal and -shm take after it.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
                path.chmod(0o600)
            self._engine = self._connects()
            with self._engine.connect():
                self._opened += 1

    def close(self) -> None:
        """Waits for what is being asked in other threads."""
        with self._watching:
            if self._watcher is not None:
                self._watcher.close()
            self._watcher = None
        with self._idle:
            engine, self._engine = self._engine, None
            self._idle.wait_for(lambda: not self._uses, ANSWER_SECONDS)
        if engine is not None:
            engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._connected() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, alone among writers: all of it or nothing."""
        with self._turn(), self._connected() as connection, self._transaction(connection):
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Writers of this process wait here, and not with connections that the one who writes may need to read."""
        if not self._writers.acquire(timeout=ANSWER_SECONDS):
            raise DependencyUnavailable(f"the key store {self.location.shown} cannot be used: too many wait to write")
        try:
            yield
        finally:
            self._writers.release()

    @contextmanager
    def rebuilding(self) -> Iterator[Connection]:
        """As ``writing``, for changes of the schema: on a connection of its own, where SQLite leaves references
        alone until the end."""
        self._open_engine()
        engine = self._connects(rebuilding=True)
        try:
            with self._telling(), engine.connect() as connection, self._transaction(connection):
                yield connection
                if self.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
                    raise DependencyUnavailable(f"references of {self.location.shown} would break: {broken[:3]}")
        finally:
            engine.dispose()

    def version(self) -> int:
        """Another number after every change, whichever process made it."""
        if not self.is_sqlite:
            # The newest entry of the audit log is sealed with all before it, so no other history has the same: numbers
            # of changes do, where a backup was put in force.
            newest = select(audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
            with self.reading() as connection:
                return int.from_bytes(bytes(connection.scalar(newest) or b"")[:8])
        # It moves when another connection commits, whoever's; this one never does. Outside of any transaction, which
        # would hold it where it is.
        with self._watching, self._telling():
            if self._watcher is None:
                self._watcher = self._open_engine().raw_connection()
            (number,) = self._watcher.cursor().execute("PRAGMA data_version").fetchone()
            return (self._opened << 32) + int(number)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection that ``close`` waits for: given back to a pool that is gone, it would stay open."""
        with self._idle:
            engine = self._open_engine()
            self._uses += 1
        try:
            with self._telling(), engine.connect() as connection:
                yield connection
        finally:
            with self._idle:
                self._uses -= 1
                self._idle.notify_all()

    def _open_engine(self) -> Engine:
        if self._engine is None:
            raise DependencyUnavailable("the key store is closed")
        return self._engine

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        connection = connection.execution_options(omniroute_writes=True)
        with connection.begin():
            if not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(WRITERS)))
            yield

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            # The driver's own words: SQLAlchemy's would add statements and what was to be stored.
            cause = str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
            raise DependencyUnavailable(f"the key store {self.location.shown} cannot be used: {cause}") from error

    def _connects(self, *, rebuilding: bool = False) -> Engine:
        return (_sqlite if self.is_sqlite else _postgres)(self.location, rebuilding)


def _sqlite(location: Location, rebuilding: bool) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(location.path)),
        poolclass=NullPool if rebuilding else QueuePool,
        connect_args={
            "timeout": REBUILD_SECONDS if rebuilding else BUSY_SECONDS,
            "check_same_thread": False,
            "isolation_level": None,
        },
        hide_parameters=True,
    )

    def prepare(connection: Any, _: object) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", f"foreign_keys = {int(not rebuilding)}"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("omniroute_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def _postgres(location: Location, rebuilding: bool) -> Engine:
    url = make_url(location.url).set(drivername="postgresql+psycopg")
    if location.password:
        url = url.set(password=location.password)
    lock, answer = (REBUILD_SECONDS, 0) if rebuilding else (BUSY_SECONDS, ANSWER_SECONDS)
    try:
        return create_engine(
            url,
            poolclass=NullPool if rebuilding else QueuePool,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "options": f"-c lock_timeout={lock}s -c statement_timeout={answer}s",
                "application_name": "omniroute-auth",
            },
            hide_parameters=True,
            pool_pre_ping=True,
        )
    except ImportError as error:
        raise DependencyUnavailable("PostgreSQL needs its driver here: pip install 'omniroute[postgres]'") from error
