"""An auth service with many keys in this process, its store real and its bucket nowhere."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.metrics import PrometheusMetrics
from omni_auth.adapters.offline import OfflineKeys
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.objects import SqlObjects
from omni_auth.adapters.store_secrets import AccountSecrets
from omni_auth.ports import InBucket
from omni_auth.service import AuthService
from omni_auth.settings import AuthSettings
from omni_catalogue.keyshape import assembled
from omni_core.ids import new_id
from omni_core.ports.auth import NewKey
from prometheus_client import CollectorRegistry

from tests.support.logins import logins_of

NOW = 1_700_000_000


class _Bucket:
    async def get(self) -> InBucket:
        return self.held

    async def put(self, snapshot: bytes) -> None:
        self.held = InBucket(snapshot)

    held = InBucket()


@asynccontextmanager
async def serving_keys(home: Path, count: int, chance: random.Random) -> AsyncIterator[tuple[AuthService, list[str]]]:
    """The service, and its keys."""
    with OfflineKeys(home, chance=chance.randbytes, now=lambda: NOW) as keys:
        made = [keys.create(NewKey(name=f"k{number}")).secret for number in range(count)]
    store = SqlStore(home)
    vault = Vault(store.database, open_keyring(home, {}), os.urandom)
    service = AuthService(
        store=store, objects=SqlObjects(store.database, vault), audit=AuditLog(store.database),
        logins=logins_of(store.database, vault),
        secrets=AccountSecrets({}, home, vault, OwnSecrets({}, home)),
        mint=new_id, source=None, bucket=_Bucket(), metrics=PrometheusMetrics(CollectorRegistry()),
        settings=AuthSettings(poll=3600, republish=3600), now=lambda: NOW, chance=chance.randbytes,
    )  # fmt: skip
    await service.start()
    try:
        yield service, made
    finally:
        await service.stop()


def wrong(key: str, chance: random.Random) -> str:
    """A key with the public id of ``key`` and another secret, its checksum right."""
    return assembled(key.split("-")[1], chance.randbytes(32))


def unknown(chance: random.Random) -> str:
    """A key that nobody has."""
    return assembled(chance.randbytes(4).hex(), chance.randbytes(32))
