"""Scripted routers and translators behind real gRPC servers in the test's own process, for pools to call."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import omni_router.server
import omni_translator.server
from omni_core.identity import Caller
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, ConnectionTest, Frame, Head, ModelEntry
from omni_core.ports.translator import EncodeCall, EncodedRequest, StreamCall, Translated
from omni_core.rpc import RpcServer
from omni_wire.formats import WireFormat

TOKEN = "service-token-of-the-test"
CALLER = Caller(("edge", "router"), TOKEN)
HEAD = Head(200, True, "text/event-stream", "acme", "gpt-x")


class Router:
    """A ``RouterPort`` on a listener of its own, which notes the calls it gets.

    ``frames`` is what it answers: its own name, unless a test says otherwise. ``gate`` holds every answer back before
    its first frame, and ``pause`` is kept after each.
    """

    def __init__(self, name: str, host: str = "127.0.0.1", *, max_age: float = 0.0) -> None:
        self.name = name
        self.calls: list[CompleteCall] = []
        self.running = 0
        self.frames: list[Frame | Exception] = [HEAD, name.encode()]
        self.pause = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self._host = host
        self._max_age = max_age
        self.port = 0
        self.server: RpcServer | None = None

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"

    async def start(self) -> "Router":
        """On the port it had, when it had one."""
        self.server = RpcServer(self._host, self.port, TOKEN, max_age=self._max_age)
        omni_router.server.register(self.server, self)
        self.port = await self.server.start()
        return self

    async def stop(self, grace: float = 0.0) -> None:
        """With no grace, whatever runs is cut off."""
        server, self.server = self.server, None
        if server is not None:
            await server.stop(grace)

    async def explain(self, call: CompleteCall) -> bytes:
        self.calls.append(call)
        return self.name.encode()

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        return ConnectionTest(True, "models", self.name)

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        return ConnectionTest(True, "tunnel", self.name)

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        self.calls.append(call)
        self.running += 1
        try:
            await self.gate.wait()
            for frame in self.frames:
                if isinstance(frame, Exception):
                    raise frame
                yield frame
                if self.pause:
                    await asyncio.sleep(self.pause)
        finally:
            self.running -= 1

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        await self.gate.wait()
        return [ModelEntry(self.name, "test")]

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        await self.gate.wait()
        return len(body)


class Translator:
    """A ``TranslatorPort`` on a listener of its own: it echoes what it is given once it has ``enough`` bytes of it.
    ``gate`` holds back every converted request."""

    def __init__(self, name: str, enough: int = 1) -> None:
        self.name = name
        self.enough = enough
        self.seen = b""
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0
        self.server: RpcServer | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> "Translator":
        self.server = RpcServer("127.0.0.1", self.port, TOKEN)
        omni_translator.server.register(self.server, self)
        self.port = await self.server.start()
        return self

    async def stop(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            await server.stop(0)

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        self.asked.set()
        await self.gate.wait()
        return EncodedRequest(self.name.encode())

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        self.seen = held = b""
        async for data in source:
            self.seen += data
            held += data
            self.asked.set()
            if len(self.seen) >= self.enough:
                yield Translated(held)
                held = b""
        yield Translated(held, finished=True)


class Names(asyncio.DatagramProtocol):
    """A DNS server that answers every question for an address with ``records``. Use as an async context."""

    def __init__(self, *records: str) -> None:
        self.records = list(records)
        self.asked = 0
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> "Names":
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._transport is not None
        self._transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = 12
        while data[end]:
            end += data[end] + 1
        question = data[12 : end + 5]
        is_a = struct.unpack(">H", data[end + 1 : end + 3])[0] == 1
        self.asked += is_a
        answers = [socket.inet_aton(record) for record in self.records] if is_a else []
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + answer for answer in answers)
        head = data[:2] + struct.pack(">HHHHH", 0x8580, 1, len(answers), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + question + records, addr)


async def until(holds: Callable[[], bool | Awaitable[bool]], within: float = 10.0) -> None:
    """Wait until ``holds``; fails after ``within`` seconds."""
    async with asyncio.timeout(within):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)
