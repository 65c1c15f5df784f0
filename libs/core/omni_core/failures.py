"""The error tree across a process border: protobuf, gRPC status, and what gRPC itself reports."""

import grpc
from grpc import aio
from omni_wire.errors import KINDS, DependencyUnavailable, GatewayError, Internal, from_kind
from omniroute_proto.common.v1 import common_pb2

FAILURE_TRAILER = "omniroute-failure-bin"

# A trailer is bounded by the peer's header limit (rpc.py), so a message is too. Characters.
MAX_MESSAGE = 4000

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    402: grpc.StatusCode.FAILED_PRECONDITION,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.ABORTED,  # CANCELLED would look to the caller as if it had cancelled itself
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

# What gRPC says when the peer, not the call, is the trouble.
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED})


class PeerAway(DependencyUnavailable):
    """Nobody answered the call, as opposed to a service that answered that something it needs is away.

    Only on this side of the wire: it crosses another border as its base.
    """


class PeerSilent(DependencyUnavailable):
    """Somebody may be there, but no answer came in time. As ``PeerAway``, only on this side of the wire."""


def to_failure(error: GatewayError) -> common_pb2.Failure:
    """``error`` for the wire; what equals its kind's default is left out."""
    cls = KINDS.get(error.kind, GatewayError)
    return common_pb2.Failure(
        kind=error.kind,
        message=_text(error.message[:MAX_MESSAGE]),
        status=0 if error.status == cls.status else error.status,
        retry_after=error.retry_after or 0.0,
        param=_text((error.param or "")[:MAX_MESSAGE]),
        code="" if error.code == cls.code else _text(error.code),
        trace=_text(error.trace),
    )


def from_failure(failure: common_pb2.Failure) -> GatewayError:
    """The error that ``to_failure`` was given; a kind this version does not know becomes ``Internal``."""
    error = from_kind(
        failure.kind,
        failure.message,
        status=failure.status or None,
        retry_after=failure.retry_after or None,
        param=failure.param or None,
        code=failure.code or None,
    )
    if failure.trace:
        error.trace = failure.trace
    return error


def grpc_status(error: GatewayError) -> grpc.StatusCode:
    """The gRPC status for people who watch the wire; our own clients read the trailer."""
    return _STATUS.get(error.status, grpc.StatusCode.UNKNOWN if error.status < 500 else grpc.StatusCode.INTERNAL)


def is_away(error: aio.AioRpcError) -> bool:
    """Whether nobody answered, so that it is worth knowing where we looked."""
    return error.code() in _AWAY and (error.trailing_metadata() or {}).get(FAILURE_TRAILER) is None


def from_rpc_error(error: aio.AioRpcError, peer: str) -> GatewayError:
    """What a failed call means: the error in its trailer, else what gRPC makes of ``peer``.

    The message reaches the gateway's clients, so it names no address: that is for the log (rpc.py).
    """
    trailer = (error.trailing_metadata() or {}).get(FAILURE_TRAILER)
    if isinstance(trailer, bytes):
        return from_failure(common_pb2.Failure.FromString(trailer))
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return PeerSilent(f"{peer} did not answer in time")
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return DependencyUnavailable(f"{peer} refuses this process's service token")
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return DependencyUnavailable(f"{peer} does not take this call from this process")
    if code in _AWAY:
        return PeerAway(f"the {peer} is not reachable")
    return Internal(f"the call to {peer} failed ({code.name.lower()})")


def _text(value: str) -> str:
    # protobuf takes no lone surrogates, and a provider's message may hold some.
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
