"""What an application is promised between the parser and the socket, on raw sockets."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from omni_core.http_protocol import CLOSE, BoundedHttpProtocol
from starlette.types import Message, Receive, Scope, Send

from tests.support.edge import RawAnswer, read_answer, serving

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


async def send_body(send: Send, body: bytes, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Each path is one way of answering."""
    match scope["path"]:
        case "/scope":
            told = " ".join((scope["method"], scope["path"], scope["query_string"].decode(), scope["http_version"]))
            await send(START)
            await send_body(send, told.encode())
        case "/echo":
            message = await receive()
            await send(START)
            await send_body(send, message["body"], message["more_body"])
            while message["more_body"]:
                message = await receive()
                await send_body(send, message["body"], message["more_body"])
        case "/pieces":
            await send(START)
            for piece in (b"one", b"", b"two"):
                await send_body(send, piece, more=True)
                await asyncio.sleep(0)
            await send_body(send, b"")
        case "/nothing-more":
            await send({**START, "status": 204})
            await send_body(send, b"")
        case "/length":
            await send({**START, "headers": [(b"content-length", b"5")]})
            await send_body(send, b"12345")
        case "/too-long":
            await send({**START, "headers": [(b"content-length", b"2")]})
            await send_body(send, b"12345")
        case "/too-short":
            await send({**START, "headers": [(b"content-length", b"9")]})
            await send_body(send, b"12345")
        case "/split":
            await send({**START, "headers": [(b"x-from", b"client\r\nset-cookie: a=b")]})
            await send_body(send, b"")
        case "/raises":
            raise ValueError("on purpose")
        case "/raises-late":
            await send(START)
            await send_body(send, b"begun", more=True)
            raise ValueError("on purpose")
        case "/silent":
            return
        case "/waits":
            await receive()
            gone.set() if (await receive())["type"] == "http.disconnect" else None


gone = asyncio.Event()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    gone.clear()
    async with serving(app) as port:
        yield port


@pytest.fixture
def expected_failures(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "uvicorn.error")


async def ask(port: int, request: bytes) -> tuple[RawAnswer, bytes]:
    """The answer, and what came after it until the connection was closed (for up to a quarter of a second)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            writer.write(request)
            answer = await read_answer(reader)
        rest = b"still open"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.25):
                rest = await reader.read()
        return answer, rest
    finally:
        writer.close()


def get(path: str, method: str = "GET", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("request_line", "told"),
    [
        ("GET /scope", "GET /scope  1.1"),
        ("GET /scope?a=%20b", "GET /scope a=%20b 1.1"),
        ("POST /%73cope", "POST /scope  1.1"),
        ("GET http://x/scope?q", "GET /scope q 1.1"),
    ],
)
async def test_the_scope_says_what_was_asked(port: int, request_line: str, told: str) -> None:
    answer, _ = await ask(port, f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.body.decode() == told


async def test_a_connection_is_kept_and_one_of_http_1_0_is_not(port: int) -> None:
    assert (await ask(port, get("/length")))[1] == b"still open"
    answer, rest = await ask(port, get("/length", version="1.0"))
    assert answer.headers["connection"] == "close"
    assert rest == b""


async def test_a_body_without_a_length_goes_in_chunks(port: int) -> None:
    answer, _ = await ask(port, get("/pieces"))
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.clean
    assert answer.body == b"onetwo"


async def test_pieces_of_a_request_reach_the_application_as_they_come(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        await reader.readuntil(b"abc\r\n")
        writer.write(b"d")
        await reader.readuntil(b"d\r\n")
        writer.write(b"ef")
        assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"2\r\nef")
    writer.close()


async def test_a_head_request_and_an_empty_status_have_no_body(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        writer.write(get("/length", "HEAD") + get("/pieces", "HEAD") + get("/nothing-more") + get("/scope"))
        heads = [await reader.readuntil(b"\r\n\r\n") for _ in range(3)]
        assert b"content-length: 5" in heads[0]
        assert b"chunked" not in heads[2]
        assert (await read_answer(reader)).body == b"GET /scope  1.1"
    writer.close()


async def test_100_continue_is_said_when_the_application_wants_the_body_and_only_then(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    expecting = b" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with asyncio.timeout(5):
        writer.write(b"POST /echo" + expecting)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"ok")
        assert (await read_answer(reader)).body == b"ok"
        writer.write(b"POST /length" + expecting)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.usefixtures("expected_failures")
@pytest.mark.parametrize("path", ["/raises", "/silent", "/split", "/too-long", "/too-short"])
async def test_an_application_that_fails_before_anything_went_out_is_a_500(port: int, path: str) -> None:
    answer, rest = await ask(port, get(path))
    assert answer.status == 500
    assert "set-cookie" not in answer.headers
    assert answer.headers["connection"] == "close"
    assert rest == b""


@pytest.mark.usefixtures("expected_failures")
async def test_an_application_that_fails_later_leaves_an_answer_that_does_not_look_whole(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        writer.write(get("/raises-late"))
        answer = await read_answer(reader)
    assert (answer.body, answer.clean) == (b"begun", False)
    writer.close()


async def test_the_application_hears_that_the_client_left(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get("/waits"))
    await asyncio.sleep(0.05)
    assert not gone.is_set()
    writer.close()
    async with asyncio.timeout(5):
        await gone.wait()


async def test_a_server_that_is_leaving_makes_every_answer_its_connections_last(port: int) -> None:
    class Leaving(BoundedHttpProtocol):
        def on_headers_complete(self) -> None:
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
            super().on_headers_complete()

    async with serving(app, Leaving) as port:
        answer, rest = await ask(port, get("/length"))
    assert answer.headers["connection"] == "close"
    assert answer.body == b"12345"
    assert rest == b""


async def test_an_idle_connection_is_closed_after_its_time_and_a_used_one_is_not() -> None:
    class Brief(BoundedHttpProtocol):
        head_time = 0.2  # it is looked at as often as that

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.timeout_keep_alive = 1  # of whole seconds

    async with serving(app, Brief) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(8):
            for _ in range(4):
                writer.write(get("/length"))
                assert (await read_answer(reader)).status == 200
                await asyncio.sleep(0.4)
            assert await reader.read() == b""
        writer.close()
