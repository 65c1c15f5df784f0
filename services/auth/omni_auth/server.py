"""AuthPort on a gRPC listener."""

from omni_core.ports.auth import AuthPort, KeyInfo, NewKey
from omni_core.ports.context import CallContext
from omni_core.rpc import RpcServer, unary
from omniroute_proto.auth.v1 import auth_pb2 as pb
from omniroute_proto.common.v1 import common_pb2


def register(server: RpcServer, port: AuthPort) -> None:
    async def authenticate(request: pb.AuthenticateRequest) -> pb.AuthenticateResponse:
        identity = await port.authenticate(_context(request.context), request.key_digest)
        return pb.AuthenticateResponse(key_id=identity.key_id, name=identity.name, role=identity.role)

    async def credential(request: pb.CredentialRequest) -> pb.CredentialResponse:
        found = await port.credential(_context(request.context), request.account_id)
        return pb.CredentialResponse(secret=found.secret, version=found.version)

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
            )
        )
        return pb.CreateKeyResponse(key=_key(created.key), secret=created.secret)

    async def list_keys(_: pb.ListKeysRequest) -> pb.ListKeysResponse:
        return pb.ListKeysResponse(keys=[_key(key) for key in await port.list_keys()])

    async def revoke_key(request: pb.RevokeKeyRequest) -> pb.RevokeKeyResponse:
        return pb.RevokeKeyResponse(key=_key(await port.revoke_key(request.key)))

    server.add(
        "omniroute.auth.v1.AuthPort",
        {
            "Authenticate": unary(pb.AuthenticateRequest, authenticate),
            "Credential": unary(pb.CredentialRequest, credential),
            "Configuration": unary(pb.ConfigurationRequest, configuration),
            "CreateKey": unary(pb.CreateKeyRequest, create_key),
            "ListKeys": unary(pb.ListKeysRequest, list_keys),
            "RevokeKey": unary(pb.RevokeKeyRequest, revoke_key),
        },
    )


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
    )
