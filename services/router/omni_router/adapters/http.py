"""Providers over HTTP/1.1 with aiohttp: pooled, bounded in time, never redirected."""

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp.client_exceptions import ClientError
from omni_wire.errors import StreamInterrupted, UpstreamTimeout, UpstreamUnreachable
from yarl import URL

from omni_router.adapters.addresses import PublicResolver, check_literal
from omni_router.ports import UpstreamRequest

_CHUNK = 64 * 1024


class HttpAnswer:
    """``UpstreamAnswer`` over an aiohttp response."""

    __slots__ = ("_idle", "_response", "_total", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, idle: float, total: float) -> None:
        self._response = response
        self._idle = idle
        self._total = total
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def read(self, limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._total):
                while size < limit:
                    part = await self._response.content.read(min(_CHUNK, limit - size))
                    if not part:
                        break
                    parts.append(part)
                    size += len(part)
        except TimeoutError as error:
            raise UpstreamTimeout("the provider did not finish its answer in time") from error
        except (ClientError, OSError) as error:
            raise StreamInterrupted("the provider's answer was cut") from error
        return b"".join(parts)

    def chunks(self) -> "HttpAnswer":
        return self

    def __aiter__(self) -> "HttpAnswer":
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle):
                chunk = await self._response.content.readany()
        except TimeoutError as error:
            raise UpstreamTimeout(f"the provider's stream fell silent for {self._idle:g} s") from error
        except (ClientError, OSError) as error:
            raise StreamInterrupted("the provider's stream was cut") from error
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        # Read to its end, the connection goes back to the pool; otherwise it is closed.
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()


class HttpUpstream:
    """``Upstream``. One pool for providers at public addresses, one for those allowed private ones."""

    def __init__(self) -> None:
        self._public: aiohttp.ClientSession | None = None
        self._private: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._public = _session(aiohttp.TCPConnector(limit=0, resolver=PublicResolver(), ttl_dns_cache=60))
        self._private = _session(aiohttp.TCPConnector(limit=0, ttl_dns_cache=60))

    async def stop(self) -> None:
        for session in (self._public, self._private):
            if session is not None:
                await session.close()

    async def send(self, request: UpstreamRequest) -> HttpAnswer:
        session = self._private if request.allow_private else self._public
        if session is None:
            raise UpstreamUnreachable("the router is not started")
        url = URL(request.url)
        if not request.allow_private:
            check_literal(url.host or "")
        timeouts = request.timeouts
        try:
            response = await session.post(
                url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, connect=timeouts.connect),
            )
        except TimeoutError as error:
            raise UpstreamTimeout("no connection to the provider in time") from error
        except (ClientError, OSError) as error:
            if isinstance(error.__cause__, UpstreamUnreachable):
                raise error.__cause__ from None
            raise UpstreamUnreachable(f"the provider cannot be reached ({type(error).__name__})") from error
        return HttpAnswer(response, timeouts.idle, timeouts.total)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=("accept", "accept-encoding", "user-agent"),
        read_bufsize=256 * 1024,
    )
