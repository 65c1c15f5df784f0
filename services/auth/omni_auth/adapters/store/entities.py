"""The repository that all kinds of entity share: the ``EntityStore`` port."""

from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, select

from omni_auth.adapters.store import changes
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.tables import ENTITIES, keys, metadata, people
from omni_auth.domain import entities
from omni_auth.domain.entities import KINDS, Entity
from omni_auth.ports import Page

MOST = 1_000
_OWNERS = {"teams": keys.c.team, "users": keys.c.user}


class Repository:
    """Entities of one kind. Every question names the organisation, so that no other's are ever answered."""

    def __init__(self, database: Database, kind: str) -> None:
        self._database, self._kind, self._table = database, KINDS[kind], ENTITIES[kind]

    @property
    def kind(self) -> str:
        return self._kind.name

    def get(self, organisation: str, entity_id: str) -> Entity | None:
        with self._database.reading() as connection:
            return self._get(connection, organisation, entity_id)

    def list(self, organisation: str, *, after: str = "", limit: int = 100, **relations: str) -> Page:
        table = self._table
        asked = select(table).where(
            table.c.organisation == organisation,
            table.c.id > after,
            *(table.c[name] == value for name, value in relations.items()),
        )
        limit = max(1, min(limit, MOST))
        with self._database.reading() as connection:
            rows = connection.execute(asked.order_by(table.c.id).limit(limit + 1)).mappings().all()
        found = tuple(self.entity(row) for row in rows[:limit])
        return Page(found, found[-1].id if len(rows) > limit else "")

    def put(self, entity: Entity, *, expected: int | None, now: int, actor: str) -> Entity:
        with self._database.writing() as connection:
            return self.write(connection, entity, expected=expected, now=now, actor=actor)

    def write(self, connection: Connection, entity: Entity, *, expected: int | None, now: int, actor: str) -> Entity:
        """As ``put``, within the caller's transaction."""
        entities.check(entity)
        held = self._get(connection, entity.organisation, entity.id)
        self._expect(held, expected)
        self._fit(connection, entity)
        if held is None:
            new = msgspec.structs.replace(entity, version=1, created=now, updated=now)
            connection.execute(self._table.insert(), self._row(new))
            self._changed(connection, "create", now, actor, None, new)
            return new
        new = msgspec.structs.replace(entity, version=held.version, created=held.created, updated=held.updated)
        if new == held:
            return held
        new = msgspec.structs.replace(new, version=held.version + 1, updated=now)
        connection.execute(self._table.update().where(self._table.c.id == entity.id), self._row(new))
        self._changed(connection, "update", now, actor, held, new)
        return new

    def delete(self, organisation: str, entity_id: str, *, expected: int | None, now: int, actor: str) -> bool:
        with self._database.writing() as connection:
            held = self._get(connection, organisation, entity_id)
            if held is None and expected is None:
                return False
            self._expect(held, expected)
            if held is None:
                return False
            self.remove(connection, held, now=now, actor=actor)
        return True

    def remove(self, connection: Connection, held: Entity, *, now: int, actor: str) -> None:
        """Within the caller's transaction. Raises ``InvalidRequest`` for one that something still refers to; keys that
        are revoked do not count."""
        if (owner := _OWNERS.get(self._kind.name)) is not None:
            connection.execute(
                keys.update().where(owner == held.id, keys.c.revoked.is_not(None)).values({owner.name: None})
            )
        if self._kind.name == "users" and connection.scalar(select(people.c.id).where(people.c.id == held.id)):
            told = "this user may log in: take the login away first (DELETE /api/people, 'omniroute people remove')"
            raise InvalidRequest(told, status=409, code="in_use")
        if user := self._user(connection, held.id):
            raise InvalidRequest(f"this {self._kind.word} still has {user}", status=409, code="in_use")
        connection.execute(self._table.delete().where(self._table.c.id == held.id))
        self._changed(connection, "delete", now, actor, held, None)

    def _get(self, connection: Connection, organisation: str, entity_id: str) -> Entity | None:
        mine = and_(self._table.c.organisation == organisation, self._table.c.id == entity_id)
        row = connection.execute(select(self._table).where(mine)).mappings().first()
        return self.entity(row) if row is not None else None

    def _expect(self, held: Entity | None, expected: int | None) -> None:
        there = held.version if held else 0
        if expected not in (None, there):
            told = f"is at version {there}" if there else "is not there"
            raise InvalidRequest(
                f"the {self._kind.word} {told}, not at {expected}" if expected else f"the {self._kind.word} {told}",
                status=412,
                code="version_mismatch",
            )

    def _fit(self, connection: Connection, entity: Entity) -> None:
        """Raises ``InvalidRequest`` for an id, a name or a relation that the rest of the database does not allow."""
        table, word = self._table, self._kind.word
        own = self._kind.name == "organisations"
        if own and entity.organisation != entity.id:
            raise InvalidRequest("organisation: an organisation is its own", param="organisation")
        if not own and not _there(connection, "organisations", entity.organisation, entity.organisation):
            raise InvalidRequest("organisation: there is no such organisation", param="organisation")
        if connection.scalar(
            select(table.c.id).where(table.c.id == entity.id, table.c.organisation != entity.organisation)
        ):
            raise InvalidRequest(f"id: another {word} has it", param="id", status=409, code="taken")
        for relation, target in entity.relations.items():
            if not _there(connection, self._kind.relations[relation], entity.organisation, target):
                raise InvalidRequest(f"{relation}: there is no '{target}'", param=relation)
        place = () if own else (table.c.organisation == entity.organisation, table.c.place == _place(entity))
        if connection.scalar(select(table.c.id).where(table.c.label == entity.name, table.c.id != entity.id, *place)):
            label = self._kind.label or None
            told = f"there is a {word} called '{entity.name}' already" if label else f"there is such a {word} already"
            raise InvalidRequest(told, param=label, status=409, code="taken")

    def _user(self, connection: Connection, entity_id: str) -> str:
        """The kind of something that refers to an entity; "" for nothing."""
        for table in metadata.sorted_tables:
            for key in table.foreign_keys:
                if key.column.table is self._table:
                    others: ColumnElement[bool] = key.parent == entity_id
                    if table is self._table:
                        others = and_(others, table.c.id != entity_id)
                    if connection.scalar(select(table.c.id).where(others).limit(1)) is not None:
                        return table.name
        return ""

    def _changed(
        self, connection: Connection, action: str, now: int, actor: str, before: Entity | None, after: Entity | None
    ) -> None:
        told = after or before
        if told is not None:
            changes.record(
                connection,
                at=now,
                organisation=told.organisation,
                actor=actor,
                kind=told.kind,
                target=told.id,
                action=action,
                before=_told(before),
                after=_told(after),
            )

    def _row(self, entity: Entity) -> dict[str, Any]:
        return {
            "id": entity.id,
            "organisation": entity.organisation,
            "place": _place(entity),
            "label": entity.name,
            "version": entity.version,
            "created_at": entity.created,
            "updated_at": entity.updated,
            "managed_by": entity.managed_by,
            "source": entity.source or None,
            "document": msgspec.json.encode(entity.document).decode(),
        } | {name: entity.relations.get(name) for name in self._kind.relations}

    def entity(self, row: RowMapping) -> Entity:
        """From a row of this kind's table."""
        return Entity(
            kind=self._kind.name,
            id=row["id"],
            organisation=row["organisation"],
            document=msgspec.json.decode(row["document"]),
            relations={name: row[name] for name in self._kind.relations if row[name] is not None},
            version=row["version"],
            created=row["created_at"],
            updated=row["updated_at"],
            managed_by=row["managed_by"],
            source=row["source"] or "",
        )


def _told(entity: Entity | None) -> object:
    if entity is None:
        return None
    more = {"source": entity.source} if entity.source else {}
    return {**entity.document, "version": entity.version, "managed_by": entity.managed_by, **more, **entity.relations}


def _place(entity: Entity) -> str:
    found = entity.relations | entity.words
    return " ".join(f"{name}={found[name]}" for name in sorted(found))


def _there(connection: Connection, kind: str, organisation: str, entity_id: str) -> bool:
    table = metadata.tables[kind]
    mine = and_(table.c.organisation == organisation, table.c.id == entity_id)
    return connection.scalar(select(table.c.id).where(mine)) is not None
