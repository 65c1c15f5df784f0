"""Auth's database as one SQLite file, whichever database it is in, and back.

SQLite is copied by its own online backup, PostgreSQL table by table from one consistent view; a file made of one can be
put into the other. Nothing is read from a file before SQLite has found it whole.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from omni_wire.errors import DependencyUnavailable, InvalidRequest
from sqlalchemy import Connection, MetaData, func, select

from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.location import Location
from omni_auth.adapters.store.tables import metadata, one_time_tokens, publication, sessions
from omni_auth.adapters.store.upgrade import HEAD, bring_up, migrate, revision

_PIECE = 500


def copy_out(database: Database, to: Path) -> tuple[str, dict[str, int]]:
    """A consistent copy in a new file ``to``; its schema and the rows of each table."""
    copy = Database(Location(to))
    if database.is_sqlite:
        _online(database.location.path, to)
        copy.open()
    else:
        copy.open()
        with database.reading() as source:
            schema = revision(source)
            with copy.rebuilding() as target:
                migrate(target, schema)
                _rows(source, target)
    try:
        with copy.reading() as connection:
            return revision(connection), _counts(connection)
    finally:
        copy.close()


def check(file: Path) -> None:
    """Raises ``InvalidRequest`` for a file that is not whole."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            (told,) = connection.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        told = str(error)
    if told != "ok":
        raise InvalidRequest(f"the database in this backup is damaged: {told}")


def copy_in(file: Path, database: Database) -> None:
    """Put the copy in ``file`` in the place of what ``database`` holds, brought up to this version's schema.

    Configuration revisions go on above the greater of both, so that nobody takes a restored one for an old one."""
    check(file)
    copy = Database(Location(file))
    copy.open()
    try:
        bring_up(copy)
        with database.reading() as connection:
            last = connection.scalar(select(func.max(publication.c.revision))) or 0
        with copy.writing() as connection:
            for gone in (sessions, one_time_tokens):  # some were ended, or used, since
                connection.execute(gone.delete())
            if connection.scalar(select(publication.c.revision)) is None:  # of one that never published
                connection.execute(publication.insert(), {"one": 1, "revision": 0, "content": b"", "created": 0})
            connection.execute(
                publication.update().where(publication.c.revision < last).values(revision=last, content=b"")
            )
        if not database.is_sqlite:
            with copy.reading() as source, database.rebuilding() as target:
                migrate(target, "base")
                migrate(target, HEAD)
                _rows(source, target)
    finally:
        copy.close()
    if database.is_sqlite:
        _online(file, database.location.path)


def _online(source: Path, target: Path) -> None:
    try:
        with closing(sqlite3.connect(source, timeout=60)) as old, closing(sqlite3.connect(target, timeout=60)) as new:
            old.backup(new)
    except sqlite3.Error as error:
        raise DependencyUnavailable(f"{source} cannot be copied to {target}: {error}") from error


def _rows(source: Connection, target: Connection) -> None:
    found, theirs = MetaData(), MetaData()  # each in the types of its own database
    found.reflect(source)
    theirs.reflect(target)
    for table in found.sorted_tables:
        if table.name == "alembic_version":
            continue
        into = theirs.tables[table.name]
        if table.name == "organisations":
            target.execute(into.delete())  # the one that migrating puts in
        for piece in source.execute(select(table)).mappings().partitions(_PIECE):
            target.execute(into.insert(), [dict(row) for row in piece])


def _counts(connection: Connection) -> dict[str, int]:
    found = MetaData()
    found.reflect(connection)
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in found.sorted_tables
        if table.name in metadata.tables
    }
