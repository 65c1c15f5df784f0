"""People and sessions, as ``/api`` shows and takes them."""

from typing import Annotated, Literal

import msgspec
from omni_core.ports.people import Invitation, Person, SessionInfo
from pydantic import BaseModel, ConfigDict, Field

Role = Literal["owner", "admin", "billing", "developer", "viewer", "service"]
_Name = Annotated[str, Field(max_length=200)]
_Password = Annotated[str, Field(max_length=1000)]
_Code = Annotated[str, Field(max_length=40, description="of the second factor, or one to recover with")]
_OneTime = Annotated[str, Field(max_length=200)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PersonOut(BaseModel):
    """``status`` is invited, active or disabled; ``last_login`` in epoch ms, 0 for never."""

    id: str
    name: str
    role: str
    organisation: str
    status: str
    has_password: bool
    has_totp: bool
    last_login: int

    @classmethod
    def of(cls, person: Person) -> "PersonOut":
        return cls(**msgspec.structs.asdict(person))


class SessionItem(BaseModel):
    """Times in epoch ms; ``current`` is the one that asks."""

    id: str
    created: int
    seen: int
    expires: int
    address: str
    agent: str
    current: bool

    @classmethod
    def of(cls, session: SessionInfo, current: str) -> "SessionItem":
        return cls(**msgspec.structs.asdict(session), current=session.id == current)


class LoginProviderOut(BaseModel):
    id: str
    title: str


class SessionOut(BaseModel):
    """Who is logged in; ``person`` is null where nobody is. ``csrf`` goes into the header ``x-omniroute-csrf`` of every
    call that changes something. ``next`` is where the page goes on."""

    person: PersonOut | None = None
    csrf: str | None = None
    session: str | None = None
    expires: int | None = None
    must_enrol: bool = False
    needs_setup: bool = False
    providers: list[LoginProviderOut] = []
    next: str = "/"


class LogInBody(_In):
    name: _Name
    password: _Password
    organisation: Annotated[str, Field(max_length=200)] = "default"
    code: _Code = ""
    next: Annotated[str, Field(max_length=2000)] = "/"


class LookBody(_In):
    token: _OneTime


class LookOut(BaseModel):
    """What a link is for; ``name`` is empty for the first owner, who says."""

    kind: str
    organisation: str
    name: str
    expires: int


class RedeemBody(_In):
    token: _OneTime
    password: _Password
    name: _Name = ""
    code: _Code = ""


class SessionsOut(BaseModel):
    sessions: list[SessionItem]


class EndBody(_In):
    only: Annotated[str, Field(max_length=64, description="one session; empty for all others")] = ""


class EndedOut(BaseModel):
    ended: int


class PasswordBody(_In):
    old: _Password
    new: _Password


class EnrolmentOut(BaseModel):
    """Told this once, and in force after it was confirmed."""

    secret: str
    uri: str


class ConfirmBody(_In):
    code: _Code


class EnrolledOut(BaseModel):
    """``codes`` to recover with are told this once; ``csrf`` is of the session that began."""

    codes: list[str]
    csrf: str


class ConfirmedBody(_In):
    password: _Password


class PeopleOut(BaseModel):
    people: list[PersonOut]


class InviteBody(_In):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    role: Role = "developer"


class ChangeBody(_In):
    role: Role | None = None
    disabled: bool | None = None


class ResetBody(_In):
    what: Literal["password", "totp", "sessions"]


class InvitationOut(BaseModel):
    """``link`` is told this once: what stands behind the dashboard's address. Null where there is none."""

    person: PersonOut
    link: str | None
    expires: int

    @classmethod
    def of(cls, made: Invitation, kind: str) -> "InvitationOut":
        link = f"/login#{kind}={made.token}" if made.token else None
        return cls(person=PersonOut.of(made.person), link=link, expires=made.expires)
