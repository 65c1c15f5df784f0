"""Connections are shared one after the other, while they can be trusted, and let go at once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import psutil
import pytest
from omni_router.adapters import answer as answers
from omni_router.adapters import connection as connections
from omni_router.adapters.http import HttpUpstream
from omni_wire.errors import StreamInterrupted, UpstreamError, UpstreamUnreachable

from tests.support.provider_calls import CHUNKED, LIMIT, OK, ask, post, started, stream, until
from tests.support.scripted import Authority, Peer, answering, once, scripted, silent_after

# ---- the pool -------------------------------------------------------------------------------------------------------


async def test_a_connection_serves_one_request_after_the_other(upstream: HttpUpstream) -> None:
    async with scripted(answering(OK)) as server:
        for path in ("/a", "/b", "/c"):
            assert await ask(upstream, server.url + path) == (200, b"ok")
        assert server.peak == 1


async def test_requests_at_the_same_time_have_connections_of_their_own(upstream: HttpUpstream) -> None:
    async with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"ok", pause=0.03)) as server:
        assert await asyncio.gather(*(ask(upstream, server.url) for _ in range(8))) == [(200, b"ok")] * 8
        assert server.peak == 8
        assert await asyncio.gather(*(ask(upstream, server.url) for _ in range(8))) == [(200, b"ok")] * 8
        assert server.peak == 8


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        OK + b"H",
        OK + b"garbage",
        b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["close", "http1.0", "second-answer", "one-more-byte", "garbage", "short-hint"],
)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(upstream: HttpUpstream, answer: bytes) -> None:
    async with scripted(answering(answer)) as server:
        assert [await ask(upstream, server.url) for _ in range(2)] == [(200, b"ok")] * 2
        assert server.peak == 2


async def test_what_arrives_unasked_on_an_idle_connection_closes_it(upstream: HttpUpstream) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await asyncio.sleep(0.02)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        await peer.gone()

    async with scripted(play) as server:
        for _ in range(2):
            assert await ask(upstream, server.url) == (200, b"ok")
            await asyncio.sleep(0.05)
        assert server.peak == 2


async def test_an_idle_connection_that_the_server_closed_is_dropped(upstream: HttpUpstream) -> None:
    async with scripted(once(OK)) as server:
        await ask(upstream, server.url)
        (pool,) = upstream._pools.values()
        assert await until(lambda: not pool._live and not pool._idle)


async def test_idle_connections_grow_old(upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_IDLE", 0.05)
    async with scripted(answering(OK)) as server:
        await ask(upstream, server.url)
        await ask(upstream, server.url)
        assert server.peak == 1
        await asyncio.sleep(0.1)
        await ask(upstream, server.url)
        assert server.peak == 2
        await asyncio.sleep(0.1)
        upstream._sweep()
        assert await until(lambda: server.open == 0)


async def test_a_reused_connection_closed_without_a_byte_is_replaced_once(upstream: HttpUpstream) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if peer.number < 3:
            await peer.request()  # the second request on a connection finds it closing

    async with scripted(play) as server:
        assert await ask(upstream, server.url) == (200, b"ok")
        assert await ask(upstream, server.url) == (200, b"ok")
        assert server.peak == 2


async def test_a_reused_connection_closed_after_work_is_not_replaced(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni_router.adapters.http._RACE", 0.05)

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await asyncio.sleep(0.15)

    async with scripted(play) as server:
        await ask(upstream, server.url)
        with pytest.raises(UpstreamUnreachable):
            await ask(upstream, server.url)
        assert server.peak == 1


async def test_a_reused_connection_that_gave_a_byte_is_not_replaced(upstream: HttpUpstream) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(b"H")

    async with scripted(play) as server:
        await ask(upstream, server.url)
        with pytest.raises(StreamInterrupted):
            await ask(upstream, server.url)
        assert server.peak == 1


async def test_an_answer_before_the_whole_request_is_taken_costs_the_connection(upstream: HttpUpstream) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await peer.gone()

    async with scripted(play) as server:
        for _ in range(2):
            assert await ask(upstream, server.url, body=bytes(30_000_000)) == (413, b"no")
        assert server.peak == 2


# ---- letting go -----------------------------------------------------------------------------------------------------


async def test_an_answer_given_up_early_hangs_up_at_once(upstream: HttpUpstream) -> None:
    play, left = silent_after(CHUNKED + b"1\r\na\r\n")
    async with scripted(play) as server:
        answer = await upstream.send(post(server.url))
        assert await anext(answer.chunks()) == b"a"
        answer.close()
        answer.close()
        assert await until(lambda: bool(left))
        assert left[0] < 0.2
        with pytest.raises(StreamInterrupted):
            await anext(answer.chunks())


async def test_closing_wakes_whoever_reads(upstream: HttpUpstream) -> None:
    play, _ = silent_after(CHUNKED)
    async with scripted(play) as server:
        answer = await upstream.send(post(server.url))
        reading = asyncio.create_task(answer.read(LIMIT))
        await asyncio.sleep(0.01)
        answer.close()
        with pytest.raises(StreamInterrupted):
            await reading


@pytest.mark.parametrize("pieces", [(), (CHUNKED,), (CHUNKED + b"1\r\na\r\n",)], ids=["head", "first", "later"])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_cancelled_call_hangs_up_at_once(
    upstream: HttpUpstream, pieces: tuple[bytes, ...], whole: bool
) -> None:
    play, left = silent_after(*pieces)
    async with scripted(play) as server:

        async def call() -> None:
            answer = await upstream.send(post(server.url))
            if whole:
                await answer.read(LIMIT)
            async for _ in answer.chunks():
                pass

        task = asyncio.create_task(call())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await until(lambda: bool(left))
        assert left[0] < 0.3


async def test_a_provider_is_not_read_faster_than_its_answer_is(upstream: HttpUpstream) -> None:
    sent = 0

    async def play(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n")
        for _ in range(400):
            await peer.say(b"x" * 100_000)
            sent += 100_000

    async with scripted(play) as server:
        answer = await upstream.send(post(server.url))
        await asyncio.sleep(0.3)
        assert answer.size <= answers.HIGH_WATER + 512 * 1024
        assert sent < 30_000_000
        got = 0
        async for chunk in answer.chunks():
            got += len(chunk)
        assert got == 40_000_000
        answer.close()
        assert await ask(upstream, server.url) == (200, b"x" * 40_000_000)


async def test_after_stop_nothing_is_open_and_nothing_is_sent() -> None:
    play, left = silent_after(CHUNKED + b"1\r\na\r\n")
    async with scripted(play) as server:
        async with started() as upstream:
            answer = await upstream.send(post(server.url))
            reading = asyncio.create_task(answer.read(LIMIT))
            await asyncio.sleep(0.02)
        with pytest.raises(StreamInterrupted):
            await reading
        assert await until(lambda: len(left) == 1)
        with pytest.raises(UpstreamUnreachable, match="not started"):
            await upstream.send(post(server.url))


async def test_a_thousand_mixed_calls_leave_no_socket(authority: Authority) -> None:
    turn = 0

    async def play(peer: Peer) -> None:
        nonlocal turn
        while await peer.request():
            turn += 1
            await ODDITIES[turn % len(ODDITIES)](peer)

    async def one(upstream: HttpUpstream, url: str, number: int) -> None:
        call = ask if number % 2 else stream
        task = asyncio.create_task(call(upstream, url, begin_within=0.1))
        if number % 3 == 0:
            await asyncio.sleep(number % 7 / 1000)
            task.cancel()
        with contextlib.suppress(UpstreamError, asyncio.CancelledError):
            await task

    process = psutil.Process()
    async with scripted(play) as plain, scripted(play, tls=authority.server("127.0.0.1")) as secure:
        ports = {plain.port, secure.port}
        async with started(authority.client()) as upstream:
            for batch in range(20):
                urls = [secure.url if number % 5 == 0 else plain.url for number in range(50)]
                await asyncio.gather(*(one(upstream, url, batch * 50 + i) for i, url in enumerate(urls)))
        ours = [c for c in process.net_connections("tcp") if c.raddr and c.raddr.port in ports]
        assert ours == []
        assert await until(lambda: plain.open == secure.open == 0)


async def _answer(peer: Peer) -> None:
    await peer.say(OK)


async def _stream(peer: Peer) -> None:
    await peer.say(CHUNKED)
    for _ in range(3):
        await asyncio.sleep(0.001)
        await peer.say(b"2\r\nab\r\n")
    await peer.say(b"0\r\n\r\n")


async def _hang(peer: Peer) -> None:
    await peer.gone(0.3)


async def _cut(peer: Peer) -> None:
    await peer.say(CHUNKED + b"5\r\nab")
    peer.writer.close()


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _babble(peer: Peer) -> None:
    await peer.say(b"220 smtp ready\r\n")


ODDITIES: list[Callable[[Peer], Awaitable[None]]] = [_answer, _stream, _answer, _hang, _cut, _answer, _reset, _babble]
