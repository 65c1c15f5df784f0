"""gRPC between our services: one server class, one channel class, who may call what, and the error tree.

A handler raises ``GatewayError`` and the caller's client raises it again; anything else a handler raises is logged here
and becomes ``Internal`` without details. Cancelling a call closes the implementation's generator.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import grpc
from grpc import aio
from omni_wire.errors import GatewayError, Internal
from prometheus_client import CollectorRegistry

from omni_core.callers import CALLERS
from omni_core.failures import FAILURE_TRAILER, from_failure, from_rpc_error, grpc_status, is_away, to_failure
from omni_core.gate import Gate, calling_services, certified
from omni_core.identity import TOKEN_METADATA, Caller
from omni_core.rpc_metrics import CallMeter
from omni_core.rpc_tls import channel_credentials, server_credentials
from omni_core.telemetry import about_request
from omni_core.tls import Tls

__all__ = [
    "CALL_TIMEOUT",
    "STREAM_TIMEOUT",
    "TOKEN_METADATA",
    "Peer",
    "RpcServer",
    "ServiceChannel",
    "bidi",
    "from_failure",
    "open_channel",
    "server_stream",
    "settled",
    "to_failure",
    "unary",
    "unary_of",
]

log = logging.getLogger("omniroute.rpc")

# Seconds. A control call answers soon or not at all; a stream is bounded by the provider's own timeouts long before.
CALL_TIMEOUT = 5.0
STREAM_TIMEOUT = 3600.0

_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Errors travel in trailers: above the default of 8 KiB they would be dropped now and then (the limit is random
    # between "max" and "absolute max").
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
    # A peer that is silent for 20 s is pinged, and when it does not answer that within 5 s its calls are cut. Which of
    # the two timeouts decides is gRPC's choice: in 1.85 the ping's, whose default is a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
_SERVER_OPTIONS: list[tuple[str, int]] = [
    *_OPTIONS,
    ("grpc.so_reuseport", 0),  # two servers on one port is a mistake here, and must be seen
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
]
_CHANNEL_OPTIONS: list[tuple[str, int]] = [
    *_OPTIONS,
    ("grpc.enable_http_proxy", 0),  # our services are never behind the proxy that providers may be
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
    # A neighbour that restarts is found again within a second: that long is the longest pause between two tries to
    # connect (gRPC adds up to a fifth), and that long ("min") a try may last at a place where nobody says anything.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 800),
]
# A name of several addresses: calls go to each in turn, and a lost connection has the name looked up again (no oftener
# than this). Without the servers' maximum age a new address would wait for that until some connection breaks.
_DNS_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]


class Message(Protocol):
    """What is used of a generated protobuf class."""

    @classmethod
    def FromString(cls, data: bytes, /) -> Self: ...  # noqa: N802

    def SerializeToString(self) -> bytes: ...  # noqa: N802


Req = TypeVar("Req", bound=Message)
Res = TypeVar("Res", bound=Message)
Answer = TypeVar("Answer", covariant=True)
Stub = TypeVar("Stub")
if TYPE_CHECKING:  # generic in the stubs only
    Context = aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]


# ---- server ---------------------------------------------------------------------------------------------------------


class RpcServer:
    """A gRPC listener whose every call must carry a token made of ``token``, and come from a service that may make it.
    With ``tls`` it takes encrypted connections only, and only from those who have a certificate of the same CA; who
    may call what is then asked of the certificate, too. ``port`` 0 takes a free one.

    A connection older than ``max_age`` seconds (gRPC varies it by a tenth, so that not all come back at once) takes no
    new call, and what runs on it goes on; 0 lets connections live.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        *,
        tls: Tls | None = None,
        max_age: float = 0.0,
        metrics: CollectorRegistry | None = None,
    ) -> None:
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._gate = Gate(token, CALLERS)
        self._tls = tls
        self._options = _SERVER_OPTIONS if max_age <= 0 else [*_SERVER_OPTIONS, *_ages(max_age)]
        self._meter = CallMeter(metrics) if metrics is not None else None
        self._services: dict[str, dict[str, Handler]] = {}
        self._server: aio.Server | None = None

    def add(self, service_name: str, handlers: dict[str, Handler]) -> None:
        """``service_name`` as in the .proto, for instance "omniroute.auth.v1.AuthPort". Before ``start``."""
        if self._meter is not None:
            handlers = self._meter.timed(service_name, handlers)
        if self._tls is not None:
            handlers = certified(service_name, handlers, CALLERS)
        self._services[service_name] = handlers

    async def start(self) -> int:
        """Listen, and return the port. Raises ``OSError`` when the address is taken."""
        server = aio.server(interceptors=[self._gate], options=self._options)
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, handlers) for name, handlers in self._services.items()]
        )
        try:
            if self._tls is None:
                port = server.add_insecure_port(self._address)
            else:
                port = server.add_secure_port(self._address, server_credentials(self._tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}") from error
        await server.start()
        self._server = server
        return port

    async def stop(self, grace: float) -> None:
        """Take no new call, give running ones ``grace`` seconds, then cancel them. Safe when it never started."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace)


def _ages(max_age: float) -> list[tuple[str, int]]:
    return [
        ("grpc.max_connection_age_ms", int(max_age * 1000)),
        ("grpc.max_connection_age_grace_ms", int(STREAM_TIMEOUT * 1000)),
    ]


def settled(error: Exception, request: object) -> GatewayError:
    """What the caller may know of ``error``: itself when it is of the tree, else ``Internal``, and it is logged."""
    if isinstance(error, GatewayError):
        return error
    context = getattr(request, "context", None)
    request_id, traceparent = getattr(context, "request_id", ""), getattr(context, "traceparent", "")
    extra = about_request(request_id, traceparent, call=type(request).__name__)
    log.error("a handler failed unexpectedly", exc_info=error, extra=extra)
    return Internal("internal error")


async def _abort(context: Context, error: GatewayError) -> None:
    trailer = ((FAILURE_TRAILER, to_failure(error).SerializeToString()),)
    await context.abort(grpc_status(error), error.kind, trailer)


def unary(request_type: type[Req], handle: Callable[[Req], Awaitable[Res]]) -> Handler:
    """One message in, one out."""

    async def call(request: Req, context: Context) -> Res | None:
        try:
            return await handle(request)
        except Exception as error:  # noqa: BLE001 — the border: settled() logs what is not of the tree
            await _abort(context, settled(error, request))
            return None

    return grpc.unary_unary_rpc_method_handler(call, request_type.FromString, _serialize)


def unary_of(request_type: type[Req], handle: Callable[[Req, frozenset[str]], Awaitable[Res]]) -> Handler:
    """As ``unary``, for a handler that is told the services of the process that calls."""

    async def call(request: Req, context: Context) -> Res | None:
        try:
            return await handle(request, calling_services(context))
        except Exception as error:  # noqa: BLE001 — as above
            await _abort(context, settled(error, request))
            return None

    return grpc.unary_unary_rpc_method_handler(call, request_type.FromString, _serialize)


def server_stream(request_type: type[Req], handle: Callable[[Req], AsyncGenerator[Res, None]]) -> Handler:
    """One message in, many out. ``handle``'s generator is closed however the call ends."""

    async def call(request: Req, context: Context) -> None:
        try:
            async with aclosing(handle(request)) as messages:
                async for message in messages:
                    await context.write(message)
        except aio.BaseError:
            raise
        except Exception as error:  # noqa: BLE001 — as above
            await _abort(context, settled(error, request))

    return grpc.unary_stream_rpc_method_handler(call, request_type.FromString, _serialize)


def bidi(request_type: type[Req], handle: Callable[[AsyncIterator[Req]], AsyncGenerator[Res, None]]) -> Handler:
    """Many messages in, many out. ``handle``'s generator is closed however the call ends."""

    async def call(requests: AsyncIterator[Req], context: Context) -> None:
        try:
            async with aclosing(handle(requests)) as messages:
                async for message in messages:
                    await context.write(message)
        except aio.BaseError:
            raise
        except Exception as error:  # noqa: BLE001 — as above
            await _abort(context, settled(error, request_type))

    return grpc.stream_stream_rpc_method_handler(call, request_type.FromString, _serialize)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


# ---- client ---------------------------------------------------------------------------------------------------------


class ServiceChannel(aio.Channel):
    """A connection to one service: a plain channel that knows its address and who calls. One whose address is
    ``named`` (dns:) spreads calls over all that the name stands for.

    Of a process with a certificate it is encrypted, and goes on only when the other side proves to be ``service``
    ("" for: the host of the address). Another certificate of ours takes another channel below: calls that begin later
    go by that, those under way stay where they are.
    """

    def __init__(self, address: str, caller: Caller, service: str = "") -> None:
        self.address = address
        self.metadata = caller.metadata()
        self.away = False  # as of the last call
        self.named = address.startswith("dns:")
        self.encrypted = caller.tls is not None
        self._tls = caller.tls
        self._material = caller.tls.current() if caller.tls is not None else None
        self._service = service
        self._left: set[asyncio.Task[None]] = set()
        self._channel = self._open()

    def _open(self) -> aio.Channel:
        options = [*_CHANNEL_OPTIONS, *_DNS_OPTIONS] if self.named else _CHANNEL_OPTIONS
        if self._material is None:
            return aio.insecure_channel(self.address, options=options)
        if self._service:
            options = [*options, ("grpc.ssl_target_name_override", self._service)]
        return aio.secure_channel(self.address, channel_credentials(self._material), options=options)

    def latest(self) -> aio.Channel:
        """The channel for a call that begins now."""
        if self._tls is not None and (now := self._tls.current()) is not self._material:
            self._material = now
            task = asyncio.get_running_loop().create_task(_let_go(self._channel))
            self._left.add(task)
            task.add_done_callback(self._left.discard)
            self._channel = self._open()
        return self._channel

    def stub(self, make: Callable[[aio.Channel], Stub]) -> Callable[[], Stub]:
        """A function that gives what ``make`` makes of the latest channel."""
        channel, made = self._channel, make(self._channel)
        if self._tls is None:
            return lambda: made

        def latest() -> Stub:
            nonlocal channel, made
            if (now := self.latest()) is not channel:
                channel, made = now, make(now)
            return made

        return latest

    def __repr__(self) -> str:
        return f"ServiceChannel({self.address!r})"

    def note(self, name: str, *, away: bool, why: str = "") -> None:
        """Log that the service ``name`` went away or came back: errors do not say where it was looked for. With TLS
        there is more than one reason, and ``why`` is gRPC's."""
        if away is self.away:
            return
        self.away = away
        if away:
            reason = f" ({why})" if why and self.encrypted else ""
            log.warning("the %s is not reachable at %s%s", name, self.address, reason)
        else:
            log.info("the %s is reachable again at %s", name, self.address)

    async def close(self, grace: float | None = None) -> None:
        """Cancel what is running (after ``grace`` seconds) and disconnect."""
        left = list(self._left)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.latest().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    def unary_unary(self, *args: Any, **kwargs: Any) -> aio.UnaryUnaryMultiCallable[Any, Any]:
        return self._channel.unary_unary(*args, **kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> aio.UnaryStreamMultiCallable[Any, Any]:
        return self._channel.unary_stream(*args, **kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> aio.StreamUnaryMultiCallable[Any, Any]:
        return self._channel.stream_unary(*args, **kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> aio.StreamStreamMultiCallable[Any, Any]:
        return self._channel.stream_stream(*args, **kwargs)


async def _let_go(channel: aio.Channel) -> None:
    """Close it when nothing can be under way on it any more, or at once when cancelled."""
    try:
        await asyncio.sleep(STREAM_TIMEOUT)
    finally:
        await channel.close()


def open_channel(address: str, caller: Caller, service: str = "") -> ServiceChannel:
    """A channel to ``service`` at ``address``: "host:port", "dns:///name:port" (all that the name stands for, in turn)
    or "dns://resolver:port/name:port". It connects when first used and again whenever it must."""
    return ServiceChannel(address, caller, service)


class UnaryCall(Protocol[Answer]):
    """See ``Peer.unary``."""

    def __call__(self, request: Message, timeout: float = ...) -> Awaitable[Answer]: ...


class Peer:
    """One service at the other end of a channel; ``name`` is how errors call it."""

    def __init__(self, channel: ServiceChannel, service: str, name: str) -> None:
        self._channel = channel
        self._service = service
        self._name = name

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise gRPC's own errors as ``GatewayError``."""
        try:
            yield
        except aio.AioRpcError as error:
            if is_away(error):
                self._channel.note(self._name, away=True, why=error.details() or "")
            raise from_rpc_error(error, self._name) from error
        if self._channel.away:
            self._channel.note(self._name, away=False)

    def unary(self, method: str, response_type: type[Res], timeout: float = CALL_TIMEOUT) -> UnaryCall[Res]:
        """A function that calls ``method`` within ``timeout`` seconds, or those it is given, and raises
        ``GatewayError``."""
        path, parse = f"/{self._service}/{method}", response_type.FromString
        stub = self._channel.stub(lambda channel: channel.unary_unary(path, _serialize, parse))
        metadata, errors = self._channel.metadata, self.errors

        async def call(request: Message, timeout: float = timeout) -> Res:
            with errors():
                response: Res = await stub()(request, timeout=timeout, metadata=metadata)
                return response

        return call

    def server_stream(
        self, method: str, response_type: type[Res], timeout: float = STREAM_TIMEOUT
    ) -> Callable[[Message], aio.UnaryStreamCall[Any, Res]]:
        """A function that starts ``method``; the caller reads within ``errors()`` and cancels in the end."""
        path, parse = f"/{self._service}/{method}", response_type.FromString
        stub = self._channel.stub(lambda channel: channel.unary_stream(path, _serialize, parse))
        metadata = self._channel.metadata
        return lambda request: stub()(request, timeout=timeout, metadata=metadata)

    def bidi(
        self, method: str, response_type: type[Res], timeout: float = STREAM_TIMEOUT
    ) -> Callable[[], aio.StreamStreamCall[Any, Res]]:
        """As ``server_stream``, with a call to write to."""
        path, parse = f"/{self._service}/{method}", response_type.FromString
        stub = self._channel.stub(lambda channel: channel.stream_stream(path, _serialize, parse))
        metadata = self._channel.metadata
        return lambda: stub()(timeout=timeout, metadata=metadata)
