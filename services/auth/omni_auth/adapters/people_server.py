"""The people's port on a gRPC listener."""

from omni_core.config_objects import caller_from
from omni_core.people_messages import (
    invitation_message,
    opened_message,
    origin_from,
    person_message,
    session_message,
    who_message,
)
from omni_core.ports.people import LogIn, PeoplePort
from omni_core.rpc import RpcServer, unary
from omniroute_proto.auth.v1 import people_pb2 as pb


def register(server: RpcServer, port: PeoplePort) -> None:
    async def options(_: pb.OptionsRequest) -> pb.OptionsResponse:
        found = await port.options()
        providers = [pb.LoginProvider(id=one.id, title=one.title) for one in found.providers]
        return pb.OptionsResponse(needs_setup=found.needs_setup, providers=providers)

    async def log_in(request: pb.LogInRequest) -> pb.LogInResponse:
        asked = LogIn(request.organisation, request.name, request.password, request.code, request.known)
        return pb.LogInResponse(opened=opened_message(await port.log_in(origin_from(request.origin), asked)))

    async def begin_oidc(request: pb.BeginOidcRequest) -> pb.BeginOidcResponse:
        found = await port.begin_oidc(request.provider, request.redirect, request.next)
        return pb.BeginOidcResponse(url=found.url, state=found.state)

    async def finish_oidc(request: pb.FinishOidcRequest) -> pb.FinishOidcResponse:
        found = await port.finish_oidc(origin_from(request.origin), request.state, request.code)
        return pb.FinishOidcResponse(opened=opened_message(found.opened), next=found.next)

    async def who(request: pb.WhoRequest) -> pb.WhoResponse:
        return pb.WhoResponse(who=who_message(await port.who(request.session)))

    async def look(request: pb.LookRequest) -> pb.LookResponse:
        found = await port.look(request.token)
        return pb.LookResponse(kind=found.kind, organisation=found.organisation, name=found.name, expires=found.expires)

    async def redeem(request: pb.RedeemRequest) -> pb.RedeemResponse:
        opened = await port.redeem(
            origin_from(request.origin), request.token, request.name, request.password, request.code
        )
        return pb.RedeemResponse(opened=opened_message(opened))

    async def list_sessions(request: pb.ListSessionsRequest) -> pb.ListSessionsResponse:
        return pb.ListSessionsResponse(sessions=map(session_message, await port.list_sessions(request.session)))

    async def end_sessions(request: pb.EndSessionsRequest) -> pb.EndSessionsResponse:
        return pb.EndSessionsResponse(ended=await port.end_sessions(request.session, request.only))

    async def change_password(request: pb.ChangePasswordRequest) -> pb.ChangePasswordResponse:
        opened = await port.change_password(origin_from(request.origin), request.session, request.old, request.new)
        return pb.ChangePasswordResponse(opened=opened_message(opened))

    async def begin_totp(request: pb.BeginTotpRequest) -> pb.BeginTotpResponse:
        found = await port.begin_totp(request.session)
        return pb.BeginTotpResponse(secret=found.secret, uri=found.uri)

    async def confirm_totp(request: pb.ConfirmTotpRequest) -> pb.ConfirmTotpResponse:
        found = await port.confirm_totp(origin_from(request.origin), request.session, request.code)
        return pb.ConfirmTotpResponse(codes=found.codes, opened=opened_message(found.opened))

    async def remove_totp(request: pb.RemoveTotpRequest) -> pb.RemoveTotpResponse:
        await port.remove_totp(request.session, request.password)
        return pb.RemoveTotpResponse()

    async def list_people(request: pb.ListPeopleRequest) -> pb.ListPeopleResponse:
        return pb.ListPeopleResponse(people=map(person_message, await port.list_people(caller_from(request.caller))))

    async def invite(request: pb.InviteRequest) -> pb.InviteResponse:
        made = await port.invite(caller_from(request.caller), request.name, request.role)
        return pb.InviteResponse(invitation=invitation_message(made))

    async def change_person(request: pb.ChangePersonRequest) -> pb.ChangePersonResponse:
        disabled = request.disabled if request.HasField("disabled") else None
        changed = await port.change_person(caller_from(request.caller), request.person, request.role, disabled)
        return pb.ChangePersonResponse(person=person_message(changed))

    async def reset_person(request: pb.ResetPersonRequest) -> pb.ResetPersonResponse:
        made = await port.reset_person(caller_from(request.caller), request.person, request.what)
        return pb.ResetPersonResponse(invitation=invitation_message(made))

    async def remove_person(request: pb.RemovePersonRequest) -> pb.RemovePersonResponse:
        removed = await port.remove_person(caller_from(request.caller), request.person)
        return pb.RemovePersonResponse(person=person_message(removed))

    server.add(
        "omniroute.auth.v1.PeoplePort",
        {
            "Options": unary(pb.OptionsRequest, options),
            "LogIn": unary(pb.LogInRequest, log_in),
            "BeginOidc": unary(pb.BeginOidcRequest, begin_oidc),
            "FinishOidc": unary(pb.FinishOidcRequest, finish_oidc),
            "Who": unary(pb.WhoRequest, who),
            "Look": unary(pb.LookRequest, look),
            "Redeem": unary(pb.RedeemRequest, redeem),
            "ListSessions": unary(pb.ListSessionsRequest, list_sessions),
            "EndSessions": unary(pb.EndSessionsRequest, end_sessions),
            "ChangePassword": unary(pb.ChangePasswordRequest, change_password),
            "BeginTotp": unary(pb.BeginTotpRequest, begin_totp),
            "ConfirmTotp": unary(pb.ConfirmTotpRequest, confirm_totp),
            "RemoveTotp": unary(pb.RemoveTotpRequest, remove_totp),
            "ListPeople": unary(pb.ListPeopleRequest, list_people),
            "Invite": unary(pb.InviteRequest, invite),
            "ChangePerson": unary(pb.ChangePersonRequest, change_person),
            "ResetPerson": unary(pb.ResetPersonRequest, reset_person),
            "RemovePerson": unary(pb.RemovePersonRequest, remove_person),
        },
    )
