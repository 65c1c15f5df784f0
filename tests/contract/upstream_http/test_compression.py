"""Answers that are compressed, although the request asked for none of it."""

import asyncio
import gzip
import zlib

import pytest
from omni_router.adapters.http import HttpUpstream
from omni_wire.errors import StreamInterrupted, UpstreamError, UpstreamFailed

from tests.support.provider_calls import ask, post
from tests.support.scripted import Peer, once, scripted

TEXT = b"data: something that repeats\n\n" * 50


def _raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("X-GZIP", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]) + bytes(4)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", _raw_deflate(TEXT)),
        ("identity", TEXT),
    ],
    ids=["gzip", "members", "zlib", "raw", "identity"],
)
async def test_a_compressed_answer_is_unpacked_as_it_comes(upstream: HttpUpstream, encoding: str, data: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    pieces = [head, *(data[i : i + 7] for i in range(0, len(data), 7))]
    async with scripted(once(*pieces)) as server:
        assert await ask(upstream, server.url) == (200, TEXT)


async def test_a_compressed_stream_gives_each_event_when_it_is_flushed(upstream: HttpUpstream) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        engine = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n")
        await peer.say(engine.compress(b"one") + engine.flush(zlib.Z_SYNC_FLUSH))
        await go.wait()
        await peer.say(engine.compress(b"two") + engine.flush())

    async with scripted(play) as server:
        answer = await upstream.send(post(server.url))
        chunks = answer.chunks()
        assert await anext(chunks) == b"one"
        go.set()
        assert [chunk async for chunk in chunks] == [b"two"]
        answer.close()


@pytest.mark.parametrize(
    ("encoding", "data", "error"),
    [
        ("gzip", gzip.compress(TEXT)[:-9], StreamInterrupted),
        ("gzip", b"not gzip at all", UpstreamFailed),
        ("deflate", b"x", StreamInterrupted),
        ("deflate", b"\xff\xff\xff\xff", UpstreamFailed),
        ("br", b"whatever", UpstreamFailed),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT)), UpstreamFailed),
        ("gzip", gzip.compress(bytes(16_000_000), 9), UpstreamFailed),
    ],
    ids=["cut", "corrupt", "one-byte", "corrupt-deflate", "brotli", "twice", "bomb"],
)
async def test_a_compressed_answer_that_is_cut_corrupt_or_a_bomb_fails(
    upstream: HttpUpstream, encoding: str, data: bytes, error: type[UpstreamError]
) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
    async with scripted(once(head + data)) as server:
        with pytest.raises(error):
            await ask(upstream, server.url)
