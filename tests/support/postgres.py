"""A real PostgreSQL for tests: of PATH, else of the ``pgserver`` wheel. It refuses to be root, so under root it runs as
"nobody", on a free loopback port, with its data in a temporary folder."""

import functools
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pwd import getpwnam

import psycopg
from psycopg import sql

from tests.support.servers import Server

_USER = "omniroute"


@functools.cache
def postgres_programs() -> Path:
    """The folder with postgres and initdb. Raises ``FileNotFoundError``."""
    found = shutil.which("postgres")
    if found is not None:
        folder = Path(found).resolve().parent
        if (folder / "initdb").exists():
            return folder
    spec = find_spec("pgserver")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    raise FileNotFoundError("postgres is neither on PATH nor in a wheel of this environment")


class PostgresServer(Server):
    """Its superuser has a password, as anybody on this machine may knock at its port."""

    scheme = "postgresql"
    _stop_signal = signal.SIGINT  # "fast": after SIGTERM it would wait for its last client

    def __init__(self) -> None:
        super().__init__()
        self.password = secrets.token_hex(16)
        self._data = self.dir / "data"

    @property
    def url(self) -> str:
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self.port}/postgres"

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url.rpartition("/")[0] + f"/{name}"

    def _command(self) -> list[str]:
        if not self._data.exists():
            self._initialise()
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "port": self.port}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(postgres_programs() / "postgres"), "-D", str(self._data), *options]

    def _initialise(self) -> None:
        given = self.dir / "password"
        given.write_text(self.password)
        if (user := self._user()) is not None:
            for path in (self.dir, given):
                os.chown(path, user, user)
        subprocess.run(
            [
                postgres_programs() / "initdb", "-D", self._data, "-U", _USER, f"--pwfile={given}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync",
            ],
            check=True, capture_output=True, cwd=self.dir,
            user=user, group=user, extra_groups=None if user is None else [],
        )  # fmt: skip
        given.unlink()

    def _user(self) -> int | None:
        return getpwnam("nobody").pw_uid if os.getuid() == 0 else None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of its own for the block."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()
