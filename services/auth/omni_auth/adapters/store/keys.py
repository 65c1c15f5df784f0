"""Keys and publications: the ``KeyStore`` port, and keys as part of a change of the configuration."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest
from sqlalchemy import Connection, RowMapping, select

from omni_auth.adapters.store import changes
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.location import locate
from omni_auth.adapters.store.tables import ENTITIES, keys, meta, past_secrets, publication
from omni_auth.adapters.store.upgrade import bring_up, ensure_pepper
from omni_auth.domain.apikeys import OlderSecret, StoredKey, taken
from omni_auth.domain.applied_keys import HeldKeys, KeyStep
from omni_auth.ports import Publication

log = logging.getLogger("omniroute.auth")

# The fields that something is asked or unique by, and what had one always; any other is in the document.
_IN_COLUMNS = [name for name in StoredKey.__struct_fields__ if name in keys.c]
_AS_JSON = ("models", "rules")


class SqlStore:
    """In the database that ``env`` names, else in the data directory (see ``locate``)."""

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None) -> None:
        self.database = Database(locate(data_dir, env or {}))
        self._data_dir, self._env = data_dir, env or {}

    def open(self) -> None:
        self.database.open()
        try:
            bring_up(self.database, self._before_migration)
            ensure_pepper(self.database)
        except BaseException:
            self.database.close()
            raise

    def _before_migration(self, database: Database, found: str) -> None:
        from omni_auth.adapters.backup import Backups

        made = Backups(self._data_dir, self._env).create(database, "migration", "auth")
        log.info("the database has schema %s and is migrated; how it was is kept in %s", found, made)

    def close(self) -> None:
        self.database.close()

    def version(self) -> int:
        return self.database.version()

    def pepper(self) -> bytes:
        with self.database.reading() as connection:
            return bytes(connection.execute(select(meta.c.value).where(meta.c.name == "pepper")).scalar_one())

    def stored_keys(self) -> list[StoredKey]:
        with self.database.reading() as connection:
            rows = connection.execute(select(keys).where(keys.c.revoked.is_(None)).order_by(keys.c.id)).mappings()
            return [_key(row) for row in rows]

    def revoked_keys(self, organisation: str) -> list[StoredKey]:
        gone = keys.c.revoked.is_not(None), keys.c.organisation == organisation
        with self.database.reading() as connection:
            return [_key(row) for row in connection.execute(select(keys).where(*gone).order_by(keys.c.id)).mappings()]

    def insert(self, key: StoredKey, actor: str = "api") -> None:
        own = keys.c.organisation == key.organisation
        named = select(keys.c.id).where(own, keys.c.name == key.name, keys.c.revoked.is_(None))
        whose = select(ENTITIES["organisations"].c.id).where(ENTITIES["organisations"].c.id == key.organisation)
        with self.database.writing() as connection:
            if connection.scalar(whose) is None:
                raise InvalidRequest(f"there is no organisation '{key.organisation}'", param="organisation")
            if connection.scalar(named) is not None:
                raise taken(key.name)
            connection.execute(keys.insert(), _row(key))
            _changed(connection, key, "create", key.created, actor, after=key)

    def rotate(self, key: StoredKey, replaces: bytes, now: int, actor: str = "api") -> bool:
        held = keys.c.id == key.id, keys.c.digest == replaces, keys.c.revoked.is_(None)
        written = _row(key)
        secrets = {name: written[name] for name in ("digest", "hint", "document")}
        renewed = keys.update().where(*held).values(**secrets, version=keys.c.version + 1, updated_at=now * 1000)
        with self.database.writing() as connection:
            row = connection.execute(select(keys).where(*held)).mappings().first()
            if row is None:
                return False
            connection.execute(renewed)
            _changed(connection, key, "rotate", now, actor, before=_key(row), after=key)
        return True

    def revoke(self, key_id: str, now: int, actor: str = "api") -> bool:
        there = select(keys).where(keys.c.id == key_id, keys.c.revoked.is_(None))
        gone = (
            keys.update()
            .where(keys.c.id == key_id, keys.c.revoked.is_(None))
            .values(revoked=now, version=keys.c.version + 1, updated_at=now * 1000)
        )
        with self.database.writing() as connection:
            row = connection.execute(there).mappings().first()
            if row is None:
                return False
            connection.execute(gone)
            self._unlimit(connection, key_id, now, actor)
            _changed(connection, _key(row), "revoke", now, actor, before=_key(row))
        return True

    def _unlimit(self, connection: Connection, key_id: str, now: int, actor: str) -> None:
        """Limits of the key alone end with it: revoking it must not wait for somebody to delete them."""
        limits, table = Repository(self.database, "limits"), ENTITIES["limits"]
        for row in connection.execute(select(table).where(table.c.key == key_id)).mappings().all():
            limits.remove(connection, limits.entity(row), now=now * 1000, actor=actor)

    def revision(self) -> int:
        """The last that was in force; 0 before the first."""
        with self.database.reading() as connection:
            return int(connection.scalar(select(publication.c.revision)) or 0)

    def advance(self, content: bytes, above: int, now: int, since: int | None = None) -> Publication | None:
        with self.database.writing() as connection:
            row = connection.execute(select(publication)).mappings().first()
            last = int(row["revision"]) if row else 0
            if row and bytes(row["content"]) == content and last > above:
                return Publication(last, int(row["created"]))
            if since is not None and self.database.version() != since:
                return None
            revision = max(last, above) + 1
            values = {"revision": revision, "content": content, "created": now}
            if row:
                connection.execute(publication.update(), values)
            else:
                connection.execute(publication.insert(), {"one": 1, **values})
        return Publication(revision, now)


def held_keys(connection: Connection, organisation: str) -> HeldKeys:
    """Within the caller's transaction."""
    own, revoked, used = dict[str, StoredKey](), dict[str, OlderSecret](), dict[bytes, str]()
    for digest, key_id in connection.execute(select(past_secrets.c.digest, past_secrets.c.key)):
        used[bytes(digest)] = key_id
    for row in connection.execute(select(keys).order_by(keys.c.id)).mappings():
        key = _key(row)
        used |= dict.fromkeys((key.digest, *(older.digest for older in key.older)), key.id)
        if key.organisation != organisation:
            continue
        if row["revoked"] is None:
            own[key.name] = key
        else:
            revoked[key.id] = OlderSecret(key.digest, int(row["revoked"]))
    return HeldKeys(own, revoked, used)


