"""People who log in: the ``PeopleStore`` port. Each call is one transaction."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest, RateLimited
from sqlalchemy import ColumnElement, Connection, RowMapping, func, or_, select

from omni_auth.adapters.store import audit
from omni_auth.adapters.store.credentials import OF_PEOPLE, Vault
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.tables import ENTITIES, login_tries, one_time_tokens, sessions
from omni_auth.adapters.store.tables import people as persons
from omni_auth.domain import people, scalars, throttle
from omni_auth.domain.entities import DEFAULT_ORGANISATION, Entity
from omni_auth.domain.oidc import Flow, Identified
from omni_auth.domain.people import Login, OneTime, Session
from omni_auth.domain.throttle import Tries
from omni_auth.ports import Noted

MOST_FLOWS = 5_000
_USERS = ENTITIES["users"]
_COLUMNS = ("id", "organisation", "role", "password", "subject")
_DOCUMENT = ("granted", "has_totp", "totp_step", "recovery", "last_login")


class SqlPeople:
    """``vault`` seals second factors; without one there are none."""

    def __init__(self, database: Database, vault: Vault | None = None) -> None:
        self._database, self._vault = database, vault

    # ---- who there is -----------------------------------------------------------------------------------------------

    def all(self, organisation: str) -> tuple[Login, ...]:
        with self._database.reading() as connection:
            return _all(connection, organisation)

    def find(self, organisation: str, name: str) -> Login | None:
        """As it is written, else whichever case it is in, where that is one person."""
        with self._database.reading() as connection:
            return _named(connection, organisation, name)

    def has_owner(self) -> bool:
        """Whether somebody owns the platform, so that there is nothing to set up."""
        with self._database.reading() as connection:
            return _has_owner(connection)

    def asks_for_totp(self, organisation: str) -> bool:
        table = ENTITIES["organisations"]
        with self._database.reading() as connection:
            held = connection.scalar(select(table.c.document).where(table.c.id == organisation))
        said = msgspec.json.decode(held).get("require_totp") if held else None
        return bool(said is not None and scalars.flag_or_none(said))

    # ---- tokens for one use -----------------------------------------------------------------------------------------

    def offer_setup(self, digest: bytes, expires: int, now: int, *, renew: bool) -> bool:
        """Whether a token for the first owner was kept: not where there is one, or (but to ``renew`` it) a token."""
        with self._database.writing() as connection:
            kind = one_time_tokens.c.kind == "setup"
            good = select(one_time_tokens.c.digest).where(kind, one_time_tokens.c.expires_at > now)
            if _has_owner(connection) or (not renew and connection.execute(good).first() is not None):
                return False
            connection.execute(one_time_tokens.delete().where(kind))
            _keep(connection, digest, OneTime(kind="setup", organisation=DEFAULT_ORGANISATION, expires=expires))
        return True

    def token(self, digest: bytes, now: int) -> OneTime | None:
        with self._database.reading() as connection:
            return _token(connection, digest, now)

    def redeem(
        self, digest: bytes, now: int, decide: Callable[[OneTime, Login | None], Login], session: tuple[bytes, Session]
    ) -> Login:
        """Take the token and log in whom ``decide`` makes of it: all or nothing. Raises ``Unauthenticated``."""
        with self._database.writing() as connection:
            token = _token(connection, digest, now)
            if token is None or (token.kind == "setup" and _has_owner(connection)):
                raise people.bad_token()
            held = _one(connection, persons.c.id == token.login) if token.login else None
            if token.login and (held is None or not held.may_log_in):
                raise people.bad_token()
            login = decide(token, held)
            if held is None:
                login = self._join(connection, login, now, f"token:{token.kind}")
            _write(connection, login, now)
            _end(connection, login.id, now)
            connection.execute(one_time_tokens.delete().where(_of_token(token, digest)))
            note = {"setup": "people.setup", "invite": "people.accept", "reset": "people.password"}[token.kind]
            _note(connection, now, login, f"person:{login.id} ({login.name})", note, after=_told(login))
            self._open(connection, login, session, now)
        return login

    # ---- changes by who may make them -------------------------------------------------------------------------------

    def invite(self, login: Login, digest: bytes, expires: int, now: int, actor: str) -> Login:
        """A login for a user, who is made where there is none of that name. Raises ``InvalidRequest`` for one who has
        one already."""
        with self._database.writing() as connection:
            login = self._join(connection, login, now, actor)
            _write(connection, login, now)
            _note(connection, now, login, actor, "people.invite", after=_told(login))
            if login.may_log_in:
                _keep(connection, digest, _for(login, "invite", expires))
        return login

    def change(
        self,
        organisation: str,
        login_id: str,
        decide: Callable[[Login, tuple[Login, ...]], Login],
        *,
        note: Noted,
        now: int,
        end: bool = True,
        token: tuple[bytes, str, int] | None = None,
    ) -> Login:
        """What ``decide`` makes of a login, which sees all of the organisation; with ``end`` its sessions are over.
        ``token`` is digest, kind and end of one to keep for it. Raises ``InvalidRequest`` (404) for none."""
        with self._database.writing() as connection:
            held = _one(connection, persons.c.id == login_id, persons.c.organisation == organisation)
            if held is None:
                raise people.unknown_person()
            login = decide(held, _all(connection, organisation))
            _write(connection, login, now)
            if held.has_totp and not login.has_totp and self._vault is not None:
                self._vault.forget(connection, OF_PEOPLE + login.id)
            if end:
                _end(connection, login.id, now)
            if token is not None:
                connection.execute(one_time_tokens.delete().where(one_time_tokens.c.login == login.id))
                _keep(connection, token[0], _for(login, token[1], token[2]))
            _note(connection, now, login, note.actor, note.action, before=_told(held), after=_told(login))
        return login

    def remove(
        self, organisation: str, login_id: str, check: Callable[[Login, tuple[Login, ...]], None], now: int, actor: str
    ) -> Login:
        """The login and all that is its; the user stays, for the keys that are theirs."""
        with self._database.writing() as connection:
            held = _one(connection, persons.c.id == login_id, persons.c.organisation == organisation)
            if held is None:
                raise people.unknown_person()
            check(held, _all(connection, organisation))
            if self._vault is not None:
                self._vault.forget(connection, OF_PEOPLE + held.id)
            _forget(connection, held.id)
            _note(connection, now, held, actor, "people.remove", before=_told(held))
        return held

    def _join(self, connection: Connection, login: Login, now: int, actor: str) -> Login:
        """The login as that of the user of its name."""
        mine = (_USERS.c.organisation == login.organisation, _USERS.c.label == login.name)
        user = connection.scalar(select(_USERS.c.id).where(*mine))
        if user is None:
            entity = Entity(
                kind="users", id=login.id, organisation=login.organisation, document={"name": login.name}
            )  # fmt: skip
            Repository(self._database, "users").write(connection, entity, expected=0, now=now, actor=actor)
            return login
        if connection.scalar(select(persons.c.id).where(persons.c.id == user)) is not None:
            told = f"'{login.name}' has a login already"
            raise InvalidRequest(told, status=409, code="taken", param="name")
        return msgspec.structs.replace(login, id=str(user))

    # ---- sessions ---------------------------------------------------------------------------------------------------

    def log_in(
        self, login_id: str, tried: Sequence[str], session: tuple[bytes, Session], now: int, replaces: bytes = b"",
        decide: Callable[[Login], Login] = lambda login: login,
    ) -> Login:  # fmt: skip
        """A new session for whom ``decide`` changes by the way. Of what was ``tried``, an address is given back the try
        that was right, the rest is forgotten. The session ``replaces`` is over. Raises ``Unauthenticated`` for who may
        not any more."""
        with self._database.writing() as connection:
            held = _one(connection, persons.c.id == login_id)
            if held is None or not held.may_log_in:
                raise people.refused()
            login = msgspec.structs.replace(decide(held), last_login=now)
            _write(connection, login, now)
            _forgive(connection, tried)
            if replaces:
                same = sessions.c.digest == replaces, sessions.c.ended_at == 0
                connection.execute(sessions.update().where(*same).values(ended_at=now))
            who = f"person:{login.id} ({login.name})"
            _note(connection, now, login, who, "people.login", after={"address": session[1].address})
            self._open(connection, login, session, now)
        return login

    def come_in(
        self,
        found: Identified,
        organisation: str,
        decide: Callable[[Login | None], Login],
        session: tuple[bytes, Session],
        now: int,
    ) -> Login:
        """A session for whom a provider names: by its word for them, else by their address, in an ``organisation``.
        ``decide`` makes a login of what there is, and refuses those who may not."""
        with self._database.writing() as connection:
            held = _one(connection, persons.c.subject == found.subject)
            if held is None and found.email:
                alone = persons.c.subject.is_(None)  # whoever has come in by another word of theirs is somebody else
                held = _named(connection, organisation, found.email, alone)
            login = decide(held)
            if held is None:
                login = self._join(connection, login, now, f"oidc:{found.provider}")
            login = msgspec.structs.replace(login, last_login=now)
            _write(connection, login, now)
            who = f"person:{login.id} ({login.name})"
            told = {**_told(login), "provider": found.provider, "address": session[1].address}
            _note(connection, now, login, who, "people.login", before=_told(held) if held else None, after=told)
            self._open(connection, login, session, now)
        return login

    def begin_flow(self, digest: bytes, flow: Flow, expires: int, now: int) -> None:
        """Keep what the answer of a provider is held against."""
        row = {
            "digest": digest, "kind": "oidc", "organisation": "", "login": None, "expires_at": expires,
            "document": msgspec.json.encode(flow).decode(),
        }  # fmt: skip
        kind = one_time_tokens.c.kind == "oidc"
        with self._database.writing() as connection:
            connection.execute(one_time_tokens.delete().where(kind, one_time_tokens.c.expires_at <= now))
            flows = connection.scalar(select(func.count()).select_from(one_time_tokens).where(kind)) or 0
            if flows >= MOST_FLOWS:  # the oldest go: whoever begins many and ends none keeps nobody out for long
                oldest = select(one_time_tokens.c.digest).where(kind).order_by(one_time_tokens.c.expires_at)
                gone = one_time_tokens.c.digest.in_(oldest.limit(MOST_FLOWS // 10))
                connection.execute(one_time_tokens.delete().where(gone))
            connection.execute(one_time_tokens.insert(), row)

    def end_flow(self, digest: bytes, now: int) -> Flow | None:
        """What was kept, which is good once."""
        good = one_time_tokens.c.digest == digest, one_time_tokens.c.kind == "oidc"
        with self._database.writing() as connection:
            row = connection.execute(select(one_time_tokens).where(*good)).mappings().first()
            connection.execute(one_time_tokens.delete().where(*good))
        return msgspec.json.decode(row["document"], type=Flow) if row and row["expires_at"] > now else None

    def refused(self, login: Login | None, address: str, why: str, now: int) -> None:
        """Write down a log-in that came to nothing. What was typed for a name is not: it may have been a password."""
        with self._database.writing() as connection:
            audit.append(
                connection,
                at=now,
                organisation=login.organisation if login else DEFAULT_ORGANISATION,
                actor=f"address:{address or '-'}",
                action="people.login_refused",
                target=f"people/{login.id if login else '-'}",
                after={"why": why},
            )

    def who(self, digest: bytes, now: int) -> tuple[Login, Session] | None:
        """Whose session it is, and that it was used now."""
        with self._database.reading() as connection:
            session = _session(connection, digest)
            login = _one(connection, persons.c.id == session.login) if session else None
        if session is None or login is None or not session.is_live(now) or not login.may_log_in:
            return None
        if now - session.seen >= people.SEEN_EVERY:
            with self._database.writing() as connection:
                connection.execute(sessions.update().where(sessions.c.digest == digest).values(seen_at=now))
        return login, session

    def knows(self, digest: bytes, login_id: str) -> bool:
        """Whether a browser was logged in as that person before."""
        with self._database.reading() as connection:
            found = _session(connection, digest)
        return found is not None and found.login == login_id

    def sessions(self, login_id: str, now: int) -> list[Session]:
        """Those that are live, the newest first."""
        mine = select(sessions).where(sessions.c.login == login_id, sessions.c.ended_at == 0)
        with self._database.reading() as connection:
            rows = connection.execute(mine.order_by(sessions.c.created_at.desc())).mappings()
            return [found for found in map(_as_session, rows) if found.is_live(now)]

    def end(self, login: Login, now: int, *, only: str = "", but: str = "", actor: str = "") -> int:
        """End a person's session ``only``, or all ``but`` one; how many that were."""
        with self._database.writing() as connection:
            ended = _end(connection, login.id, now, only=only, but=but)
            if ended:
                who = actor or f"person:{login.id} ({login.name})"
                _note(connection, now, login, who, "people.sessions_ended", after={"ended": ended})
        return ended

    def _open(self, connection: Connection, login: Login, session: tuple[bytes, Session], now: int) -> None:
        digest, of = session
        _prune(connection, now)
        connection.execute(
            sessions.insert(),
            {
                "digest": digest, "id": of.id, "login": login.id, "created_at": of.created, "seen_at": of.seen,
                "expires_at": of.expires, "ended_at": 0, "address": of.address, "agent": of.agent,
            },
        )  # fmt: skip

    # ---- guessing ---------------------------------------------------------------------------------------------------

    def attempt(self, subjects: Sequence[str], now: int) -> None:
        """Count a try of each. Raises ``RateLimited`` where one has to wait, and counts none then."""
        with self._database.writing() as connection:
            rows = connection.execute(select(login_tries).where(login_tries.c.subject.in_(subjects))).mappings()
            held = {row["subject"]: Tries(row["count"], row["at"]) for row in rows}
            wait = max(throttle.waits(subject, held.get(subject, Tries()), now) for subject in subjects)
            if wait:
                raise RateLimited("too many tries: wait a little", retry_after=wait / 1000)
            connection.execute(login_tries.delete().where(login_tries.c.at < now - throttle.FORGOTTEN))
            if (connection.scalar(select(func.count()).select_from(login_tries)) or 0) >= throttle.MOST:
                oldest = select(login_tries.c.subject).order_by(login_tries.c.at).limit(throttle.MOST // 10)
                connection.execute(login_tries.delete().where(login_tries.c.subject.in_(oldest)))
            for subject in subjects:
                tries = throttle.tried(held.get(subject, Tries()), now)
                connection.execute(login_tries.delete().where(login_tries.c.subject == subject))
                connection.execute(login_tries.insert(), {"subject": subject, "count": tries.count, "at": tries.at})

    # ---- second factors ---------------------------------------------------------------------------------------------

    def seal_totp(self, login: Login, secret: str, now: int) -> None:
        """Keep a second factor's secret; it counts once the login says so."""
        with self._database.writing() as connection:
            self._sealing().seal(
                connection, organisation=login.organisation, account_id=OF_PEOPLE + login.id, version="1",
                secret=secret, now=now,
            )  # fmt: skip

    def totp(self, login_id: str) -> str:
        """Its secret, "" for none."""
        with self._database.reading() as connection:
            return self._sealing().opened_alone(connection, OF_PEOPLE + login_id)

    def _sealing(self) -> Vault:
        if self._vault is None:
            raise InvalidRequest("there is no vault here for a second factor", status=409, code="no_vault")
        return self._vault


def _all(connection: Connection, organisation: str) -> tuple[Login, ...]:
    mine = select(persons, _USERS.c.label).join(_USERS, _USERS.c.id == persons.c.id)
    rows = connection.execute(mine.where(persons.c.organisation == organisation).order_by(_USERS.c.label)).mappings()
    return tuple(map(_login, rows))


def _one(connection: Connection, *where: ColumnElement[bool]) -> Login | None:
    mine = select(persons, _USERS.c.label).join(_USERS, _USERS.c.id == persons.c.id)
    row = connection.execute(mine.where(*where)).mappings().first()
    return _login(row) if row is not None else None


def _forgive(connection: Connection, tried: Sequence[str]) -> None:
    """Many log in from one address, who must not slow each other; who guesses gets nothing back for a guess."""
    shared = [subject for subject in tried if throttle.is_shared(subject)]
    own = login_tries.c.subject.in_([subject for subject in tried if subject not in shared])
    connection.execute(login_tries.delete().where(own))
    counted = login_tries.c.subject.in_(shared), login_tries.c.count > 0
    connection.execute(login_tries.update().where(*counted).values(count=login_tries.c.count - 1))


def _named(connection: Connection, organisation: str, name: str, *where: ColumnElement[bool]) -> Login | None:
    # A database may know the case of ASCII alone: of other names all that are as long are looked at.
    alike = func.lower(_USERS.c.label) == name.lower() if name.isascii() else func.length(_USERS.c.label) == len(name)
    mine = select(persons, _USERS.c.label).join(_USERS, _USERS.c.id == persons.c.id)
    mine = mine.where(persons.c.organisation == organisation, or_(_USERS.c.label == name, alike), *where)
    rows = connection.execute(mine).mappings()
    found = [_login(row) for row in rows if row["label"].casefold() == name.casefold()]
    exact = [login for login in found if login.name == name]
    return (exact or found)[0] if len(exact or found) == 1 else None


def _has_owner(connection: Connection) -> bool:
    return any(
        login.role == "owner" and not login.disabled and (login.status == "active" or login.last_login)
        for login in _all(connection, DEFAULT_ORGANISATION)
    )


def _login(row: RowMapping) -> Login:
    values: dict[str, Any] = msgspec.json.decode(row["document"])
    values |= {name: row[name] for name in _COLUMNS}
    values |= {"name": row["label"], "disabled": bool(row["disabled"]), "created": row["created_at"]}
    return msgspec.convert(values | {"subject": row["subject"] or ""}, Login)


def _write(connection: Connection, login: Login, now: int) -> None:
    values = msgspec.to_builtins(login)
    row = {name: values[name] for name in _COLUMNS} | {
        "subject": login.subject or None, "disabled": int(login.disabled), "updated_at": now,
        "document": msgspec.json.encode({name: values[name] for name in _DOCUMENT}).decode(),
    }  # fmt: skip
    same = persons.c.id == login.id
    if connection.scalar(select(persons.c.id).where(same)) is None:
        connection.execute(persons.insert(), row | {"created_at": now})
    else:
        connection.execute(persons.update().where(same).values(**row))


def _told(login: Login) -> dict[str, object]:
    """For the audit log."""
    return {"name": login.name, "role": login.role, "status": login.status, "second_factor": login.has_totp}


def _note(
    connection: Connection,
    now: int,
    login: Login,
    actor: str,
    action: str,
    *,
    before: object = None,
    after: object = None,
) -> None:
    audit.append(
        connection,
        at=now,
        organisation=login.organisation,
        actor=actor,
        action=action,
        target=f"people/{login.id}",
        before=before,
        after=after,
    )


def _for(login: Login, kind: str, expires: int) -> OneTime:
    return OneTime(kind=kind, organisation=login.organisation, expires=expires, login=login.id)


def _keep(connection: Connection, digest: bytes, token: OneTime) -> None:
    connection.execute(
        one_time_tokens.insert(),
        {
            "digest": digest, "kind": token.kind, "organisation": token.organisation, "login": token.login or None,
            "expires_at": token.expires, "document": "{}",
        },
    )  # fmt: skip


def _token(connection: Connection, digest: bytes, now: int) -> OneTime | None:
    good = (one_time_tokens.c.digest == digest, one_time_tokens.c.expires_at > now)
    found = select(one_time_tokens, _USERS.c.label).outerjoin(_USERS, _USERS.c.id == one_time_tokens.c.login)
    row = connection.execute(found.where(*good, one_time_tokens.c.kind.in_(people.LIVES))).mappings().first()
    if row is None:
        return None
    return OneTime(
        kind=row["kind"], organisation=row["organisation"], expires=row["expires_at"], login=row["login"] or "",
        name=row["label"] or "",
    )  # fmt: skip


def _of_token(token: OneTime, digest: bytes) -> ColumnElement[bool]:
    """All of a person's: an invitation is of no use to who has reset their password."""
    same = one_time_tokens.c.digest == digest
    return or_(same, one_time_tokens.c.login == token.login) if token.login else same


def _session(connection: Connection, digest: bytes) -> Session | None:
    row = connection.execute(select(sessions).where(sessions.c.digest == digest)).mappings().first()
    return _as_session(row) if row is not None else None


def _as_session(row: RowMapping) -> Session:
    return Session(
        id=row["id"], login=row["login"], created=row["created_at"], seen=row["seen_at"], expires=row["expires_at"],
        ended=row["ended_at"], address=row["address"], agent=row["agent"],
    )  # fmt: skip


def _end(connection: Connection, login_id: str, now: int, *, only: str = "", but: str = "") -> int:
    mine = [sessions.c.login == login_id, sessions.c.ended_at == 0, sessions.c.expires_at > now]
    mine += [sessions.c.id == only] if only else []
    mine += [sessions.c.id != but] if but else []
    return int(connection.execute(sessions.update().where(*mine).values(ended_at=now)).rowcount)


def _forget(connection: Connection, login_id: str) -> None:
    for table in (sessions, one_time_tokens):
        connection.execute(table.delete().where(table.c.login == login_id))
    connection.execute(persons.delete().where(persons.c.id == login_id))


def _prune(connection: Connection, now: int) -> None:
    """Sessions of long ago, tokens that are over, and logins whose user somebody deleted."""
    connection.execute(sessions.delete().where(sessions.c.expires_at < now - people.REMEMBERED))
    connection.execute(one_time_tokens.delete().where(one_time_tokens.c.expires_at < now))
    for gone in connection.scalars(select(persons.c.id).where(persons.c.id.not_in(select(_USERS.c.id)))).all():
        _forget(connection, gone)
