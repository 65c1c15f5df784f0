"""What has replaced a key's digest, kept by the database itself: so that no writer, of the version before neither, can
forget to.

Used by revisions too, so what is here is never edited; another way to do it is another module."""

from sqlalchemy import Connection, text

_KEEP = (
    "INSERT INTO past_secrets (digest, key) SELECT OLD.digest, OLD.id "
    "WHERE NOT EXISTS (SELECT 1 FROM past_secrets WHERE digest = OLD.digest);"
)


def make(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(
            text(
                "CREATE TRIGGER keys_past_digest AFTER UPDATE OF digest ON keys WHEN OLD.digest <> NEW.digest "
                f"BEGIN {_KEEP} END"
            )
        )
        return
    connection.execute(
        text(
            "CREATE OR REPLACE FUNCTION keys_keep_past_digest() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_KEEP} RETURN NULL; END $$"
        )
    )
    connection.execute(
        text(
            "CREATE TRIGGER keys_past_digest AFTER UPDATE OF digest ON keys FOR EACH ROW "
            "WHEN (OLD.digest <> NEW.digest) EXECUTE FUNCTION keys_keep_past_digest()"
        )
    )


def unmake(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text("DROP TRIGGER keys_past_digest"))
        return
    connection.execute(text("DROP TRIGGER keys_past_digest ON keys"))
    connection.execute(text("DROP FUNCTION keys_keep_past_digest()"))
