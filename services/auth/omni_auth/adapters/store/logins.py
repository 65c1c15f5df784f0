"""Logins in the database, their tokens sealed by the vault: the ``LoginStore`` port.

A renewal takes three steps, each a transaction. ``lease`` gives one holder the right to it, with a fence that grows,
and marks that it has begun. Then the provider is asked. ``keep`` writes what it answered only under the newest fence,
so that a holder who was held up cannot put an older token over a newer one.
"""

import msgspec
from omni_core import clock
from omni_wire.errors import DependencyUnavailable, InvalidRequest
from sqlalchemy import Connection, RowMapping, select, text

from omni_auth.adapters.store import audit
from omni_auth.adapters.store.credentials import LOGIN, Vault
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.tables import provider_login_flows, provider_logins
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.logins.flow import Flow
from omni_auth.domain.logins.stored import Leased, StoredLogin
from omni_auth.domain.logins.tokens import CLOSED, GOOD, Grant, Tokens
from omni_auth.domain.vault import VaultRefused

_SEALED, _FLOW = f"{LOGIN}:", f"{LOGIN}_flow:"


class SqlLogins:
    """See the module's docstring."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    # ---- what there is ----------------------------------------------------------------------------------------------

    def all(self) -> list[StoredLogin]:
        with self._database.reading() as connection:
            rows = connection.execute(select(provider_logins).order_by(provider_logins.c.id)).mappings().all()
        return [_login(row) for row in rows]

    def get(self, login_id: str) -> StoredLogin | None:
        with self._database.reading() as connection:
            row = self._row(connection, login_id)
            return self._whole(connection, row) if row is not None else None

    def connect(self, kind: str, name: str, grant: Grant, *, ends: int, now: int, actor: str) -> StoredLogin:
        with self._database.writing() as connection:
            before = self._of(connection, kind, grant.person.subject) or self._row(connection, f"{kind}/{name}")
            subject = grant.person.subject
            if before is not None and before["subject"] and subject and before["subject"] != subject:
                told = f"{before['id']} is {before['label'] or 'somebody else'}'s: give another account name"
                raise InvalidRequest(told, status=409, code="name_taken", param="account")
            # No version and no fence comes twice, not even where one was forgotten and made again.
            version = max(now, before["version"] + 1 if before is not None else 0)
            fence = before["fence"] + 1 if before is not None else now
            login_id = str(before["id"]) if before is not None else f"{kind}/{name}"
            row: dict[str, object] = {
                "id": login_id, "kind": kind, "subject": subject,
                "label": grant.person.label, "state": GOOD, "reason": "", "version": version, "fence": fence,
                "lease_until": 0, "begun_at": 0, "ends_at": ends, "renewed_at": now, "connected_at": now,
            }  # fmt: skip
            if before is not None:
                connection.execute(provider_logins.delete().where(provider_logins.c.id == login_id))
            connection.execute(provider_logins.insert(), row)
            self._seal(connection, login_id, version, grant.tokens, now)
            action = "connect" if before is None else "reconnect"
            _note(connection, login_id, action, now, actor, {"label": row["label"], "ends": ends})
            return self._whole(connection, row)

    def forget(self, login_id: str, now: int, actor: str) -> bool:
        with self._database.writing() as connection:
            row = self._row(connection, login_id)
            if row is None:
                return False
            connection.execute(provider_logins.delete().where(provider_logins.c.id == login_id))
            self._vault.forget(connection, _SEALED + login_id)
            _note(connection, login_id, "forget", now, actor, {"label": row["label"]})
        return True

    # ---- renewing ---------------------------------------------------------------------------------------------------

    def lease(self, login_id: str, version: int, lasts: int) -> Leased | None:
        with self._database.writing() as connection:
            row = self._row(connection, login_id)
            if row is None:
                return None
            found, now = self._whole(connection, row), self._now(connection)
            if row["state"] != GOOD:
                return Leased(found)
            if row["lease_until"] > now:  # also of one who has kept tokens already: what follows them is to come
                return Leased(found, wait=int(row["lease_until"]) - now)
            if row["version"] != version:
                return Leased(found)
            fence = int(row["fence"]) + 1
            connection.execute(
                provider_logins.update()
                .where(provider_logins.c.id == login_id)
                .values(fence=fence, lease_until=now + lasts, begun_at=row["begun_at"] or now)
            )
            return Leased(found, fence, broken_off=int(row["begun_at"]))

    def keep(self, login_id: str, fence: int, tokens: Tokens, *, ends: int, now: int, done: bool) -> StoredLogin | None:
        with self._database.writing() as connection:
            row = self._row(connection, login_id)
            if row is None or row["fence"] != fence:
                return None
            fresh = {**row, "version": int(row["version"]) + 1, "begun_at": 0, "ends_at": ends, "renewed_at": now}
            if done:
                fresh["lease_until"] = 0
            connection.execute(provider_logins.update().where(provider_logins.c.id == login_id).values(**fresh))
            self._seal(connection, login_id, fresh["version"], tokens, now)
            return _login(fresh, tokens)

    def give_back(self, login_id: str, fence: int) -> None:
        mine = provider_logins.c.id == login_id, provider_logins.c.fence == fence
        with self._database.writing() as connection:
            connection.execute(provider_logins.update().where(*mine).values(lease_until=0))

    def close_login(self, login_id: str, fence: int, reason: str, now: int) -> bool:
        with self._database.writing() as connection:
            row = self._row(connection, login_id)
            if row is None or row["fence"] != fence:
                return False
            values = {"state": CLOSED, "reason": reason, "lease_until": 0, "begun_at": 0}
            connection.execute(provider_logins.update().where(provider_logins.c.id == login_id).values(**values))
            _note(connection, login_id, "close", now, "auth", {"reason": reason})
        return True

    # ---- logins under way -------------------------------------------------------------------------------------------

    def put_flow(self, flow: Flow) -> None:
        now = clock.now_ms()
        with self._database.writing() as connection:
            connection.execute(provider_login_flows.delete().where(provider_login_flows.c.id == flow.id))
            row = {"id": flow.id, "ends_at": flow.ends, "next_at": now + flow.interval}
            connection.execute(provider_login_flows.insert(), row)
            self._sealed(connection, _FLOW + flow.id, "1", msgspec.json.encode(flow), now)

    def take_flow(self, flow_id: str, now: int) -> Flow | None:
        with self._database.writing() as connection:
            found = self._flow(connection, flow_id, now)
            self._drop(connection, flow_id)
            return found

    def look_flow(self, flow_id: str, now: int) -> Flow | None:
        with self._database.reading() as connection:
            return self._flow(connection, flow_id, now)

    def turn(self, flow_id: str, now: int, gap: int) -> int:
        with self._database.writing() as connection:
            next_at = (
                connection.scalar(select(provider_login_flows.c.next_at).where(provider_login_flows.c.id == flow_id))
                or 0
            )
            if next_at > now:
                return int(next_at) - now
            connection.execute(
                provider_login_flows.update().where(provider_login_flows.c.id == flow_id).values(next_at=now + gap)
            )
            return 0

    def sweep(self, now: int) -> None:
        over = select(provider_login_flows.c.id).where(provider_login_flows.c.ends_at <= now)
        with self._database.reading() as connection:
            gone = list(connection.scalars(over))
        if gone:
            with self._database.writing() as connection:
                for flow_id in gone:
                    self._drop(connection, flow_id)

    def _flow(self, connection: Connection, flow_id: str, now: int) -> Flow | None:
        ends = connection.scalar(select(provider_login_flows.c.ends_at).where(provider_login_flows.c.id == flow_id))
        if ends is None or ends <= now:
            return None
        said = self._open(connection, _FLOW + flow_id)
        return msgspec.json.decode(said, type=Flow) if said else None

    def _drop(self, connection: Connection, flow_id: str) -> None:
        connection.execute(provider_login_flows.delete().where(provider_login_flows.c.id == flow_id))
        self._vault.forget(connection, _FLOW + flow_id)

    # ---- sealed -----------------------------------------------------------------------------------------------------

    def _seal(self, connection: Connection, login_id: str, version: int, tokens: Tokens, now: int) -> None:
        self._sealed(connection, _SEALED + login_id, str(version), msgspec.json.encode(tokens), now)

    def _sealed(self, connection: Connection, name: str, version: str, content: bytes, now: int) -> None:
        self._vault.seal(
            connection,
            organisation=DEFAULT_ORGANISATION,
            account_id=name,
            version=version,
            secret=content.decode(),
            now=now,
        )

    def _open(self, connection: Connection, name: str) -> str:
        try:
            return self._vault.unsealed(connection, name)
        except VaultRefused as error:
            raise DependencyUnavailable(f"what is sealed for {name.partition(':')[2]} does not open: {error}") from None

    def _whole(self, connection: Connection, row: RowMapping | dict[str, object]) -> StoredLogin:
        said = self._open(connection, f"{_SEALED}{row['id']}")
        return _login(row, msgspec.json.decode(said, type=Tokens) if said else None)

    def _row(self, connection: Connection, login_id: str) -> RowMapping | None:
        return connection.execute(select(provider_logins).where(provider_logins.c.id == login_id)).mappings().first()

    def _of(self, connection: Connection, kind: str, subject: str) -> RowMapping | None:
        """The row of that person; none is where the provider does not tell people apart."""
        if not subject:
            return None
        mine = provider_logins.c.kind == kind, provider_logins.c.subject == subject
        return (
            connection.execute(select(provider_logins).where(*mine).order_by(provider_logins.c.id)).mappings().first()
        )

    def _now(self, connection: Connection) -> int:
        """Epoch ms by the one clock that all processes on this database share."""
        if self._database.is_sqlite:
            return clock.now_ms()
        return int(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp()) * 1000")) or 0)


def _login(row: RowMapping | dict[str, object], tokens: Tokens | None = None) -> StoredLogin:
    said = dict(row)
    numbers = {name: int(str(said[f"{name}_at"])) for name in ("begun", "ends", "renewed", "connected")}
    texts = {name: str(said[name]) for name in ("id", "kind", "subject", "label", "state", "reason")}
    return StoredLogin(**texts, version=int(str(said["version"])), tokens=tokens, **numbers)  # type: ignore[arg-type]


def _note(connection: Connection, login_id: str, action: str, now: int, actor: str, after: object) -> None:
    audit.append(
        connection,
        at=now,
        organisation=DEFAULT_ORGANISATION,
        actor=actor,
        action=f"logins.{action}",
        target=f"logins/{login_id}",
        after=after,
    )
