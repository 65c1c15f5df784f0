"""AuthPort over gRPC."""

from omniroute_proto.auth.v1 import auth_pb2 as pb
from omniroute_proto.common.v1 import common_pb2

from omni_core.ports.auth import Configuration, CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.context import CallContext
from omni_core.rpc import Peer, ServiceChannel


class AuthClient:
    """Satisfies ``AuthPort``."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.auth.v1.AuthPort", "auth")
        self._authenticate = peer.unary("Authenticate", pb.AuthenticateResponse)
        self._credential = peer.unary("Credential", pb.CredentialResponse)
        self._configuration = peer.unary("Configuration", pb.ConfigurationResponse)
        self._create_key = peer.unary("CreateKey", pb.CreateKeyResponse)
        self._list_keys = peer.unary("ListKeys", pb.ListKeysResponse)
        self._revoke_key = peer.unary("RevokeKey", pb.RevokeKeyResponse)

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        response = await self._authenticate(pb.AuthenticateRequest(context=_context(context), key_digest=key_digest))
        return Identity(key_id=response.key_id, name=response.name, role=response.role)

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        response = await self._credential(pb.CredentialRequest(context=_context(context), account_id=account_id))
        return Credential(secret=response.secret, version=response.version)

    async def configuration(self) -> Configuration:
        response = await self._configuration(pb.ConfigurationRequest())
        return Configuration(revision=response.revision, snapshot=response.snapshot, rejected=response.rejected)

    async def create_key(self, new: NewKey) -> CreatedKey:
        response = await self._create_key(
            pb.CreateKeyRequest(
                name=new.name,
                role=new.role,
                models=new.models,
                requests_per_minute=new.requests_per_minute,
                budget_nano_usd=new.budget_nano_usd,
                budget_window=new.budget_window,
            )
        )
        return CreatedKey(key=_key(response.key), secret=response.secret)

    async def list_keys(self) -> list[KeyInfo]:
        return [_key(key) for key in (await self._list_keys(pb.ListKeysRequest())).keys]

    async def revoke_key(self, key: str) -> KeyInfo:
        return _key((await self._revoke_key(pb.RevokeKeyRequest(key=key))).key)


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
    )
