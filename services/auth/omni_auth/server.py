"""Auth's ports on a gRPC listener."""

from typing import Protocol

import msgspec
from omni_core import key_scopes
from omni_core.callers import may_have
from omni_core.config_objects import caller_from, change_message, entry_message, object_message
from omni_core.login_messages import credential_message, kind_message, login_message, new_login_from
from omni_core.ports.audit import AuditPort
from omni_core.ports.auth import AuthPort, KeyInfo, NewKey
from omni_core.ports.configuration import ConfigurationPort
from omni_core.ports.context import CallContext
from omni_core.ports.logins import LoginPort, NewLogin
from omni_core.rpc import RpcServer, unary, unary_of
from omni_wire.errors import PermissionDenied
from omniroute_proto.auth.v1 import auth_pb2 as pb
from omniroute_proto.common.v1 import common_pb2


class Ports(AuthPort, ConfigurationPort, AuditPort, LoginPort, Protocol):
    """All that is served."""


def register(server: RpcServer, port: Ports) -> None:
    async def authenticate(request: pb.AuthenticateRequest) -> pb.AuthenticateResponse:
        identity = await port.authenticate(_context(request.context), request.key_digest)
        return pb.AuthenticateResponse(
            key_id=identity.key_id,
            name=identity.name,
            role=identity.role,
            scopes=key_scopes.to_message(identity.scopes),
            organisation=identity.organisation,
        )

    async def credential(request: pb.CredentialRequest, services: frozenset[str]) -> pb.CredentialResponse:
        _refuse_foreign(services, request.account_id)
        found = await port.credential(_context(request.context), request.account_id)
        return credential_message(found)

    async def refresh_credential(
        request: pb.RefreshCredentialRequest, services: frozenset[str]
    ) -> pb.CredentialResponse:
        _refuse_foreign(services, request.account_id)
        found = await port.refresh_credential(_context(request.context), request.account_id, request.version_seen)
        return credential_message(found)

    async def configuration(_: pb.ConfigurationRequest) -> pb.ConfigurationResponse:
        found = await port.configuration()
        return pb.ConfigurationResponse(revision=found.revision, snapshot=found.snapshot, rejected=found.rejected)

    async def create_key(request: pb.CreateKeyRequest) -> pb.CreateKeyResponse:
        created = await port.create_key(
            NewKey(
                name=request.name,
                role=request.role,
                models=tuple(request.models),
                requests_per_minute=request.requests_per_minute,
                budget_nano_usd=request.budget_nano_usd,
                budget_window=request.budget_window,
                rules=request.rules,
                scopes=key_scopes.from_message(request.scopes),
                team=request.team,
                user=request.user,
                tags=tuple(request.tags),
                no_bodies=request.no_bodies,
            ),
            caller_from(request.caller),
        )
        return pb.CreateKeyResponse(key=_key(created.key), secret=created.secret)

    async def list_keys(request: pb.ListKeysRequest) -> pb.ListKeysResponse:
        found = await port.list_keys(caller_from(request.caller), revoked=request.revoked)
        return pb.ListKeysResponse(keys=[_key(key) for key in found])

    async def rotate_key(request: pb.RotateKeyRequest) -> pb.RotateKeyResponse:
        rotated = await port.rotate_key(request.key, request.overlap, caller_from(request.caller))
        return pb.RotateKeyResponse(key=_key(rotated.key), secret=rotated.secret)

    async def revoke_key(request: pb.RevokeKeyRequest) -> pb.RevokeKeyResponse:
        return pb.RevokeKeyResponse(key=_key(await port.revoke_key(request.key, caller_from(request.caller))))

    async def list_objects(request: pb.ListObjectsRequest) -> pb.ListObjectsResponse:
        page = await port.list_objects(
            caller_from(request.caller), request.kind, after=request.after, limit=request.limit
        )
        return pb.ListObjectsResponse(items=map(object_message, page.items), next=page.next)

    async def get_object(request: pb.GetObjectRequest) -> pb.GetObjectResponse:
        found = await port.get_object(caller_from(request.caller), request.kind, request.name)
        return pb.GetObjectResponse(object=object_message(found))

    async def put_object(request: pb.PutObjectRequest) -> pb.PutObjectResponse:
        written = await port.put_object(
            caller_from(request.caller),
            request.kind,
            request.name,
            request.document,
            if_match=request.if_match,
            if_none_match=request.if_none_match,
            dry_run=request.dry_run,
        )
        return pb.PutObjectResponse(object=object_message(written.object), outcome=written.outcome)

    async def delete_object(request: pb.DeleteObjectRequest) -> pb.DeleteObjectResponse:
        await port.delete_object(
            caller_from(request.caller),
            request.kind,
            request.name,
            if_match=request.if_match,
            dry_run=request.dry_run,
        )
        return pb.DeleteObjectResponse()

    async def adopt_object(request: pb.AdoptObjectRequest) -> pb.AdoptObjectResponse:
        adopted = await port.adopt_object(
            caller_from(request.caller), request.kind, request.name, if_match=request.if_match
        )
        return pb.AdoptObjectResponse(object=object_message(adopted))

    async def apply_configuration(request: pb.ApplyConfigurationRequest) -> pb.ApplyConfigurationResponse:
        applied = await port.apply_configuration(
            caller_from(request.caller),
            request.text,
            request.source,
            mode=request.mode,
            dry_run=request.dry_run,
            take_over=request.take_over,
            scopes=key_scopes.from_message(request.scopes) if request.HasField("scopes") else None,
        )
        return pb.ApplyConfigurationResponse(
            changes=map(change_message, applied.changes),
            revision=applied.revision,
            warnings=applied.warnings,
            unchanged=applied.unchanged,
        )

    async def export_configuration(request: pb.ExportConfigurationRequest) -> pb.ExportConfigurationResponse:
        return pb.ExportConfigurationResponse(text=await port.export_configuration(caller_from(request.caller)))

    async def list_audit(request: pb.ListAuditRequest) -> pb.ListAuditResponse:
        page = await port.list_audit(
            caller_from(request.caller),
            organisation=request.organisation,
            before=request.before,
            limit=request.limit,
        )
        return pb.ListAuditResponse(items=map(entry_message, page.items), next=page.next)

    async def verify_audit(request: pb.VerifyAuditRequest) -> pb.VerifyAuditResponse:
        found = await port.verify_audit(caller_from(request.caller), request.head)
        return pb.VerifyAuditResponse(entries=found.entries, head=found.head, bad=found.bad, why=found.why)

    async def record_audit(request: pb.RecordAuditRequest) -> pb.RecordAuditResponse:
        await port.record_audit(
            caller_from(request.caller), request.action, request.target, request.before, request.after
        )
        return pb.RecordAuditResponse()

    async def begin_login(request: pb.BeginLoginRequest) -> pb.BeginLoginResponse:
        started = await port.begin_login(caller_from(request.caller), new_login_from(request))
        return pb.BeginLoginResponse(**msgspec.structs.asdict(started))

    async def finish_login(request: pb.FinishLoginRequest) -> pb.FinishLoginResponse:
        ended = await port.finish_login(caller_from(request.caller), request.callback)
        return pb.FinishLoginResponse(login=login_message(ended))

    async def poll_login(request: pb.PollLoginRequest) -> pb.PollLoginResponse:
        found = await port.poll_login(caller_from(request.caller), request.flow)
        ended = login_message(found.login) if found.login is not None else None
        return pb.PollLoginResponse(login=ended, wait=found.wait)

    async def import_login(request: pb.ImportLoginRequest) -> pb.ImportLoginResponse:
        new = NewLogin(
            request.login,
            request.account,
            accept_terms=request.accept_terms,
            parameters=dict(request.parameters),
        )
        ended = await port.import_login(caller_from(request.caller), new, request.tokens)
        return pb.ImportLoginResponse(login=login_message(ended))

    async def list_logins(request: pb.ListLoginsRequest) -> pb.ListLoginsResponse:
        found = await port.list_logins(caller_from(request.caller))
        return pb.ListLoginsResponse(logins=map(login_message, found.logins), kinds=map(kind_message, found.kinds))

    async def forget_login(request: pb.ForgetLoginRequest) -> pb.ForgetLoginResponse:
        await port.forget_login(caller_from(request.caller), request.login)
        return pb.ForgetLoginResponse()

    async def refresh_login(request: pb.RefreshLoginRequest) -> pb.RefreshLoginResponse:
        found = await port.refresh_login(caller_from(request.caller), request.login)
        return pb.RefreshLoginResponse(login=login_message(found))

    server.add(
        "omniroute.auth.v1.AuthPort",
        {
            "Authenticate": unary(pb.AuthenticateRequest, authenticate),
            "Credential": unary_of(pb.CredentialRequest, credential),
            "RefreshCredential": unary_of(pb.RefreshCredentialRequest, refresh_credential),
            "BeginLogin": unary(pb.BeginLoginRequest, begin_login),
            "FinishLogin": unary(pb.FinishLoginRequest, finish_login),
            "PollLogin": unary(pb.PollLoginRequest, poll_login),
            "ImportLogin": unary(pb.ImportLoginRequest, import_login),
            "ListLogins": unary(pb.ListLoginsRequest, list_logins),
            "ForgetLogin": unary(pb.ForgetLoginRequest, forget_login),
            "RefreshLogin": unary(pb.RefreshLoginRequest, refresh_login),
            "Configuration": unary(pb.ConfigurationRequest, configuration),
            "CreateKey": unary(pb.CreateKeyRequest, create_key),
            "ListKeys": unary(pb.ListKeysRequest, list_keys),
            "RotateKey": unary(pb.RotateKeyRequest, rotate_key),
            "RevokeKey": unary(pb.RevokeKeyRequest, revoke_key),
            "ListObjects": unary(pb.ListObjectsRequest, list_objects),
            "GetObject": unary(pb.GetObjectRequest, get_object),
            "PutObject": unary(pb.PutObjectRequest, put_object),
            "DeleteObject": unary(pb.DeleteObjectRequest, delete_object),
            "AdoptObject": unary(pb.AdoptObjectRequest, adopt_object),
            "ApplyConfiguration": unary(pb.ApplyConfigurationRequest, apply_configuration),
            "ExportConfiguration": unary(pb.ExportConfigurationRequest, export_configuration),
            "ListAudit": unary(pb.ListAuditRequest, list_audit),
            "RecordAudit": unary(pb.RecordAuditRequest, record_audit),
            "VerifyAudit": unary(pb.VerifyAuditRequest, verify_audit),
        },
    )


def _refuse_foreign(services: frozenset[str], account_id: str) -> None:
    if not may_have(services, account_id):
        raise PermissionDenied(f"the secret of '{account_id}' is not for {'+'.join(sorted(services))}")


def _context(context: common_pb2.CallContext) -> CallContext:
    return CallContext(context.request_id, context.traceparent)


def _key(key: KeyInfo) -> pb.Key:
    return pb.Key(
        id=key.id,
        name=key.name,
        role=key.role,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        budget_nano_usd=key.budget_nano_usd,
        budget_window=key.budget_window,
        managed_by=key.managed_by,
        created=key.created,
        hint=key.hint,
        rules=key.rules,
        scopes=key_scopes.to_message(key.scopes),
        older_until=key.older_until,
        team=key.team,
        user=key.user,
        tags=key.tags,
        no_bodies=key.no_bodies,
    )
