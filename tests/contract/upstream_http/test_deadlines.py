"""Nothing is waited for without end, and nobody is blamed for the other's slowness."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest
from omni_catalogue.snapshot import Timeouts
from omni_router.adapters.http import HttpUpstream
from omni_router.domain import circuits
from omni_wire.errors import UpstreamTimeout

from tests.support.provider_calls import CHUNKED, LIMIT, OK, ask, post, stream, until
from tests.support.scripted import Peer, answering, once, scripted, silent_after


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 100 Continue\r\n\r\n",)])
async def test_no_head_in_time_is_a_timeout_and_hangs_up(upstream: HttpUpstream, pieces: tuple[bytes, ...]) -> None:
    play, left = silent_after(*pieces)
    async with scripted(play) as server:
        with pytest.raises(UpstreamTimeout, match="no answer in time"):
            await ask(upstream, server.url, begin_within=0.1)
        assert await until(lambda: bool(left))
        assert 0.05 < left[0] < 0.5


@pytest.mark.parametrize("pause", [0.02, 0.002])
async def test_a_stream_that_has_not_begun_in_time_is_a_timeout_however_much_it_babbles(
    upstream: HttpUpstream, pause: float
) -> None:
    async with scripted(once(CHUNKED, *[b"3\r\n:a\n\r\n"] * round(0.8 / pause), pause=pause)) as server:
        answer = await upstream.send(post(server.url, begin_within=0.15))
        with pytest.raises(UpstreamTimeout, match="no answer in time"):
            async for _ in answer.chunks():
                pass


async def test_a_stream_that_has_begun_may_go_on_for_longer_than_it_might_take_to_begin(upstream: HttpUpstream) -> None:
    async with scripted(once(CHUNKED, *[b"1\r\na\r\n"] * 15, b"0\r\n\r\n", pause=0.02)) as server:
        answer = await upstream.send(post(server.url, begin_within=0.15))
        chunks = answer.chunks()
        first = await anext(chunks)
        answer.begun()
        assert first + b"".join([chunk async for chunk in chunks]) == b"a" * 15


async def test_a_stream_that_falls_silent_is_a_timeout_and_hangs_up(upstream: HttpUpstream) -> None:
    play, left = silent_after(CHUNKED + b"1\r\na\r\n")
    async with scripted(play) as server:
        chunks, error = await stream(upstream, server.url, timeouts=Timeouts(idle=0.1))
        assert chunks == [b"a"]
        assert isinstance(error, UpstreamTimeout)
        assert "silent for 0.1 s" in error.message
        assert await until(lambda: bool(left))


async def test_a_slow_reader_is_not_a_silent_provider(upstream: HttpUpstream) -> None:
    async with scripted(answering(CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n", pause=0.01)) as server:
        answer = await upstream.send(post(server.url, timeouts=Timeouts(idle=0.05)))
        chunks = answer.chunks()
        got = await anext(chunks)
        await asyncio.sleep(0.15)
        got += b"".join([chunk async for chunk in chunks])
        assert got == b"ab"


async def test_a_whole_body_not_finished_in_time_is_a_timeout(upstream: HttpUpstream) -> None:
    async with scripted(once(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", *[b"x"] * 50, pause=0.02)) as server:
        answer = await upstream.send(post(server.url, timeouts=Timeouts(total=0.15)))
        with pytest.raises(UpstreamTimeout, match="did not finish"):
            await answer.read(LIMIT)
        answer = await upstream.send(post(server.url, begin_within=0.15))
        with pytest.raises(UpstreamTimeout, match="did not finish"):
            await answer.read(LIMIT)


async def test_a_shorter_deadline_after_a_longer_one_counts(upstream: HttpUpstream) -> None:
    calls = 0

    async def play(peer: Peer) -> None:
        nonlocal calls
        while await peer.request():
            calls += 1
            if calls == 1:
                await asyncio.sleep(0.01)
                await peer.say(OK)
            else:
                await asyncio.sleep(2)

    async with scripted(play) as server:
        await ask(upstream, server.url)
        began = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamTimeout):
            await ask(upstream, server.url, begin_within=0.1)
        assert asyncio.get_running_loop().time() - began < 0.5
        assert server.peak == 1


async def test_a_connection_that_does_not_come_about_in_time_is_a_timeout(upstream: HttpUpstream) -> None:
    # A full backlog takes no further connection, and says nothing.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            await asyncio.sleep(0.05)
            with pytest.raises(UpstreamTimeout, match="no connection"):
                await ask(upstream, f"http://127.0.0.1:{port}", timeouts=Timeouts(connect=0.1))
        finally:
            for filler in fillers:
                filler.close()


class Elsewhere:
    """A provider in a thread of its own, which a loop that is held up does not hold up. It takes one request,
    answers it with ``pieces`` and, when it is to be ``over``, with ``last``."""

    def __init__(self, *pieces: bytes, last: bytes = b"") -> None:
        self._pieces, self._last = pieces, last
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked, self.over = threading.Event(), threading.Event()

    def play(self) -> None:
        with self._listener, self._listener.accept()[0] as peer:
            peer.recv(65536)
            self.asked.set()
            for piece in self._pieces:
                time.sleep(0.03)
                peer.sendall(piece)
            self.over.wait(10)
            peer.sendall(self._last)


@contextlib.asynccontextmanager
async def elsewhere(*pieces: bytes, last: bytes = b"") -> AsyncIterator[Elsewhere]:
    made = Elsewhere(*pieces, last=last)
    playing = asyncio.create_task(asyncio.to_thread(made.play))
    try:
        yield made
    finally:
        made.over.set()
        await playing


def hold_up(seconds: float) -> None:
    """The loop, as a process that is stopped, or starved, is."""
    time.sleep(seconds)


@pytest.mark.parametrize("held_up", [0.3, 1.3])
@pytest.mark.parametrize(
    "pieces", [(OK,), (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"o", b"k")], ids=["at once", "in pieces"]
)
async def test_a_provider_that_answered_in_time_is_heard_however_late_the_router_listens(
    upstream: HttpUpstream, pieces: tuple[bytes, ...], held_up: float
) -> None:
    async with elsewhere(*pieces) as provider:
        asking = asyncio.create_task(ask(upstream, provider.url, begin_within=0.2))
        assert await until(provider.asked.is_set)
        hold_up(held_up)
        assert await asking == (200, b"ok")


async def test_a_stream_that_went_on_while_the_router_was_held_up_goes_on(upstream: HttpUpstream) -> None:
    async with elsewhere(CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n", last=b"0\r\n\r\n") as provider:
        answer = await upstream.send(post(provider.url, timeouts=Timeouts(idle=0.2)))
        chunks = answer.chunks()
        got = await anext(chunks)
        reading = asyncio.create_task(anext(chunks, b""))
        await asyncio.sleep(0)
        hold_up(0.4)
        got += await reading
        provider.over.set()
        assert got + b"".join([chunk async for chunk in chunks]) == b"ab"


@pytest.mark.parametrize(("held_up", "evidence"), [(0.3, "failure"), (1.3, "neutral")])
async def test_a_provider_that_stays_silent_is_not_blamed_when_the_router_was_held_up_for_long(
    upstream: HttpUpstream, held_up: float, evidence: str
) -> None:
    async with elsewhere() as provider:
        asking = asyncio.create_task(ask(upstream, provider.url, begin_within=0.1))
        assert await until(provider.asked.is_set)
        hold_up(held_up)
        with pytest.raises(UpstreamTimeout, match="no answer in time") as raised:
            await asking
        said = circuits.evidence(circuits.Circuits("acme/first", "acme/first m"), raised.value)
        assert said[1].outcome == evidence
