"""The tables of ``usage.sqlite3``, and how an older file becomes a newer one (``PRAGMA user_version``).

Rows are kept by id in the primary key's own tree (``WITHOUT ROWID``): ids are UUIDv7, so inserts append.
``usage_fact`` says in SQL what ``domain.rollup`` says in Python; a property test holds the two together.
"""

import sqlite3

from omni_wire.errors import Internal

_TOKENS = """
  input_tokens INTEGER NOT NULL, cached_input_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL"""

_VERSION_1 = (
    f"""CREATE TABLE attempt_event (
  id TEXT PRIMARY KEY, seq INTEGER NOT NULL, request_id TEXT NOT NULL, started_ms INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL, first_byte_ms INTEGER NOT NULL, key_id TEXT NOT NULL, provider TEXT NOT NULL,
  account_id TEXT NOT NULL, model TEXT NOT NULL, provider_format TEXT NOT NULL, outcome TEXT NOT NULL,
  error_kind TEXT NOT NULL, provider_status INTEGER NOT NULL,{_TOKENS}, cost_nano_usd INTEGER NOT NULL,
  reserved_nano_usd INTEGER NOT NULL, pricing TEXT NOT NULL, overrun INTEGER NOT NULL,
  config_revision INTEGER NOT NULL, router_id TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE INDEX attempt_event_started ON attempt_event (started_ms)",
    f"""CREATE TABLE request_event (
  id TEXT PRIMARY KEY, seq INTEGER NOT NULL, started_ms INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
  first_byte_ms INTEGER NOT NULL, key_id TEXT NOT NULL, client_format TEXT NOT NULL, model_requested TEXT NOT NULL,
  combo TEXT NOT NULL, provider TEXT NOT NULL, account_id TEXT NOT NULL, model_served TEXT NOT NULL,
  stream INTEGER NOT NULL, status INTEGER NOT NULL, error_kind TEXT NOT NULL, attempts INTEGER NOT NULL,{_TOKENS},
  cost_nano_usd INTEGER NOT NULL, pricing TEXT NOT NULL, outcome TEXT NOT NULL,
  config_revision INTEGER NOT NULL, router_id TEXT NOT NULL, request_id TEXT NOT NULL,
  losses TEXT NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE INDEX request_event_started ON request_event (started_ms)",
    """CREATE TABLE usage_hour (
  hour_ms INTEGER NOT NULL, key_id TEXT NOT NULL, provider TEXT NOT NULL, account_id TEXT NOT NULL,
  model TEXT NOT NULL, status TEXT NOT NULL,
  requests INTEGER NOT NULL, errors INTEGER NOT NULL, attempts INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, cached_input_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL, unpriced_requests INTEGER NOT NULL,
  PRIMARY KEY (hour_ms, key_id, provider, account_id, model, status)) STRICT, WITHOUT ROWID""",
    """CREATE VIEW usage_fact AS
  SELECT started_ms, key_id, provider, account_id,
    CASE WHEN model_served <> '' THEN model_served ELSE model_requested END AS model,
    CASE WHEN status BETWEEN 100 AND 599 THEN (status / 100) || 'xx' ELSE 'none' END AS status,
    1 AS requests, outcome NOT IN ('ok', 'cancelled') AS errors, 0 AS attempts,
    0 AS input_tokens, 0 AS cached_input_tokens, 0 AS cache_write_tokens, 0 AS output_tokens, 0 AS reasoning_tokens,
    0 AS cost_nano_usd, pricing = 'unpriced' AS unpriced_requests
  FROM request_event
  UNION ALL
  SELECT started_ms, key_id, provider, account_id, model,
    CASE WHEN provider_status BETWEEN 100 AND 599 THEN (provider_status / 100) || 'xx' ELSE 'none' END,
    0, 0, 1,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nano_usd, 0
  FROM attempt_event""",
)

# Never edit a statement above once a version of it was released: add a tuple here.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1,)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest version in one transaction. Raises ``Internal`` for a file newer than this code."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _known_version(connection)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _known_version(connection: sqlite3.Connection) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise Internal(f"the usage store has schema version {version}; this version knows {len(MIGRATIONS)}")
    return version
