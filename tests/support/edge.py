"""An edge on a real socket, in front of a router and an auth that do as a test says."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from hashlib import sha256

import uvicorn
from omni_catalogue.snapshot import Routing, Server, Snapshot
from omni_core.component import Check
from omni_core.http_protocol import BoundedHttpProtocol
from omni_core.ports.auth import Configuration, CreatedKey, Credential, Identity, KeyInfo, NewKey
from omni_core.ports.configuration import ANYBODY, Caller
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, ConnectionTest, Frame, Head, ModelEntry, RouterPort
from omni_core.telemetry import new_registry
from omni_edge.server.app import EdgeApp
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.pages import build_pages
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from omni_wire.errors import GatewayError, Unauthenticated
from omni_wire.formats import WireFormat
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

KEY = "or-test-key"
BEARER = {"authorization": f"Bearer {KEY}"}
MESSAGES = [{"role": "user", "content": "hi"}]

WHOLE = Head(200, False, "application/json", "acme", "gpt-x", passthrough=True)
STREAM = Head(200, True, "text/event-stream", "acme", "gpt-x")


def completion(text: str = "hello") -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-x",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    ).encode()  # fmt: skip


def chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"

Script = Callable[[CompleteCall], AsyncGenerator[Frame, None]]


async def say_hello(call: CompleteCall) -> AsyncGenerator[Frame, None]:
    """Answers as the body's ``stream`` asks."""
    if json.loads(call.body).get("stream"):
        yield STREAM
        for word in ("one ", "two ", "three"):
            yield chunk(word)
        yield DONE
    else:
        yield WHOLE
        yield completion()


def raising(error: Exception, *, after: tuple[Frame, ...] = ()) -> Script:
    async def script(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        for frame in after:
            yield frame
        raise error

    return script


class ScriptedRouter:
    """Keeps the calls it got. ``closed`` is set when an answer's generator ends, however it ends."""

    def __init__(self, script: Script = say_hello) -> None:
        self.script = script
        self.calls: list[CompleteCall] = []
        self.closed = asyncio.Event()
        self.entries = [ModelEntry("always-on", "combo"), ModelEntry("acme/gpt-x", "acme", 7, 272_000, 128_000)]
        self.failure: GatewayError | None = None
        self.counted: list[tuple[str, WireFormat, str, bytes]] = []
        self.tokens = 17

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        self.calls.append(call)
        try:
            async with contextlib.aclosing(self.script(call)) as frames:
                async for frame in frames:
                    yield frame
        finally:
            self.closed.set()

    async def explain(self, call: CompleteCall) -> bytes:
        raise NotImplementedError

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        raise NotImplementedError

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        raise NotImplementedError

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        if self.failure is not None:
            raise self.failure
        return self.entries

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 - never written to
    ) -> int:
        self.counted.append((key_id, client_format, model, body))
        if self.failure is not None:
            raise self.failure
        return self.tokens


class ScriptedAuth:
    """Knows ``KEY``. With ``failure`` every call raises it; with ``hang`` none returns."""

    def __init__(self) -> None:
        self.known = {sha256(KEY.encode()).digest(): Identity("key-1", "ci", "developer")}
        self.asked = 0
        self.failure: GatewayError | None = None
        self.hang = False
        self.delay = 0.0

    async def authenticate(self, context: CallContext, key_digest: bytes) -> Identity:
        self.asked += 1
        if self.hang:
            await asyncio.sleep(60)
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        if key_digest not in self.known:
            raise Unauthenticated("no such key")
        return self.known[key_digest]

    async def configuration(self) -> Configuration:
        if self.failure is not None:
            raise self.failure
        return Configuration(1, b"{}")

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        raise NotImplementedError

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        raise NotImplementedError

    async def create_key(self, new: NewKey, caller: Caller = ANYBODY) -> CreatedKey:
        raise NotImplementedError

    async def list_keys(self, caller: Caller = ANYBODY, *, revoked: bool = False) -> list[KeyInfo]:
        raise NotImplementedError

    async def rotate_key(self, key: str, overlap: int, caller: Caller = ANYBODY) -> CreatedKey:
        raise NotImplementedError

    async def revoke_key(self, key: str, caller: Caller = ANYBODY) -> KeyInfo:
        raise NotImplementedError


def snapshot(revision: int = 1, *, require_api_key: bool = True, max_body_bytes: int = 1_000_000) -> Snapshot:
    return Snapshot(
        revision=revision, created=0, providers=(), combos=(), keys=(), routing=Routing(),
        server=Server(require_api_key=require_api_key, max_body_bytes=max_body_bytes),
    )  # fmt: skip


class Edge:
    """The parts, for a test to turn."""

    def __init__(self, settings: EdgeSettings, router: RouterPort | None) -> None:
        self.router = ScriptedRouter()
        self.auth = ScriptedAuth()
        self.wall = 1_700_000_000  # epoch seconds
        self.registry: CollectorRegistry = new_registry()
        self.service = EdgeService(
            router or self.router, self.auth, settings, self.registry, wall=lambda: self.wall
        )  # fmt: skip
        self.service.configure(snapshot())
        self.checks: Callable[[], dict[str, Check]] = self.service.checks
        pages = build_pages(self.service, self.registry, lambda: self.checks(), "0")
        self.app = EdgeApp(self.service, pages, EdgeMetrics(self.registry), settings)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, protocol: type[BoundedHttpProtocol] = BoundedHttpProtocol) -> AsyncIterator[int]:
    """Serve ``app`` with uvicorn on a free port of the loopback, in this loop; yields the port."""
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False, timeout_keep_alive=5, timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        await server.startup(sockets=[listener])
        ticking = asyncio.create_task(server.main_loop())
        try:
            yield port
        finally:
            ticking.cancel()
            await asyncio.wait([ticking])
            await server.shutdown(sockets=[listener])


@contextlib.asynccontextmanager
async def running_edge(
    settings: EdgeSettings | None = None, *, router: RouterPort | None = None
) -> AsyncIterator[Edge]:
    """``router`` in place of the scripted one."""
    edge = Edge(settings or EdgeSettings(), router)
    async with serving(edge.app) as edge.port:
        yield edge


class RawAnswer:
    """One HTTP answer read off a socket. ``clean`` is whether it ended as HTTP prescribes."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, clean: bool) -> None:
        self.status, self.headers, self.body, self.clean = status, headers, body, clean


async def read_answer(reader: asyncio.StreamReader) -> RawAnswer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    status = int(head[0].split()[1])
    if "content-length" in headers:
        return RawAnswer(status, headers, await reader.readexactly(int(headers["content-length"])), True)
    body = b""
    try:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return RawAnswer(status, headers, body, False)
    await reader.readexactly(2)
    return RawAnswer(status, headers, body, True)


def post_head(*headers: str, path: str = "/v1/chat/completions", key: str = KEY) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: edge", f"Authorization: Bearer {key}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
