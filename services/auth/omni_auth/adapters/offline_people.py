"""People without a running gateway: what ``omniroute people`` and ``omniroute up`` use. A gateway that runs beside it
knows of every change at once: it asks the same database."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from omni_core.clock import now_ms
from omni_core.ids import new_id
from omni_core.ports.configuration import Caller

from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.offline import actor, open_database
from omni_auth.adapters.passwords import Argon2
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.people import SqlPeople
from omni_auth.people import PeopleService


@contextmanager
def open_people(data_dir: Path, env: Mapping[str, str] | None = None) -> Iterator[PeopleService]:
    """``with open_people(data_dir) as people: await people.list_people(caller("default"))``."""
    with open_database(data_dir, env) as database:
        vault = Vault(database, open_keyring(data_dir, env or {}), os.urandom)
        people = PeopleService(SqlPeople(database, vault), Argon2(), now=now_ms, chance=os.urandom, mint=new_id)
        try:
            yield people
        finally:
            people.close()


def caller(organisation: str) -> Caller:
    """Whoever runs this command, about that organisation's people."""
    return Caller(actor(), organisation)


def offer_setup(data_dir: Path, env: Mapping[str, str] | None = None, *, renew: bool = False) -> str:
    """See ``PeopleService.offer_setup``."""
    with open_people(data_dir, env) as people:
        return asyncio.run(people.offer_setup(renew=renew))
