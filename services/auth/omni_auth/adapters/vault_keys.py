"""The vault's keys without a running gateway: what ``omniroute vault`` uses. An auth service that runs on the same
store goes on meanwhile, and reads the keys' file again by itself."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from omni_core.clock import now_ms
from omni_wire.errors import DependencyUnavailable, InvalidRequest

from omni_auth.adapters.keyring import Keys, open_keyring
from omni_auth.adapters.offline import actor, open_database
from omni_auth.adapters.store import audit
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.location import Location
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.vault import VaultRefused


class KeyUse(msgspec.Struct, frozen=True):
    """``credentials`` are those that the key wraps; ``is_here`` whether it is in the keyring."""

    id: str
    credentials: int
    is_primary: bool
    is_here: bool


class VaultKeys:
    """Every call blocks and raises ``DependencyUnavailable`` for a store or keys that cannot be used."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database, self._keys = database, keys
        self._vault = Vault(database, keys, os.urandom)

    def status(self) -> list[KeyUse]:
        """The primary first."""
        with _telling():
            ids, used = self._keys.ids(), self._vault.used()
            return [
                KeyUse(kek, used.get(kek, 0), kek == ids[0], kek in ids)
                for kek in (*ids, *(kek for kek in used if kek not in ids))
            ]

    def rotate(self, progress: Callable[[int], None]) -> tuple[str, int]:
        """The primary, and how many credentials came under it. A new one is made where all are under the present one
        and keys are kept here; else what was begun is ended."""
        with _telling():
            primary = self._keys.primary
            if all(kek == primary for kek in self._vault.used()):
                primary = self._keys.renew(datetime.now(UTC).strftime("%Y-%m-%d"))
                self._note("rotate", primary)
            return primary, self._vault.rewrap(now_ms(), actor(), progress)

    def retire(self, kek: str) -> None:
        """Raises ``InvalidRequest`` for one that is still used, or is not here."""
        with _telling():
            if used := self._vault.used().get(kek):
                raise InvalidRequest(f"the key '{kek}' still wraps {used} credentials: omniroute vault rotate first")
            if kek not in self._keys.ids():
                raise InvalidRequest(f"there is no key '{kek}'; there are {', '.join(self._keys.ids())}")
            self._keys.drop(kek)
            self._note("retire", kek)

    def _note(self, action: str, kek: str) -> None:
        with self._database.writing() as connection:
            audit.append(
                connection,
                at=now_ms(),
                organisation=DEFAULT_ORGANISATION,
                actor=actor(),
                action=f"vault.{action}",
                target=f"vault/{kek}",
            )


@contextmanager
def open_vault(data_dir: Path, env: Mapping[str, str]) -> Iterator[VaultKeys]:
    """``with open_vault(data_dir, env) as vault: vault.rotate(print)``."""
    with open_database(data_dir, env) as database, _telling():
        yield VaultKeys(database, open_keyring(data_dir, env))


def unopened(copy: Path, data_dir: Path, env: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """What credentials in the database of a backup are wrapped with and that is not here, by the key's id: how many
    credentials, and why they do not open. Raises ``DependencyUnavailable`` for keys that cannot be used at all."""
    database = Database(Location(copy))
    database.open()
    try:
        with _telling():
            keys = open_keyring(data_dir, env)
            found = Vault(database, keys, os.urandom).unopened()
            return {
                kek: (count, f"the key '{kek}' here is another one" if kek in keys.ids() else reason)
                for kek, (count, reason) in found.items()
            }
    finally:
        database.close()


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except VaultRefused as error:
        raise DependencyUnavailable(str(error)) from None
