"""What every gRPC hop keeps: the token, the error tree, deadlines, backpressure, and cancellation both ways."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TypeVar

import grpc
import omni_router.server
import omni_translator.server
import pytest
from grpc import aio
from omni_core import rpc
from omni_core.clients.auth import AuthClient
from omni_core.clients.router import RouterClient
from omni_core.clients.translator import TranslatorClient
from omni_core.failures import MAX_MESSAGE
from omni_core.identity import SERVICES, Caller
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame, Head, ModelEntry
from omni_core.ports.translator import StreamCall, Translated
from omni_core.rpc import RpcServer, ServiceChannel, from_failure, open_channel, to_failure
from omni_wire.errors import KINDS, ClientGone, DependencyUnavailable, GatewayError, Internal, RateLimited
from omni_wire.formats import WireFormat
from omniroute_proto.auth.v1 import auth_pb2
from omniroute_proto.common.v1 import common_pb2

from tests.support.servers import free_port

TOKEN = "service-token-of-the-test"
ANYBODY = Caller(SERVICES, TOKEN)
CALL = CompleteCall(CallContext("req-1", "00-trace"), "key", WireFormat.OPENAI_CHAT, b"{}", "event-1")
STREAM = StreamCall(
    CallContext("req-1"), WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES, True, True, "m", False, 1, "id"
)
HEAD = Head(200, True, "text/event-stream", "acme", "gpt-x")


class ScriptedRouter:
    """A RouterPort that plays ``script`` and notes when its generator was left."""

    def __init__(self, script: Callable[[], AsyncIterator[Frame]]) -> None:
        self.script = script
        self.produced = 0
        self.left = asyncio.Event()

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        try:
            async for frame in self.script():
                self.produced += 1
                yield frame
        finally:
            await asyncio.sleep(0)  # a finally block may await, even when it runs because of a cancellation
            self.left.set()

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        raise NotImplementedError

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        raise NotImplementedError


async def play(*frames: Frame | Exception) -> AsyncIterator[Frame]:
    for frame in frames:
        if isinstance(frame, Exception):
            raise frame
        yield frame


async def endless(size: int = 3, pause: float = 0.0) -> AsyncIterator[Frame]:
    yield HEAD
    while True:
        await asyncio.sleep(pause)
        yield b"x" * size


class Served:
    """One server and one channel to it."""

    def __init__(self) -> None:
        self.server = RpcServer("127.0.0.1", 0, TOKEN)
        self.port = 0
        self.channels: list[ServiceChannel] = []

    async def start(self) -> None:
        self.port = await self.server.start()

    def channel(self, token: str = TOKEN) -> ServiceChannel:
        self.channels.append(open_channel(f"127.0.0.1:{self.port}", Caller(SERVICES, token)))
        return self.channels[-1]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    yield served
    for channel in served.channels:
        await channel.close()
    await served.server.stop(0)


async def router_of(served: Served, script: Callable[[], AsyncIterator[Frame]]) -> tuple[ScriptedRouter, RouterClient]:
    port = ScriptedRouter(script)
    omni_router.server.register(served.server, port)
    await served.start()
    return port, RouterClient(served.channel())


async def failing_with(served: Served, error: Exception) -> AuthClient:
    """An AuthPort whose every configuration call raises ``error``."""

    async def fail(_: auth_pb2.ConfigurationRequest) -> auth_pb2.ConfigurationResponse:
        raise error

    handlers = {"Configuration": rpc.unary(auth_pb2.ConfigurationRequest, fail)}
    served.server.add("omniroute.auth.v1.AuthPort", handlers)
    await served.start()
    return AuthClient(served.channel())


T = TypeVar("T")


async def until_error(source: AsyncGenerator[T, None], pause: float = 0.0) -> tuple[list[T], GatewayError]:
    """What came, and the error that ended it."""
    seen: list[T] = []
    try:
        async for item in source:
            seen.append(item)
            await asyncio.sleep(pause)
    except GatewayError as error:
        return seen, error
    raise AssertionError("no error came")


# ---- the token ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata", [(), ((rpc.TOKEN_METADATA, ""),), ((rpc.TOKEN_METADATA, TOKEN + "x"),)])
@pytest.mark.parametrize("shape", ["unary", "stream"])
async def test_a_call_without_the_right_token_is_refused(
    served: Served, metadata: tuple[tuple[str, str], ...], shape: str
) -> None:
    port, _ = await router_of(served, lambda: play(HEAD, b"secret"))
    async with aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        if shape == "unary":
            call = channel.unary_unary("/omniroute.router.v1.RouterPort/Models")(b"", metadata=metadata)
        else:
            call = anext(
                aiter(channel.unary_stream("/omniroute.router.v1.RouterPort/Complete")(b"", metadata=metadata))
            )
        with pytest.raises(aio.AioRpcError) as raised:
            await call
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert port.produced == 0


async def test_our_own_client_with_a_wrong_token_does_not_blame_the_callers_key(served: Served) -> None:
    await router_of(served, lambda: play(HEAD))
    client = RouterClient(served.channel("wrong"))
    with pytest.raises(DependencyUnavailable, match="router refuses this process's service token"):
        [frame async for frame in client.complete(CALL)]


def test_an_empty_token_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="empty"):
        RpcServer("127.0.0.1", 0, "")


def test_a_channel_does_not_show_its_token() -> None:
    shown = rpc.ServiceChannel.__new__(rpc.ServiceChannel)
    shown.address, shown.metadata = "127.0.0.1:1", ((rpc.TOKEN_METADATA, TOKEN),)
    assert repr(shown) == "ServiceChannel('127.0.0.1:1')"


# ---- the error tree -------------------------------------------------------------------------------------------------


def same(one: GatewayError, other: GatewayError) -> bool:
    names = ("kind", "message", "status", "code", "param", "retry_after")
    return type(one) is type(other) and all(getattr(one, name) == getattr(other, name) for name in names)


VARIANTS = [
    {},
    {"status": 418, "code": "teapot", "param": "messages.0", "retry_after": 1.5},
]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("more", VARIANTS)
async def test_every_error_of_the_tree_survives_a_unary_call(
    served: Served, kind: str, more: dict[str, object]
) -> None:
    error = KINDS[kind]("zu viele Aufträge ☃", **more)  # type: ignore[arg-type]
    client = await failing_with(served, error)
    with pytest.raises(GatewayError) as raised:
        await client.configuration()
    assert same(raised.value, error)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("frames", [(), (HEAD, b"data: 1\n\n")])
async def test_every_error_of_the_tree_survives_a_stream_before_and_after_the_head(
    served: Served, kind: str, frames: tuple[Frame, ...]
) -> None:
    error = KINDS[kind]("no", **VARIANTS[1])  # type: ignore[arg-type]
    _, client = await router_of(served, lambda: play(*frames, error))
    seen, raised = await until_error(client.complete(CALL))
    assert same(raised, error)
    assert seen == list(frames)


async def test_a_kind_of_a_newer_version_becomes_internal() -> None:
    error = from_failure(common_pb2.Failure(kind="quantum_flux", message="?", status=530))
    assert type(error) is Internal
    assert error.status == 530


@pytest.mark.parametrize("message", ["", "a" * 100_000, "☃" * 20_000, "line\nbreak\x00", "\ud83d lone surrogate"])
async def test_any_message_survives_or_is_cut(served: Served, message: str) -> None:
    client = await failing_with(served, RateLimited(message, retry_after=2))
    with pytest.raises(RateLimited) as raised:
        await client.configuration()
    assert raised.value.message == message[:MAX_MESSAGE].encode("utf-8", "replace").decode()
    assert raised.value.retry_after == 2


def test_the_wire_carries_only_what_differs_from_the_kind() -> None:
    assert to_failure(ClientGone("gone")) == common_pb2.Failure(kind="client_gone", message="gone")


@pytest.mark.parametrize("shape", ["unary", "stream"])
async def test_an_unexpected_error_is_logged_and_not_told(
    served: Served, shape: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = RuntimeError("password=hunter2")
    if shape == "unary":
        call = (await failing_with(served, secret)).configuration()
    else:
        call = until_error((await router_of(served, lambda: play(secret)))[1].complete(CALL))
    with caplog.at_level(logging.ERROR, logger="omniroute.rpc"):
        (raised,) = await asyncio.gather(call, return_exceptions=True)
    if shape == "stream":
        _, raised = raised
    assert type(raised) is Internal
    assert raised.message == "internal error"
    assert "hunter2" in caplog.text
    if shape == "stream":
        assert caplog.records[0].fields["request_id"] == "req-1"  # type: ignore[attr-defined]


# ---- neighbours that are away ---------------------------------------------------------------------------------------


async def test_a_service_that_is_not_there_is_named_to_the_caller_and_its_address_to_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with open_channel(address, ANYBODY) as channel:
        for _ in range(2):
            with pytest.raises(DependencyUnavailable) as raised:
                await AuthClient(channel).configuration()
            assert raised.value.message == "the auth is not reachable"
    async with open_channel(address, ANYBODY) as channel:
        with pytest.raises(DependencyUnavailable) as raised:
            [frame async for frame in RouterClient(channel).complete(CALL)]
        assert raised.value.message == "the router is not reachable"
    assert [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "omniroute.rpc"] == [
        ("WARNING", f"the auth is not reachable at {address}"),
        ("WARNING", f"the router is not reachable at {address}"),
    ]


async def test_a_service_that_comes_back_on_its_port_is_found_again(served: Served) -> None:
    _, client = await router_of(served, lambda: play(HEAD, b"x"))
    assert [frame async for frame in client.complete(CALL)] == [HEAD, b"x"]
    await served.server.stop(0)
    with pytest.raises(DependencyUnavailable):
        [frame async for frame in client.complete(CALL)]
    served.server = RpcServer("127.0.0.1", served.port, TOKEN)
    omni_router.server.register(served.server, ScriptedRouter(lambda: play(HEAD, b"y")))
    await served.start()
    async with asyncio.timeout(10):
        while True:
            try:
                assert [frame async for frame in client.complete(CALL)] == [HEAD, b"y"]
                break
            except DependencyUnavailable:
                await asyncio.sleep(0.05)


async def test_a_place_where_nobody_says_anything_is_given_up_within_a_second_and_a_bit() -> None:
    with socket.socket() as mute:  # takes connections, as the kernel does for a process that hangs
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        async with open_channel(f"127.0.0.1:{mute.getsockname()[1]}", ANYBODY) as channel:
            peer = rpc.Peer(channel, "omniroute.auth.v1.AuthPort", "auth")
            call = peer.unary("Configuration", auth_pb2.ConfigurationResponse)
            began = time.monotonic()
            with pytest.raises(DependencyUnavailable, match="not reachable"):
                await call(auth_pb2.ConfigurationRequest())
            assert time.monotonic() - began < 10


async def test_a_call_has_a_deadline(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    left = asyncio.Event()

    async def hang(_: auth_pb2.ConfigurationRequest) -> auth_pb2.ConfigurationResponse:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError

    handlers = {"Configuration": rpc.unary(auth_pb2.ConfigurationRequest, hang)}
    served.server.add("omniroute.auth.v1.AuthPort", handlers)
    await served.start()
    peer = rpc.Peer(served.channel(), "omniroute.auth.v1.AuthPort", "auth")
    call = peer.unary("Configuration", auth_pb2.ConfigurationResponse, timeout=0.2)
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable, match="auth did not answer in time"):
        await call(auth_pb2.ConfigurationRequest())
    assert time.monotonic() - began < 10
    async with asyncio.timeout(30):
        await left.wait()


async def test_a_port_already_taken_is_an_error(served: Served) -> None:
    await served.start()
    second = RpcServer("127.0.0.1", served.port, TOKEN)
    with pytest.raises(OSError, match="cannot listen"):
        await second.start()
    await second.stop(0)


# ---- streams --------------------------------------------------------------------------------------------------------


async def test_a_large_body_and_a_large_answer_pass(served: Served) -> None:
    big = bytes(range(256)) * 4096 * 20
    _, client = await router_of(served, lambda: play(HEAD, big))
    call = CompleteCall(CALL.context, "key", WireFormat.OPENAI_CHAT, big, "event-1")
    head, *rest = [frame async for frame in client.complete(call)]
    assert head == HEAD
    assert b"".join(frame for frame in rest if isinstance(frame, bytes)) == big


async def test_a_burst_travels_in_few_messages(served: Served) -> None:
    events = [b"data: %d\n\n" % number for number in range(500)]
    _, client = await router_of(served, lambda: play(HEAD, *events))
    head, *rest = [frame async for frame in client.complete(CALL)]
    assert head == HEAD
    assert b"".join(frame for frame in rest if isinstance(frame, bytes)) == b"".join(events)
    assert len(rest) <= 3


async def test_a_lone_event_is_not_held_back(served: Served) -> None:
    async def script() -> AsyncIterator[Frame]:
        yield HEAD
        yield b"first"
        await asyncio.Event().wait()

    _, client = await router_of(served, script)
    async with aclosing(client.complete(CALL)) as frames, asyncio.timeout(30):
        assert [await anext(frames), await anext(frames)] == [HEAD, b"first"]


async def test_a_client_that_does_not_read_stops_the_router(served: Served) -> None:
    port, client = await router_of(served, lambda: endless(size=10_000))
    async with aclosing(client.complete(CALL)) as frames:
        await anext(frames)
        await asyncio.sleep(0.5)
        before = port.produced
        await asyncio.sleep(0.3)
        assert port.produced == before
        assert port.produced * 10_000 < 16 * 1024 * 1024


# ---- cancellation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script", [lambda: endless(pause=0.01), lambda: endless(size=10_000), lambda: endless(pause=60)]
)
@pytest.mark.parametrize("how", ["close", "cancel", "channel"])
async def test_a_client_that_leaves_ends_the_router_generator_at_once(
    served: Served, script: Callable[[], AsyncIterator[Frame]], how: str
) -> None:
    port, client = await router_of(served, script)
    if how == "close":
        frames = client.complete(CALL)
        assert await anext(frames) == HEAD
        await frames.aclose()
    elif how == "cancel":
        started = asyncio.Event()

        async def read() -> None:
            async with aclosing(client.complete(CALL)) as frames:
                async for _ in frames:
                    started.set()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        frames = client.complete(CALL)
        assert await anext(frames) == HEAD
        await served.channels[0].close()
        await frames.aclose()
    async with asyncio.timeout(30):
        await port.left.wait()


async def test_a_router_that_stops_cancels_what_outlasts_its_grace_and_the_client_is_told(served: Served) -> None:
    port, client = await router_of(served, lambda: endless(pause=0.01))
    frames = client.complete(CALL)
    assert await anext(frames) == HEAD
    stop = asyncio.create_task(served.server.stop(0.2))
    with pytest.raises(DependencyUnavailable, match="router is not reachable"):
        async for _ in frames:
            pass
    await stop
    async with asyncio.timeout(30):
        await port.left.wait()


async def test_a_router_that_stops_lets_running_answers_end(served: Served) -> None:
    async def script() -> AsyncIterator[Frame]:
        yield HEAD
        await asyncio.sleep(0.3)
        yield b"the end"

    _, client = await router_of(served, script)
    frames = client.complete(CALL)
    assert await anext(frames) == HEAD
    stop = asyncio.create_task(served.server.stop(10))
    assert [frame async for frame in frames] == [b"the end"]
    await stop


class Echo:
    """A TranslatorPort that gives back what it gets, and notes when it was left."""

    def __init__(self, fail_at: int = -1, error: Exception | None = None) -> None:
        self.fail_at = fail_at
        self.error = error
        self.seen: list[bytes] = []
        self.left = asyncio.Event()

    async def encode_request(self, call: object) -> object:
        raise NotImplementedError

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        try:
            async for chunk in source:
                self.seen.append(chunk)
                if self.error is not None and len(self.seen) > self.fail_at:
                    raise self.error
                yield Translated(chunk)
            yield Translated(b"", finished=True)
        finally:
            self.left.set()


async def translator_of(served: Served, port: Echo) -> TranslatorClient:
    omni_translator.server.register(served.server, port)  # type: ignore[arg-type]
    await served.start()
    return TranslatorClient(served.channel())


async def test_a_translation_is_live_in_both_directions(served: Served) -> None:
    client = await translator_of(served, Echo())
    turn = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d" % number
            await turn.wait()
            turn.clear()

    async with asyncio.timeout(10), aclosing(client.translate_stream(STREAM, source())) as items:
        for number in range(5):
            assert (await anext(items)).data == b"%d" % number
            turn.set()
        assert [item.finished async for item in items] == [True]


async def test_leaving_a_translation_ends_both_sides(served: Served) -> None:
    port = Echo()
    client = await translator_of(served, port)
    source_left = asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0.01)
        finally:
            source_left.set()

    items = client.translate_stream(STREAM, source())
    assert (await anext(items)).data
    await items.aclose()
    async with asyncio.timeout(30):
        await source_left.wait()
        await port.left.wait()


async def test_a_translator_that_fails_early_stops_reading_the_source(served: Served) -> None:
    client = await translator_of(served, Echo(3, RateLimited("enough")))
    source_left = asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0.01)
        finally:
            source_left.set()

    with pytest.raises(RateLimited, match="enough"):
        [item async for item in client.translate_stream(STREAM, source())]
    async with asyncio.timeout(30):
        await source_left.wait()


async def test_what_was_translated_before_a_failure_arrives_even_at_a_slow_reader(served: Served) -> None:
    port = Echo(20, RateLimited("enough"))
    client = await translator_of(served, port)

    async def source() -> AsyncIterator[bytes]:
        for number in range(100):
            yield b"%03d" % number
            await asyncio.sleep(0.002)

    items, error = await until_error(client.translate_stream(STREAM, source()), pause=0.02)
    got = b"".join(item.data for item in items)
    assert type(error) is RateLimited
    assert len(port.seen) == 21
    assert got == b"".join(port.seen[:20])
