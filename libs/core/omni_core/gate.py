"""Who is let in by a gRPC listener: two locks, each of which asks the table of ``omni_core.callers`` by itself.

The token names the caller's services and is on every listener; the certificate names them, too, where TLS is on. So
neither a stolen token without a certificate nor a certificate without the token opens anything, and what both allow is
what may be called.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from omni_core.callers import NOBODY
from omni_core.identity import TOKEN_METADATA, Proofs, service_of

if TYPE_CHECKING:  # generic in the stubs only
    Context = aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

log = logging.getLogger("omniroute.rpc")

# Where gRPC's auth context keeps the URI names of the peer's certificate, once verified.
_PEER_URI = "peer_uri"

Callers = Mapping[str, frozenset[str]]


class Gate(aio.ServerInterceptor):
    """Looks at the token, and at what its services may call."""

    def __init__(self, token: str, callers: Callers) -> None:
        self._proofs = Proofs(token)
        self._callers = callers
        self._unknown = _refusing(grpc.StatusCode.UNAUTHENTICATED, "a valid service token is required")

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        for key, value in handler_call_details.invocation_metadata or ():
            if key == TOKEN_METADATA and (services := self._proofs.services(value)) is not None:
                method = handler_call_details.method
                if services & self._callers.get(method, NOBODY):
                    return await continuation(handler_call_details)
                return _refusing(grpc.StatusCode.PERMISSION_DENIED, _told(method, services))
        return self._unknown


def certified(service_name: str, handlers: "dict[str, Handler]", callers: Callers) -> "dict[str, Handler]":
    """The same handlers, for those whose certificate may call them."""
    return {
        name: _certified(handler, f"/{service_name}/{name}", callers.get(f"/{service_name}/{name}", NOBODY))
        for name, handler in handlers.items()
    }


def _certified(handler: "Handler", method: str, allowed: frozenset[str]) -> "Handler":
    shapes: tuple[tuple[Any, Any], ...] = (
        (handler.unary_unary, grpc.unary_unary_rpc_method_handler),
        (handler.unary_stream, grpc.unary_stream_rpc_method_handler),
        (handler.stream_stream, grpc.stream_stream_rpc_method_handler),
    )
    serve, make = next((serve, make) for serve, make in shapes if serve is not None)

    async def call(request: Any, context: "Context") -> Any:
        services = certificate_services(context)
        if not services & allowed:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, _told(method, services))
        return await serve(request, context)

    made: Handler = make(call, handler.request_deserializer, handler.response_serializer)
    return made


def certificate_services(context: "Context") -> frozenset[str]:
    """The services that the caller's certificate names."""
    names = context.auth_context().get(_PEER_URI, ())
    return frozenset(service for name in names if (service := service_of(name.decode("ascii", "replace"))))


def calling_services(context: "Context") -> frozenset[str]:
    """The services of whoever makes a call that the gate has let in: those that its token names, and its certificate,
    where it has one."""
    metadata = dict(context.invocation_metadata() or ())
    token = metadata.get(TOKEN_METADATA, "")
    names = (token if isinstance(token, str) else token.decode("ascii", "replace")).partition(".")[0]
    services = frozenset(filter(None, names.split("+")))
    return services & certificate_services(context) if _PEER_URI in context.auth_context() else services


def _told(method: str, services: Iterable[str]) -> str:
    who = "+".join(sorted(services)) or "a process that is no service"
    log.warning("refused %s to %s", method, who)
    return f"{method} is not for {who}"


def _refusing(code: grpc.StatusCode, why: str) -> "Handler":
    """A stream handler that reads nothing can refuse calls of every shape."""

    async def refuse(_requests: AsyncIterator[bytes], context: "Context") -> None:
        await context.abort(code, why)

    return grpc.stream_stream_rpc_method_handler(refuse)
