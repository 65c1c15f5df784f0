"""HTTP/1.1 on an asyncio protocol: just what a provider's API needs, at the cost of a parser and a write.

Theory of operation. ``data_received`` feeds the parser, whose callbacks only collect; complete requests go into a
queue. ``_pump`` takes them one at a time, so that pipelined answers keep their order: the handler returns either the
whole answer as bytes, written on the spot, or a coroutine, which becomes the connection's one running task. When the
client goes away the task is cancelled and ``gone`` is true.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

import httptools

Handler = Callable[["Request", "Connection"], "bytes | Coroutine[Any, Any, None]"]

_MAX_QUEUED = 64
_LINGER_ZERO = struct.pack("ii", 1, 0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    426: "Upgrade Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}


class Request:
    """One request. Header names are lower case; ``modern`` is false for HTTP/1.0, which knows no chunks."""

    __slots__ = ("body", "headers", "keep_alive", "method", "modern", "target")

    def __init__(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, *, keep_alive: bool, modern: bool
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.modern = modern


def head(status: int, content_type: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A status line and headers, without the length and the empty line that ends them."""
    line = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n" % (status, REASONS.get(status, "Status").encode(), content_type)
    return line + b"".join(b"%b: %b\r\n" % pair for pair in extra)


def finish_head(opening: bytes, request: Request, length: int | None) -> bytes:
    """``length`` None means chunks, or for HTTP/1.0 a body that lasts until the connection closes."""
    closing = b"" if request.keep_alive else b"connection: close\r\n"
    if length is not None:
        return b"%bcontent-length: %d\r\n%b\r\n" % (opening, length, closing)
    return opening + (b"transfer-encoding: chunked\r\n" if request.modern else b"") + closing + b"\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client's connection. ``gone`` is true once the client has left or the connection was ended by us."""

    def __init__(self, handler: Handler, connections: set["Connection"], max_body: int) -> None:
        self._handler = handler
        self._connections = connections
        self._max_body = max_body
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._ended = False
        self.gone = False
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0

    # ---- asyncio ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._connections.add(self)
        link = transport.get_extra_info("socket")
        if link is not None:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._connections.discard(self)
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._ended = True  # what follows is another protocol; the request itself is in the queue
        except httptools.HttpParserError:
            self._refuse(400)
            return
        self._pump()

    def pause_writing(self) -> None:
        self._room = asyncio.Event()

    def resume_writing(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    # ---- the parser -------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if b"expect" in self._headers and self._task is None:
            self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._max_body:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        parser = self._parser
        body = b"".join(self._parts) if self._size <= self._max_body else None
        request = Request(
            parser.get_method(),
            self._target,
            self._headers,
            body or b"",
            keep_alive=parser.should_keep_alive() and body is not None and not parser.should_upgrade(),
            modern=parser.get_http_version() != "1.0",
        )
        if body is None:
            request.method = b"TOO-LARGE"
        self._queue.append(request)
        if len(self._queue) == _MAX_QUEUED:
            self._transport.pause_reading()

    # ---- answering --------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        while self._queue and self._task is None and not self._transport.is_closing():
            request = self._queue.popleft()
            if len(self._queue) == _MAX_QUEUED - 1:
                self._transport.resume_reading()
            answer = self._handler(request, self)
            if isinstance(answer, bytes):
                self._transport.write(answer)
                self._after(request)
            else:
                self._task = asyncio.get_running_loop().create_task(self._run(answer, request))

    async def _run(self, answer: Coroutine[Any, Any, None], request: Request) -> None:
        whole = False
        try:
            await answer
            whole = True
        finally:
            self._task = None
            if not whole:
                self._transport.abort()
        self._after(request)
        self._pump()

    def _after(self, request: Request) -> None:
        if not request.keep_alive:
            self.close()

    def _refuse(self, status: int) -> None:
        if self._task is None:
            body = b'{"error":{"message":"this is not HTTP","type":"invalid_request_error"}}'
            length = (b"content-length", b"%d" % len(body))
            self._transport.write(head(status, b"application/json", length) + b"connection: close\r\n\r\n" + body)
        self.close()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the client reads more slowly than we write."""
        if self._room is not None:
            await self._room.wait()

    def close(self) -> None:
        """Send what is written, then end the connection."""
        self._transport.close()

    def abort(self) -> None:
        """End it at once, with whatever is still unsent."""
        self._transport.abort()

    def reset(self) -> None:
        """End it at once with a TCP reset."""
        link = self._transport.get_extra_info("socket")
        if link is not None:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()

    @property
    def task(self) -> asyncio.Task[None] | None:
        return self._task
