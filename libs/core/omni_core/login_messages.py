"""Logins and credentials as messages."""

import msgspec
from omniroute_proto.auth.v1 import auth_pb2 as pb

from omni_core.ports.auth import Credential
from omni_core.ports.logins import LoginInfo, LoginKind, NewLogin

_INFO, _KIND = LoginInfo.__struct_fields__, LoginKind.__struct_fields__


def credential_message(found: Credential) -> pb.CredentialResponse:
    return pb.CredentialResponse(**msgspec.structs.asdict(found))


def credential_from(message: pb.CredentialResponse) -> Credential:
    return Credential(
        message.secret, message.version, message.login, dict(message.headers), message.expires, message.project,
        message.base_url, message.usage_secret,
    )  # fmt: skip


def login_message(found: LoginInfo) -> pb.Login:
    return pb.Login(**msgspec.structs.asdict(found))


def login_from(message: pb.Login) -> LoginInfo:
    said = {name: getattr(message, name) for name in _INFO}
    return LoginInfo(**{**said, "accounts": tuple(message.accounts)})


def kind_message(found: LoginKind) -> pb.LoginKind:
    return pb.LoginKind(**msgspec.structs.asdict(found))


def kind_from(message: pb.LoginKind) -> LoginKind:
    said = {name: getattr(message, name) for name in _KIND}
    return LoginKind(**{**said, "flows": tuple(message.flows), "parameters": tuple(message.parameters)})


def new_login_from(message: pb.BeginLoginRequest) -> NewLogin:
    return NewLogin(
        message.login, message.account, message.flow, message.port, message.accept_terms, dict(message.parameters)
    )
