"""From whatever schema a database has to the one of this version; Alembic is loaded only when there is a way to go.

A new database is made from ``tables`` at once. One that is up to date costs one question. Of several processes one
migrates, in one transaction, and the others wait for it.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from omni_wire.errors import DependencyUnavailable
from sqlalchemy import Connection, inspect, select, text

from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.tables import ENTITIES, meta, metadata
from omni_auth.domain.entities import DEFAULT_ORGANISATION

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013")
HEAD = REVISIONS[-1]
# Revisions of before Alembic: a SQLite file had its number in ``user_version``. The last of those versions runs on our
# schema too, so that number stays what it looks for.
_UNNUMBERED = REVISIONS[:2]
_SCRIPTS = Path(__file__).parent / "migrations"

# Alembic's context is of the whole process: one thread at a time, also for the copy that a backup makes.
_ALEMBIC = threading.Lock()

BeforeMigration = Callable[[Database, str], None]


def bring_up(database: Database, before: BeforeMigration | None = None) -> None:
    """``before`` is called with the revision found, when there is data and something is about to change.

    Raises ``DependencyUnavailable`` for a database of a newer version, which is left as it is."""
    with database.reading() as connection:
        found = revision(connection)
    if found == HEAD:
        return
    _refuse_unknown(database, found)
    if found and before is not None:
        before(database, found)
    with database.rebuilding() as connection:
        found = revision(connection)  # another process may have been faster
        _refuse_unknown(database, found)
        if not found:
            _make(connection)
        elif found != HEAD:
            migrate(connection, HEAD)


def revision(connection: Connection) -> str:
    """The schema that is there; "" for none."""
    tables = inspect(connection)
    if tables.has_table("alembic_version"):
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")
    if not tables.has_table("keys"):
        return ""
    if connection.dialect.name == "sqlite":
        number = int(connection.scalar(text("PRAGMA user_version")) or 0)
        return _UNNUMBERED[number - 1] if 0 < number <= len(_UNNUMBERED) else f"user_version {number}"
    return _UNNUMBERED[0]


def migrate(connection: Connection, target: str) -> None:
    """Up or down to the revision ``target`` ("base" for nothing at all), in the transaction of ``connection``."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with _ALEMBIC:
        found = revision(connection)
        if found and not inspect(connection).has_table("alembic_version"):
            command.stamp(config, found)
        if target == "base" or (found and found in REVISIONS and REVISIONS.index(target) < REVISIONS.index(found)):
            command.downgrade(config, target)
        else:
            command.upgrade(config, target)
    _tell_before(connection)


def _refuse_unknown(database: Database, found: str) -> None:
    if found and found not in REVISIONS:
        raise DependencyUnavailable(
            f"{database.location.shown} was made by a newer version of OmniRoute (its schema is {found}, this version "
            f"knows {HEAD}): start that version, or move it away and restore an older backup (omniroute backup list)"
        )


def _make(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
    _tell_before(connection)
    name = DEFAULT_ORGANISATION
    connection.execute(
        ENTITIES["organisations"].insert(),
        {
            "id": name, "organisation": name, "place": "", "label": name, "version": 1, "created_at": 0,
            "updated_at": 0, "managed_by": "api", "document": f'{{"name":"{name}"}}',
        },
    )  # fmt: skip


def _tell_before(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"PRAGMA user_version = {len(_UNNUMBERED)}"))


def ensure_pepper(database: Database) -> None:
    """The key of all digests, made once."""
    asked = select(meta.c.value).where(meta.c.name == "pepper")
    with database.reading() as connection:
        if connection.scalar(asked) is not None:
            return
    with database.writing() as connection:
        if connection.scalar(asked) is None:
            connection.execute(meta.insert(), {"name": "pepper", "value": os.urandom(32)})