def write_key(connection: Connection, step: KeyStep, *, now: int, actor: str) -> None:
    """Within the caller's transaction; ``now`` in epoch seconds. A revoked key of that id is in force again."""
    row = _row(step.after) | {"revoked": None, "updated_at": now * 1000}
    same = keys.c.id == step.after.id
    if connection.scalar(select(keys.c.id).where(same)) is None:
        connection.execute(keys.insert(), row)
    else:
        connection.execute(keys.update().where(same).values(**row, version=keys.c.version + 1))
    _changed(connection, step.after, step.action, now, actor, before=step.before, after=step.after)


def _changed(
    connection: Connection,
    key: StoredKey,
    action: str,
    now: int,
    actor: str,
    *,
    before: StoredKey | None = None,
    after: StoredKey | None = None,
) -> None:
    changes.record(
        connection,
        at=now * 1000,
        organisation=key.organisation,
        actor=actor,
        kind="keys",
        target=key.id,
        action=action,
        before=msgspec.to_builtins(before, builtin_types=(bytes,)),
        after=msgspec.to_builtins(after, builtin_types=(bytes,)),
    )


def _row(key: StoredKey) -> dict[str, Any]:
    values = msgspec.to_builtins(key, builtin_types=(bytes,))
    row = {name: values.pop(name) for name in _IN_COLUMNS}
    row |= {name: msgspec.json.encode(row[name]).decode() for name in _AS_JSON}
    return row | {"document": msgspec.json.encode(values).decode(), "updated_at": key.created * 1000}


def _key(row: RowMapping) -> StoredKey:
    values = msgspec.json.decode(row["document"], type=dict[str, Any])
    values |= {name: row[name] for name in _IN_COLUMNS}
    values |= {name: msgspec.json.decode(row[name]) for name in _AS_JSON}
    return msgspec.convert(values, StoredKey)
