"""PeoplePort over gRPC."""

from omniroute_proto.auth.v1 import people_pb2 as pb

from omni_core.config_objects import caller_message
from omni_core.people_messages import (
    invitation_from,
    opened_from,
    origin_message,
    person_from,
    session_from,
    who_from,
)
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
from omni_core.rpc import Peer, ServiceChannel

# Seconds: whoever logs in may wait for others who do.
_HASHING = 10.0
# And a provider may be slow to answer: up to four calls to it.
_ELSEWHERE = 22.0


class PeopleClient:
    """Satisfies ``PeoplePort``."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.auth.v1.PeoplePort", "auth")
        self._options = peer.unary("Options", pb.OptionsResponse)
        self._log_in = peer.unary("LogIn", pb.LogInResponse, _HASHING)
        self._begin_oidc = peer.unary("BeginOidc", pb.BeginOidcResponse, _ELSEWHERE)
        self._finish_oidc = peer.unary("FinishOidc", pb.FinishOidcResponse, _ELSEWHERE)
        self._who = peer.unary("Who", pb.WhoResponse)
        self._look = peer.unary("Look", pb.LookResponse)
        self._redeem = peer.unary("Redeem", pb.RedeemResponse, _HASHING)
        self._list_sessions = peer.unary("ListSessions", pb.ListSessionsResponse)
        self._end_sessions = peer.unary("EndSessions", pb.EndSessionsResponse)
        self._change_password = peer.unary("ChangePassword", pb.ChangePasswordResponse, _HASHING)
        self._begin_totp = peer.unary("BeginTotp", pb.BeginTotpResponse)
        self._confirm_totp = peer.unary("ConfirmTotp", pb.ConfirmTotpResponse)
        self._remove_totp = peer.unary("RemoveTotp", pb.RemoveTotpResponse, _HASHING)
        self._list_people = peer.unary("ListPeople", pb.ListPeopleResponse)
        self._invite = peer.unary("Invite", pb.InviteResponse)
        self._change_person = peer.unary("ChangePerson", pb.ChangePersonResponse)
        self._reset_person = peer.unary("ResetPerson", pb.ResetPersonResponse)
        self._remove_person = peer.unary("RemovePerson", pb.RemovePersonResponse)

    async def options(self) -> LoginOptions:
        found = await self._options(pb.OptionsRequest())
        return LoginOptions(found.needs_setup, tuple(OidcProvider(one.id, one.title) for one in found.providers))

    async def log_in(self, origin: Origin, asked: LogIn) -> Opened:
        request = pb.LogInRequest(
            origin=origin_message(origin),
            organisation=asked.organisation,
            name=asked.name,
            password=asked.password,
            code=asked.code,
            known=asked.known,
        )
        return opened_from((await self._log_in(request)).opened)

    async def begin_oidc(self, provider: str, redirect: str, following: str) -> Redirect:
        request = pb.BeginOidcRequest(provider=provider, redirect=redirect, next=following)
        found = await self._begin_oidc(request)
        return Redirect(found.url, found.state)

    async def finish_oidc(self, origin: Origin, state: str, code: str) -> OidcOpened:
        request = pb.FinishOidcRequest(origin=origin_message(origin), state=state, code=code)
        found = await self._finish_oidc(request)
        return OidcOpened(opened_from(found.opened), found.next)

    async def who(self, session: bytes) -> Who:
        return who_from((await self._who(pb.WhoRequest(session=session))).who)

    async def look(self, token: str) -> TokenInfo:
        found = await self._look(pb.LookRequest(token=token))
        return TokenInfo(found.kind, found.organisation, found.name, found.expires)

    async def redeem(self, origin: Origin, token: str, name: str, password: str, code: str = "") -> Opened:
        request = pb.RedeemRequest(origin=origin_message(origin), token=token, name=name, password=password, code=code)
        return opened_from((await self._redeem(request)).opened)

    async def list_sessions(self, session: bytes) -> tuple[SessionInfo, ...]:
        found = await self._list_sessions(pb.ListSessionsRequest(session=session))
        return tuple(map(session_from, found.sessions))

    async def end_sessions(self, session: bytes, only: str = "") -> int:
        return (await self._end_sessions(pb.EndSessionsRequest(session=session, only=only))).ended

    async def change_password(self, origin: Origin, session: bytes, old: str, new: str) -> Opened:
        request = pb.ChangePasswordRequest(origin=origin_message(origin), session=session, old=old, new=new)
        return opened_from((await self._change_password(request)).opened)

    async def begin_totp(self, session: bytes) -> Enrolment:
        found = await self._begin_totp(pb.BeginTotpRequest(session=session))
        return Enrolment(found.secret, found.uri)

    async def confirm_totp(self, origin: Origin, session: bytes, code: str) -> Enrolled:
        request = pb.ConfirmTotpRequest(origin=origin_message(origin), session=session, code=code)
        found = await self._confirm_totp(request)
        return Enrolled(tuple(found.codes), opened_from(found.opened))

    async def remove_totp(self, session: bytes, password: str) -> None:
        await self._remove_totp(pb.RemoveTotpRequest(session=session, password=password))

    async def list_people(self, caller: Caller) -> tuple[Person, ...]:
        found = await self._list_people(pb.ListPeopleRequest(caller=caller_message(caller)))
        return tuple(map(person_from, found.people))

    async def invite(self, caller: Caller, name: str, role: str) -> Invitation:
        request = pb.InviteRequest(caller=caller_message(caller), name=name, role=role)
        return invitation_from((await self._invite(request)).invitation)

    async def change_person(self, caller: Caller, person: str, role: str = "", disabled: bool | None = None) -> Person:
        request = pb.ChangePersonRequest(caller=caller_message(caller), person=person, role=role, disabled=disabled)
        return person_from((await self._change_person(request)).person)

    async def reset_person(self, caller: Caller, person: str, what: str) -> Invitation:
        request = pb.ResetPersonRequest(caller=caller_message(caller), person=person, what=what)
        return invitation_from((await self._reset_person(request)).invitation)

    async def remove_person(self, caller: Caller, person: str) -> Person:
        request = pb.RemovePersonRequest(caller=caller_message(caller), person=person)
        return person_from((await self._remove_person(request)).person)
