"""PeoplePort, small enough to read: three people and their sessions, whose tokens are their roles."""

import hashlib
from typing import Any

import msgspec
from omni_core.ports.configuration import Caller
from omni_core.ports.people import (
    Enrolled,
    Enrolment,
    Invitation,
    LogIn,
    LoginOptions,
    OidcOpened,
    OidcProvider,
    Opened,
    Origin,
    Person,
    Redirect,
    SessionInfo,
    TokenInfo,
    Who,
)
from omni_wire.errors import InvalidRequest, Unauthenticated

ROLES = ("owner", "admin", "billing", "developer", "viewer")
PASSWORD = "a horse, a battery and a staple"


def token(role: str) -> str:
    return f"ors-{role}"


def digest(of: str) -> bytes:
    return hashlib.sha256(of.encode()).digest()


def who(role: str, organisation: str = "default", **more: Any) -> Who:
    person = Person(f"u-{role}", "dora" if role == "developer" else role, role, organisation, "active", True)
    return Who(person, SessionInfo(f"s-{role}", 1, 2, 3, "127.0.0.1", "tests"), **more)


class Folk:
    def __init__(self) -> None:
        self.sessions = {digest(token(role)): who(role) for role in ROLES}
        self.asked: list[Any] = []
        self.origins: list[Origin] = []
        self.callers: list[Caller] = []
        self.calls = 0
        self.failure: Exception | None = None

    async def options(self) -> LoginOptions:
        return LoginOptions(False, (OidcProvider("corp", "Corp"),))

    async def log_in(self, origin: Origin, asked: LogIn) -> Opened:
        self.origins.append(origin)
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure
        if asked.password != PASSWORD:
            raise Unauthenticated("the name or the password is wrong", code="wrong_login")
        return self._open(asked.name)

    def _open(self, role: str) -> Opened:
        fresh = f"{token(role)}-{len(self.sessions)}"
        self.sessions[digest(fresh)] = who(role)
        return Opened(fresh, self.sessions[digest(fresh)])

    async def begin_oidc(self, provider: str, redirect: str, following: str) -> Redirect:
        if provider != "corp":
            raise Unauthenticated("there is no such provider", code="oidc_refused")
        self.asked.append((provider, redirect, following))
        return Redirect("https://corp.example/authorize?state=oro-state", "oro-state")

    async def finish_oidc(self, origin: Origin, state: str, code: str) -> OidcOpened:
        if code != "good":
            raise Unauthenticated("it has expired: try again", code="oidc_refused")
        self.origins.append(origin)
        return OidcOpened(self._open("viewer"), "/people")

    async def who(self, session: bytes) -> Who:
        self.calls += 1
        found = self.sessions.get(session)
        if found is None:
            raise Unauthenticated("your session has ended", code="session_ended")
        return found

    async def look(self, token: str) -> TokenInfo:
        if token != "orl-good":
            raise Unauthenticated("this link was used already", code="token_not_known")
        return TokenInfo("invite", "default", "owner", 9)

    async def redeem(self, origin: Origin, token: str, name: str, password: str, code: str = "") -> Opened:
        await self.look(token)
        self.origins.append(origin)
        return self._open(name or "owner")

    async def list_sessions(self, session: bytes) -> tuple[SessionInfo, ...]:
        mine = await self.who(session)
        return tuple(one.session for one in self.sessions.values() if one.person.id == mine.person.id)

    async def end_sessions(self, session: bytes, only: str = "") -> int:
        mine = await self.who(session)
        gone = [
            held
            for held, one in self.sessions.items()
            if one.person.id == mine.person.id and (one.session.id == only if only else held != session)
        ]
        for held in gone:
            del self.sessions[held]
        return len(gone)

    async def change_password(self, origin: Origin, session: bytes, old: str, new: str) -> Opened:
        mine = await self.who(session)
        del self.sessions[session]
        return self._open(mine.person.role)

    async def begin_totp(self, session: bytes) -> Enrolment:
        await self.who(session)
        return Enrolment("ABCD", "otpauth://totp/x")

    async def confirm_totp(self, origin: Origin, session: bytes, code: str) -> Enrolled:
        return Enrolled(("abcd-efgh",), await self.change_password(origin, session, "", ""))

    async def remove_totp(self, session: bytes, password: str) -> None:
        await self.who(session)

    async def list_people(self, caller: Caller) -> tuple[Person, ...]:
        self.callers.append(caller)
        return tuple(one.person for one in self.sessions.values())

    async def invite(self, caller: Caller, name: str, role: str) -> Invitation:
        self.callers.append(caller)
        return Invitation(Person("u-new", name, role, caller.organisation, "invited"), "orl-new", 9)

    async def change_person(self, caller: Caller, person: str, role: str = "", disabled: bool | None = None) -> Person:
        self.callers.append(caller)
        for held, one in list(self.sessions.items()):
            if one.person.id == person:
                del self.sessions[held]
                return msgspec.structs.replace(one.person, role=role or one.person.role)
        raise InvalidRequest("there is no such person", status=404, code="not_found")

    async def reset_person(self, caller: Caller, person: str, what: str) -> Invitation:
        return Invitation(await self.change_person(caller, person), "orl-reset" if what == "password" else "", 9)

    async def remove_person(self, caller: Caller, person: str) -> Person:
        return await self.change_person(caller, person)
