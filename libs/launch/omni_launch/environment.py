"""Where a process finds things, put together from flags, the environment and the configuration file, in this order."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
from omni_core.settings import HTTP_PORTS, SUPERVISOR_PORT

from omni_launch.data_dir import data_dir_of, unusable
from omni_launch.problems import CannotStart
from omni_launch.targets import Target

CONFIG_NAME = "omniroute.yaml"
MAX_WORKERS = 256
LOOPBACK = "127.0.0.1"


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said; None where it was silent."""

    host: str | None = None
    port: int | None = None
    data_dir: Path | None = None
    config: Path | None = None
    open_browser: bool = False
    workers: str | None = None
    admin_port: int | None = None


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """HTTP addresses: ``ports`` maps a served name ("edge", "dashboard", or a gRPC service's own /healthz) to its port.
    When edge and dashboard are given the same port, they share the listener. ``grpc_port`` None is the default.
    ``admin_host`` and ``admin_port`` are for a supervisor's own /healthz, /readyz and /metrics."""

    host: str
    ports: dict[str, int]
    grpc_port: int | None = None
    admin_host: str = LOOPBACK
    admin_port: int = SUPERVISOR_PORT


class Inherited(msgspec.Struct, frozen=True):
    """What a supervisor hands to a worker: its number and two listening sockets, the one that all workers share and
    one of its own for probes."""

    number: int
    listen_fd: int
    admin_fd: int


class ServerSection(msgspec.Struct, frozen=True):
    """``server.host`` and ``server.port`` of the configuration file, and whether it has providers."""

    host: str
    port: int
    has_providers: bool


def merged(flags: Flags, env: Mapping[str, str]) -> dict[str, str]:
    """The environment with ``DATA_DIR`` as the flags have it, so that everything downstream sees one."""
    place = flags.data_dir.expanduser().absolute() if flags.data_dir else data_dir_of(env)
    return {**env, "DATA_DIR": str(place)}


def config_file(flags: Flags, env: Mapping[str, str]) -> Path | None:
    """--config, else ``OMNIROUTE_CONFIG``, else ./omniroute.yaml, else DATA_DIR/omniroute.yaml, else none.

    Raises ``CannotStart`` when one that was asked for is not there, or the data directory cannot be looked into.
    """
    asked = flags.config or (Path(env["OMNIROUTE_CONFIG"]) if env.get("OMNIROUTE_CONFIG") else None)
    if asked is not None:
        if not _there(asked):
            raise CannotStart(f"there is no configuration file {asked}", "Check --config or OMNIROUTE_CONFIG")
        return asked.absolute()
    here, data_dir = Path(CONFIG_NAME), data_dir_of(env)
    if here.is_file():
        return here.absolute()
    try:
        kept = data_dir / CONFIG_NAME
        return kept if kept.is_file() else None
    except OSError as error:
        raise unusable("read", data_dir, error) from error


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise CannotStart(
            f"cannot read the configuration file {path}: {error.strerror}", "Check --config or OMNIROUTE_CONFIG"
        ) from error


def server_section(path: Path | None, env: Mapping[str, str]) -> ServerSection:
    """What the file (with its ``OMNIROUTE__…`` overrides) says of the listener; no secret is fetched for it.

    A file that is not good counts as silent: auth, which owns it, says what is wrong.
    """
    from omni_auth.domain import document, overrides, schema

    try:
        read = document.read(path.read_text(encoding="utf-8") if path else "")
    except (OSError, UnicodeDecodeError):
        read = document.read("")
    overrides.apply(read, env)
    config, _ = schema.validate(read.tree)
    config = config or schema.Config()
    return ServerSection(config.server.host, config.server.port, bool(config.providers))


