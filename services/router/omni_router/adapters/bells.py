"""Being told of other routers' work: one subscription a router, which rings for whatever it follows.

Theory of operation. Who makes a recording publishes its key on the channel of each router that follows it; where an
attempt has ended in a lane, the ledger publishes who is first in its queue. A ring says only that there is something to
look at, so one too many does no harm; after a connection was lost all are rung, as one may have been missed. Nobody
relies on it alone: who listens looks by itself when a lease may have run out.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from omni_core.redis import FAILURES, bare_connection
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from omni_router.adapters.scripts import DEADLINE, unavailable

log = logging.getLogger("omniroute.router")

CHANNEL = "idem:bell:"
TURNS = "pace:bell:"
SILENCE = 15.0  # seconds, after which the connection is asked whether it lives
PAUSE = 0.5


class Bells:
    """The subscription begins with the first who listens."""

    def __init__(self, redis: "Redis", channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._rings: dict[str, set[asyncio.Event]] = {}
        self._hearing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listening(self, key: str) -> Iterator[asyncio.Event]:
        """An event that is set when there is something new about ``key``."""
        ring = asyncio.Event()
        rings = self._rings.setdefault(key, set())
        rings.add(ring)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._hear(), name="recordings-bell")
        try:
            yield ring
        finally:
            rings.discard(ring)
            if not rings and self._rings.get(key) is rings:
                del self._rings[key]

    async def ready(self) -> None:
        """Wait until rings are heard. Raises ``DependencyUnavailable``."""
        try:
            async with asyncio.timeout(DEADLINE):
                await self._hearing.wait()
        except TimeoutError as error:
            raise unavailable(error) from None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _hear(self) -> None:
        while True:
            connection = bare_connection(self._redis)
            try:
                await self._listen(connection)
            except FAILURES as error:
                log.debug("the subscription broke", extra={"fields": {"error": type(error).__name__}})
            finally:
                self._hearing.clear()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(PAUSE)

    async def _listen(self, connection: AbstractConnection) -> None:
        async with asyncio.timeout(DEADLINE):
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command("SUBSCRIBE", self._channel)
            await connection.read_response(disable_decoding=True, push_request=True)
        self._hearing.set()
        self._ring_all()
        asked = False
        while True:
            try:
                async with asyncio.timeout(DEADLINE if asked else SILENCE):
                    said = await connection.read_response(disable_decoding=True, push_request=True)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                await connection.send_command("PING")
                continue
            asked = False
            if isinstance(said, list) and said and said[0] == b"message":
                for ring in self._rings.get(said[2].decode("utf-8", "replace"), ()):
                    ring.set()

    def _ring_all(self) -> None:
        for rings in self._rings.values():
            for ring in rings:
                ring.set()
