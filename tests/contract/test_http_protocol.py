"""What the listeners hold against a request's head, on raw sockets: its size, its lines, its time."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from omni_core.http_protocol import MAX_HEAD, MAX_LINES, MAX_URL, BoundedHttpProtocol
from omni_launch.listener import HttpListener
from starlette.types import Receive, Scope, Send

from tests.support.edge import RawAnswer, read_answer, serving

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body it got, ``/slow`` late, ``/deaf`` without reading."""
    body, more = b"", scope["path"] != "/deaf"
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )  # fmt: skip
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttpProtocol, "head_time", 0.2)
    monkeypatch.setattr(BoundedHttpProtocol, "silence", 0.4)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(app) as port:
        yield port


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(8):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(port: int, pieces: Iterator[bytes]) -> RawAnswer:
    """Send until it is done or nobody takes more, then read."""
    async with connected(port) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        answer = await read_answer(reader)
        if answer.status != 200:
            assert await reader.read() == b"", "and the connection is closed"
        return answer


def refused(answer: RawAnswer, status: int, code: str) -> bool:
    error = json.loads(answer.body)["error"]
    assert isinstance(error.pop("message"), str)
    assert error == {"type": "invalid_request_error", "code": code, "param": None}
    return answer.status == status and answer.headers["connection"] == "close"


def head(size: int) -> bytes:
    return GET + b"X: " + b"y" * (size - len(GET) - 7) + b"\r\n\r\n"


def lines(count: int) -> bytes:
    return GET + b"X: y\r\n" * (count - 1) + b"\r\n"


async def test_a_head_at_the_bounds_is_taken_and_one_beyond_is_a_431(port: int) -> None:
    assert (await ask(port, iter([head(MAX_HEAD)]))).status == 200
    assert refused(await ask(port, iter([head(MAX_HEAD + 1)])), 431, "headers_too_large")
    assert (await ask(port, iter([lines(MAX_LINES)]))).status == 200
    assert refused(await ask(port, iter([lines(MAX_LINES + 1)])), 431, "headers_too_large")


async def test_a_url_at_the_bound_is_taken_and_one_beyond_is_a_414(port: int) -> None:
    def get(size: int) -> bytes:
        return b"GET /" + b"u" * (size - 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n"

    assert (await ask(port, iter([get(MAX_URL)]))).status == 200
    assert refused(await ask(port, iter([get(MAX_URL + 1)])), 414, "url_too_long")
    assert refused(await ask(port, iter([b"GET /", *[b"u" * 100_000] * 100])), 414, "url_too_long")


@pytest.mark.parametrize("piece", [b"X: y\r\n" * 20_000, b"y" * 100_000], ids=["lines", "one line"])
async def test_an_endless_head_is_a_431_however_it_comes_and_the_client_reads_it(port: int, piece: bytes) -> None:
    assert refused(await ask(port, iter([GET + b"X: ", *[piece] * 200])), 431, "headers_too_large")


async def test_a_head_of_many_megabytes_in_one_call_is_not_parsed_to_its_end(port: int) -> None:
    fed = 0

    class Counting(BoundedHttpProtocol):
        def on_header(self, name: bytes, value: bytes) -> None:
            nonlocal fed
            fed += 1
            super().on_header(name, value)

    async with serving(app, Counting) as port:
        assert refused(await ask(port, iter([GET + b"X: y\r\n" * 1_000_000])), 431, "headers_too_large")
    assert fed <= MAX_HEAD // 6


async def test_a_trailer_is_bounded_too(port: int) -> None:
    post = b"POST /%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    async with connected(port) as (reader, writer):
        writer.write(post % b"" + b"X: y\r\n\r\n")
        assert (await read_answer(reader)).body == b"{}"
    async with connected(port) as (reader, writer):
        writer.write(post % b"" + b"X: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                writer.write(b"y" * 100_000)
                await writer.drain()
            assert await reader.read() == b""


async def test_a_large_body_is_not_a_head(port: int) -> None:
    body = bytes(range(256)) * 8_000
    plain = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    chunks = b"".join(b"%x\r\n%s\r\n" % (50_000, body[at : at + 50_000]) for at in range(0, 2_000_000, 50_000))
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    async with connected(port) as (reader, writer):
        for request, told in ((plain, body), (chunked, body[:2_000_000]), (plain + chunked, body)):
            writer.write(request)
            assert (await read_answer(reader)).body == told
        assert (await read_answer(reader)).body == body[:2_000_000]


async def test_many_pipelined_requests_are_many_heads_and_not_a_large_one(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write((GET + b"X: " + b"y" * 1000 + b"\r\n\r\n") * 300)
        for _ in range(300):
            assert (await read_answer(reader)).status == 200


@pytest.mark.usefixtures("brief")
async def test_a_head_that_does_not_end_is_a_408(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(GET)
        assert refused(await read_answer(reader), 408, "request_timeout")
        assert await reader.read() == b""


@pytest.mark.usefixtures("brief")
async def test_a_head_that_drips_is_a_408_too(port: int) -> None:
    async with connected(port) as (reader, writer):
        began = time.monotonic()
        reading = asyncio.create_task(read_answer(reader))
        writer.write(GET)
        while not reading.done():
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.03)
        assert (await reading).status == 408
        assert time.monotonic() - began < 10


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("before", [b"", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"])
async def test_a_second_head_has_its_time_too(port: int, before: bytes) -> None:
    async with connected(port) as (reader, writer):
        if not before:
            writer.write(GET + b"\r\n")
            assert (await read_answer(reader)).status == 200
            await asyncio.sleep(0.5)  # idle for longer than any head may take: that is keep-alive's
        writer.write(before + GET)
        if before:
            assert (await read_answer(reader)).status == 200
        assert (await read_answer(reader)).status == 408


@pytest.mark.usefixtures("brief")
async def test_a_head_behind_a_slow_answer_waits_for_it(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        assert (await read_answer(reader)).status == 200
        writer.write(b"\r\n")
        assert (await read_answer(reader)).status == 200


@pytest.mark.usefixtures("brief")
async def test_a_connection_that_says_nothing_is_closed_without_a_word(port: int) -> None:
    async with connected(port) as (reader, _writer):
        began = time.monotonic()
        assert await reader.read() == b""
        assert 0.3 < time.monotonic() - began < 10


async def test_the_launchers_listener_holds_the_same() -> None:
    listener = HttpListener("edge", "127.0.0.1", 0)
    port = listener.bind()
    await listener.serve(app)
    try:
        assert refused(await ask(port, iter([lines(MAX_LINES + 1)])), 431, "headers_too_large")
    finally:
        await listener.stop()
