"""The configuration file on disk, with the secret files it names. Blocking; small files."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from omni_core.redaction import keep_secret, redact_shapes

from omni_auth.domain import configuration
from omni_auth.domain.configuration import Report
from omni_auth.domain.objects import NOTHING, Held
from omni_auth.domain.problems import ConfigErrors
from omni_auth.domain.secrecy import SecretUnreadable
from omni_auth.domain.sections.limits import KeySection
from omni_auth.ports import Reading

MAX_CONFIG_BYTES = 4 * 1024 * 1024
MAX_SECRET_BYTES = 64 * 1024


class ConfigFile:
    """The ``ConfigSource`` port. Problems name the file as it was given; secret files are relative to its folder.
    ``held`` gives what the store has, which the file may refer to."""

    def __init__(self, path: Path, env: Mapping[str, str], held: Callable[[], Held] = lambda: NOTHING) -> None:
        self.filename = str(path)
        self._path = path
        self._env, self._held = dict(env), held
        self._secret_files: tuple[str, ...] = ()
        self._last = b""

    def fingerprint(self) -> bytes:
        if self._path.exists() and not self._path.is_file():
            return self._last  # a pipe gives its text once
        return _digest(
            bytes_of(self._path, MAX_CONFIG_BYTES), {name: self._secret(name) for name in self._secret_files}
        )

    def read(self) -> Reading:
        content = bytes_of(self._path, MAX_CONFIG_BYTES)
        secrets: dict[str, bytes | str] = {}

        def read_secret(name: str) -> str:
            return secret_text(name, secrets.setdefault(name, self._secret(name)))

        try:
            text = self._text(content)
            found = configuration.load(text, self.filename, self._env, read_secret, self._held())
        except ConfigErrors as error:
            self._secret_files = error.secret_files
            secrets |= {name: self._secret(name) for name in error.secret_files if name not in secrets}
            self._last = _digest(content, secrets)
            # A key pasted where the name of its variable belongs is quoted as what it was taken for.
            return Reading(self._last, None, tuple(map(redact_shapes, error.problems)))
        self._secret_files = found.secret_files
        self._last = _digest(content, secrets)
        for secret in found.secrets.values():
            keep_secret(secret)
        return Reading(self._last, found)

    def declared_keys(self) -> tuple[KeySection, ...]:
        """The keys the file declares, without fetching any secret; none when the file is not good."""
        content = bytes_of(self._path, MAX_CONFIG_BYTES)
        if isinstance(content, str):
            return ()
        return configuration.declared_keys(content.decode(errors="replace"), self._env)

    def _text(self, content: bytes | str) -> str:
        if isinstance(content, str):
            raise ConfigErrors([f"{self.filename}: {content}"], self._secret_files)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ConfigErrors([f"{self.filename}:{line}: not UTF-8 text"], self._secret_files) from None

    def _secret(self, name: str) -> bytes | str:
        return bytes_of(self._path.parent / name, MAX_SECRET_BYTES)


def check_file(path: Path, env: Mapping[str, str]) -> Report:
    """What the auth service would make of this file now, secrets included."""
    source = ConfigFile(path, env)
    reading = source.read()
    if reading.configuration is None:
        return Report(problems=reading.problems)
    return configuration.report(reading.configuration)


def bytes_of(path: Path, limit: int) -> bytes | str:
    """A file's content, or why it cannot be had."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        return (getattr(error, "strerror", None) or "not a path").lower()
    return content if len(content) <= limit else f"larger than {limit} bytes"


def secret_text(name: str, content: bytes | str) -> str:
    if isinstance(content, str):
        raise SecretUnreadable(f"the file {name} cannot be read: {content}")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise SecretUnreadable(f"the file {name} is not text") from None


def _digest(content: bytes | str, secrets: Mapping[str, bytes | str]) -> bytes:
    found = hashlib.sha256(repr(content).encode())
    for name in sorted(secrets):
        found.update(repr((name, secrets[name])).encode())
    return found.digest()
