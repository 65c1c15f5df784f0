"""The audit log in the database: written with what it tells of, in one transaction."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, LargeBinary, Text, cast, select

from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.tables import audit
from omni_auth.domain.audit import Entry, Verdict, redacted, seal, verify

_FIELDS = Entry.__struct_fields__


def append(
    connection: Connection,
    *,
    at: int,
    organisation: str,
    actor: str,
    action: str,
    target: str,
    before: object = None,
    after: object = None,
) -> None:
    """``at`` in epoch ms. ``before`` and ``after`` are documents; what may be a secret in them is left out here."""
    row = connection.execute(select(audit).order_by(audit.c.seq.desc()).limit(1)).mappings().first()
    last = Entry(**{**row, "previous": bytes(row["previous"]), "hash": bytes(row["hash"])}) if row else None
    entry = Entry(
        seq=0, at=at, organisation=organisation, actor=actor, action=action, target=target,
        before=_json(before), after=_json(after),
    )  # fmt: skip
    connection.execute(audit.insert(), msgspec.structs.asdict(seal(entry, last)))


def _json(document: object) -> str:
    return msgspec.json.encode(redacted(document), order="sorted").decode()


class AuditLog:
    """What was done. Every call blocks and raises ``DependencyUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(
        self, at: int, organisation: str, actor: str, action: str, target: str, before: object, after: object
    ) -> None:
        """What somebody does elsewhere; see ``append``."""
        with self._database.writing() as connection:
            append(
                connection,
                at=at,
                organisation=organisation,
                actor=actor,
                action=action,
                target=target,
                before=before,
                after=after,
            )

    def newest(self, limit: int = 100, before: int = 0, organisation: str = "") -> list[Entry]:
        """Newest first; where they are given, those with numbers below ``before`` and of that ``organisation``."""
        asked = select(*self._columns()).order_by(audit.c.seq.desc()).limit(limit)
        if before:
            asked = asked.where(audit.c.seq < before)
        if organisation:
            asked = asked.where(audit.c.organisation == organisation)
        with self._database.reading() as connection:
            return [_entry(tuple(row)) for row in connection.execute(asked)]

    def following(self, number: int, limit: int) -> list[Entry]:
        """Those behind the entry of that number, oldest first."""
        asked = select(*self._columns()).where(audit.c.seq > number).order_by(audit.c.seq).limit(limit)
        with self._database.reading() as connection:
            return [_entry(tuple(row)) for row in connection.execute(asked)]

    def verify(self, expected: str = "") -> Verdict:
        """See ``omni_auth.domain.audit.verify``."""
        asked = select(*self._columns()).order_by(audit.c.seq).execution_options(yield_per=1_000)
        with self._database.reading() as connection, connection.execute(asked) as rows:
            return verify((tuple(row) for row in rows), expected)

    def _columns(self) -> list[Any]:
        return [self._raw(name) for name in _FIELDS]

    def _raw(self, name: str) -> Any:
        """A damaged text is no text any more, which SQLite's driver would stumble over; PostgreSQL never stores one."""
        column = audit.c[name]
        text = isinstance(column.type, Text) and self._database.is_sqlite
        return cast(column, LargeBinary) if text else column


def _entry(row: Sequence[Any]) -> Entry:
    """As far as it can be read; whether it is as it was written is for ``verify`` to say."""
    read = [value.decode(errors="replace") if isinstance(value, bytes) else value for value in row[:-2]]
    fields: dict[str, Any] = dict(zip(_FIELDS, [*read, bytes(row[-2]), bytes(row[-1])], strict=True))
    return Entry(**fields)
