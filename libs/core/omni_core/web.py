"""One HTTP(S) call to an address that somebody configured: no redirect, no connection kept, no address that nobody
looked at.

Not the router's client, which is made for streams and for speed: here a call comes every few minutes.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from httptools import HttpParserError, HttpResponseParser
from omni_catalogue.proxies import DIRECT, SYSTEM, Egress, Proxy, Trust
from omni_wire.errors import ProxyFailed, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

from omni_core.outbound import Outbound, Target

MOST_BYTES = 1024 * 1024
_PIECE = 64 * 1024
_PORTS = {"https": 443, "http": 80}


class WebAnswer(msgspec.Struct, frozen=True):
    """Header names are lower case; ``date`` is when it was given by its server's clock, in epoch seconds, 0 where that
    is not told."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    date: float = 0.0


class WebCall(Protocol):
    """What to send, and where."""

    @property
    def method(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...


class HttpWeb:
    """``tls`` replaces the system's certificate authorities; with ``outbound`` its word on these holds."""

    def __init__(self, tls: ssl.SSLContext | None = None, outbound: Outbound | None = None) -> None:
        self._outbound = outbound or Outbound(tls=tls)

    async def fetch(
        self, asked: WebCall, *, allow_private: bool, within: float, via: Proxy | None = None, trust: Trust = SYSTEM
    ) -> WebAnswer:
        """At the latest after ``within`` seconds. Raises ``UpstreamUnreachable``, ``UpstreamFailed``,
        ``UpstreamTimeout``, ``ProxyFailed``; with a proxy that wants a user ``CredentialUnavailable``, too."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        try:
            async with asyncio.timeout_at(deadline):
                request, target = await self._prepared(asked, allow_private, trust)
            reader, transport = await self._open(target, within, via)
            try:
                async with asyncio.timeout_at(deadline):
                    transport.write(request)
                    return await _answer(reader)
            finally:
                transport.abort()  # all that is wanted is there, and nobody waits for a farewell
        except TimeoutError as error:
            raise UpstreamTimeout(f"no answer within {within:g} s") from error
        except OSError as error:  # ssl's are some
            raise UpstreamUnreachable(f"it cannot be reached ({type(error).__name__})") from error

    async def fetch_for(
        self, ways: Sequence[Egress], asked: WebCall, *, allow_private: bool, within: float
    ) -> WebAnswer:
        """As ``fetch``, for an account and by its ``egress``: the next one only where the proxy of the one before did
        not open. ``within`` is for each."""
        for way in ways[:-1]:
            try:
                return await self.fetch(
                    asked, allow_private=allow_private, within=within, via=way.proxy, trust=way.trust
                )
            except ProxyFailed:
                continue
        way = ways[-1] if ways else DIRECT
        return await self.fetch(asked, allow_private=allow_private, within=within, via=way.proxy, trust=way.trust)

    async def _prepared(self, asked: WebCall, allow_private: bool, trust: Trust) -> tuple[bytes, Target]:
        try:
            url = urlsplit(asked.url)
            host, port = url.hostname or "", url.port or _PORTS.get(url.scheme, 0)
        except ValueError as error:
            raise UpstreamUnreachable("its address is malformed") from error
        if not host or not port:
            raise UpstreamUnreachable("its address is not one of http or https")
        request = _request(asked, url.netloc.rpartition("@")[2], url.path or "/", url.query)
        tls = await self._outbound.context(trust) if url.scheme == "https" else None
        return request, Target(host, port, tls, allow_private)

    async def _open(
        self, target: Target, within: float, via: Proxy | None
    ) -> tuple[asyncio.StreamReader, asyncio.Transport]:
        reader = asyncio.StreamReader()
        transport, _ = await self._outbound.connect(lambda: asyncio.StreamReaderProtocol(reader), target, within, via)
        return reader, transport


def _request(asked: WebCall, host: str, path: str, query: str) -> bytes:
    target = f"{path}?{query}" if query else path
    headers = {
        "host": host,
        "user-agent": "omniroute",
        "connection": "close",
        "accept-encoding": "identity",
        **asked.headers,
    }
    if asked.body:
        headers["content-length"] = str(len(asked.body))
    lines = [f"{asked.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(not line.isprintable() for line in lines):  # a line break in a secret would be a header of its own
        raise UpstreamFailed("what would be sent has characters that no header takes")
    try:
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + asked.body
    except UnicodeEncodeError as error:
        raise UpstreamFailed("what would be sent has characters that no header takes") from error


class _Reading:
    """What the parser tells."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.begun = self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.done = True


async def _answer(reader: asyncio.StreamReader) -> WebAnswer:
    reading, size = _Reading(), 0
    parser: Any = HttpResponseParser(reading)
    try:
        while not reading.done:
            data = await reader.read(_PIECE)
            if not data:
                break
            size += len(data)
            if size > MOST_BYTES:
                raise UpstreamFailed(f"it answered more than {MOST_BYTES} bytes")
            parser.feed_data(data)
    except HttpParserError as error:
        if not reading.done:  # what comes behind an answer is nobody's
            raise UpstreamFailed("it answered something that is not HTTP") from error
    # Without a length the end of the connection is the end of the body; one that is cut is no JSON.
    if not reading.begun:
        raise UpstreamFailed("it closed the connection without an answer")
    return WebAnswer(parser.get_status_code(), reading.headers, b"".join(reading.parts), _date(reading.headers))


def _date(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        return 0.0
