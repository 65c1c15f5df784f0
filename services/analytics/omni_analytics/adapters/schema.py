"""The tables of ``usage.sqlite3``, and how an older file becomes a newer one (``PRAGMA user_version``).

A row is kept in two parts, which halves its bytes and the work of storing it: what is its own under its id
(``attempt_row``, ``request_row``), and what it shares with many others once (``attempt_kind``, ``request_kind``).
The views ``attempt_event`` and ``request_event`` show it whole. Rows live in the primary key's own tree
(``WITHOUT ROWID``): ids are UUIDv7, so inserts append. ``usage_fact`` says in SQL what ``domain.rollup`` says in
Python; a property test holds the two together. ``decision`` has what a router tells of its choices, under the
request's id; most requests have none. ``usage_minute``, ``usage_hour`` and ``usage_day`` are the rollups, ``latency_…``
the histograms beside them; ``meta`` has ``kept_from_ms``, before which rows may have been forgotten.

PostgreSQL has the same tables (``schema_postgres``); a test holds the two to each other.
"""

import sqlite3
from collections.abc import Callable

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

_ATTEMPT_KIND = """key_id, provider, account_id, model, provider_format, outcome, error_kind, provider_status, pricing,
  overrun, config_revision, router_id"""
_REQUEST_KIND = """key_id, client_format, model_requested, combo, provider, account_id, model_served, stream, status,
  error_kind, attempts, pricing, outcome, config_revision, router_id, losses"""
_ATTEMPT_OWN = """id, seq, request_id, started_ms, duration_ms, first_byte_ms, cost_nano_usd, reserved_nano_usd,
  input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated"""
_REQUEST_OWN = """id, seq, request_id, started_ms, duration_ms, first_byte_ms, cost_nano_usd,
  input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated"""
_OWN = f"""
  id TEXT PRIMARY KEY, seq INTEGER NOT NULL, request_id TEXT NOT NULL, started_ms INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL, first_byte_ms INTEGER NOT NULL, cost_nano_usd INTEGER NOT NULL,{_TOKENS},
  kind INTEGER NOT NULL"""

# ruff: noqa: S608 - names from this file only
_VERSION_2 = (
    "DROP VIEW usage_fact",
    "DROP INDEX attempt_event_started",
    "DROP INDEX request_event_started",
    "ALTER TABLE attempt_event RENAME TO attempt_old",
    "ALTER TABLE request_event RENAME TO request_old",
    f"""CREATE TABLE attempt_kind (kind INTEGER PRIMARY KEY,
  key_id TEXT NOT NULL, provider TEXT NOT NULL, account_id TEXT NOT NULL, model TEXT NOT NULL,
  provider_format TEXT NOT NULL, outcome TEXT NOT NULL, error_kind TEXT NOT NULL, provider_status INTEGER NOT NULL,
  pricing TEXT NOT NULL, overrun INTEGER NOT NULL, config_revision INTEGER NOT NULL, router_id TEXT NOT NULL,
  UNIQUE ({_ATTEMPT_KIND})) STRICT""",
    f"""CREATE TABLE request_kind (kind INTEGER PRIMARY KEY,
  key_id TEXT NOT NULL, client_format TEXT NOT NULL, model_requested TEXT NOT NULL, combo TEXT NOT NULL,
  provider TEXT NOT NULL, account_id TEXT NOT NULL, model_served TEXT NOT NULL, stream INTEGER NOT NULL,
  status INTEGER NOT NULL, error_kind TEXT NOT NULL, attempts INTEGER NOT NULL, pricing TEXT NOT NULL,
  outcome TEXT NOT NULL, config_revision INTEGER NOT NULL, router_id TEXT NOT NULL, losses TEXT NOT NULL,
  UNIQUE ({_REQUEST_KIND})) STRICT""",
    f"CREATE TABLE attempt_row ({_OWN}, reserved_nano_usd INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    f"CREATE TABLE request_row ({_OWN}) STRICT, WITHOUT ROWID",
    f"INSERT INTO attempt_kind ({_ATTEMPT_KIND}) SELECT DISTINCT {_ATTEMPT_KIND} FROM attempt_old",
    f"INSERT INTO request_kind ({_REQUEST_KIND}) SELECT DISTINCT {_REQUEST_KIND} FROM request_old",
    f"""INSERT INTO attempt_row ({_ATTEMPT_OWN}, kind)
  SELECT {_ATTEMPT_OWN}, kind FROM attempt_old JOIN attempt_kind USING ({_ATTEMPT_KIND}) ORDER BY id""",
    f"""INSERT INTO request_row ({_REQUEST_OWN}, kind)
  SELECT {_REQUEST_OWN}, kind FROM request_old JOIN request_kind USING ({_REQUEST_KIND}) ORDER BY id""",
    "DROP TABLE attempt_old",
    "DROP TABLE request_old",
    "CREATE INDEX attempt_event_started ON attempt_row (started_ms)",
    "CREATE INDEX request_event_started ON request_row (started_ms)",
    f"""CREATE VIEW attempt_event AS
  SELECT {_ATTEMPT_OWN}, {_ATTEMPT_KIND} FROM attempt_row JOIN attempt_kind USING (kind)""",
    f"""CREATE VIEW request_event AS
  SELECT {_REQUEST_OWN}, {_REQUEST_KIND} FROM request_row JOIN request_kind USING (kind)""",
    _VERSION_1[-1],  # usage_fact, now over the views
)

