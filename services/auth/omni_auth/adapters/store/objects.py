"""Changes of the configuration, each decided on what is there and made in one transaction."""

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection, func, select

from omni_auth.adapters.store.changes import Outbox
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.keys import held_keys, write_key
from omni_auth.adapters.store.tables import ENTITIES, outbox
from omni_auth.domain.applied_keys import HeldKeys, KeyStep
from omni_auth.domain.entities import DEFAULT_ORGANISATION, KINDS, Entity
from omni_auth.domain.objects import PLATFORM, Held
from omni_auth.domain.planning import Step, is_sealed, sealed_version


class SqlObjects:
    """The ``ObjectStore`` port."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self._of = {kind: Repository(database, kind) for kind in KINDS}

    def held(self, organisation: str = DEFAULT_ORGANISATION) -> Held:
        with self._database.reading() as connection:
            return self._held(connection, organisation)

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
            held = self._held(connection, organisation)
            steps = decide(held)
            keys = decide_keys(held_keys(connection, organisation)) if decide_keys is not None else ()
            if dry_run:
                return held, list(steps)
            done = [self._do(connection, step, now, actor) for step in steps]
            for key in keys:
                write_key(connection, key, now=now // 1000, actor=actor)
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

    def _held(self, connection: Connection, organisation: str) -> Held:
        found: list[Entity] = []
        for kind, table in ENTITIES.items():
            whose = DEFAULT_ORGANISATION if kind in PLATFORM else organisation
            asked = select(table).order_by(table.c.id)
            if kind != "organisations":
                asked = asked.where(table.c.organisation == whose)
            found.extend(map(self._of[kind].entity, connection.execute(asked).mappings()))
        return Held(found)
