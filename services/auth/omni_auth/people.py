"""People: who logs in, by what, and what becomes of their sessions. The ``PeoplePort``.

One log-in: its tries are counted → the person is looked for → the password is compared, with nobody's where there is
none to compare with → a second factor, where there is one → a session of its own, whose token nobody had before.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
from omni_core.ports.configuration import Caller
from omni_core.ports.people import (
    Enrolled,
    Enrolment,
    Invitation,
    LogIn,
    LoginOptions,
    OidcOpened,
    Opened,
    Origin,
    Person,
    Redirect,
    SessionInfo,
    TokenInfo,
    Who,
)
from omni_wire.errors import InvalidRequest, Unauthenticated

from omni_auth.domain import oidc, people, throttle, totp
from omni_auth.domain.people import Login, OneTime, Session
from omni_auth.ports import Chance, Noted, Oidc, Passwords, PeopleStore

SESSION, ONE_TIME = "ors", "orl"
_LONGEST = 1_000  # characters of what is hashed or looked for at all


class PeopleService:
    """``now`` gives epoch ms. Every call raises ``DependencyUnavailable`` for a store that cannot be used."""

    def __init__(
        self,
        store: PeopleStore,
        passwords: Passwords,
        oidc_logins: Oidc | None = None,
        *,
        now: Callable[[], int],
        chance: Chance,
        mint: Callable[[], str],
    ) -> None:
        self._store, self._passwords, self._oidc = store, passwords, oidc_logins
        self._now, self._chance, self._mint = now, chance, mint

    async def offer_setup(self, *, renew: bool = False) -> str:
        """A token for whoever is to own the platform, told this once; "" where somebody does, or (but to ``renew`` it)
        a token is out already."""
        token, now = people.secret(ONE_TIME, self._chance(people.SECRET_BYTES)), self._now()
        expires = now + people.LIVES["setup"]
        offer = partial(self._store.offer_setup, people.digest(token), expires, now, renew=renew)
        return token if await asyncio.to_thread(offer) else ""

    def close(self) -> None:
        self._passwords.close()

    async def options(self) -> LoginOptions:
        offered = self._oidc.offered() if self._oidc is not None else ()
        return LoginOptions(not await asyncio.to_thread(self._store.has_owner), offered)

    # ---- logging in -------------------------------------------------------------------------------------------------

    async def log_in(self, origin: Origin, asked: LogIn) -> Opened:
        name, password = asked.name.strip()[:_LONGEST], asked.password[:_LONGEST]
        now = self._now()
        login = await asyncio.to_thread(self._store.find, asked.organisation, name)
        known = bool(asked.known) and await asyncio.to_thread(self._store.knows, asked.known, login.id if login else "")
        tried = [throttle.address(origin.address), throttle.account(asked.organisation, name)]
        if known:  # whoever guesses elsewhere keeps nobody out of here
            tried = [throttle.session(asked.known)]
        await asyncio.to_thread(self._store.attempt, tried, now)
        held = login if login is not None and login.may_log_in else None
        stored = held.password if held else ""
        right = await self._passwords.matches(stored, password)
        if held is None or not right:
            await asyncio.to_thread(self._store.refused, login, origin.address, "password", now)
            raise people.refused()
        after = await self._second_factor(held, asked.code, origin)
        renewed = await self._passwords.hashed(password) if self._passwords.is_old(stored) else stored

        def decide(found: Login) -> Login:
            if (found.password, found.totp_step, found.recovery) != (stored, held.totp_step, held.recovery):
                raise people.refused()  # changed meanwhile, or the code was used meanwhile
            return msgspec.structs.replace(found, password=renewed, totp_step=after.totp_step, recovery=after.recovery)

        return await self._opened(
            origin, lambda session: self._store.log_in(held.id, tried, session, now, asked.known, decide)
        )

    async def begin_oidc(self, provider: str, redirect: str, following: str) -> Redirect:
        state, nonce, verifier = (people.secret("oro", self._chance(people.SECRET_BYTES)) for _ in range(3))
        flow, now = oidc.Flow(provider, nonce, verifier, redirect, following), self._now()
        url = await self._at_providers().address(flow, state)
        await asyncio.to_thread(self._store.begin_flow, people.digest(state), flow, now + oidc.LASTS, now)
        return Redirect(url, state)

    async def finish_oidc(self, origin: Origin, state: str, code: str) -> OidcOpened:
        flow = await asyncio.to_thread(self._store.end_flow, people.digest(state), self._now())
        if flow is None:
            raise oidc.refused("it", "it took too long, or was done already: begin again from the log-in page")
        section = self._at_providers().section(flow.provider)
        found = await self._at_providers().identified(flow, code)
        fresh, role = self._mint(), oidc.role_of(section, found.groups)

        def decide(held: Login | None) -> Login:
            oidc.check_domain(section, found.email)
            if held is None:
                if not section.provision or not found.email:
                    who = f"'{found.email}'" if found.email else "an address that it has not verified"
                    told = f"nobody has invited {who}: ask an owner of {section.organisation}"
                    raise oidc.refused(section.id, told)
                name = people.check_name(found.email)
                organisation, rank = section.organisation, role or section.role
                return Login(
                    id=fresh, organisation=organisation, name=name, role=rank, granted=role, subject=found.subject,
                    created=self._now(),
                )  # fmt: skip
            if not held.may_log_in:
                raise oidc.refused(section.id, "this login is disabled: ask an owner")
            if held.organisation != section.organisation:  # groups of one say nothing in another
                raise oidc.refused(section.id, f"this login is not of {section.organisation}: take its own provider")
            return msgspec.structs.replace(_ranked(held, role, section.role), subject=found.subject)

        come_in = self._store.come_in
        opened = await self._opened(
            origin, lambda session: come_in(found, section.organisation, decide, session, self._now())
        )
        return OidcOpened(opened, flow.next)

    def _at_providers(self) -> Oidc:
        if self._oidc is None:
            raise oidc.refused("it", "there is no provider in the configuration")
        return self._oidc

    async def _second_factor(self, login: Login, code: str, origin: Origin) -> Login:
        """The login with what was used of it. Raises ``Unauthenticated``."""
        if not login.has_totp:
            return login
        if not code:
            raise Unauthenticated("a code of your authenticator is needed as well", code="totp_needed")
        secret = await asyncio.to_thread(self._store.totp, login.id)
        if step := totp.step_of(secret, code, self._now(), login.totp_step):
            return msgspec.structs.replace(login, totp_step=step)
        digest = totp.recovery_digest(code[:_LONGEST])
        if any(people.same(digest, left) for left in login.recovery):
            left = tuple(one for one in login.recovery if one != digest)
            return msgspec.structs.replace(login, recovery=left)
        await asyncio.to_thread(self._store.refused, login, origin.address, "code", self._now())
        raise Unauthenticated("this code is wrong, over, or was used already", code="totp_needed")

    async def _opened(self, origin: Origin, begin: Callable[[tuple[bytes, Session]], Login]) -> Opened:
        """A session of which nobody had the token before; ``begin`` blocks."""
        token, now = people.secret(SESSION, self._chance(people.SECRET_BYTES)), self._now()
        session = Session(
            id=self._mint(),
            login="",
            created=now,
            seen=now,
            expires=now + people.ABSOLUTE,
            address=origin.address[:64],
            agent=origin.agent[:200],
        )
        login = await asyncio.to_thread(begin, (people.digest(token), session))
        return Opened(token, await self._told(login, session))

    async def who(self, session: bytes) -> Who:
        return await self._told(*await self._mine(session))

    async def _told(self, login: Login, session: Session) -> Who:
        alone = not login.has_totp and bool(login.password)
        asks = alone and await asyncio.to_thread(self._store.asks_for_totp, login.organisation)
        return Who(_person(login), _session(session), asks)

    async def _mine(self, session: bytes) -> tuple[Login, Session]:
        found = await asyncio.to_thread(self._store.who, session, self._now())
        if found is None:
            raise people.no_session()
        return found

    # ---- tokens for one use -----------------------------------------------------------------------------------------

    async def look(self, token: str) -> TokenInfo:
        found = await asyncio.to_thread(self._store.token, people.digest(token), self._now())
        if found is None:
            raise people.bad_token()
        return TokenInfo(found.kind, found.organisation, found.name, found.expires)

    async def redeem(self, origin: Origin, token: str, name: str, password: str, code: str = "") -> Opened:
        await asyncio.to_thread(self._store.attempt, [f"token:{throttle.address(origin.address)}"], self._now())
        found = await self.look(token)
        whose = found.name or people.check_name(name)
        people.check_password(password, whose)
        known = await asyncio.to_thread(self._store.find, found.organisation, found.name) if found.name else None
        after = await self._second_factor(known, code, origin) if known else None
        stored, fresh = await self._passwords.hashed(password), self._mint()

        def decide(token: OneTime, held: Login | None) -> Login:
            if held is not None:
                if known is None or after is None or held.id != known.id:
                    raise people.bad_token()  # called otherwise meanwhile
                if (held.totp_step, held.recovery) != (known.totp_step, known.recovery):
                    raise people.bad_token()
                used = {"totp_step": after.totp_step, "recovery": after.recovery}
                return msgspec.structs.replace(held, password=stored, last_login=self._now(), **used)
            return Login(
                id=fresh,
                organisation=token.organisation,
                name=whose,
                role="owner",
                password=stored,
                created=self._now(),
                last_login=self._now(),
            )

        digest, now = people.digest(token), self._now()
        return await self._opened(origin, lambda session: self._store.redeem(digest, now, decide, session))

    # ---- one's own account ------------------------------------------------------------------------------------------

    async def list_sessions(self, session: bytes) -> tuple[SessionInfo, ...]:
        login, _ = await self._mine(session)
        return tuple(map(_session, await asyncio.to_thread(self._store.sessions, login.id, self._now())))

    async def end_sessions(self, session: bytes, only: str = "") -> int:
        login, mine = await self._mine(session)
        return await asyncio.to_thread(
            lambda: self._store.end(login, self._now(), only=only, but="" if only else mine.id)
        )

    async def change_password(self, origin: Origin, session: bytes, old: str, new: str) -> Opened:
        login, _ = await self._mine(session)
        await self._confirmed(login, session, old)
        people.check_password(new, login.name)
        if new == old:
            raise InvalidRequest("password: is the one that you have", param="password")
        stored = await self._passwords.hashed(new)
        return await self._anew(
            origin, login, "people.password", lambda held: msgspec.structs.replace(held, password=stored)
        )

    async def _confirmed(self, login: Login, session: bytes, password: str) -> None:
        """Raises ``Unauthenticated`` where whoever sits there is not who logged in."""
        await asyncio.to_thread(self._store.attempt, [throttle.session(session)], self._now())
        if not await self._passwords.matches(login.password, password[:_LONGEST]):
            await asyncio.to_thread(self._store.refused, login, "", "password", self._now())
            raise InvalidRequest("password: is not the one that you have", param="password", code="wrong_password")

    async def _anew(self, origin: Origin, login: Login, action: str, change: Callable[[Login], Login]) -> Opened:
        """Change one's own login: all sessions are over, and another begins."""
        now, note = self._now(), Noted(f"person:{login.id} ({login.name})", action)

        def begin(session: tuple[bytes, Session]) -> Login:
            self._store.change(login.organisation, login.id, lambda held, _: change(held), note=note, now=now)
            return self._store.log_in(login.id, (), session, now)

        return await self._opened(origin, begin)

    async def begin_totp(self, session: bytes) -> Enrolment:
        login, _ = await self._mine(session)
        if login.has_totp:
            raise InvalidRequest("there is a second factor already: remove it first", status=409, code="conflict")
        secret = totp.secret(self._chance(totp.SECRET_BYTES))
        await asyncio.to_thread(self._store.seal_totp, login, secret, self._now())
        return Enrolment(secret, totp.uri(secret, login.name, login.organisation))

    async def confirm_totp(self, origin: Origin, session: bytes, code: str) -> Enrolled:
        login, _ = await self._mine(session)
        await asyncio.to_thread(self._store.attempt, [throttle.session(session)], self._now())
        secret = await asyncio.to_thread(self._store.totp, login.id)
        step = totp.step_of(secret, code, self._now(), login.totp_step) if secret and not login.has_totp else 0
        if not step:
            raise InvalidRequest("code: is not the one that is shown now", param="code", code="wrong_code")
        codes = totp.recovery_codes(self._chance(totp.CODES * totp.CODE_BYTES))
        digests = tuple(map(totp.recovery_digest, codes))
        opened = await self._anew(
            origin,
            login,
            "people.second_factor",
            lambda held: msgspec.structs.replace(held, has_totp=True, totp_step=step, recovery=digests),
        )
        return Enrolled(codes, opened)

    async def remove_totp(self, session: bytes, password: str) -> None:
        login, mine = await self._mine(session)
        await self._confirmed(login, session, password)
        note = Noted(f"person:{login.id} ({login.name})", "people.second_factor_removed")
        await asyncio.to_thread(
            lambda: self._store.change(
                login.organisation, login.id, lambda held, _: _without_totp(held), note=note, now=self._now(), end=False
            )
        )
        await asyncio.to_thread(lambda: self._store.end(login, self._now(), but=mine.id))

    # ---- people of an organisation ----------------------------------------------------------------------------------

    async def list_people(self, caller: Caller) -> tuple[Person, ...]:
        return tuple(map(_person, await asyncio.to_thread(self._store.all, caller.organisation)))

    async def invite(self, caller: Caller, name: str, role: str) -> Invitation:
        name = people.check_name(name)
        people.check_role(role)
        token, now = people.secret(ONE_TIME, self._chance(people.SECRET_BYTES)), self._now()
        login = Login(id=self._mint(), organisation=caller.organisation, name=name, role=role, created=now)
        expires = now + people.LIVES["invite"]
        made = await asyncio.to_thread(self._store.invite, login, people.digest(token), expires, now, caller.actor)
        return Invitation(_person(made), token, expires) if made.may_log_in else Invitation(_person(made))

    async def change_person(self, caller: Caller, person: str, role: str = "", disabled: bool | None = None) -> Person:
        if role:
            people.check_role(role)

        def decide(held: Login, every: tuple[Login, ...]) -> Login:
            wanted = role or held.role, held.disabled if disabled is None else disabled
            people.keep_an_owner(held, every, *wanted)
            granted = "" if role else held.granted
            return msgspec.structs.replace(held, role=wanted[0], disabled=wanted[1], granted=granted)

        action = "people.role" if disabled is None else "people.disable" if disabled else "people.enable"
        return _person(await self._changed(caller, person, decide, action))

    async def reset_person(self, caller: Caller, person: str, what: str) -> Invitation:
        match what:
            case "password":
                token, expires = people.secret(ONE_TIME, self._chance(people.SECRET_BYTES)), self._now()
                expires += people.LIVES["reset"]
                kept = people.digest(token), "reset", expires
                login = await self._changed(caller, person, _resettable, "people.reset_password", kept)
                return Invitation(_person(login), token, expires)
            case "totp":
                login = await self._changed(
                    caller, person, lambda held, _: _without_totp(held), "people.reset_second_factor"
                )
                return Invitation(_person(login))
            case "sessions":
                login = await self._changed(caller, person, lambda held, _: held, "people.sessions_ended")
                return Invitation(_person(login))
        raise InvalidRequest("what: must be password, totp or sessions", param="what")

    async def remove_person(self, caller: Caller, person: str) -> Person:
        removed = await asyncio.to_thread(
            self._store.remove, caller.organisation, person, people.keep_an_owner, self._now(), caller.actor
        )
        return _person(removed)

    async def _changed(
        self,
        caller: Caller,
        person: str,
        decide: Callable[[Login, tuple[Login, ...]], Login],
        action: str,
        token: tuple[bytes, str, int] | None = None,
    ) -> Login:
        note = Noted(caller.actor, action)
        return await asyncio.to_thread(
            lambda: self._store.change(caller.organisation, person, decide, note=note, now=self._now(), token=token)
        )


def _ranked(login: Login, role: str, otherwise: str) -> Login:
    """With the ``role`` of one of their groups now. Whoever has left the one that gave theirs has it no more; what an
    owner gave stays."""
    if login.role == "owner" or not (role or (login.granted and login.granted == login.role)):
        return login
    return msgspec.structs.replace(login, role=role or otherwise, granted=role)


def _without_totp(login: Login) -> Login:
    return msgspec.structs.replace(login, has_totp=False, totp_step=0, recovery=())


def _resettable(login: Login, _: tuple[Login, ...]) -> Login:
    if not login.may_log_in:
        told = "a service account has no password, and who is disabled gets none"
        raise InvalidRequest(told, status=409, code="conflict", param="what")
    return msgspec.structs.replace(login, password="")


def _person(login: Login) -> Person:
    return Person(
        login.id,
        login.name,
        login.role,
        login.organisation,
        login.status,
        bool(login.password),
        login.has_totp,
        login.last_login,
    )


def _session(session: Session) -> SessionInfo:
    return SessionInfo(session.id, session.created, session.seen, session.expires, session.address, session.agent)