def listen(
    target: Target, flags: Flags, env: Mapping[str, str], server: ServerSection, *, apart: bool = False
) -> Listen:
    """--port, then ``API_PORT``/``DASHBOARD_PORT`` (which part the shared listener in two) or ``OMNIROUTE_HTTP_PORT``,
    then the file, then the default. --host, then ``OMNIROUTE_HTTP_HOST``, then the file. ``apart`` says that edge and
    dashboard are in different processes: the dashboard's port is ``DASHBOARD_PORT``, whatever the other's is.

    A supervisor's own listener leaves loopback for ``OMNIROUTE_HTTP_HOST`` only: it asks nobody for a key, and --host
    and the file speak of what has keys.
    """
    host = flags.host or env.get("OMNIROUTE_HTTP_HOST") or server.host
    generic = flags.port if flags.port is not None else port_of(env, "OMNIROUTE_HTTP_PORT")
    ports: dict[str, int] = {}
    for name in target.over_http or target.parts:
        own = port_of(env, {"edge": "API_PORT", "dashboard": "DASHBOARD_PORT"}.get(name, ""))
        # In one process the dashboard is behind the edge's listener unless it is given a port of its own.
        beside = apart and name == "dashboard"
        default = server.port if name == "edge" or ("edge" in target.parts and not beside) else HTTP_PORTS[name]
        first, second = (own, generic) if len(target.over_http) > 1 else (generic, own)
        second = None if beside else second
        ports[name] = next(port for port in (first, second, default) if port is not None)
    admin = flags.admin_port if flags.admin_port is not None else port_of(env, "OMNIROUTE_ADMIN_PORT")
    return Listen(
        host=host,
        ports=ports,
        grpc_port=port_of(env, "OMNIROUTE_GRPC_PORT"),
        admin_host=env.get("OMNIROUTE_HTTP_HOST") or LOOPBACK,
        admin_port=SUPERVISOR_PORT if admin is None else admin,
    )


def worker_count(flags: Flags, env: Mapping[str, str]) -> int:
    """--workers, then ``OMNIROUTE_WORKERS``: how many processes share the port; "auto" and 0 are one a core.

    0 when nobody asked for workers. Raises ``CannotStart``.
    """
    text = (flags.workers if flags.workers is not None else env.get("OMNIROUTE_WORKERS", "")).strip()
    if not text:
        return 0
    if text == "auto":
        return cores()
    if not text.isascii() or not text.isdigit() or int(text) > MAX_WORKERS:
        raise CannotStart(
            f"'{text}' is no number of workers", f"Give one from 1 to {MAX_WORKERS}; 0 or auto is one a core"
        )
    return int(text) or cores()


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many cores this process may keep busy: those it may run on, fewer where its control group has a quota."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()
        return max(1, min(usable, -(-int(allowed) // int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return usable


def inherited(env: Mapping[str, str]) -> Inherited | None:
    """What the supervisor left in the environment; None for whoever has none."""
    if not env.get("OMNIROUTE_WORKER"):
        return None
    names = ("OMNIROUTE_WORKER", "OMNIROUTE_LISTEN_FD", "OMNIROUTE_ADMIN_FD")
    try:
        return Inherited(*(int(env[name]) for name in names))
    except (KeyError, ValueError) as error:
        raise CannotStart(
            f"{', '.join(names)} are the supervisor's to set", "Unset them, and use --workers to have one"
        ) from error


def reachable(host: str) -> str:
    """How this machine reaches a listener on ``host``."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def port_of(env: Mapping[str, str], name: str) -> int | None:
    """Raises ``CannotStart`` for what is no port."""
    text = env.get(name, "").strip() if name else ""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise CannotStart(f"{name} is '{text}', which is no port", "Give a number from 0 to 65535 (0 takes a free one)")
    return int(text)


def external_url(env: Mapping[str, str], name: str) -> str:
    """``OMNIROUTE_REDIS_URL`` or ``OMNIROUTE_NATS_URL`` ("" when not set), with the user ``OMNIROUTE_<NAME>_USER`` (so
    that one URL does for all services) and the password that ``OMNIROUTE_<NAME>_PASSWORD_FILE`` holds put in, so that
    the URL itself is no secret. Those of NATS may be several, comma-separated; each gets both. Raises
    ``CannotStart``."""
    url = env.get(f"OMNIROUTE_{name}_URL", "").strip()
    user = env.get(f"OMNIROUTE_{name}_USER", "").strip()
    file = env.get(f"OMNIROUTE_{name}_PASSWORD_FILE", "").strip()
    if url and user and not file:
        told = f"OMNIROUTE_{name}_USER is set without OMNIROUTE_{name}_PASSWORD_FILE"
        raise CannotStart(told, "Name the file that holds that user's password, or put the user into the URL")
    if not url or not file:
        return url
    try:
        password = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(
            f"cannot read OMNIROUTE_{name}_PASSWORD_FILE {file}", "It holds the password on one line"
        ) from error
    return ",".join(
        _with_password(one.strip(), quote(user, safe=""), quote(password, safe="")) for one in url.split(",")
    )


def _with_password(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user or parts.username or ''}:{password}@{host}"))
