"""Where auth's database is: a file of the data directory, or the PostgreSQL that a setting names."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from omni_core.redaction import keep_secret
from omni_wire.errors import DependencyUnavailable

URL = "OMNIROUTE_AUTH_DATABASE_URL"
PASSWORD_FILE = "OMNIROUTE_AUTH_DATABASE_PASSWORD_FILE"  # noqa: S105 - the name of a setting
_SCHEMES = ("postgresql", "postgres")


class Location(msgspec.Struct, frozen=True):
    """``url`` is "" for SQLite in ``path``; ``password`` goes with it and is never shown. ``shown`` is for people."""

    path: Path
    url: str = ""
    password: str = ""

    @property
    def shown(self) -> str:
        if not self.url:
            return str(self.path)
        parts = urlsplit(self.url)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def __repr__(self) -> str:
        return f"Location({self.shown!r})"


def store_path(data_dir: Path) -> Path:
    return data_dir / "auth" / "auth.sqlite3"


def locate(data_dir: Path, env: Mapping[str, str]) -> Location:
    """``OMNIROUTE_AUTH_DATABASE_URL`` (postgresql://user@host:port/name), its password from there or from
    ``OMNIROUTE_AUTH_DATABASE_PASSWORD_FILE``; without one ``<data dir>/auth/auth.sqlite3``.

    Raises ``DependencyUnavailable`` for what is no such URL, without repeating it."""
    path = store_path(data_dir)
    url = env.get(URL, "").strip()
    if not url:
        return Location(path)
    try:
        parts = urlsplit(url)
        known = parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise DependencyUnavailable(f"{URL} is no URL of a database here: give postgresql://user@host:5432/name")
    password = unquote(parts.password or "")
    if file := env.get(PASSWORD_FILE, "").strip():
        try:
            password = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DependencyUnavailable(
                f"cannot read {PASSWORD_FILE} {file}: it holds the password on one line"
            ) from error
    keep_secret(password)
    user = f"{parts.username}@" if parts.username else ""
    host = parts.netloc.rpartition("@")[2]
    return Location(path, parts._replace(scheme="postgresql", netloc=user + host).geturl(), password)
