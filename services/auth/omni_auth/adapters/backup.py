"""Backups of auth's database: ``<data dir>/auth/backups``, each sealed, checked before it is used, the oldest removed.

The key is that of ``OMNIROUTE_BACKUP_KEY_FILE``, else of ``<data dir>/backup.key``, which is made once: whoever loses
the data directory with it loses the backups too, so it belongs somewhere else as well.
"""

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from omni_core.clock import now_ms
from omni_wire.errors import DependencyUnavailable, InvalidRequest

from omni_auth.adapters.store import audit
from omni_auth.adapters.store.copying import check, copy_in, copy_out
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.vault_keys import unopened
from omni_auth.domain.backup import (
    SUFFIX,
    BackupUnreadable,
    Header,
    file_name,
    key_name,
    pack,
    read_key,
    too_many,
    unpack,
)
from omni_auth.domain.entities import DEFAULT_ORGANISATION

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE = "OMNIROUTE_BACKUP_KEY_FILE"
KEEP = "OMNIROUTE_BACKUP_KEEP"
DEFAULT_KEEP = 10


class Backups:
    """Every call blocks. Raises ``InvalidRequest`` for a backup that cannot be used, ``DependencyUnavailable`` for a
    disk or a database that cannot."""

    def __init__(self, data_dir: Path, env: Mapping[str, str]) -> None:
        self._data_dir, self._folder = data_dir, data_dir / "auth" / "backups"
        self._own_key = data_dir / "backup.key"
        self._env = env

    def create(self, database: Database, reason: str, actor: str, spare: str = "") -> Path:
        """A new backup; those beyond the newest ``OMNIROUTE_BACKUP_KEEP`` are removed, but for ``spare``."""
        keep = self._keep()
        with _telling(), tempfile.TemporaryDirectory(dir=_private(self._folder)) as scratch:
            copy = Path(scratch) / "copy.sqlite3"
            schema, rows = copy_out(database, copy)
            check(copy)
            plain = copy.read_bytes()
            key, nonce, now = self._key(), secrets.token_bytes(12), now_ms()
            header = Header(
                created=now, reason=reason, schema=schema, rows=rows, size=len(plain),
                sha256=hashlib.sha256(plain).hexdigest(), key=key_name(key), nonce=nonce.hex(),
            )  # fmt: skip
            made = self._folder / file_name(header, _stamp(now))
            _write(made, pack(header) + _cipher(key).encrypt(nonce, plain, pack(header)))
            arrived = {path.name: path.stat().st_mtime_ns for path in self._folder.glob(f"*{SUFFIX}")}
            for old in too_many(arrived, keep):
                if old != spare:
                    (self._folder / old).unlink(missing_ok=True)
        if schema >= "0004":
            self._note(database, actor, "create", made.name)
        return made

    def list(self) -> list[tuple[str, Header | None]]:
        """Newest first; None for one whose first lines are damaged."""
        with _telling():
            return [(path.name, _header(path)) for path in sorted(self._folder.glob(f"*{SUFFIX}"), reverse=True)]

    def restore(self, name: str, database: Database, actor: str, *, without_keys: bool = False) -> Path:
        """Put a backup in force, running auth or not; what was there is backed up first, as which it returns.

        One with credentials that no key of the vault here opens is refused, unless it may be ``without_keys``."""
        with self._opened(self._path(name)) as copy:
            if not without_keys:
                self._refuse_unopened(copy, name)
            kept = self.create(database, "restore", actor, spare=name)
            copy_in(copy, database)
        self._note(database, actor, "restore", name)
        return kept

    def _refuse_unopened(self, copy: Path, name: str) -> None:
        lacking = unopened(copy, self._data_dir, self._env)
        if lacking:
            told = "\n".join(f"  {count} with the vault key '{kek}': {why}" for kek, (count, why) in lacking.items())
            raise InvalidRequest(
                f"{name} is not restored: it has credentials sealed with keys that the vault does not have here:\n"
                f"{told}\nKeys are in no backup: put them where the vault has its own (vault.keys in the data "
                "directory, OMNIROUTE_VAULT_KEYS or OMNIROUTE_VAULT_KEYS_FILE), after the first one. Where they are "
                "lost, --without-vault-keys restores the rest, and those accounts need their credentials given again",
                param="name",
            )

    def export(self, name: str, to: Path) -> None:
        """A checked copy of a backup outside of the data directory, as sealed as it is here."""
        path = self._path(name)
        with self._opened(path):
            _write(to, path.read_bytes())

    def take_in(self, file: Path) -> str:
        """A checked copy of a backup from elsewhere; its name here. It is not put in force by that."""
        with self._opened(file), _telling():
            header, _, _ = unpack(file.read_bytes())
            name = file_name(header, _stamp(header.created))
            _write(_private(self._folder) / name, file.read_bytes())
        return name

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if path.parent != self._folder or not path.is_file():
            raise InvalidRequest(f"there is no backup '{name}' (omniroute backup list)", param="name")
        return path

    @contextlib.contextmanager
    def _opened(self, path: Path) -> Iterator[Path]:
        """The database of a backup as a file, found whole."""
        with _telling(), tempfile.TemporaryDirectory(dir=_private(self._folder)) as scratch:
            try:
                plain = self._plain(path.read_bytes())
            except BackupUnreadable as error:
                raise InvalidRequest(f"{path.name} cannot be used: {error}", param="name") from error
            copy = Path(scratch) / "copy.sqlite3"
            _write(copy, plain)
            check(copy)
            yield copy

    def _plain(self, content: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        header, told, sealed = unpack(content)
        key = self._key()
        if header.key != key_name(key):
            raise BackupUnreadable(f"it is sealed with another key ({header.key}, not {key_name(key)}): see {KEY_FILE}")
        try:
            plain = _cipher(key).decrypt(bytes.fromhex(header.nonce), sealed, told)
        except (InvalidTag, ValueError):
            raise BackupUnreadable("it was changed or is damaged") from None
        if len(plain) != header.size or hashlib.sha256(plain).hexdigest() != header.sha256:
            raise BackupUnreadable("its content is not what its first lines say")
        return plain

    def _key(self) -> bytes:
        given = self._env.get(KEY_FILE, "").strip()
        path = Path(given) if given else self._own_key
        if not given and not path.exists():
            with contextlib.suppress(FileExistsError):
                _write(path, secrets.token_hex(32).encode() + b"\n", new=True)
        try:
            return read_key(path.read_text(encoding="ascii", errors="replace"))
        except BackupUnreadable as error:
            raise DependencyUnavailable(f"{path}: {error}") from error

    def _keep(self) -> int:
        written = self._env.get(KEEP, "").strip() or str(DEFAULT_KEEP)
        if not written.isascii() or not written.isdigit() or not 1 <= int(written) <= 10_000:
            raise DependencyUnavailable(f"{KEEP} is '{written}': give a number of backups to keep, 1 or more")
        return int(written)

    def _note(self, database: Database, actor: str, action: str, name: str) -> None:
        with database.writing() as connection:
            audit.append(
                connection, at=now_ms(), organisation=DEFAULT_ORGANISATION, actor=actor, action=f"backup.{action}",
                target=f"backup/{name}",
            )  # fmt: skip


def _cipher(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _stamp(created: int) -> str:
    at = datetime.fromtimestamp(created / 1000, UTC)
    return f"{at:%Y%m%dT%H%M%S}{created % 1000:03}Z"


def _header(path: Path) -> Header | None:
    try:
        return unpack(path.read_bytes())[0]
    except BackupUnreadable:
        return None


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _write(path: Path, content: bytes, *, new: bool = False) -> None:
    """Whole or not at all, for its owner only."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(scratch, path)
        else:
            scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DependencyUnavailable(f"backups cannot be kept: {error}") from error
