"""Where usage is kept: a file of the data directory, or the server that a setting names."""

from collections.abc import Mapping
from pathlib import Path

from omni_core.database_url import CLICKHOUSE, POSTGRESQL, DatabaseUrl, database_url
from omni_wire.errors import DependencyUnavailable

from omni_analytics.adapters.database import Database
from omni_analytics.adapters.sqlite import SqliteDatabase

URL = "OMNIROUTE_ANALYTICS_DATABASE_URL"
PASSWORD_FILE = "OMNIROUTE_ANALYTICS_DATABASE_PASSWORD_FILE"  # noqa: S105 - the name of a setting


def usage_path(data_dir: Path) -> Path:
    return data_dir / "analytics" / "usage.sqlite3"


def database_at(url: str, env: Mapping[str, str]) -> Database:
    """The server at ``url``, its password from there or from ``OMNIROUTE_ANALYTICS_DATABASE_PASSWORD_FILE``. Raises
    as ``usage_database``."""
    found = _server({**env, URL: url})
    if found is None:
        raise DependencyUnavailable("name a database: postgresql://user@host:5432/name or clickhouse://user@host/name")
    return found


def usage_database(data_dir: Path, env: Mapping[str, str]) -> Database:
    """``OMNIROUTE_ANALYTICS_DATABASE_URL`` (postgresql://user@host:port/name or clickhouse://user@host:port/name), its
    password from there or from ``OMNIROUTE_ANALYTICS_DATABASE_PASSWORD_FILE``; without one
    ``<data dir>/analytics/usage.sqlite3``. Not open yet.

    Raises ``DependencyUnavailable`` for what is no such URL, without repeating it, and where the driver is missing."""
    return _server(env) or SqliteDatabase(usage_path(data_dir))


def _server(env: Mapping[str, str]) -> Database | None:
    found: DatabaseUrl | None = database_url(env, URL, PASSWORD_FILE, (POSTGRESQL, CLICKHOUSE))
    if found is None:
        return None
    if found.scheme == CLICKHOUSE:
        from omni_analytics.adapters.clickhouse import ClickhouseDatabase

        return ClickhouseDatabase(found)
    from omni_analytics.adapters.postgres import PostgresDatabase

    return PostgresDatabase(found)
