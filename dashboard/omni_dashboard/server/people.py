"""People over HTTP: log-in, one's own account, and the people of an organisation."""

from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import Path, Query
from omni_core.ports.people import LogIn, Opened, Origin
from omni_wire.errors import InvalidRequest, LimitError, PermissionDenied, RequestError, Unauthenticated
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from omni_dashboard.domain import browsers
from omni_dashboard.domain.access import ADMIN, PERSON
from omni_dashboard.people import People, digest
from omni_dashboard.server.people_schemas import (
    ChangeBody,
    ConfirmBody,
    ConfirmedBody,
    EndBody,
    EndedOut,
    EnrolledOut,
    EnrolmentOut,
    InvitationOut,
    InviteBody,
    LogInBody,
    LoginProviderOut,
    LookBody,
    LookOut,
    PasswordBody,
    PeopleOut,
    PersonOut,
    RedeemBody,
    ResetBody,
    SessionItem,
    SessionOut,
    SessionsOut,
)
from omni_dashboard.server.routes import JSON, PUBLIC, Row, identity_of, management_of, session_token
from omni_dashboard.server.schemas import Organisation

AREA = "people"
_Id = Annotated[str, Path(alias="id", pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def rows() -> tuple[Row, ...]:
    return (
        Row("GET", "/api/session", PUBLIC, session, SessionOut, name="get_session"),
        Row("POST", "/api/session", PUBLIC, log_in, SessionOut, takes=JSON, also=(401, 403, 429)),
        Row("POST", "/api/session/look", PUBLIC, look, LookOut, takes=JSON, also=(401, 403)),
        Row("POST", "/api/session/redeem", PUBLIC, redeem, SessionOut, takes=JSON, also=(401, 403, 429)),
        Row("GET", "/api/session/oidc/callback", PUBLIC, end_oidc, None, 302, also=(403,)),
        Row("GET", "/api/session/oidc/{id}", PUBLIC, begin_oidc, None, 302, also=(403,)),
        Row("DELETE", "/api/session", PERSON, log_out, None, 204),
        Row("GET", "/api/account/sessions", PERSON, list_sessions, SessionsOut),
        Row("POST", "/api/account/sessions/end", PERSON, end_sessions, EndedOut, takes=JSON),
        Row("POST", "/api/account/password", PERSON, change_password, SessionOut, takes=JSON, also=(429,)),
        Row("POST", "/api/account/totp", PERSON, begin_totp, EnrolmentOut, also=(409,)),
        Row("POST", "/api/account/totp/confirm", PERSON, confirm_totp, EnrolledOut, takes=JSON, also=(429,)),
        Row("POST", "/api/account/totp/remove", PERSON, remove_totp, None, 204, takes=JSON, also=(429,)),
        Row("GET", "/api/people", ADMIN, list_people, PeopleOut, area=AREA),
        Row("POST", "/api/people", ADMIN, invite, InvitationOut, 201, AREA, JSON),
        Row("PATCH", "/api/people/{id}", ADMIN, change_person, PersonOut, area=AREA, takes=JSON),
        Row("DELETE", "/api/people/{id}", ADMIN, remove_person, PersonOut, area=AREA),
        Row("POST", "/api/people/{id}/reset", ADMIN, reset_person, InvitationOut, area=AREA, takes=JSON),
    )


# ---- logging in ------------------------------------------------------------------------------------------------------


async def session(request: Request) -> SessionOut:
    """Who is logged in here, if anybody, and how one may."""
    people = _people(request)
    token = session_token(request)
    if token:
        try:
            who = await people.who(token)
        except Unauthenticated:
            token = ""
        else:
            return SessionOut(
                person=PersonOut.of(who.person),
                csrf=browsers.csrf_token(token),
                session=who.session.id,
                expires=who.session.expires,
                must_enrol=who.must_enrol,
            )
    found = await people.ask(people.port.options())
    providers = [LoginProviderOut(id=one.id, title=one.title) for one in found.providers]
    return SessionOut(needs_setup=found.needs_setup, providers=providers)


async def log_in(request: Request, response: Response, given: LogInBody) -> SessionOut:
    """Begin a session: its cookie is in the answer. 401 `wrong_login` for whatever is wrong with name or password,
    `totp_needed` where a code is missing."""
    browsers.check_page(request.headers)
    people, held = _people(request), session_token(request)
    known = digest(held) if held else b""
    asked = LogIn(given.organisation, given.name, given.password, given.code, known)
    opened = await people.began(people.port.log_in(_origin(request), asked))
    return _begin(request, response, opened, given.next)


async def look(request: Request, given: LookBody) -> LookOut:
    """What a link is for. It stays good."""
    browsers.check_page(request.headers)
    people = _people(request)
    found = await people.ask(people.port.look(given.token))
    return LookOut(kind=found.kind, organisation=found.organisation, name=found.name, expires=found.expires)


async def redeem(request: Request, response: Response, given: RedeemBody) -> SessionOut:
    """Choose a password by a link, which ends with that, and be logged in."""
    browsers.check_page(request.headers)
    people = _people(request)
    opened = await people.began(
        people.port.redeem(_origin(request), given.token, given.name, given.password, given.code)
    )
    return _begin(request, response, opened)


async def log_out(request: Request, response: Response) -> None:
    """End this session."""
    people = _people(request)
    ending = people.port.end_sessions(digest(session_token(request)), identity_of(request).session)
    await people.changed(ending)
    for name in (browsers.SECURE, browsers.PLAIN):
        response.delete_cookie(name, secure=name == browsers.SECURE, httponly=True, samesite="lax")


def _begin(request: Request, response: Response, opened: Opened, following: str = "/") -> SessionOut:
    set_cookie(request, response, opened.token)
    who = opened.who
    return SessionOut(
        person=PersonOut.of(who.person),
        csrf=browsers.csrf_token(opened.token),
        session=who.session.id,
        expires=who.session.expires,
        must_enrol=who.must_enrol,
        next="/account" if who.must_enrol else browsers.safe_next(following),
    )


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Raises ``PermissionDenied`` where a session would be everybody's to read."""
    _set(response, token, browsers.is_secure(request.headers, request.url.scheme))


def _set(response: Response, token: str, secure: bool) -> None:
    name = browsers.SECURE if secure else browsers.PLAIN
    response.set_cookie(name, token, path="/", secure=secure, httponly=True, samesite="lax")


def _people(request: Request) -> People:
    return management_of(request).people


def _origin(request: Request, secure: bool = False) -> Origin:
    """Raises ``PermissionDenied`` where no session could be kept, before anything is done."""
    if not secure:
        browsers.is_secure(request.headers, request.url.scheme)
    peer = str(request.client.host) if request.client else ""
    address = str(management_of(request).door.client(peer, request.scope["headers"]) or "")
    return Origin(address, request.headers.get("user-agent", ""))


async def begin_oidc(
    request: Request, id_: _Id, following: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """Log in at a provider: the browser is sent there, and comes back to `/api/session/oidc/callback`."""
    people, base = _people(request), _own_address(request)
    redirect = f"{base}/api/session/oidc/callback"
    try:
        found = await people.ask_elsewhere(people.port.begin_oidc(id_, redirect, browsers.safe_next(following)))
    except RequestError as error:
        return _to_log_in(error.message)
    answer = RedirectResponse(found.url, 302)
    secure = base.startswith("https:")
    name = browsers.SECURE_FLOW if secure else browsers.PLAIN_FLOW
    answer.set_cookie(name, found.state, max_age=600, path="/", secure=secure, httponly=True, samesite="lax")
    return answer


async def end_oidc(
    request: Request,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Where a provider sends the browser: with a session to where it was going, or back to the log-in."""
    people, secure = _people(request), _own_address(request).startswith("https:")
    held = request.cookies.get(browsers.SECURE_FLOW if secure else browsers.PLAIN_FLOW, "")
    if not state or not browsers.same(held, state):
        return _to_log_in("this log-in was not begun in this browser, or took too long: begin again")
    try:
        if error or not code:
            raise InvalidRequest(f"the provider let nobody in ({error or 'it gave no code'}): ask who looks after it")
        found = await people.ask_elsewhere(people.port.finish_oidc(_origin(request, secure), state, code))
    except (RequestError, LimitError) as problem:
        answer = _to_log_in(problem.message)
    else:
        people.forget()
        answer = RedirectResponse(browsers.safe_next(found.next), 302)
        _set(answer, found.opened.token, secure)
    answer.delete_cookie(browsers.SECURE_FLOW if secure else browsers.PLAIN_FLOW, secure=secure, httponly=True)
    return answer


def _own_address(request: Request) -> str:
    """Scheme and host that a browser finds us at, as OMNIROUTE_PUBLIC_URL says, or on this machine. Raises
    ``PermissionDenied`` where neither is known: a provider sends nobody to an address that anybody could have made
    up."""
    told = urlsplit(management_of(request).endpoint)
    if told.scheme and told.netloc:
        return f"{told.scheme}://{told.netloc}"
    host = request.headers.get("host", "")
    if not browsers.is_loopback(host):
        raise PermissionDenied("set OMNIROUTE_PUBLIC_URL to log in at a provider", code="no_public_url")
    return f"{request.url.scheme}://{host}"


def _to_log_in(told: str) -> Response:
    return RedirectResponse(f"/login?{urlencode({'problem': told})}", 302)


# ---- one's own account -----------------------------------------------------------------------------------------------


async def list_sessions(request: Request) -> SessionsOut:
    """Where one is logged in."""
    people = _people(request)
    found = await people.ask(people.port.list_sessions(_mine(request)))
    return SessionsOut(sessions=[SessionItem.of(one, identity_of(request).session) for one in found])


async def end_sessions(request: Request, given: EndBody) -> EndedOut:
    """End one of one's sessions, or all but this one."""
    people = _people(request)
    return EndedOut(ended=await people.changed(people.port.end_sessions(_mine(request), given.only)))


async def change_password(request: Request, response: Response, given: PasswordBody) -> SessionOut:
    """Another password. All sessions end, and this one goes on as a new one."""
    people = _people(request)
    changing = people.port.change_password(_origin(request), _mine(request), given.old, given.new)
    return _begin(request, response, await people.began(changing))


async def begin_totp(request: Request) -> EnrolmentOut:
    """A second factor to set up. It counts once a code of it was confirmed."""
    people = _people(request)
    found = await people.ask(people.port.begin_totp(_mine(request)))
    return EnrolmentOut(secret=found.secret, uri=found.uri)


async def confirm_totp(request: Request, response: Response, given: ConfirmBody) -> EnrolledOut:
    """Let a second factor count. All sessions end, and this one goes on as a new one."""
    people = _people(request)
    found = await people.changed(people.port.confirm_totp(_origin(request), _mine(request), given.code))
    set_cookie(request, response, found.opened.token)
    return EnrolledOut(codes=[*found.codes], csrf=browsers.csrf_token(found.opened.token))


async def remove_totp(request: Request, given: ConfirmedBody) -> None:
    """Log in without a second factor from now on. All other sessions end."""
    people = _people(request)
    await people.changed(people.port.remove_totp(_mine(request), given.password))


def _mine(request: Request) -> bytes:
    return digest(session_token(request))


# ---- people of an organisation ---------------------------------------------------------------------------------------


async def list_people(request: Request, organisation: Organisation = "") -> PeopleOut:
    """Who may log in."""
    people, caller = _people(request), management_of(request).caller(identity_of(request), organisation)
    return PeopleOut(people=[PersonOut.of(one) for one in await people.ask(people.port.list_people(caller))])


async def invite(request: Request, given: InviteBody, organisation: Organisation = "") -> InvitationOut:
    """A login for somebody, and the link to choose a password with: in this answer and nowhere else."""
    people, caller = _people(request), management_of(request).caller(identity_of(request), organisation)
    return InvitationOut.of(await people.ask(people.port.invite(caller, given.name, given.role)), "invite")


async def change_person(request: Request, given: ChangeBody, id_: _Id, organisation: Organisation = "") -> PersonOut:
    """Another role, or no log-in for a while. Their sessions end."""
    people, caller = _people(request), management_of(request).caller(identity_of(request), organisation)
    return PersonOut.of(await people.changed(people.port.change_person(caller, id_, given.role or "", given.disabled)))


async def remove_person(request: Request, id_: _Id, organisation: Organisation = "") -> PersonOut:
    """Take a login away. The user stays, for the keys that are theirs."""
    people, caller = _people(request), management_of(request).caller(identity_of(request), organisation)
    return PersonOut.of(await people.changed(people.port.remove_person(caller, id_)))


async def reset_person(request: Request, given: ResetBody, id_: _Id, organisation: Organisation = "") -> InvitationOut:
    """A link to choose another password with (the old one ends now), no second factor, or no sessions."""
    people, caller = _people(request), management_of(request).caller(identity_of(request), organisation)
    return InvitationOut.of(await people.changed(people.port.reset_person(caller, id_, given.what)), "reset")
