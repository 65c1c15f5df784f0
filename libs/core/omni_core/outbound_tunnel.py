"""A handshake with a proxy over a transport, which is somebody else's as soon as it is through."""

import asyncio
from typing import cast

from omni_wire.errors import GatewayError

from omni_core.outbound_handshake import Handshake


class ProxyCut(ConnectionError):
    """The proxy closed the connection before the tunnel was open."""


class Talk(asyncio.Protocol):
    """Reads for a handshake, and stops reading with its end: what comes then is for the next protocol."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._handshake: Handshake | None = None
        self._early = b""
        self._through: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def follow(self, handshake: Handshake) -> None:
        """Until it is through. Raises what it raises, or ``ProxyCut``."""
        self._handshake = handshake
        if self._transport is None or self._through.done():
            raise ProxyCut
        self._transport.write(next(handshake))
        if self._early:
            self._feed(self._early)
        await self._through

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._handshake is None:
            self._early += data
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        if self._through.done() or self._transport is None or self._handshake is None:
            return
        try:
            while answer := self._handshake.send(data):
                self._transport.write(answer)
                data = b""  # what came may hold what comes next, too
        except StopIteration:
            self._transport.pause_reading()
            self._through.set_result(None)
        except GatewayError as error:
            self._through.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._through.done():
            self._through.set_exception(ProxyCut())
            self._through.exception()  # told to who follows; else to nobody
