"""``/api/logins``: logging in at providers that give no API key, and what has come of it."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from fastapi import Path
from omni_core.ports.logins import LoginInfo, LoginKind, LoginPoll, Logins, LoginStart, NewLogin
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from omni_dashboard.domain.access import ADMIN
from omni_dashboard.server.routes import JSON, Row, identity_of, management_of

AREA = "config"
MOST_TOKENS = 64 * 1024
_ALSO = (404, 502, 504)
_WORD = r"^[A-Za-z0-9_.@+-]*$"
LoginId = Annotated[str, Path(max_length=120, pattern=r"^[a-z0-9-]+/[A-Za-z0-9_.@+-]+$", description="kind/name")]
FlowId = Annotated[str, Path(max_length=64, pattern=r"^[0-9a-f]+$")]


class LoginOut(BaseModel):
    """``state`` is good or closed, then with the ``reason``. Times are epoch milliseconds; ``ends`` is when what
    requests carry is over unless it is renewed, null for never. ``accounts`` use it."""

    id: str
    login: str
    title: str
    label: str
    state: str
    reason: str | None
    ends: int | None
    renewed: int
    connected: int
    accounts: list[str]

    @classmethod
    def of(cls, found: LoginInfo) -> "LoginOut":
        said = msgspec.structs.asdict(found)
        return cls(**{**said, "reason": found.reason or None, "ends": found.ends or None})


class LoginKindOut(BaseModel):
    """One way to log in. ``risk`` is why that may cost the account, to be accepted in ``accept_terms``; ``missing``
    what has to be set first. ``listens``: the page goes back to this ``port`` (0: any) of the person's own machine."""

    id: str
    title: str
    flows: list[str]
    risk: str | None
    note: str | None
    parameters: list[str]
    missing: str | None
    port: int
    listens: bool

    @classmethod
    def of(cls, found: LoginKind) -> "LoginKindOut":
        said = msgspec.structs.asdict(found)
        return cls(**{**said, **{name: said[name] or None for name in ("risk", "note", "missing")}})


class LoginsOut(BaseModel):
    logins: list[LoginOut]
    kinds: list[LoginKindOut]

    @classmethod
    def of(cls, found: Logins) -> "LoginsOut":
        return cls(logins=list(map(LoginOut.of, found.logins)), kinds=list(map(LoginKindOut.of, found.kinds)))


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    login: str = Field(min_length=1, max_length=60, description="its id or another of its names")
    account: str = Field("", max_length=60, pattern=_WORD, description="what it is called; empty for its owner's name")
    accept_terms: str = Field("", max_length=60, description="the login's id, where its provider minds such use")
    parameters: dict[str, str] = Field(default_factory=dict, max_length=8)


class LoginIn(_Asked):
    """``port`` is where a listener on the person's own machine waits, 0 for none: then the address is pasted."""

    flow: Literal["", "code", "device"] = ""
    port: int = Field(0, ge=0, le=65_535)

    @property
    def new(self) -> NewLogin:
        return _new(self, self.flow, self.port)


class ImportIn(_Asked):
    """``tokens`` is another program's token file, or a token."""

    tokens: str = Field(min_length=1, max_length=MOST_TOKENS)

    @property
    def new(self) -> NewLogin:
        return _new(self)


class CallbackIn(BaseModel):
    """The address that the browser ended at, or ``code#state``."""

    model_config = ConfigDict(extra="forbid")

    callback: str = Field(min_length=1, max_length=MOST_TOKENS)


class LoginStartOut(BaseModel):
    """Log in at ``url``. A code's address is then given to ``/api/logins/finish`` (once, until ``ends``, epoch
    milliseconds); a device's ``user_code`` is typed there, and ``/api/logins/flows/{id}/poll`` asked each ``interval``
    seconds."""

    id: str
    flow: str
    url: str
    ends: int
    redirect: str | None
    user_code: str | None
    interval: float

    @classmethod
    def of(cls, found: LoginStart) -> "LoginStartOut":
        said = msgspec.structs.asdict(found)
        return cls(**{**said, **{name: said[name] or None for name in ("redirect", "user_code")}})


class LoginPollOut(BaseModel):
    """``login`` once somebody has said yes; until then ask again in ``wait`` seconds."""

    login: LoginOut | None
    wait: float

    @classmethod
    def of(cls, found: LoginPoll) -> "LoginPollOut":
        return cls(login=LoginOut.of(found.login) if found.login is not None else None, wait=found.wait)


def _new(asked: _Asked, flow: str = "", port: int = 0) -> NewLogin:
    parameters: Mapping[str, str] = asked.parameters
    return NewLogin(asked.login, asked.account, flow, port, asked.accept_terms, parameters)


def rows() -> tuple[Row, ...]:
    one, flow = "/api/logins/{login:path}", "/api/logins/flows/{flow}/poll"
    return (
        Row("GET", "/api/logins", ADMIN, list_logins, LoginsOut, area=AREA),
        Row("POST", "/api/logins", ADMIN, begin_login, LoginStartOut, area=AREA, takes=JSON, also=_ALSO),
        Row("POST", "/api/logins/finish", ADMIN, finish_login, LoginOut, area=AREA, takes=JSON, also=_ALSO),
        Row("POST", "/api/logins/import", ADMIN, import_login, LoginOut, area=AREA, takes=JSON, also=_ALSO),
        Row("POST", flow, ADMIN, poll_login, LoginPollOut, area=AREA, also=(409, 502, 504)),
        Row("POST", f"{one}/refresh", ADMIN, refresh_login, LoginOut, area=AREA, also=(502, 504)),
        Row("DELETE", one, ADMIN, forget_login, None, 204, AREA),
    )


async def list_logins(request: Request) -> LoginsOut:
    """The logins that there are, and the ways to log in."""
    found = await management_of(request).login(identity_of(request), lambda port, who: port.list_logins(who))
    return LoginsOut.of(found)


async def begin_login(request: Request, asked: LoginIn) -> LoginStartOut:
    """Begin to log in at a provider. It is over in five minutes."""
    begun = await management_of(request).login(identity_of(request), lambda port, who: port.begin_login(who, asked.new))
    return LoginStartOut.of(begun)


async def finish_login(request: Request, asked: CallbackIn) -> LoginOut:
    """End a login that began at a page. Once: whoever has it again begins anew."""
    ended = await management_of(request).login(
        identity_of(request), lambda port, who: port.finish_login(who, asked.callback)
    )
    return LoginOut.of(ended)


async def import_login(request: Request, asked: ImportIn) -> LoginOut:
    """Take in the tokens of another program."""
    ended = await management_of(request).login(
        identity_of(request), lambda port, who: port.import_login(who, asked.new, asked.tokens)
    )
    return LoginOut.of(ended)


async def poll_login(request: Request, flow: FlowId) -> LoginPollOut:
    """Whether somebody has said yes to a device."""
    found = await management_of(request).login(identity_of(request), lambda port, who: port.poll_login(who, flow))
    return LoginPollOut.of(found)


async def refresh_login(request: Request, login: LoginId) -> LoginOut:
    """Renew its tokens now."""
    found = await management_of(request).login(identity_of(request), lambda port, who: port.refresh_login(who, login))
    return LoginOut.of(found)


async def forget_login(request: Request, login: LoginId) -> Response:
    """Forget its tokens. Accounts that use it are not served until somebody logs in again."""
    await management_of(request).login(identity_of(request), lambda port, who: port.forget_login(who, login))
    return Response(status_code=204)
