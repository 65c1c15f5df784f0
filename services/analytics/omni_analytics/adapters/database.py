"""What the store needs of a database, whichever it is. Questions are SQL, written once in what SQLite, PostgreSQL and
ClickHouse all read; what they do not share is in ``sqlite``, ``postgres`` and ``clickhouse``, and how rows are written
in ``tables`` and ``clickhouse_tables``."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from omni_wire.errors import GatewayError, WireError

from omni_analytics.domain.notices import Notice, Recipients
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rollup import Row, Tally
from omni_analytics.domain.rows import AttemptRow, RequestRow

Values = Sequence[str | int | bytes]


class Rows(Protocol):
    """What a statement answers."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    @property
    def rowcount(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class RowTable(Protocol[Row]):
    """The rows of one type."""

    def insert(self, rows: Sequence[Row], *, over: bool = False) -> None:
        """Write ``rows``. Raises the database's ``conflict`` for an id that is there or stands there twice, unless they
        are put over it."""
        ...

    def stored(self, rows: Sequence[Row]) -> dict[str, Row]:
        """What is stored under the ids of ``rows``."""
        ...

    def of(self, ids: Sequence[str]) -> dict[str, Row]:
        """What is stored under ``ids``."""
        ...

    def within(self, from_ms: int, until_ms: int) -> list[Row]:
        """What started then."""
        ...

    def behind(self, id_: str, most: int) -> list[Row]:
        """At most so many rows of ids that come after that one."""
        ...


class Tables(Protocol):
    """All that is written, in transactions of the caller's."""

    @property
    def attempts(self) -> RowTable[AttemptRow]: ...

    @property
    def requests(self) -> RowTable[RequestRow]: ...

    def decide(self, rows: Sequence[RequestRow], *, again: bool = False) -> None:
        """Keep the decisions and tags of ``rows``; ``again`` where others of the same ids may be there."""
        ...

    def roll_up(self, found: Tally) -> None:
        """Add the differences, which are by the minute, to the rollups of all grains."""
        ...

    def add(self, grain: str, found: Tally) -> None:
        """Add the differences to the rollup of one grain."""
        ...

    def rolled(self, grain: str, from_ms: int, until_ms: int) -> Tally:
        """The rollup as it stands."""
        ...

    def clear(self, grain: str, from_ms: int, until_ms: int) -> None:
        """Forget that part of a rollup."""
        ...

    def note(self, name: str, value: int | None) -> None:
        """Keep a number in ``meta``, or forget it."""
        ...

    def forget_before(self, before_ms: int) -> bool:
        """Forget some of what started before then; whether there may be more. First, and for good, it is said that not
        all of it is there."""
        ...

    def keep_reached(self, reached: Sequence[Reached], notify: Recipients) -> list[Reached]:
        """Those that are news. The webhooks that ``notify`` says are to be told."""
        ...

    def claim(self, now_ms: int, most: int, webhooks: Sequence[str]) -> list[Notice]:
        """Those to be sent to ``webhooks`` now, by whoever gets them; should it die meanwhile, they are due again after
        their pause."""
        ...

    def settle(self, notice: Notice, state: str) -> None: ...

    def fill(self, table: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
        """Write what another database has in ``columns`` of a table that is no row's."""
        ...

    def empty(self, table: str) -> None:
        """Forget all that is in such a table."""
        ...

    def forget(self) -> None:
        """What was learned in a transaction that failed is not there."""
        ...


class Database(Protocol):
    """One connection, used by one thread at a time; every call blocks. Placeholders are ``?``.

    ``conflict`` is what writing raises for an id that is there already, ``outrun`` (where writers do not take turns)
    for what another writer has written meanwhile, ``failures`` whatever else the driver raises: ``told`` says what that
    means. ``may_be_away`` is of a server that may come later. ``shown`` is for people.
    """

    shown: str
    may_be_away: bool
    conflict: type[Exception]
    outrun: tuple[type[Exception], ...]
    failures: tuple[type[Exception], ...]

    @property
    def is_open(self) -> bool: ...

    def open(self) -> None:
        """Connect, and bring the tables to this version. Raises ``Internal`` for those of a newer one."""
        ...

    def close(self) -> None: ...

    def tables(self) -> Tables:
        """How to write here."""
        ...

    def execute(self, sql: str, values: Values = ()) -> Rows: ...

    def among(self, column: str, values: Sequence[str]) -> tuple[str, Values]:
        """A condition that ``column`` is one of ``values``, and what it is executed with."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """One durable transaction, alone among writers: all of it or nothing."""
        ...

    def asking(self, seconds: float) -> AbstractContextManager[None]:
        """One consistent view. Raises ``DependencyUnavailable`` for what takes longer."""
        ...

    def told(self, error: Exception) -> GatewayError | WireError:
        """``WireError`` where a row cannot be stored, ``DependencyUnavailable`` where the store is in trouble."""
        ...


class SqlDatabase(Database, Protocol):
    """One that is written to in SQL, too."""

    def executemany(self, sql: str, values: Iterable[Values]) -> None: ...


TOO_LONG = "this question takes too long; ask for whole hours or a shorter span"
