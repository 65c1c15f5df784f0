"""What holds for all answers, wherever the network cuts them and whatever they are."""

import asyncio
import gzip
import itertools
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omni_router.adapters import answer as answers
from omni_router.adapters import connection as connections
from omni_wire.errors import UpstreamError

from tests.support.provider_calls import CHUNKED, OK, QUICK

TEXT = b"data: something that repeats\n\n" * 50


def _raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


GZIPPED = gzip.compress(TEXT)
RAW = _raw_deflate(TEXT)
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: a\r\ncontent-length: 11\r\n\r\nhello world",
    CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nx-t: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 No\r\nretry-after: 7\r\nx-empty:\r\ncontent-length: 2\r\n\r\nno",
    b"HTTP/1.0 200 OK\r\n\r\nto the end",
    CHUNKED + b"5\r\nhello\r\n6\r\n wor",
    CHUNKED + b"5\r\nhello\r\nzzz",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%s" % (len(GZIPPED), GZIPPED),
    b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: %d\r\n\r\n%s" % (len(RAW), RAW),
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + GZIPPED[:-5],
    b"HTTP/1.1 200 OK\r\n\r\n"[:-2],
    OK + b"and more",
]


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        pass


async def fed(pieces: list[bytes]) -> tuple[int, dict[str, str], bytes, str]:
    """Status, headers, body and how it ended, of an answer that arrives in ``pieces`` before the connection closes."""
    loop = asyncio.get_running_loop()
    connection = connections.Connection(loop, lambda _: None, lambda _: None)
    connection.connection_made(Wire())
    answer = answers.HttpAnswer(QUICK, 0.0)
    connection.start(answer, b"")
    for piece in pieces:
        if not connection.closed and not answer.complete:
            connection.data_received(piece)
    if not connection.closed:
        connection.eof_received()
    connection.connection_lost(None)
    body, end = b"", "complete"
    try:
        await answer.opened()
        async for chunk in answer.chunks():
            body += chunk
    except UpstreamError as error:
        end = error.kind
    return answer.status, dict(answer.headers), body, end


@pytest.mark.parametrize("whole", ANSWERS)
def test_where_an_answer_is_cut_into_packets_changes_nothing(whole: bytes) -> None:
    expected = asyncio.run(fed([whole]))

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.sets(st.integers(0, len(whole))))
    @example(set(range(len(whole))))
    def check(cuts: set[int]) -> None:
        edges = sorted({0, len(whole), *cuts})
        pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
        assert asyncio.run(fed(pieces)) == expected

    check()


def test_framing_without_end_is_cut_off_and_framing_with_content_is_not() -> None:
    for talk in (b"x-trailer: y\r\n", b"x"):
        *_, end = asyncio.run(fed([CHUNKED + b"1\r\na\r\n0\r\n", *[talk * 1000] * 100]))
        assert end == "upstream_failed"
    *_, end = asyncio.run(fed([CHUNKED + b"1;", *[b"x" * 1000] * 100]))
    assert end == "upstream_failed"
    *_, body, end = asyncio.run(fed([CHUNKED, *[b"000001\r\n", b"a\r\n"] * 10_000, b"0\r\n\r\n"]))
    assert (body, end) == (b"a" * 10_000, "complete")


_fragments = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 ", b"content-length: 3\r\n",
     b"transfer-encoding: chunked\r\n", b"\r\n", b"3\r\n",
     b"abc", b"0\r\n\r\n", b"content-encoding: gzip\r\n", b"content-encoding: deflate\r\n", b"connection: upgrade\r\n",
     b"upgrade: x\r\n", b"HTTP/1.1 101 S\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 099 X\r\n",
     b"keep-alive: timeout=9"]
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=60), _fragments), max_size=12))
def test_no_bytes_a_server_can_send_raise_anything_but_upstream_errors(pieces: list[bytes]) -> None:
    asyncio.run(fed([b"".join(pieces)]))
    asyncio.run(fed(pieces))
