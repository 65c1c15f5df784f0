"""Where auth's database is: a file of the data directory, or the PostgreSQL that a setting names."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from omni_core.database_url import DatabaseUrl, database_url

URL = "OMNIROUTE_AUTH_DATABASE_URL"
PASSWORD_FILE = "OMNIROUTE_AUTH_DATABASE_PASSWORD_FILE"  # noqa: S105 - the name of a setting


class Location(msgspec.Struct, frozen=True):
    """``url`` is "" for SQLite in ``path``; ``password`` goes with it and is never shown. ``shown`` is for people."""

    path: Path
    url: str = ""
    password: str = ""

    @property
    def shown(self) -> str:
        return DatabaseUrl(self.url).shown if self.url else str(self.path)

    def __repr__(self) -> str:
        return f"Location({self.shown!r})"


def store_path(data_dir: Path) -> Path:
    return data_dir / "auth" / "auth.sqlite3"


def locate(data_dir: Path, env: Mapping[str, str]) -> Location:
    """``OMNIROUTE_AUTH_DATABASE_URL`` (postgresql://user@host:port/name), its password from there or from
    ``OMNIROUTE_AUTH_DATABASE_PASSWORD_FILE``; without one ``<data dir>/auth/auth.sqlite3``.

    Raises ``DependencyUnavailable`` for what is no such URL, without repeating it."""
    path = store_path(data_dir)
    found = database_url(env, URL, PASSWORD_FILE)
    return Location(path) if found is None else Location(path, found.url, found.password)
