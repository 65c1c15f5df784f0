"""Where a service's database server is, as its settings say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from omni_wire.errors import DependencyUnavailable

from omni_core.redaction import keep_secret

POSTGRESQL, CLICKHOUSE = "postgresql", "clickhouse"
_SAME = {"postgres": POSTGRESQL}
_PORTS = {POSTGRESQL: 5432, CLICKHOUSE: 8123}


class DatabaseUrl(msgspec.Struct, frozen=True):
    """``password`` goes with ``url`` and is never shown. ``shown`` is for people."""

    url: str
    password: str = ""

    @property
    def scheme(self) -> str:
        """Which kind of server it is."""
        return urlsplit(self.url).scheme

    @property
    def shown(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def __repr__(self) -> str:
        return f"DatabaseUrl({self.shown!r})"


def database_url(
    env: Mapping[str, str], setting: str, password_file: str, kinds: Sequence[str] = (POSTGRESQL,)
) -> DatabaseUrl | None:
    """What ``setting`` says (such as postgresql://user@host:port/name, of one of these kinds), its password from there
    or from the file that ``password_file`` names; None where it says nothing.

    Raises ``DependencyUnavailable`` for what is no such URL, without repeating it."""
    url = env.get(setting, "").strip()
    if not url:
        return None
    try:
        parts = urlsplit(url)
        scheme = _SAME.get(parts.scheme, parts.scheme)
        known = scheme in kinds and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        wanted = " or ".join(f"{kind}://user@host:{_PORTS[kind]}/name" for kind in kinds)
        raise DependencyUnavailable(f"{setting} is no URL of a database here: give {wanted}")
    password = unquote(parts.password or "")
    if file := env.get(password_file, "").strip():
        try:
            password = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DependencyUnavailable(
                f"cannot read {password_file} {file}: it holds the password on one line"
            ) from error
    keep_secret(password)
    user = f"{parts.username}@" if parts.username else ""
    host = parts.netloc.rpartition("@")[2]
    return DatabaseUrl(parts._replace(scheme=scheme, netloc=user + host).geturl(), password)
