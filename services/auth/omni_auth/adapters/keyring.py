"""Where the vault's key-encryption keys are: ``OMNIROUTE_VAULT_KEYS`` or the file ``OMNIROUTE_VAULT_KEYS_FILE`` names,
the key service ``OMNIROUTE_VAULT_KMS`` names, else ``<data dir>/vault.keys``, which is made when it is first needed.

A key service is a plug-in: an entry point of the group ``omniroute.kms`` that gives, called with the environment, an
object with ``key_id``, ``wrap(data_key, associated)`` and ``unwrap(wrapped, associated)``. Its keys are its own matter.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, TypeVar

from omni_auth.domain import keyring
from omni_auth.domain.keyring import KEY_BYTES, Kek, KeyringUnreadable
from omni_auth.domain.vault import Chance, VaultRefused, Wrapping, decrypt, encrypt

KEYS, KEYS_FILE, KMS = "OMNIROUTE_VAULT_KEYS", "OMNIROUTE_VAULT_KEYS_FILE", "OMNIROUTE_VAULT_KMS"
GROUP = "omniroute.kms"
KMS_SECONDS = 10.0

T = TypeVar("T")


class Keys(Wrapping, Protocol):
    """The keys that a process of auth has, and what may be done with them."""

    def ids(self) -> tuple[str, ...]:
        """Of every key here, the primary first."""
        ...

    def renew(self, day: str) -> str:
        """A new primary, named after the day; its id. Raises ``VaultRefused`` where keys are not made here."""
        ...

    def drop(self, kek: str) -> None:
        """Raises ``VaultRefused`` where keys are not kept here, and for the primary."""
        ...


class LocalKeys:
    """Keys in the environment or in a file, read again when the file changes."""

    def __init__(self, env: Mapping[str, str], own: Path, chance: Chance) -> None:
        self._text, self._named = env.get(KEYS, "").strip(), env.get(KEYS_FILE, "").strip()
        self._path, self._chance = Path(self._named) if self._named else own, chance
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[Kek, ...] = ()

    @property
    def primary(self) -> str:
        return self._all()[0].id

    def ids(self) -> tuple[str, ...]:
        return tuple(kek.id for kek in self._all())

    def wrap(self, kek: str, data_key: bytes, associated: bytes) -> bytes:
        return encrypt(self._one(kek).key, data_key, associated, self._chance)

    def unwrap(self, kek: str, wrapped: bytes, associated: bytes) -> bytes:
        return decrypt(self._one(kek).key, wrapped, associated)

    def _one(self, kek: str) -> Kek:
        for one in self._all():
            if one.id == kek:
                return one
        raise VaultRefused(f"the vault key '{kek}' is not here; put it back into {self._where()}")

    def renew(self, day: str) -> str:
        self._refuse_foreign("made")
        with self._locked():
            keys = self._all()
            made = Kek(keyring.fresh_id(day, (kek.id for kek in keys)), self._chance(KEY_BYTES))
            self._write((made, *keys))
        return made.id

    def drop(self, kek: str) -> None:
        self._refuse_foreign("taken out")
        with self._locked():
            keys = self._all()
            if kek == keys[0].id:
                raise VaultRefused(f"'{kek}' is the primary key: rotate first")
            self._write(tuple(one for one in keys if one.id != kek))

    def _refuse_foreign(self, verb: str) -> None:
        if self._text or self._named:
            raise VaultRefused(f"keys of {self._where()} are {verb} there, not here")

    def _where(self) -> str:
        return KEYS if self._text else str(self._path)

    def _all(self) -> tuple[Kek, ...]:
        try:
            if self._text:
                self._keys = self._keys or keyring.parse(self._text)
                return self._keys
            found = self._look()
            if found != self._stamp or not self._keys:
                self._keys = keyring.parse(self._path.read_text("ascii"))
                self._stamp = found
        except KeyringUnreadable as error:
            raise VaultRefused(f"{self._where()}: {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            told = getattr(error, "strerror", None) or "not plain text"
            raise VaultRefused(f"the vault's keys in {self._path} cannot be read: {told}") from None
        return self._keys

    def _look(self) -> tuple[int, int]:
        if not self._named and not self._path.exists():
            with self._locked():
                if not self._path.exists():
                    self._write((Kek("first", self._chance(KEY_BYTES)),))
        found = self._path.stat()
        if not self._named and stat.S_IMODE(found.st_mode) & 0o077:
            raise VaultRefused(f"{self._path} can be read by others: chmod 600 {self._path}")
        return found.st_mtime_ns, found.st_ino

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, keys: tuple[Kek, ...]) -> None:
        """In one step: a crash leaves the old file or the new one. On disk when it returns, its name too, for what is
        wrapped from now on is lost without it. Under the lock, so what is there was left by a killed one."""
        fresh = self._path.with_name(f".{self._path.name}.new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(keyring.render(keys))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Kms(Protocol):
    """A key service. What its calls raise is told by type only."""

    key_id: str

    def wrap(self, data_key: bytes, associated: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, associated: bytes) -> bytes: ...


class KmsKeys:
    """Every call ends within ``timeout`` seconds."""

    def __init__(self, kms: Kms, timeout: float = KMS_SECONDS) -> None:
        self._kms, self._timeout = kms, timeout
        self._calls = ThreadPoolExecutor(4, "omniroute-kms")

    @property
    def primary(self) -> str:
        return self._kms.key_id

    def ids(self) -> tuple[str, ...]:
        return (self._kms.key_id,)

    def wrap(self, kek: str, data_key: bytes, associated: bytes) -> bytes:
        return self._asked(lambda: self._kms.wrap(data_key, associated))

    def unwrap(self, kek: str, wrapped: bytes, associated: bytes) -> bytes:
        return self._asked(lambda: self._kms.unwrap(wrapped, associated))

    def renew(self, day: str) -> str:
        raise VaultRefused("keys of a key service are made there")

    def drop(self, kek: str) -> None:
        raise VaultRefused("keys of a key service are retired there")

    def _asked(self, call: Callable[[], T]) -> T:
        try:
            return self._calls.submit(call).result(self._timeout)
        except TimeoutError:
            raise VaultRefused(f"the key service does not answer within {self._timeout:g} s") from None
        except Exception as error:  # noqa: BLE001 - whatever a plug-in raises
            raise VaultRefused(f"the key service refuses: {type(error).__name__}") from None


def open_keyring(data_dir: Path, env: Mapping[str, str], chance: Chance = os.urandom) -> Keys:
    """Raises ``VaultRefused`` for a key service that is not installed."""
    name = env.get(KMS, "").strip()
    if not name:
        return LocalKeys(env, data_dir / "vault.keys", chance)
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise VaultRefused(f"{KMS}: no package here has a key service '{name}' (entry points of {GROUP})")
    return KmsKeys(found[0].load()(env))