_VERSION_3 = (
    "CREATE TABLE decision (id TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX attempt_row_request ON attempt_row (request_id)",
    # Of those whose client chose its own: all others are found by their id.
    "CREATE INDEX request_row_told ON request_row (request_id) WHERE request_id <> id",
)

_CELL = """at_ms INTEGER NOT NULL, key_id TEXT NOT NULL, provider TEXT NOT NULL, account_id TEXT NOT NULL,
  model TEXT NOT NULL, status TEXT NOT NULL"""
_SUMS = """
  requests INTEGER NOT NULL, errors INTEGER NOT NULL, attempts INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, cached_input_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
  cost_nano_usd INTEGER NOT NULL, unpriced_requests INTEGER NOT NULL"""
_CELL_KEY = "at_ms, key_id, provider, account_id, model, status"


def _latency(grain: str) -> str:
    return f"""CREATE TABLE latency_{grain} ({_CELL},
  measure TEXT NOT NULL, counts BLOB NOT NULL, PRIMARY KEY ({_CELL_KEY}, measure)) STRICT, WITHOUT ROWID"""


_VERSION_4 = (
    "DROP VIEW usage_fact",
    "ALTER TABLE usage_hour RENAME COLUMN hour_ms TO at_ms",
    f"CREATE TABLE usage_minute ({_CELL},{_SUMS}, PRIMARY KEY ({_CELL_KEY})) STRICT, WITHOUT ROWID",
    f"CREATE TABLE usage_day ({_CELL},{_SUMS}, PRIMARY KEY ({_CELL_KEY})) STRICT, WITHOUT ROWID",
    _latency("minute"),
    _latency("hour"),
    _latency("day"),
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    # Told an earlier answer is no error, neither here nor in the rollups.
    _VERSION_1[-1]
    .replace(
        "outcome NOT IN ('ok', 'cancelled') AS errors",
        "CASE WHEN outcome IN ('ok', 'cancelled', 'replayed', 'cached') THEN 0 ELSE 1 END AS errors",
    )
    .replace(
        "pricing = 'unpriced' AS unpriced_requests",
        "CASE WHEN pricing = 'unpriced' THEN 1 ELSE 0 END AS unpriced_requests",
    ),
)

_VERSION_5 = (
    "ALTER TABLE request_row ADD COLUMN overhead_us INTEGER NOT NULL DEFAULT 0",
    "DROP VIEW request_event",
    f"""CREATE VIEW request_event AS
  SELECT {_REQUEST_OWN}, {_REQUEST_KIND}, overhead_us FROM request_row JOIN request_kind USING (kind)""",
)

