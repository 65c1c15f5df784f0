"""Auth's database, once for each kind of database there is."""

import os
from collections.abc import Mapping
from pathlib import Path

from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.location import URL, locate

from tests.support.postgres import PostgresServer

KINDS = ("sqlite", "postgresql")


class Place:
    """An empty database, and how a process finds it: ``data_dir`` and ``env``."""

    def __init__(self, kind: str, data_dir: Path, postgres: PostgresServer | None) -> None:
        self.kind = kind
        self.data_dir = data_dir
        self.env: Mapping[str, str] = {} if postgres is None else {URL: postgres.database()}

    def store(self) -> SqlStore:
        return SqlStore(self.data_dir, self.env)

    def vault(self, database: Database) -> Vault:
        return Vault(database, open_keyring(self.data_dir, self.env), os.urandom)

    def database(self) -> Database:
        return Database(locate(self.data_dir, self.env))
