"""The TCP connection under the bus, which ends when it is told to.

nats-py waits, without a bound, for a connection that it gives up to close. One whose packets are dropped while data is
still unsent closes when the kernel gives up, after a quarter of an hour, and nothing would be tried again until then.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport

# Seconds that what was written last is given to go out.
CLOSE_WITHIN = 1.0


class Link(TcpTransport):
    """Given to a ``nats.aio.client.Client`` before it connects; serves all its connections, one after the other.

    To a server whose URL says tls:// nothing is written, least of all a password, before the connection is encrypted;
    the client alone would go on in plaintext with a server that asks for no more. ``contexts`` says how, anew for each.
    """

    def __init__(self, contexts: Callable[[], ssl.SSLContext] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._contexts = contexts
        self._bare = False  # whether it must be encrypted, and is not yet

    def __bool__(self) -> bool:
        return True  # else the client takes one of its own while this one has not connected yet

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        self.abort()  # a try that came half way is not closed by anyone else
        self._bare = uri.scheme == "tls"
        await super().connect(uri, buffer_size, connect_timeout)

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        context = self._contexts() if self._contexts is not None else ssl_context
        await super().connect_tls(uri, context, buffer_size, connect_timeout)
        self._bare = False

    def write(self, payload: bytes) -> None:
        self._encrypted_or_not_at_all()
        super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: list[bytes]) -> None:
        self._encrypted_or_not_at_all()
        super().writelines(payload)  # type: ignore[no-untyped-call]

    def _encrypted_or_not_at_all(self) -> None:
        if self._bare:
            raise ConnectionRefusedError("this NATS offers no TLS, and its URL says tls://")

    async def wait_closed(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await super().wait_closed()  # type: ignore[no-untyped-call]
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """End the connection at once, whatever state it is in."""
        writer: Any = self._io_writer
        if writer is not None:
            writer.transport.abort()
