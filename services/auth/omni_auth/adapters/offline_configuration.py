"""The configuration without a running gateway: what ``omniroute apply`` and its like use then.

They decide and check as auth does, with the environment and the configuration file of whoever runs the command, and
write to the store; an auth service that runs on it notices within a second.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from omni_core.clock import now_ms
from omni_core.ids import new_id
from omni_wire.errors import DependencyUnavailable, InvalidRequest

from omni_auth.adapters.config_file import ConfigFile
from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.objects import SqlObjects
from omni_auth.adapters.store_secrets import AccountSecrets
from omni_auth.configuring import Configuring
from omni_auth.domain.apikeys import StoredKey
from omni_auth.domain.configuration import Configuration, empty
from omni_auth.domain.secrecy import secret_version
from omni_auth.domain.vault import VaultRefused


class OfflineConfiguration(Configuring):
    """ConfigurationPort on a store that is open. ``live`` is the configuration file."""

    def __init__(self, store: SqlStore, objects: SqlObjects, secrets: AccountSecrets, live: Configuration) -> None:
        super().__init__(objects, secrets, mint=new_id, now=now_ms)
        self._store, self._file = store, live

    def _live(self) -> Configuration:
        return self._file

    def _number(self) -> int:
        return self._store.revision()

    def _pepper(self) -> bytes:
        return self._store.pepper()

    def _stored_keys(self) -> Sequence[StoredKey]:
        return self._store.stored_keys()

    def _secret_version(self, account_id: str, secret: str) -> str:
        return secret_version(self._store.pepper(), account_id, secret)

    async def _store_changed(self) -> None:
        """Whoever serves from this store looks for himself."""


@contextmanager
def open_configuration(
    data_dir: Path, config_file: Path | None, env: Mapping[str, str]
) -> Iterator[OfflineConfiguration]:
    """``config_file`` is the one that the gateway runs with. Raises ``InvalidRequest`` where that is not good,
    ``DependencyUnavailable`` for a store or keys of the vault that cannot be used."""
    store = SqlStore(data_dir, env)
    store.open()
    try:
        vault = Vault(store.database, open_keyring(data_dir, env), os.urandom)
        objects = SqlObjects(store.database, vault)
        own = OwnSecrets(env, data_dir, config_file)
        secrets = AccountSecrets(env, config_file.parent if config_file else data_dir, vault, own)
        yield OfflineConfiguration(store, objects, secrets, _read(config_file, env, objects))
    except VaultRefused as error:
        raise DependencyUnavailable(str(error)) from None
    finally:
        store.close()


def _read(path: Path | None, env: Mapping[str, str], objects: SqlObjects) -> Configuration:
    if path is None:
        return empty()
    reading = ConfigFile(path, env, objects.held).read()
    if reading.configuration is None:
        told = "\n".join(reading.problems)
        raise InvalidRequest(f"the gateway's own configuration file is not good:\n{told}", param=None)
    return reading.configuration
