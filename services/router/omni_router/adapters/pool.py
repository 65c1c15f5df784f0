"""Connections to one origin, kept for the next request."""

import asyncio
import ssl

from omni_core.addresses import Resolver
from omni_wire.errors import StreamInterrupted, UpstreamTimeout, UpstreamUnreachable

from omni_router.adapters.connection import LAG, Connection
from omni_router.adapters.route import Origin
from omni_router.domain.verdict import Unheard

MAX_IDLE = 512


class Pool:
    """Last in, first out: the connection used last is the least likely to have been closed by the server, and those
    that a quieter hour does not need grow old and go."""

    def __init__(self, origin: Origin, resolver: Resolver, tls: ssl.SSLContext | None) -> None:
        """``tls`` belongs to an origin that speaks it."""
        self._origin = origin
        self._resolver = resolver
        self._tls = tls
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
        """A new connection, checked and within ``seconds``. The addresses are tried in order, and one that stays
        silent leaves time for those after it.

        Raises ``UpstreamUnreachable`` or ``UpstreamTimeout``.
        """
        origin, loop = self._origin, asyncio.get_running_loop()
        deadline = loop.time() + seconds
        failure: OSError = TimeoutError()
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._resolver.resolve(origin.host, origin.port, allow_private=origin.allow_private)
                for place, address in enumerate(addresses):
                    share = (deadline - loop.time()) / (len(addresses) - place)
                    try:
                        async with asyncio.timeout(share):
                            return await self._open(address)
                    except OSError as error:  # TimeoutError and SSLError are some
                        failure = error
                self._resolver.forget(origin.host, origin.port)
        except TimeoutError as error:
            failure = error
        if isinstance(failure, TimeoutError):
            late = loop.time() - deadline > LAG  # this process was held up
            raise (Unheard if late else UpstreamTimeout)("no connection to the provider in time") from failure
        raise UpstreamUnreachable(f"the provider cannot be reached ({type(failure).__name__})") from failure

    async def _open(self, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(loop, self._released, self._lost),
            address,  # a literal: what was checked is what is connected to
            self._origin.port,
            ssl=self._tls,
            # The certificate is the name's. A root dot is not part of a name in a certificate.
            server_hostname=self._origin.host.rstrip(".").partition("%")[0] if self._tls is not None else None,
        )
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
