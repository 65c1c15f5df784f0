"""A key's scopes as a message."""

from omni_catalogue.scopes import Scopes
from omniroute_proto.auth.v1 import auth_pb2 as pb


def to_message(scopes: Scopes) -> pb.Scopes:
    return pb.Scopes(
        providers=scopes.providers,
        endpoints=scopes.endpoints,
        ips=scopes.ips,
        expires=scopes.expires,
        management=scopes.management,
    )


def from_message(message: pb.Scopes) -> Scopes:
    return Scopes(
        providers=tuple(message.providers),
        endpoints=tuple(message.endpoints),
        ips=tuple(message.ips),
        management=tuple(message.management),
        expires=message.expires,
    )
