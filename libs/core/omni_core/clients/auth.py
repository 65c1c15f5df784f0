"""AuthPort over gRPC."""

from omni_catalogue.scopes import Scopes
from omniroute_proto.auth.v1 import auth_pb2 as pb
from omniroute_proto.common.v1 import common_pb2

from omni_core import key_scopes
from omni_core.config_objects import caller_message, change_from, entry_from, object_from
from omni_core.login_messages import credential_from, kind_from, login_from
from omni_core.ports.audit import AuditPage, AuditVerdict
from omni_core.ports.auth import Configuration, CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.configuration import ANYBODY, APPLY_TIMEOUT, Applied, Caller, ConfigObject, ObjectPage, Written
from omni_core.ports.context import CallContext
from omni_core.ports.logins import LOGIN_TIMEOUT, LoginInfo, LoginPoll, Logins, LoginStart, NewLogin
from omni_core.rpc import Peer, ServiceChannel


class AuthClient:
    """Satisfies ``AuthPort``, ``ConfigurationPort``, ``AuditPort`` and ``LoginPort``."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.auth.v1.AuthPort", "auth")
        self._authenticate = peer.unary("Authenticate", pb.AuthenticateResponse)
        self._credential = peer.unary("Credential", pb.CredentialResponse)
        self._refresh = peer.unary("RefreshCredential", pb.CredentialResponse, LOGIN_TIMEOUT)
        self._begin_login = peer.unary("BeginLogin", pb.BeginLoginResponse, LOGIN_TIMEOUT)
        self._finish_login = peer.unary("FinishLogin", pb.FinishLoginResponse, LOGIN_TIMEOUT)
        self._poll_login = peer.unary("PollLogin", pb.PollLoginResponse, LOGIN_TIMEOUT)
        self._import_login = peer.unary("ImportLogin", pb.ImportLoginResponse, LOGIN_TIMEOUT)
        self._list_logins = peer.unary("ListLogins", pb.ListLoginsResponse)
        self._forget_login = peer.unary("ForgetLogin", pb.ForgetLoginResponse)
        self._refresh_login = peer.unary("RefreshLogin", pb.RefreshLoginResponse, LOGIN_TIMEOUT)
        self._configuration = peer.unary("Configuration", pb.ConfigurationResponse)
        self._create_key = peer.unary("CreateKey", pb.CreateKeyResponse)
        self._list_keys = peer.unary("ListKeys", pb.ListKeysResponse)
        self._rotate_key = peer.unary("RotateKey", pb.RotateKeyResponse)
        self._revoke_key = peer.unary("RevokeKey", pb.RevokeKeyResponse)
        self._list_objects = peer.unary("ListObjects", pb.ListObjectsResponse)
        self._get_object = peer.unary("GetObject", pb.GetObjectResponse)
        self._put_object = peer.unary("PutObject", pb.PutObjectResponse)
        self._delete_object = peer.unary("DeleteObject", pb.DeleteObjectResponse)
        self._adopt_object = peer.unary("AdoptObject", pb.AdoptObjectResponse)
        self._apply = peer.unary("ApplyConfiguration", pb.ApplyConfigurationResponse, APPLY_TIMEOUT)
        self._export = peer.unary("ExportConfiguration", pb.ExportConfigurationResponse)
        self._list_audit = peer.unary("ListAudit", pb.ListAuditResponse)
        self._record_audit = peer.unary("RecordAudit", pb.RecordAuditResponse)
        self._verify_audit = peer.unary("VerifyAudit", pb.VerifyAuditResponse)

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        response = await self._authenticate(pb.AuthenticateRequest(context=_context(context), key_digest=key_digest))
        return Identity(
            key_id=response.key_id,
            name=response.name,
            role=response.role,
            scopes=key_scopes.from_message(response.scopes),
            organisation=response.organisation or ANYBODY.organisation,
        )

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        response = await self._credential(pb.CredentialRequest(context=_context(context), account_id=account_id))
        return credential_from(response)

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        request = pb.RefreshCredentialRequest(
            context=_context(context), account_id=account_id, version_seen=version_seen
        )
        return credential_from(await self._refresh(request))

    async def configuration(self) -> Configuration:
        response = await self._configuration(pb.ConfigurationRequest())
        return Configuration(revision=response.revision, snapshot=response.snapshot, rejected=response.rejected)

    async def create_key(self, new: NewKey, caller: Caller = ANYBODY) -> CreatedKey:
        response = await self._create_key(
            pb.CreateKeyRequest(
                name=new.name,
                role=new.role,
                models=new.models,
                requests_per_minute=new.requests_per_minute,
                budget_nano_usd=new.budget_nano_usd,
                budget_window=new.budget_window,
                rules=new.rules,
                scopes=key_scopes.to_message(new.scopes),
                caller=caller_message(caller),
                team=new.team,
                user=new.user,
                tags=new.tags,
                no_bodies=new.no_bodies,
            )
        )
        return CreatedKey(key=_key(response.key), secret=response.secret)

    async def list_keys(self, caller: Caller = ANYBODY, *, revoked: bool = False) -> list[KeyInfo]:
        response = await self._list_keys(pb.ListKeysRequest(caller=caller_message(caller), revoked=revoked))
        return [_key(key) for key in response.keys]

    async def rotate_key(self, key: str, overlap: int, caller: Caller = ANYBODY) -> CreatedKey:
        request = pb.RotateKeyRequest(key=key, overlap=overlap, caller=caller_message(caller))
        response = await self._rotate_key(request)
        return CreatedKey(key=_key(response.key), secret=response.secret)

    async def revoke_key(self, key: str, caller: Caller = ANYBODY) -> KeyInfo:
        return _key((await self._revoke_key(pb.RevokeKeyRequest(key=key, caller=caller_message(caller)))).key)

    async def list_objects(self, caller: Caller, kind: str, *, after: str = "", limit: int = 100) -> ObjectPage:
        response = await self._list_objects(
            pb.ListObjectsRequest(caller=caller_message(caller), kind=kind, after=after, limit=limit)
        )
        return ObjectPage(tuple(map(object_from, response.items)), response.next)

    async def get_object(self, caller: Caller, kind: str, name: str) -> ConfigObject:
        request = pb.GetObjectRequest(caller=caller_message(caller), kind=kind, name=name)
        return object_from((await self._get_object(request)).object)

    async def put_object(
        self,
        caller: Caller,
        kind: str,
        name: str,
        document: bytes,
        *,
        if_match: str = "",
        if_none_match: bool = False,
        dry_run: bool = False,
    ) -> Written:
        response = await self._put_object(
            pb.PutObjectRequest(
                caller=caller_message(caller),
                kind=kind,
                name=name,
                document=document,
                if_match=if_match,
                if_none_match=if_none_match,
                dry_run=dry_run,
            )
        )
        return Written(object_from(response.object), response.outcome)

    async def delete_object(
        self, caller: Caller, kind: str, name: str, *, if_match: str = "", dry_run: bool = False
    ) -> None:
        await self._delete_object(
            pb.DeleteObjectRequest(
                caller=caller_message(caller), kind=kind, name=name, if_match=if_match, dry_run=dry_run
            )
        )

    async def adopt_object(self, caller: Caller, kind: str, name: str, *, if_match: str = "") -> ConfigObject:
        request = pb.AdoptObjectRequest(caller=caller_message(caller), kind=kind, name=name, if_match=if_match)
        return object_from((await self._adopt_object(request)).object)

    async def apply_configuration(
        self,
        caller: Caller,
        text: str,
        source: str,
        *,
        mode: str = "apply",
        dry_run: bool = False,
        take_over: bool = False,
        scopes: Scopes | None = None,
    ) -> Applied:
        response = await self._apply(
            pb.ApplyConfigurationRequest(
                caller=caller_message(caller),
                text=text,
                source=source,
                mode=mode,
                dry_run=dry_run,
                take_over=take_over,
                scopes=key_scopes.to_message(scopes) if scopes is not None else None,
            )
        )
        return Applied(
            tuple(map(change_from, response.changes)),
            response.revision,
            tuple(response.warnings),
            response.unchanged,
        )

    async def export_configuration(self, caller: Caller) -> str:
        return (await self._export(pb.ExportConfigurationRequest(caller=caller_message(caller)))).text

    async def list_audit(
        self, caller: Caller, *, organisation: str = "", before: int = 0, limit: int = 100
    ) -> AuditPage:
        response = await self._list_audit(
            pb.ListAuditRequest(caller=caller_message(caller), organisation=organisation, before=before, limit=limit)
        )
        return AuditPage(tuple(map(entry_from, response.items)), response.next)

    async def verify_audit(self, caller: Caller, head: str = "") -> AuditVerdict:
        found = await self._verify_audit(pb.VerifyAuditRequest(caller=caller_message(caller), head=head))
        return AuditVerdict(found.entries, found.head, found.bad, found.why)

    async def record_audit(self, caller: Caller, action: str, target: str, before: str = "", after: str = "") -> None:
        await self._record_audit(
            pb.RecordAuditRequest(
                caller=caller_message(caller), action=action, target=target, before=before, after=after
            )
        )

    async def begin_login(self, caller: Caller, new: NewLogin) -> LoginStart:
        found = await self._begin_login(
            pb.BeginLoginRequest(
                caller=caller_message(caller),
                login=new.login,
                account=new.account,
                flow=new.flow,
                port=new.port,
                accept_terms=new.accept_terms,
                parameters=new.parameters,
            )
        )
        return LoginStart(found.id, found.flow, found.url, found.ends, found.redirect, found.user_code, found.interval)

    async def finish_login(self, caller: Caller, callback: str) -> LoginInfo:
        asked = pb.FinishLoginRequest(caller=caller_message(caller), callback=callback)
        return login_from((await self._finish_login(asked)).login)

    async def poll_login(self, caller: Caller, flow: str) -> LoginPoll:
        found = await self._poll_login(pb.PollLoginRequest(caller=caller_message(caller), flow=flow))
        return LoginPoll(login_from(found.login) if found.HasField("login") else None, found.wait)

    async def import_login(self, caller: Caller, new: NewLogin, tokens: str) -> LoginInfo:
        asked = pb.ImportLoginRequest(
            caller=caller_message(caller),
            login=new.login,
            account=new.account,
            accept_terms=new.accept_terms,
            parameters=new.parameters,
            tokens=tokens,
        )
        return login_from((await self._import_login(asked)).login)

    async def list_logins(self, caller: Caller) -> Logins:
        found = await self._list_logins(pb.ListLoginsRequest(caller=caller_message(caller)))
        return Logins(tuple(map(login_from, found.logins)), tuple(map(kind_from, found.kinds)))

    async def forget_login(self, caller: Caller, login: str) -> None:
        await self._forget_login(pb.ForgetLoginRequest(caller=caller_message(caller), login=login))

    async def refresh_login(self, caller: Caller, login: str) -> LoginInfo:
        asked = pb.RefreshLoginRequest(caller=caller_message(caller), login=login)
        return login_from((await self._refresh_login(asked)).login)


def _context(context: CallContext) -> common_pb2.CallContext:
    return common_pb2.CallContext(request_id=context.request_id, traceparent=context.traceparent)


def _key(key: pb.Key) -> KeyInfo:
    return KeyInfo(
        id=key.id,
        name=key.name,
        role=key.role,
        models=tuple(key.models),
        requests_per_minute=key.requests_per_minute,
        budget_nano_usd=key.budget_nano_usd,
        budget_window=key.budget_window,
        managed_by=key.managed_by,
        created=key.created,
        hint=key.hint,
        rules=key.rules,
        scopes=key_scopes.from_message(key.scopes),
        older_until=key.older_until,
        team=key.team,
        user=key.user,
        tags=tuple(key.tags),
        no_bodies=key.no_bodies,
    )
