"""What is sent, and every way an answer can come or fail to."""

import asyncio
import os
import socket

import pytest
from omni_router.adapters.http import HttpUpstream
from omni_wire.errors import StreamInterrupted, UpstreamFailed, UpstreamUnreachable

from tests.support.provider_calls import BODY, CHUNKED, LIMIT, OK, ask, post, stream
from tests.support.scripted import Peer, answering, once, scripted, silent_after

# ---- what is sent ---------------------------------------------------------------------------------------------------


async def test_a_request_is_one_post_with_its_host_path_headers_and_length(upstream: HttpUpstream) -> None:
    seen = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(OK)

    async with scripted(play) as server:
        await ask(upstream, f"{server.url}/base/v1/chat?x=1")
    lines = seen[0].split(b"\r\n")
    assert lines == [
        b"POST /base/v1/chat?x=1 HTTP/1.1",
        f"host: 127.0.0.1:{server.port}".encode(),
        b"content-type: application/json",
        b"authorization: Bearer secret",
        b"content-length: 14",
        b"",
        BODY,
    ]


async def test_a_header_that_would_break_out_of_its_line_is_never_sent(upstream: HttpUpstream) -> None:
    async with scripted(answering(OK)) as server:
        with pytest.raises(UpstreamUnreachable) as caught:
            await ask(upstream, server.url, headers={"authorization": "Bearer secret\r\nx: y"})
        assert "secret" not in str(caught.value)
        assert server.peak == 0


async def test_a_large_body_arrives_whole(upstream: HttpUpstream) -> None:
    seen = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(OK)

    body = os.urandom(5_000_000)
    async with scripted(play) as server:
        assert await ask(upstream, server.url, body=body) == (200, b"ok")
    assert seen[0].endswith(body)


async def test_small_writes_are_not_delayed(upstream: HttpUpstream) -> None:
    async with scripted(answering(OK)) as server:
        await ask(upstream, server.url)
        (pool,) = upstream._pools.values()
        (connection,) = pool._live
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# ---- answers --------------------------------------------------------------------------------------------------------


async def test_status_and_headers_come_as_they_were_sent(upstream: HttpUpstream) -> None:
    head = (
        b"HTTP/1.1 429 Slow Down\r\nContent-Type: text/plain\r\nRETRY-AFTER: 7\r\nX-Empty:\r\nX-A: 1\r\nx-a: 2\r\n"
        b"X-Odd: caf\xe9\r\nContent-Length: 2\r\n\r\nno"
    )
    async with scripted(answering(head)) as server:
        answer = await upstream.send(post(server.url))
        assert answer.status == 429
        assert answer.headers == {
            "content-type": "text/plain",
            "retry-after": "7",
            "x-empty": "",
            "x-a": "1, 2",
            "x-odd": "café",
            "content-length": "2",
        }
        assert await answer.read(LIMIT) == b"no"
        answer.close()


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
        (CHUNKED + b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", 200, b"hello!"),
        (CHUNKED + b"5\r\nhello\r\n0\r\nx-trailer: t\r\n\r\n", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\ngo", 302, b"go"),
        (b"HTTP/1.1 500 \r\ncontent-length: 2\r\n\r\nno", 500, b"no"),
    ],
    ids=[
        "length",
        "empty",
        "chunked",
        "trailers",
        "to-close",
        "http1.0",
        "1.0-length",
        "1xx",
        "204",
        "redirect",
        "500",
    ],
)
async def test_every_way_to_delimit_a_body_is_understood(
    upstream: HttpUpstream, answer: bytes, status: int, body: bytes
) -> None:
    async with scripted(once(answer)) as server:
        assert await ask(upstream, server.url) == (status, body)
        chunks, error = await stream(upstream, server.url)
        assert (b"".join(chunks), error) == (body, None)


async def test_what_has_arrived_comes_in_one_piece_and_what_has_not_is_not_waited_for(upstream: HttpUpstream) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED + b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n")
        await go.wait()
        await peer.say(b"1\r\nd\r\n0\r\n\r\n")

    async with scripted(play) as server:
        answer = await upstream.send(post(server.url))
        chunks = answer.chunks()
        assert await anext(chunks) == b"abc"
        go.set()
        assert [chunk async for chunk in chunks] == [b"d"]
        answer.close()


async def test_the_head_is_there_before_the_body(upstream: HttpUpstream) -> None:
    play, _ = silent_after(b"HTTP/1.1 429 No\r\ncontent-length: 2\r\n\r\n")
    async with scripted(play) as server:
        answer = await upstream.send(post(server.url, begin_within=0.5))
        assert answer.status == 429
        answer.close()


async def test_a_body_is_read_up_to_the_limit_and_no_further(upstream: HttpUpstream) -> None:
    async with scripted(once(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100, b"y" * 1_000_000, pause=0.01)) as server:
        answer = await upstream.send(post(server.url))
        assert await answer.read(150) == b"x" * 100 + b"y" * 50
        answer.close()


# ---- the truth about cut answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"9\r\nhello",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
    ],
)
async def test_a_body_cut_before_its_declared_end_is_interrupted(upstream: HttpUpstream, answer: bytes) -> None:
    async with scripted(once(answer)) as server:
        chunks, error = await stream(upstream, server.url)
        assert b"".join(chunks) == b"hello"
        assert isinstance(error, StreamInterrupted)
        with pytest.raises(StreamInterrupted):
            await ask(upstream, server.url)


async def test_a_body_that_ends_with_the_connection_is_interrupted_by_a_reset(upstream: HttpUpstream) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await asyncio.sleep(0.05)
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.reset()

    async with scripted(play) as server:
        chunks, error = await stream(upstream, server.url)
        assert chunks == [b"hello"]
        assert isinstance(error, StreamInterrupted)


async def test_a_head_that_is_cut_is_interrupted(upstream: HttpUpstream) -> None:
    async with scripted(once(b"HTTP/1.1 200 OK\r\ncontent-le")) as server:
        with pytest.raises(StreamInterrupted):
            await ask(upstream, server.url)


async def test_a_connection_closed_without_an_answer_is_unreachable(upstream: HttpUpstream) -> None:
    async with scripted(once()) as server:
        with pytest.raises(UpstreamUnreachable):
            await ask(upstream, server.url)
        assert server.peak == 1  # a new connection is not tried again: the provider may have begun to work


async def test_nobody_listening_is_unreachable(upstream: HttpUpstream) -> None:
    async with scripted(once()) as server:
        url = server.url
    with pytest.raises(UpstreamUnreachable, match="ConnectionRefusedError"):
        await ask(upstream, url)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
        CHUNKED + b"xyz\r\n",
    ],
    ids=["ssh", "tls", "length", "smuggling", "lengths", "coding", "upgrade", "large", "many", "interim", "chunk"],
)
async def test_what_is_not_http_has_failed(upstream: HttpUpstream, answer: bytes) -> None:
    async with scripted(once(answer, pause=0.05)) as server:
        with pytest.raises(UpstreamFailed):
            await ask(upstream, server.url)


async def test_a_stream_that_turns_into_garbage_gives_what_came_before(upstream: HttpUpstream) -> None:
    async with scripted(once(CHUNKED + b"5\r\nhello\r\nnonsense")) as server:
        chunks, error = await stream(upstream, server.url)
        assert chunks == [b"hello"]
        assert isinstance(error, UpstreamFailed)
