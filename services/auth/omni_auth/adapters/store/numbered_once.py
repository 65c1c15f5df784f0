"""A table whose rows' numbers are taken for good: SQLite's INSERT OR REPLACE would remove a row without asking the
triggers of ``append_only``. PostgreSQL has nothing like it: there ON CONFLICT DO UPDATE is an update.

Used by revisions too, so what is here is never edited; another way to do it is another module."""

from sqlalchemy import Connection, text

_REFUSAL = "the audit log is append-only"


def make(connection: Connection, table: str) -> None:
    if connection.dialect.name == "sqlite":
        taken = f"SELECT 1 FROM {table} WHERE seq = NEW.seq"  # noqa: S608 - a table of ours
        connection.execute(
            text(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS ({taken}) "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        )


def unmake(connection: Connection, table: str) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"DROP TRIGGER {table}_no_replace"))
