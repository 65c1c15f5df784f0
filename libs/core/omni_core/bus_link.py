"""The TCP connection under the bus, which ends when it is told to.

nats-py waits, without a bound, for a connection that it gives up to close. One whose packets are dropped while data is
still unsent closes when the kernel gives up, after a quarter of an hour, and nothing would be tried again until then.
"""

import asyncio
from typing import Any
from urllib.parse import ParseResult

from nats.aio.transport import TcpTransport

# Seconds that what was written last is given to go out.
CLOSE_WITHIN = 1.0


class Link(TcpTransport):
    """Given to a ``nats.aio.client.Client`` before it connects; serves all its connections, one after the other."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __bool__(self) -> bool:
        return True  # else the client takes one of its own while this one has not connected yet

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        self._abort()  # a try that came half way is not closed by anyone else
        await super().connect(uri, buffer_size, connect_timeout)

    async def wait_closed(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await super().wait_closed()  # type: ignore[no-untyped-call]
        except TimeoutError:
            self._abort()

    def _abort(self) -> None:
        writer: Any = self._io_writer
        if writer is not None:
            writer.transport.abort()
