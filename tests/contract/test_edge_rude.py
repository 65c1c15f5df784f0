"""Clients that break off, stall, send too much or too slowly, each on a raw socket."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from omni_core.ports.router import CompleteCall, Frame
from omni_edge.settings import EdgeSettings

from tests.support.edge import STREAM, WHOLE, Edge, chunk, completion, post_head, read_answer, running_edge, snapshot

JSON = "Content-Type: application/json"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge(EdgeSettings(linger=2.0)) as edge:
        yield edge


@pytest.fixture
async def hasty_edge() -> AsyncIterator[Edge]:
    """Waits for the rest of a body for a second."""
    async with running_edge(EdgeSettings(body_idle=1.0, linger=2.0)) as edge:
        yield edge


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@pytest.fixture
async def wire(edge: Edge) -> AsyncIterator[Wire]:
    wire = Wire(*await asyncio.open_connection("127.0.0.1", edge.port))
    yield wire
    await wire.close()


async def endless(call: CompleteCall) -> AsyncGenerator[Frame, None]:
    yield STREAM
    while True:
        yield chunk("tick")
        await asyncio.sleep(0.02)


async def silent(call: CompleteCall) -> AsyncGenerator[Frame, None]:
    yield STREAM
    yield chunk("one")
    await asyncio.sleep(60)


async def hanging(call: CompleteCall) -> AsyncGenerator[Frame, None]:
    await asyncio.sleep(60)
    yield WHOLE


@pytest.mark.parametrize("script", [endless, silent])
async def test_a_client_that_leaves_mid_stream_ends_the_routers_work_at_once(
    edge: Edge, wire: Wire, script: object
) -> None:
    edge.router.script = script  # type: ignore[assignment]
    await wire.send(post_head(JSON, "Content-Length: 2") + b"{}")
    await wire.reader.readuntil(b"one" if script is silent else b"tick")
    await wire.close()
    async with asyncio.timeout(30):
        await edge.router.closed.wait()
    await _until(lambda: edge.sample("omniroute_edge_client_gone_total", surface="chat") == 1)
    assert edge.sample("omniroute_edge_active_streams") == 0
    assert edge.app.active == 0


async def test_a_client_that_leaves_while_waiting_ends_the_routers_work_at_once(edge: Edge, wire: Wire) -> None:
    edge.router.script = hanging
    await wire.send(post_head(JSON, "Content-Length: 2") + b"{}")
    await _until(lambda: bool(edge.router.calls))
    await wire.close()
    async with asyncio.timeout(30):
        await edge.router.closed.wait()
    await _until(lambda: edge.sample("omniroute_edge_requests_total", surface="chat", status_class="gone") == 1)


async def test_a_client_that_leaves_while_sending_never_reaches_the_router(edge: Edge, wire: Wire) -> None:
    await wire.send(post_head(JSON, "Content-Length: 100") + b"{")
    await asyncio.sleep(0.05)
    await wire.close()
    await _until(lambda: edge.sample("omniroute_edge_client_gone_total", surface="chat") == 1)
    assert edge.router.calls == []


async def test_an_announced_oversize_is_refused_at_once(edge: Edge, wire: Wire) -> None:
    await wire.send(post_head(JSON, "Content-Length: 50000000"))
    async with asyncio.timeout(30):
        answer = await read_answer(wire.reader)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert "x-request-id" in answer.headers
    assert b"body_too_large" in answer.body


async def test_a_client_that_sends_on_still_gets_its_413(edge: Edge, wire: Wire) -> None:
    size = 20_000_000
    await wire.send(post_head(JSON, f"Content-Length: {size}"))
    for _ in range(size // 100_000):
        await wire.send(b"x" * 100_000)  # a reset would raise here
    answer = await read_answer(wire.reader)
    assert answer.status == 413
    assert await wire.reader.read() == b""


async def test_a_chunked_oversize_is_refused_when_it_is_one(edge: Edge, wire: Wire) -> None:
    edge.service.configure(snapshot(2, max_body_bytes=250_000))
    await wire.send(post_head(JSON, "Transfer-Encoding: chunked"))
    for _ in range(20):
        await wire.send(b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n")
    answer = await read_answer(wire.reader)
    assert answer.status == 413
    assert edge.router.calls == []


async def test_a_body_of_exactly_the_limit_is_taken(edge: Edge, wire: Wire) -> None:
    edge.router.script = _whole
    edge.service.configure(snapshot(2, max_body_bytes=300_000))
    await wire.send(post_head(JSON, "Transfer-Encoding: chunked"))
    for _ in range(3):
        await wire.send(b"%x\r\n" % 100_000 + b"x" * 100_000 + b"\r\n")
    await wire.send(b"0\r\n\r\n")
    assert (await read_answer(wire.reader)).status == 200
    assert edge.router.calls[0].body == b"x" * 300_000


async def test_expect_100_is_answered_and_not_when_the_request_is_refused(edge: Edge, wire: Wire) -> None:
    edge.router.script = _whole
    await wire.send(post_head(JSON, "Content-Length: 2", "Expect: 100-continue"))
    assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(b"{}")
    assert (await read_answer(wire.reader)).status == 200
    await wire.send(post_head(JSON, "Content-Length: 50000000", "Expect: 100-continue"))
    assert (await read_answer(wire.reader)).status == 413


async def test_a_body_that_stalls_is_a_408(hasty_edge: Edge) -> None:
    wire = Wire(*await asyncio.open_connection("127.0.0.1", hasty_edge.port))
    await wire.send(post_head(JSON, "Content-Length: 10") + b"{")
    answer = await read_answer(wire.reader)
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert await wire.reader.read() == b""
    assert hasty_edge.router.calls == []
    await wire.close()


async def test_a_slow_body_that_moves_is_waited_for(hasty_edge: Edge) -> None:
    hasty_edge.router.script = _whole
    wire = Wire(*await asyncio.open_connection("127.0.0.1", hasty_edge.port))
    await wire.send(post_head(JSON, "Content-Length: 6"))
    for letter in b"{    }":
        await asyncio.sleep(0.25)
        await wire.send(bytes([letter]))
    assert (await read_answer(wire.reader)).status == 200
    await wire.close()


async def test_a_drip_that_never_ends_is_cut() -> None:
    async with running_edge(EdgeSettings(body_idle=0.2, body_total=0.5)) as edge:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", edge.port))
        await wire.send(post_head(JSON, "Content-Length: 1000"))
        reading = asyncio.create_task(read_answer(wire.reader))
        while not reading.done():
            await wire.send(b" ")
            await asyncio.sleep(0.05)
        assert (await reading).status == 408
        await wire.close()


async def test_a_connection_serves_on_after_a_refusal(edge: Edge, wire: Wire) -> None:
    edge.router.script = _whole
    await wire.send(post_head(JSON, "Content-Length: 2", key="or-wrong") + b"{}")
    assert (await read_answer(wire.reader)).status == 401
    await wire.send(post_head("Content-Type: text/plain", "Content-Length: 2") + b"{}")
    assert (await read_answer(wire.reader)).status == 415
    await wire.send(post_head(JSON, "Content-Length: 2") + b"{}")
    assert (await read_answer(wire.reader)).body == completion()


async def test_a_broken_stream_still_ends_as_http_and_a_broken_body_does_not(edge: Edge, wire: Wire) -> None:
    async def breaks_whole(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield WHOLE
        yield b"x" * 5_000_000
        raise ValueError("surprise")

    async def breaks_stream(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        yield chunk("one")
        raise ValueError("surprise")

    edge.router.script = breaks_stream
    await wire.send(post_head(JSON, "Content-Length: 2") + b"{}")
    stream = await read_answer(wire.reader)
    assert stream.clean
    assert b'"code":"internal_error"' in stream.body
    edge.router.script = breaks_whole
    await wire.send(post_head(JSON, "Content-Length: 2") + b"{}")
    assert not (await read_answer(wire.reader)).clean


async def test_a_slow_reader_slows_the_router_down(edge: Edge, wire: Wire) -> None:
    made = 0

    async def flood(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        nonlocal made
        yield STREAM
        while made < 2000:
            made += 1
            yield chunk("x" * 100_000)
            await asyncio.sleep(0)

    edge.router.script = flood
    await wire.send(post_head(JSON, "Content-Length: 2") + b"{}")
    await asyncio.sleep(0.5)
    after = made
    await asyncio.sleep(0.3)
    assert made == after < 200
    await wire.close()
    async with asyncio.timeout(30):
        await edge.router.closed.wait()


async def test_a_client_that_stops_reading_is_given_up() -> None:
    async def flood(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        while True:
            yield chunk("x" * 100_000)
            await asyncio.sleep(0)

    async with running_edge(EdgeSettings(keep_alive=0.1, write_stalled=0.3)) as edge:
        edge.router.script = flood
        wire = Wire(*await asyncio.open_connection("127.0.0.1", edge.port))
        await wire.send(post_head(JSON, "Content-Length: 2") + b"{}")
        async with asyncio.timeout(30):
            await edge.router.closed.wait()
        assert edge.app.active == 0
        wire.writer.transport.abort()


async def test_pipelined_requests_are_answered_in_order(edge: Edge, wire: Wire) -> None:
    await wire.send(
        (post_head(JSON, "Content-Length: 15") + b'{"stream":true}') + post_head(JSON, "Content-Length: 2") + b"{}"
    )
    assert b"[DONE]" in (await read_answer(wire.reader)).body
    assert (await read_answer(wire.reader)).body == completion()


async def _whole(call: CompleteCall) -> AsyncGenerator[Frame, None]:
    yield WHOLE
    yield completion()


async def _until(holds: object) -> None:
    async with asyncio.timeout(30):
        while not holds():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