_PRICED_KIND = f"{_ATTEMPT_KIND}, price_version, charged, suspect"
_VERSION_6 = (
    "DROP VIEW usage_fact",
    "DROP VIEW attempt_event",
    "ALTER TABLE attempt_row ADD COLUMN repriced_nano_usd INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE attempt_row ADD COLUMN apart TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE attempt_kind RENAME TO attempt_kind_old",
    # What makes a kind unique cannot be changed in place.
    f"""CREATE TABLE attempt_kind (kind INTEGER PRIMARY KEY,
  key_id TEXT NOT NULL, provider TEXT NOT NULL, account_id TEXT NOT NULL, model TEXT NOT NULL,
  provider_format TEXT NOT NULL, outcome TEXT NOT NULL, error_kind TEXT NOT NULL, provider_status INTEGER NOT NULL,
  pricing TEXT NOT NULL, overrun INTEGER NOT NULL, config_revision INTEGER NOT NULL, router_id TEXT NOT NULL,
  price_version TEXT NOT NULL DEFAULT '', charged TEXT NOT NULL DEFAULT '', suspect TEXT NOT NULL DEFAULT '',
  UNIQUE ({_PRICED_KIND})) STRICT""",
    f"INSERT INTO attempt_kind (kind, {_ATTEMPT_KIND}) SELECT kind, {_ATTEMPT_KIND} FROM attempt_kind_old",
    "DROP TABLE attempt_kind_old",
    f"""CREATE VIEW attempt_event AS
  SELECT {_ATTEMPT_OWN}, repriced_nano_usd, apart, {_PRICED_KIND} FROM attempt_row JOIN attempt_kind USING (kind)""",
    _VERSION_4[-1],
)

# Limits that have come to a percentage, and the tags of requests.
_LIMITS = (
    """CREATE TABLE limit_event (id TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, percent INTEGER NOT NULL,
  used INTEGER NOT NULL, limit_id TEXT NOT NULL, name TEXT NOT NULL, organisation TEXT NOT NULL,
  measure TEXT NOT NULL, span TEXT NOT NULL, most INTEGER NOT NULL, webhook TEXT NOT NULL, tries INTEGER NOT NULL,
  due_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID""",
    "CREATE INDEX limit_event_at ON limit_event (at_ms, id)",
    "CREATE INDEX limit_event_due ON limit_event (due_ms) WHERE webhook = 'waiting'",
    "CREATE TABLE request_tag (id TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (id, tag)) STRICT, WITHOUT ROWID",
)

_TAGGED = ("CREATE INDEX request_tag_of ON request_tag (tag, id)",)

# Which proxy an attempt took.
_PROXIES = (
    "DROP VIEW usage_fact",
    "DROP VIEW attempt_event",
    "ALTER TABLE attempt_row ADD COLUMN proxy TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE attempt_row ADD COLUMN proxy_level TEXT NOT NULL DEFAULT ''",
    f"""CREATE VIEW attempt_event AS
  SELECT {_ATTEMPT_OWN}, proxy, proxy_level, repriced_nano_usd, apart, {_PRICED_KIND}
  FROM attempt_row JOIN attempt_kind USING (kind)""",
    _VERSION_4[-1],
)

# What is to be told to the webhooks of the configuration, which are several; ``limit_event`` has the environment's own.
_NOTICES = (
    """CREATE TABLE limit_notice (id TEXT NOT NULL, hook TEXT NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL,
  due_ms INTEGER NOT NULL, PRIMARY KEY (id, hook)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX limit_notice_due ON limit_notice (due_ms) WHERE state = 'waiting'",
)

# Never edit a statement above once a version of it was released: add a tuple here.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    *(_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6),
    _LIMITS,
    _TAGGED,
    _PROXIES,
    _NOTICES,
)
# Since when rows are rolled up as they are now.
_ROLLED_UP = 4


def migrate(connection: sqlite3.Connection, roll_up: Callable[[], object]) -> None:
    """Bring the file to the newest version in one transaction. ``roll_up`` makes the rollups from the rows, where they
    are from before. Raises ``Internal`` for a file newer than this code."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _known_version(connection)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if 0 < version < _ROLLED_UP:
            roll_up()
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
