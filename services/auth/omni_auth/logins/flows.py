"""Logging in: a flow is begun, taken up again once, and ends with tokens that are kept, or with nothing."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec
from omni_catalogue.logins import NAMES, Login
from omni_core.ports.configuration import Caller
from omni_core.ports.logins import LoginInfo, LoginKind, LoginPoll, Logins, LoginStart, NewLogin
from omni_core.redaction import keep_secret
from omni_wire.errors import InvalidRequest, PermissionDenied

from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.logins import calls, pasted, steps
from omni_auth.domain.logins.calls import ClientId
from omni_auth.domain.logins.flow import LASTS_MS, Flow, flow_id
from omni_auth.domain.logins.stored import StoredLogin
from omni_auth.domain.logins.tokens import Grant, LoginRefused, name_of
from omni_auth.domain.problems import suggestion
from omni_auth.logins.driving import told
from omni_auth.logins.renewing import Renewing
from omni_auth.ports import Chance, LoginCatalogue, LoginStore, LoginWeb
from omni_auth.settings import AuthSettings

_ANY_PORT = 8976  # of an address that nobody listens at: it is only pasted
_WORD = 200


class Flows:
    """``accounts`` gives the accounts that use each login, by its id."""

    def __init__(
        self,
        store: LoginStore,
        web: LoginWeb,
        catalogue: LoginCatalogue,
        renewing: Renewing,
        settings: AuthSettings,
        now: Callable[[], int],
        chance: Chance,
        accounts: Callable[[], Mapping[str, tuple[str, ...]]],
    ) -> None:
        self._store, self._web, self._catalogue, self._renewing = store, web, catalogue, renewing
        self._settings, self._now, self._chance, self._accounts = settings, now, chance, accounts

    # ---- to begin ---------------------------------------------------------------------------------------------------

    async def begin(self, caller: Caller, new: NewLogin) -> LoginStart:
        login = self._checked(caller, new)
        flow = new.flow or login.flows[0]
        if flow not in login.flows or flow == "import":
            there = ", ".join(login.flows)
            raise InvalidRequest(f"{login.title} cannot be logged in to by {flow}: there is {there}", param="flow")
        client = self._catalogue.client(login)
        verifier = calls.word_of(self._chance(calls.VERIFIER_BYTES))
        keep_secret(verifier)
        begun = Flow(
            id="", kind=login.id, account=new.account, flow=flow, actor=caller.actor, ends=self._now() + LASTS_MS,
            verifier=verifier, parameters=dict(new.parameters),
        )  # fmt: skip
        if flow == "device":
            return await self._begin_device(login, client, begun)
        state = calls.word_of(self._chance(calls.STATE_BYTES))
        redirect = _redirect(login, new.port)
        begun = msgspec.structs.replace(begun, id=flow_id(state), state=state, redirect=redirect)
        await asyncio.to_thread(self._store.put_flow, begun)
        url = calls.authorize_url(login, client, redirect, state, verifier, new.parameters)
        return LoginStart(begun.id, flow, url, begun.ends, redirect)

    async def _begin_device(self, login: Login, client: ClientId, begun: Flow) -> LoginStart:
        asking = steps.device_begun(login, client, begun.verifier, begun.parameters)
        code = await told(self._web, login, asking, self._settings.login_ask, _meant(begun))
        keep_secret(code.code)
        made = code.client or ClientId()
        begun = msgspec.structs.replace(
            begun,
            id=flow_id(code.code),
            device_code=code.code,
            interval=int(code.interval * 1000),
            ends=min(begun.ends, self._now() + int(code.expires_in * 1000)),
            client_id=made.id,
            client_secret=made.secret,
        )
        await asyncio.to_thread(self._store.put_flow, begun)
        return LoginStart(
            begun.id, "device", code.url_complete or code.url, begun.ends, "", code.user_code, code.interval
        )

    # ---- to end -----------------------------------------------------------------------------------------------------

    async def finish(self, caller: Caller, callback: str) -> LoginInfo:
        refuse_guests(caller)
        try:
            said = pasted.callback(callback)
        except LoginRefused as error:
            raise InvalidRequest(str(error), code=error.code or "login_refused") from None
        flow = await asyncio.to_thread(self._store.take_flow, flow_id(said.state), self._now())
        if flow is None or flow.flow != "code":
            raise _unknown()
        login = self._of(flow.kind)
        keep_secret(said.code)
        asking = steps.exchanged(
            login,
            self._catalogue.client(login),
            said.code,
            said.state,
            flow.verifier,
            flow.redirect,
            flow.parameters,
            self._now(),
        )
        found = await told(self._web, login, asking, self._settings.login_ask, _meant(flow))
        return await self._ended(caller, login, flow, found)

    async def poll(self, caller: Caller, flow: str) -> LoginPoll:
        refuse_guests(caller)
        found = await asyncio.to_thread(self._store.look_flow, flow, self._now())
        if found is None or found.flow != "device":
            raise _unknown()
        wait = await asyncio.to_thread(self._store.turn, flow, self._now(), found.interval)
        if wait:
            return LoginPoll(wait=wait / 1000)
        login = self._of(found.kind)
        client = ClientId(found.client_id, found.client_secret) if found.client_id else self._catalogue.client(login)
        asking = steps.device_polled(login, client, found.device_code, found.verifier, found.parameters, self._now())
        try:
            answer = await told(self._web, login, asking, self._settings.login_ask, _meant(found))
        except InvalidRequest:
            await asyncio.to_thread(self._store.take_flow, flow, self._now())
            raise
        if isinstance(answer, steps.Pending):
            return await self._slower(found, answer)
        if await asyncio.to_thread(self._store.take_flow, flow, self._now()) is None:
            raise _unknown()
        return LoginPoll(await self._ended(caller, login, found, answer))

    async def _slower(self, flow: Flow, pending: steps.Pending) -> LoginPoll:
        if pending.slower:
            flow = msgspec.structs.replace(flow, interval=flow.interval + int(pending.slower * 1000))
            await asyncio.to_thread(self._store.put_flow, flow)
        return LoginPoll(wait=flow.interval / 1000)

    async def take_in(self, caller: Caller, new: NewLogin, tokens: str) -> LoginInfo:
        login = self._checked(caller, new)
        if "import" not in login.flows:
            raise InvalidRequest(f"{login.title} has no tokens to be imported", param="login")
        client = self._catalogue.client(login) if login.renews is not None else ClientId(login.client.id)
        found = pasted.imported(login, tokens, client.id, new.parameters, self._now())
        flow = Flow("", login.id, new.account, "import", caller.actor, 0, parameters=dict(new.parameters))
        return await self._ended(caller, login, flow, found)

    async def _ended(self, caller: Caller, login: Login, flow: Flow, found: Grant) -> LoginInfo:
        """Keep what was given, once all that belongs to it is there: a login that is half one is none."""
        within = self._settings.login_ask
        keep_secret(found.tokens.access)
        if found.tokens.refresh:
            keep_secret(found.tokens.refresh)
        over = found.tokens.expires and found.tokens.expires <= self._now()
        tokens = msgspec.structs.replace(found.tokens, parameters=dict(flow.parameters))
        if not over:  # what is imported may have to be renewed first
            found = await told(self._web, login, steps.identified(login, found), within, _meant(flow))
            following = steps.followed(login, tokens, self._now())
            tokens = await told(self._web, login, following, within, _meant(flow))
        found = msgspec.structs.replace(found, tokens=tokens)
        name = flow.account or name_of(found.person, login)

        def connect() -> StoredLogin:
            now = self._now()
            return self._store.connect(login.id, name, found, ends=tokens.ends, now=now, actor=caller.actor)

        kept = await asyncio.to_thread(connect)
        self._renewing.forget(kept.id)
        return self._info(kept)

    # ---- what there is ----------------------------------------------------------------------------------------------

    async def list(self, caller: Caller) -> Logins:
        refuse_guests(caller)
        rows = await asyncio.to_thread(self._store.all)
        kinds = [self._kind(login) for login in self._catalogue.logins.values()]
        return Logins(tuple(map(self._info, rows)), tuple(kinds))

    async def forget(self, caller: Caller, login_id: str) -> None:
        refuse_guests(caller)
        if not await asyncio.to_thread(self._store.forget, login_id, self._now(), caller.actor):
            raise InvalidRequest(f"there is no login '{login_id}'", status=404, code="not_found", param="login")
        self._renewing.forget(login_id)

    async def renew(self, caller: Caller, login_id: str) -> LoginInfo:
        refuse_guests(caller)
        return self._info(await self._renewing.renew(login_id))

    def _info(self, found: StoredLogin) -> LoginInfo:
        login = self._catalogue.logins.get(found.kind)
        return LoginInfo(
            found.id, found.kind, login.title if login is not None else found.kind, found.label, found.state,
            found.reason, found.ends, found.renewed, found.connected, self._accounts().get(found.id, ()),
        )  # fmt: skip

    def _kind(self, login: Login) -> LoginKind:
        missing = ""
        try:
            self._catalogue.client(login)
        except InvalidRequest as error:
            missing = error.message
        said = login.authorize
        return LoginKind(
            login.id, login.title, login.flows, login.risk, login.note, login.parameters, missing,
            said.port if said is not None else 0, said is not None and not said.redirect,
        )  # fmt: skip

    # ---- what is refused --------------------------------------------------------------------------------------------

    def _checked(self, caller: Caller, new: NewLogin) -> Login:
        """Raises ``InvalidRequest`` for a login that is not there, whose risk nobody has accepted, or that lacks a
        word."""
        refuse_guests(caller)
        login = self._of(NAMES.get(new.login, new.login))
        if login.risk and NAMES.get(new.accept_terms) != login.id:
            raise InvalidRequest(
                f"{login.risk} Whoever takes that risk says so: accept_terms: {login.id} (--accept-risk)",
                code="terms_not_accepted",
                param="accept_terms",
            )
        missing = [name for name in login.parameters if not new.parameters.get(name)]
        if missing:
            note = f" ({login.note})" if login.note else ""
            raise InvalidRequest(f"{login.title} needs {' and '.join(missing)}{note}", param="parameters")
        for name, value in new.parameters.items():
            _check_parameter(login, name, value)
        if new.account and (len(new.account) > 60 or not all(c.isalnum() or c in "-_.@+" for c in new.account)):
            raise InvalidRequest("account: letters, digits, - _ . @ + and 60 of them at most", param="account")
        return login

    def _of(self, name: str) -> Login:
        login = self._catalogue.logins.get(name)
        if login is None:
            near = suggestion(name, list(NAMES)) or f"; there are {', '.join(self._catalogue.logins)}"
            raise InvalidRequest(f"there is no login '{name}'{near}", status=404, code="not_found", param="login")
        return login


def refuse_guests(caller: Caller) -> None:
    if caller.organisation != DEFAULT_ORGANISATION:
        raise PermissionDenied("logins at providers are the matter of the organisation that runs the gateway")


def _check_parameter(login: Login, name: str, value: str) -> None:
    if name not in login.parameters:
        raise InvalidRequest(f"{login.title} knows no parameter {name}", param="parameters")
    # A region stands in a host name, and so must not lead to another.
    plain = all(char.isascii() and (char.isalnum() or char == "-") for char in value)
    address = name.endswith("url") and value.startswith("https://") and value.isascii() and value.isprintable()
    if len(value) > _WORD or not (plain or address):
        raise InvalidRequest(
            f"{name}: letters, digits and - only, or an https address where it is one", param="parameters"
        )


def _redirect(login: Login, port: int) -> str:
    said = login.authorize
    if said is None:
        raise InvalidRequest(f"{login.title} has no page to log in at", param="flow")
    if said.redirect:
        return said.redirect
    if not 0 <= port < 65_536 or (said.port and port not in (0, said.port)):
        raise InvalidRequest(f"port: {login.title} only goes back to port {said.port}", param="port")
    return f"http://{said.host}:{said.port or port or _ANY_PORT}{said.path}"


def _unknown() -> InvalidRequest:
    told = (
        "no such login is under way: it was not begun here, has ended already, or took more than 5 minutes; begin anew"
    )
    return InvalidRequest(told, status=404, code="login_unknown")


def _meant(flow: Flow) -> str:
    """The login that it may become; "" where it is named by whom it turns out to be."""
    return f"{flow.kind}/{flow.account}" if flow.account else ""
