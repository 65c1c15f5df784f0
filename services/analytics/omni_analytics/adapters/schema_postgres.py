"""The tables of ``schema`` in PostgreSQL, and how an older database becomes a newer one (``usage_schema``).

They are written once, there: SQLite's types are named as PostgreSQL names them. A kind is unique because writers take
turns and look first: an index over all that makes one would have rows too large for it.
"""

import re

from omni_analytics.adapters import schema

_TYPES = (
    ("kind INTEGER PRIMARY KEY", "kind BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    ("INTEGER", "BIGINT"),
    ("BLOB", "BYTEA"),
    (" STRICT, WITHOUT ROWID", ""),
    (") STRICT", ")"),
)
_UNIQUE_KIND = re.compile(r",\s+UNIQUE \([^)]*\)\)")


def _here(statement: str) -> str:
    for theirs, ours in _TYPES:
        statement = statement.replace(theirs, ours)
    return _UNIQUE_KIND.sub(")", statement)


def _named(statements: tuple[str, ...], *beginnings: str) -> tuple[str, ...]:
    return tuple(statement for statement in statements if statement.startswith(beginnings))


# As SQLite has it since its version 4. Never edit it once that was released: add a tuple below.
_VERSION_1 = tuple(
    map(
        _here,
        (
            *_named(schema._VERSION_2, "CREATE TABLE", "CREATE INDEX"),
            "CREATE INDEX attempt_kind_of ON attempt_kind (key_id, provider, account_id, config_revision)",
            "CREATE INDEX request_kind_of ON request_kind (key_id, provider, account_id, config_revision)",
            *_named(schema._VERSION_2, "CREATE VIEW attempt_event", "CREATE VIEW request_event"),
            *_named(schema._VERSION_3, "CREATE"),
            *_named(schema._VERSION_4, "CREATE TABLE"),
            f"CREATE TABLE usage_hour ({schema._CELL},{schema._SUMS}, PRIMARY KEY ({schema._CELL_KEY}))",
            *_named(schema._VERSION_4, "CREATE VIEW"),
        ),
    )
)

# A view that others are made of is replaced where it stands.
_VERSION_2 = tuple(
    _here(statement).replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
    for statement in _named(schema._VERSION_5, "ALTER TABLE", "CREATE VIEW")
)

# SQLite's version 6; here a kind's table can be added to.
_VERSION_3 = tuple(
    map(
        _here,
        (
            *_named(schema._VERSION_6, "DROP VIEW", "ALTER TABLE attempt_row"),
            *(
                f"ALTER TABLE attempt_kind ADD COLUMN {name} TEXT NOT NULL DEFAULT ''"
                for name in ("price_version", "charged", "suspect")
            ),
            *_named(schema._VERSION_6, "CREATE VIEW"),
        ),
    )
)

_LIMITS = tuple(map(_here, schema._LIMITS))

_PROXIES = tuple(map(_here, schema._PROXIES))

_NOTICES = tuple(map(_here, schema._NOTICES))

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    *(_VERSION_1, _VERSION_2, _VERSION_3, _LIMITS, schema._TAGGED, _PROXIES),
    _NOTICES,
)
