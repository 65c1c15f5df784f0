"""The client for providers, as tests use it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from omni_catalogue.snapshot import Timeouts
from omni_router.adapters.http import HttpUpstream
from omni_router.ports import UpstreamRequest
from omni_wire.errors import UpstreamError

QUICK = Timeouts(connect=1.0, first_byte=5.0, idle=5.0, total=5.0)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LIMIT = 1 << 26
BODY = b'{"model": "m"}'


@contextlib.asynccontextmanager
async def started(tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpUpstream]:
    """A client that works; nothing may reach the loop's exception handler while it does."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    # A context of its own spares each test the loading of the system's authorities.
    upstream = HttpUpstream(tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()
    assert not unhandled, unhandled


def post(url: str, *, timeouts: Timeouts = QUICK, **changes: Any) -> UpstreamRequest:
    fields: dict[str, Any] = {
        "url": url,
        "headers": {"content-type": "application/json", "authorization": "Bearer secret"},
        "body": BODY,
        "allow_private": True,
        "timeouts": timeouts,
    }
    return UpstreamRequest(**(fields | changes))


async def ask(upstream: HttpUpstream, url: str, **changes: Any) -> tuple[int, bytes]:
    """Status and whole body."""
    answer = await upstream.send(post(url, **changes))
    try:
        return answer.status, await answer.read(LIMIT)
    finally:
        answer.close()


async def stream(upstream: HttpUpstream, url: str, **changes: Any) -> tuple[list[bytes], UpstreamError | None]:
    """The chunks, and what ended them."""
    chunks = []
    try:
        answer = await upstream.send(post(url, **changes))
    except UpstreamError as error:
        return [], error
    try:
        async for chunk in answer.chunks():
            assert chunk
            chunks.append(chunk)
    except UpstreamError as error:
        return chunks, error
    finally:
        answer.close()
    return chunks, None


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True
