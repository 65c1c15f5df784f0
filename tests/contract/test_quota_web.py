"""The client that asks providers for quotas, against servers that are rude."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from omni_core.web import MOST_BYTES, HttpWeb
from omni_quota.domain.usage import Asked
from omni_wire.errors import UpstreamError, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

SECRET = "a-secret"


@asynccontextmanager
async def server(
    answer: bytes,
    *,
    tls: ssl.SSLContext | None = None,
    hangs: bool = False,
    seen: Callable[[bytes], None] | None = None,
) -> AsyncIterator[int]:
    serving = set[asyncio.Task[None]]()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen(asked)
        if hangs:
            await reader.read()  # until the client has had enough
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    made = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()
        await made.wait_closed()
        await asyncio.gather(*serving, return_exceptions=True)


def asked(port: int, path: str = "/usage?x=1", **headers: str) -> Asked:
    return Asked("GET", f"http://127.0.0.1:{port}{path}", {"authorization": f"Bearer {SECRET}", **headers})


async def fetch(port: int, within: float = 2.0) -> tuple[int, bytes]:
    found = await HttpWeb().fetch(asked(port), allow_private=True, within=within)
    return found.status, found.body


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}and more", (200, b"{}")),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", (200, b"{}")),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", (200, b"{}")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", (302, b"")),
    ],
    ids=["length", "chunks", "until the end", "nothing", "a redirect, not followed"],
)
async def test_an_answer_is_read_to_its_end(answer: bytes, found: tuple[int, bytes]) -> None:
    async with server(answer) as port:
        assert await fetch(port) == found


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", UpstreamFailed),
        (b"", UpstreamFailed),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MOST_BYTES + 1), UpstreamFailed),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * (MOST_BYTES + 1), UpstreamFailed),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", UpstreamFailed),
    ],
    ids=["not HTTP", "silence", "a huge body", "a huge header", "chunks that are none"],
)
async def test_what_is_no_answer_is_told(answer: bytes, kind: type[UpstreamError]) -> None:
    async with server(answer) as port:
        with pytest.raises(kind) as raised:
            await fetch(port)
        assert SECRET not in str(raised.value)


async def test_who_is_slow_is_given_up_on_in_time() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\n{}", hangs=True) as port:
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await fetch(port, within=0.2)
        assert time.monotonic() - began < 2


async def test_a_private_address_is_nobodys_who_may_not() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\n{}", seen=pytest.fail) as port:
        with pytest.raises(UpstreamUnreachable, match="private address"):
            await HttpWeb().fetch(asked(port), allow_private=False, within=2.0)


@pytest.mark.parametrize("value", ["two\r\nhost: evil", "tab\x00", "snow\u2603man", "line\nbreak"])
async def test_a_secret_can_not_be_a_header_of_its_own(value: str) -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\n{}", seen=pytest.fail) as port:
        with pytest.raises(UpstreamFailed) as raised:
            await HttpWeb().fetch(asked(port, authorization=value), allow_private=True, within=2.0)
        assert value not in str(raised.value)


async def test_it_says_who_it_is_and_where_it_goes_and_closes() -> None:
    heard: list[bytes] = []
    async with server(b"HTTP/1.1 200 OK\r\n\r\n{}", seen=heard.append) as port:
        await fetch(port)
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /usage?x=1 HTTP/1.1"
    assert {"connection: close", f"host: 127.0.0.1:{port}", f"authorization: Bearer {SECRET}"} <= set(lines)


async def test_a_certificate_is_looked_at() -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    tls, ours, others = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        ssl.create_default_context(),
        ssl.create_default_context(),
    )
    authority.issue_cert("localhost").configure_cert(tls)
    authority.configure_trust(ours)
    stranger.configure_trust(others)
    async with server(b"HTTP/1.1 200 OK\r\ndate: Sun, 17 Mar 2030 17:46:40 GMT\r\n\r\n{}", tls=tls) as port:
        call = Asked("GET", f"https://localhost:{port}/", {})
        found = await HttpWeb(ours).fetch(call, allow_private=True, within=5.0)
        assert (found.body, found.date) == (b"{}", 1_900_000_000.0)
        with pytest.raises(UpstreamUnreachable):
            await HttpWeb(others).fetch(call, allow_private=True, within=5.0)
