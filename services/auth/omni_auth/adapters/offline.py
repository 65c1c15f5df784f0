"""Keys without a running gateway: what ``omniroute keys`` and ``omniroute up`` use.

They write to the store; an auth service that runs on it notices within a second.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from omni_catalogue.snapshot import KeyPolicy
from omni_core.clock import now_ms
from omni_core.ports.auth import CreatedKey, KeyInfo, NewKey
from omni_wire.errors import DependencyUnavailable

from omni_auth.adapters.config_file import ConfigFile
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.objects import read_held
from omni_auth.domain import apikeys
from omni_auth.domain.apikeys import StoredKey
from omni_auth.domain.compilation import file_key_policy
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.keys import changed_meanwhile, check_new, make_key, policy_info, stored_info

LOCAL_KEY_FILE = "local.key"


def _now() -> int:
    return now_ms() // 1000


def actor() -> str:
    """Who runs this command, for the audit log. Not by name: a container may have none for its user."""
    return f"cli:uid-{os.getuid()}"


@contextmanager
def open_database(data_dir: Path, env: Mapping[str, str] | None = None) -> Iterator[Database]:
    """Auth's database, brought up to date."""
    store = SqlStore(data_dir, env)
    store.open()
    try:
        yield store.database
    finally:
        store.close()


@contextmanager
def open_audit(data_dir: Path, env: Mapping[str, str] | None = None) -> Iterator[AuditLog]:
    """``with open_audit(data_dir) as log: log.verify()``."""
    with open_database(data_dir, env) as database:
        yield AuditLog(database)


class OfflineKeys:
    """Create, list, rotate and revoke. Use as a context manager. Every call raises ``DependencyUnavailable`` for a
    store that cannot be used."""

    def __init__(
        self,
        data_dir: Path,
        config_file: Path | None = None,
        env: Mapping[str, str] | None = None,
        *,
        now: Callable[[], int] = _now,
        chance: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = SqlStore(data_dir, env)
        self._now, self._chance = now, chance
        self._filename = str(config_file) if config_file else "the configuration file"
        declared = ConfigFile(config_file, env or {}).declared_keys() if config_file else ()
        self._file_policies = [file_key_policy(key) for key in declared]

    def __enter__(self) -> "OfflineKeys":
        self._store.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()

    def create(self, new: NewKey) -> CreatedKey:
        """Raises ``InvalidRequest`` when the name is taken or a field is wrong."""
        check_new(new, self._now())
        stored = self._store.stored_keys()
        own = [key for key in stored if key.organisation == DEFAULT_ORGANISATION]
        apikeys.refuse_taken(new.name, own, self._file_names(stored))
        return self._insert(new)

    def list(self) -> list[KeyInfo]:
        """The keys of the configuration file, where one was given, then the stored ones."""
        stored = self._store.stored_keys()
        return [*map(policy_info, self._of_file(stored)), *map(self._info, stored)]

    def rotate(self, key: str, overlap: int) -> CreatedKey:
        """A new secret for the key of that id or name; see ``AuthPort.rotate_key``."""
        found = self._find(key)
        chance = self._chance(apikeys.ENTROPY_BYTES)
        renewed, secret = apikeys.rotated(found, chance, self._store.pepper(), overlap, self._now())
        if not self._store.rotate(renewed, found.digest, self._now(), actor()):
            raise changed_meanwhile(key)
        return CreatedKey(self._info(renewed), secret)

    def revoke(self, key: str) -> KeyInfo:
        """By id or name. Raises ``InvalidRequest`` when there is none, or the configuration file says it too."""
        found = self._find(key)
        apikeys.refuse_revoking(found, (policy.name for policy in self._file_policies), self._filename)
        if not self._store.revoke(found.id, self._now(), actor()):
            raise apikeys.unknown(key)
        return self._info(found)

    def local(self, keep: Path) -> str:
        """The admin key of this machine, in ``keep``; a new one when that file has none that is valid.

        Raises ``DependencyUnavailable`` when the file cannot be kept."""
        try:
            return self._local(keep)
        except OSError as error:
            raise DependencyUnavailable(f"cannot write the key file {keep}: {error.strerror}") from error

    def _local(self, keep: Path) -> str:
        digests = {key.digest: key for key in self._store.stored_keys() if key.name == apikeys.LOCAL_NAME}
        secret = _read_text(keep)
        digest = apikeys.stored_digest(self._store.pepper(), apikeys.presented_digest(secret))
        if digest in digests:
            keep.chmod(0o600)
            return secret
        for lost in digests.values():
            self._store.revoke(lost.id, self._now(), actor())
        created = self._insert(NewKey(name=apikeys.LOCAL_NAME, role="admin"))
        _write_private(keep, created.secret)
        return created.secret

    def _insert(self, new: NewKey) -> CreatedKey:
        chance, held = self._chance(apikeys.ENTROPY_BYTES), read_held(self._store.database)
        key, secret = make_key(new, chance, self._store.pepper(), self._now(), held)
        self._store.insert(key, actor())
        return CreatedKey(stored_info(key, held), secret)

    def _info(self, key: StoredKey) -> KeyInfo:
        return stored_info(key, read_held(self._store.database, key.organisation))

    def _find(self, key: str) -> StoredKey:
        stored = self._store.stored_keys()
        return apikeys.find(key, stored, self._file_names(stored), self._filename)

    def _of_file(self, stored: Sequence[StoredKey]) -> Sequence[KeyPolicy]:
        """Its keys, without those that a stored one stands for."""
        ids = {key.id for key in stored}
        return [policy for policy in self._file_policies if policy.id not in ids]

    def _file_names(self, stored: Sequence[StoredKey]) -> tuple[str, ...]:
        return tuple(policy.name for policy in self._of_file(stored))


def open_keys(data_dir: Path, config_file: Path | None = None, env: Mapping[str, str] | None = None) -> OfflineKeys:
    """``with open_keys(data_dir) as keys: keys.create(NewKey(name="ci"))``."""
    return OfflineKeys(data_dir, config_file, env)


def ensure_local_key(data_dir: Path, env: Mapping[str, str] | None = None) -> str:
    """The plain text of the admin key ``local``, kept in ``<data dir>/local.key`` (0600) and made when there is none
    that works."""
    with OfflineKeys(data_dir, env=env) as keys:
        return keys.local(data_dir / LOCAL_KEY_FILE)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("ascii", "replace").strip()
    except OSError:
        return ""


def _write_private(path: Path, secret: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
