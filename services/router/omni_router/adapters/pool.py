"""Connections to one origin, kept for the next request."""

import asyncio

from omni_core.outbound import Outbound, Target
from omni_wire.errors import StreamInterrupted, UpstreamTimeout, UpstreamUnreachable

from omni_router.adapters.connection import LAG, Connection
from omni_router.adapters.route import Origin
from omni_router.domain.verdict import Unheard

MAX_IDLE = 512


class Pool:
    """Last in, first out: the connection used last is the least likely to have been closed by the server, and those
    that a quieter hour does not need grow old and go."""

    def __init__(self, origin: Origin, outbound: Outbound) -> None:
        self._origin = origin
        self._outbound = outbound
        self._idle: list[Connection] = []
        self._live: set[Connection] = set()
        self._closed = False
        self._empty = asyncio.Event()

    def take(self, now: float) -> Connection | None:
        """An idle connection, if one is left that can be trusted. ``now`` is loop time."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now < connection.idle_until:
                return connection
            connection.abort()
        return None

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long."""
        kept = []
        for connection in self._idle:
            if connection.usable and now < connection.idle_until:
                kept.append(connection)
            else:
                connection.abort()
        self._idle = kept

    async def connect(self, seconds: float) -> Connection:
        """A new connection, checked and within ``seconds``.

        Raises ``UpstreamUnreachable``, ``UpstreamTimeout`` or ``ProxyFailed``.
        """
        origin, loop = self._origin, asyncio.get_running_loop()
        deadline = loop.time() + seconds
        tls = await self._outbound.context(origin.way.trust) if origin.tls else None
        target = Target(origin.host, origin.port, tls, origin.allow_private)
        try:
            _, connection = await self._outbound.connect(
                lambda: Connection(loop, self._released, self._lost), target, deadline - loop.time(), origin.way.proxy
            )
        except UpstreamTimeout as error:
            if loop.time() - deadline > LAG:  # this process was held up
                raise Unheard(error.message) from error
            raise
        if self._closed:
            connection.abort()
            raise UpstreamUnreachable("the router is stopping")
        if connection.usable:
            self._live.add(connection)
        return connection

    async def close(self, seconds: float = 1.0) -> None:
        """Cut every connection and see it closed."""
        self._closed = True
        self._idle.clear()
        if not self._live:
            return
        for connection in list(self._live):
            connection.cut(StreamInterrupted("the router is stopping"))
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return  # aborted all the same; only their farewell is missing

    def _released(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= MAX_IDLE:
            connection.abort()
        else:
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        self._live.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._closed and not self._live:
            self._empty.set()
