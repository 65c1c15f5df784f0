"""What the store needs of a database, whichever it is. SQL is written once, in what SQLite and PostgreSQL both read;
what they do not share is in ``sqlite`` and ``postgres``."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from omni_wire.errors import GatewayError, WireError

Values = Sequence[str | int | bytes]


class Rows(Protocol):
    """What a statement answers."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    @property
    def rowcount(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """One connection, used by one thread at a time; every call blocks. Placeholders are ``?``.

    ``conflict`` is what a statement raises for an id that is there already, ``failures`` whatever else the driver
    raises: ``told`` says what that means. ``may_be_away`` is of a server that may come later. ``shown`` is for people.
    """

    shown: str
    may_be_away: bool
    conflict: type[Exception]
    failures: tuple[type[Exception], ...]

    @property
    def is_open(self) -> bool: ...

    def open(self) -> None:
        """Connect, and bring the tables to this version. Raises ``Internal`` for those of a newer one."""
        ...

    def close(self) -> None: ...

    def execute(self, sql: str, values: Values = ()) -> Rows: ...

    def executemany(self, sql: str, values: Iterable[Values]) -> None: ...

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


TOO_LONG = "this question takes too long; ask for whole hours or a shorter span"
