"""PeoplePort: people log in, see and end their sessions, and are invited, changed and removed by who may do so.

Of auth. Tokens (of sessions and for one use) are secrets of 256 random bits; who holds a session is told by its
SHA-256, so that the token itself crosses no process border but when it is made. A password does, once, to be hashed.

All raise ``Unauthenticated``: "wrong_login", "totp_needed" (the password was right, and a code is missing),
"session_ended", "token_not_known"; ``RateLimited`` with a time to wait; ``InvalidRequest`` for a field that is wrong.
Times in epoch ms, 0 for never.
"""

from typing import Protocol

import msgspec

from omni_core.ports.configuration import Caller


class Origin(msgspec.Struct, frozen=True):
    """Where a call comes from: the client's ``address``, and what its browser calls itself."""

    address: str = ""
    agent: str = ""


class Person(msgspec.Struct, frozen=True):
    """``status`` is "invited", "active" or "disabled"; ``role`` of ``omni_catalogue.roles``."""

    id: str
    name: str
    role: str
    organisation: str
    status: str
    has_password: bool = False
    has_totp: bool = False
    last_login: int = 0


class SessionInfo(msgspec.Struct, frozen=True):
    id: str
    created: int
    seen: int
    expires: int
    address: str
    agent: str


class Who(msgspec.Struct, frozen=True):
    """Who is logged in. With ``must_enrol`` their organisation asks for a second factor that they do not have yet."""

    person: Person
    session: SessionInfo
    must_enrol: bool = False


class Opened(msgspec.Struct, frozen=True):
    """A session that has begun; its ``token`` is told this once."""

    token: str
    who: Who

    def __repr__(self) -> str:
        return f"Opened({self.who!r})"


class LogIn(msgspec.Struct, frozen=True):
    """``code`` is of the second factor, or one to recover with. ``known`` is the SHA-256 of a token that the browser
    still had, b"" for none."""

    organisation: str
    name: str
    password: str
    code: str = ""
    known: bytes = b""

    def __repr__(self) -> str:
        return f"LogIn({self.organisation!r})"


class TokenInfo(msgspec.Struct, frozen=True):
    """What a token for one use is for: ``kind`` is "setup", "invite" or "reset"; ``name`` whose it is, "" for the first
    owner, who says."""

    kind: str
    organisation: str
    name: str
    expires: int


class Invitation(msgspec.Struct, frozen=True):
    """``token`` is told this once, and good until ``expires``; "" where there is none, 0 then."""

    person: Person
    token: str = ""
    expires: int = 0

    def __repr__(self) -> str:
        return f"Invitation({self.person!r})"


class Enrolment(msgspec.Struct, frozen=True):
    """A second factor that is offered: its ``secret`` and the ``otpauth:`` address that says the same."""

    secret: str
    uri: str

    def __repr__(self) -> str:
        return "Enrolment()"


class Enrolled(msgspec.Struct, frozen=True):
    """``codes`` to recover with are told this once. ``opened`` is the session in the place of all there were."""

    codes: tuple[str, ...]
    opened: Opened

    def __repr__(self) -> str:
        return "Enrolled()"


class OidcProvider(msgspec.Struct, frozen=True):
    id: str
    title: str


class Redirect(msgspec.Struct, frozen=True):
    """Where a browser goes to log in elsewhere, and the ``state`` that it must still have when it comes back."""

    url: str
    state: str

    def __repr__(self) -> str:
        return "Redirect()"


class OidcOpened(msgspec.Struct, frozen=True):
    """``next`` is what was said when it began."""

    opened: Opened
    next: str


class LoginOptions(msgspec.Struct, frozen=True):
    """``needs_setup`` while nobody owns the platform."""

    needs_setup: bool
    providers: tuple[OidcProvider, ...] = ()


class PeoplePort(Protocol):
    async def options(self) -> LoginOptions: ...

    async def log_in(self, origin: Origin, asked: LogIn) -> Opened: ...

    async def begin_oidc(self, provider: str, redirect: str, following: str) -> Redirect:
        """At an OpenID provider, which sends the browser back to ``redirect``. Raises ``Unauthenticated``
        ("oidc_refused"), which says what is to be done; so does the end of it."""
        ...

    async def finish_oidc(self, origin: Origin, state: str, code: str) -> OidcOpened: ...

    async def who(self, session: bytes) -> Who:
        """Whose session that is; it counts as used. Raises ``Unauthenticated``."""
        ...

    async def look(self, token: str) -> TokenInfo:
        """What a token for one use is good for; it stays good."""
        ...

    async def redeem(self, origin: Origin, token: str, name: str, password: str, code: str = "") -> Opened:
        """Use one up: the person has that password from now on, and is logged in. ``name`` is the first owner's,
        ``code`` of a second factor, where there is one."""
        ...

    async def list_sessions(self, session: bytes) -> tuple[SessionInfo, ...]:
        """All that are live of whoever holds ``session``, the newest first."""
        ...

    async def end_sessions(self, session: bytes, only: str = "") -> int:
        """End ``only`` one of them, one's own too, or all others; how many that were."""
        ...

    async def change_password(self, origin: Origin, session: bytes, old: str, new: str) -> Opened:
        """All sessions are over but a new one."""
        ...

    async def begin_totp(self, session: bytes) -> Enrolment: ...

    async def confirm_totp(self, origin: Origin, session: bytes, code: str) -> Enrolled:
        """It counts from now on."""
        ...

    async def remove_totp(self, session: bytes, password: str) -> None: ...

    async def list_people(self, caller: Caller) -> tuple[Person, ...]: ...

    async def invite(self, caller: Caller, name: str, role: str) -> Invitation:
        """A login for the user ``name``, who is made where there is none."""
        ...

    async def change_person(self, caller: Caller, person: str, role: str = "", disabled: bool | None = None) -> Person:
        """Of the id ``person``. Sessions of theirs are over. Raises ``InvalidRequest``: 404, or 409 for the last
        owner."""
        ...

    async def reset_person(self, caller: Caller, person: str, what: str) -> Invitation:
        """``what`` is "password" (a token to choose another; sessions are over), "totp" or "sessions"."""
        ...

    async def remove_person(self, caller: Caller, person: str) -> Person: ...
