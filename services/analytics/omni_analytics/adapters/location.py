"""Where usage is kept: a file of the data directory, or the PostgreSQL that a setting names."""

from collections.abc import Mapping
from pathlib import Path

from omni_core.database_url import database_url

from omni_analytics.adapters.database import Database
from omni_analytics.adapters.sqlite import SqliteDatabase

URL = "OMNIROUTE_ANALYTICS_DATABASE_URL"
PASSWORD_FILE = "OMNIROUTE_ANALYTICS_DATABASE_PASSWORD_FILE"  # noqa: S105 - the name of a setting


def usage_path(data_dir: Path) -> Path:
    return data_dir / "analytics" / "usage.sqlite3"


def database_at(url: str, env: Mapping[str, str]) -> Database:
    """The PostgreSQL at ``url``, its password from there or from ``OMNIROUTE_ANALYTICS_DATABASE_PASSWORD_FILE``. Raises
    as ``usage_database``."""
    return usage_database(Path(), {**env, URL: url or "-"})


def usage_database(data_dir: Path, env: Mapping[str, str]) -> Database:
    """``OMNIROUTE_ANALYTICS_DATABASE_URL`` (postgresql://user@host:port/name), its password from there or from
    ``OMNIROUTE_ANALYTICS_DATABASE_PASSWORD_FILE``; without one ``<data dir>/analytics/usage.sqlite3``. Not open yet.

    Raises ``DependencyUnavailable`` for what is no such URL, without repeating it, and where the driver is missing."""
    found = database_url(env, URL, PASSWORD_FILE)
    if found is None:
        return SqliteDatabase(usage_path(data_dir))
    from omni_analytics.adapters.postgres import PostgresDatabase

    return PostgresDatabase(found)
