"""Changes of the configuration, each decided on what is there and made in one transaction."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, func, select

from omni_auth.adapters.store.changes import Outbox
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.keys import held_keys, write_key
from omni_auth.adapters.store.tables import ENTITIES, keys, outbox
from omni_auth.domain.applied_keys import HeldKeys, KeyStep
from omni_auth.domain.entities import DEFAULT_ORGANISATION, KINDS, Entity
from omni_auth.domain.objects import LIMITS, PLATFORM, Held, HeldKey
from omni_auth.domain.planning import Step, is_sealed, sealed_version


class SqlObjects:
    """The ``ObjectStore`` port."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self._of = {kind: Repository(database, kind) for kind in KINDS}

    def held(self, organisation: str = DEFAULT_ORGANISATION) -> Held:
        return read_held(self._database, organisation)

    def limits(self) -> Held:
        with self._database.reading() as connection:
            found = [one for kind in ("teams", "users", LIMITS) for one in _entities(self._of[kind], connection)]
            return Held(found, _keys(connection))

    def change(
        self,
        organisation: str,
        decide: Callable[[Held], Sequence[Step]],
        *,
        now: int,
        actor: str,
        dry_run: bool = False,
        decide_keys: Callable[[HeldKeys], Sequence[KeyStep]] | None = None,
    ) -> tuple[Held, list[Step]]:
        with self._database.writing() as connection:
            held = _held(self._of, connection, organisation)
            steps = decide(held)
            key_steps = decide_keys(held_keys(connection, organisation)) if decide_keys is not None else ()
            if dry_run:
                return held, list(steps)
            for key in key_steps:  # first, for limits may be of them
                write_key(connection, key, now=now // 1000, actor=actor)
            done = [self._do(connection, step, now, actor) for step in steps]
        return held, done

    def last_change(self) -> int:
        with self._database.reading() as connection:
            return connection.scalar(select(func.max(outbox.c.seq))) or 0

    def told(self, change: int) -> None:
        Outbox(self._database).forget(change)

    def _do(self, connection: Connection, step: Step, now: int, actor: str) -> Step:
        repository = self._of[step.entity.kind]
        if is_sealed(step.before) and not is_sealed(step.after):
            self._vault.forget(connection, step.entity.id)
        if step.after is None:
            repository.remove(connection, step.entity, now=now, actor=actor)
            return step
        expected = step.before.version if step.before is not None else 0
        entity = repository.write(connection, step.after, expected=expected, now=now, actor=actor)
        if step.secret:
            version = sealed_version(entity)
            self._vault.seal(
                connection,
                organisation=entity.organisation,
                account_id=entity.id,
                version=version,
                secret=step.secret,
                now=now,
            )
        return msgspec.structs.replace(step, after=entity)


def read_held(database: Database, organisation: str = DEFAULT_ORGANISATION) -> Held:
    """What an organisation sees, where there is no vault at hand."""
    with database.reading() as connection:
        return _held({kind: Repository(database, kind) for kind in KINDS}, connection, organisation)


def _held(of: Mapping[str, Repository], connection: Connection, organisation: str) -> Held:
    found: list[Entity] = []
    for kind in KINDS:
        found += _entities(of[kind], connection, DEFAULT_ORGANISATION if kind in PLATFORM else organisation)
    return Held(found, _keys(connection, organisation))


def _entities(of: Repository, connection: Connection, organisation: str = "") -> list[Entity]:
    """Those of an organisation, or of every one. All see which organisations there are."""
    table = ENTITIES[of.kind]
    asked = select(table).order_by(table.c.id)
    if organisation and of.kind != "organisations":
        asked = asked.where(table.c.organisation == organisation)
    return list(map(of.entity, connection.execute(asked).mappings()))


def _keys(connection: Connection, organisation: str = "") -> list[HeldKey]:
    asked = select(keys.c.id, keys.c.name, keys.c.team, keys.c.user).where(keys.c.revoked.is_(None))
    if organisation:
        asked = asked.where(keys.c.organisation == organisation)
    return [HeldKey(**row) for row in connection.execute(asked.order_by(keys.c.id)).mappings()]
