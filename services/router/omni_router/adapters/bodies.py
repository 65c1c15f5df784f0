"""Bodies onto their stream, masked. Nobody waits for it: what cannot go at once, or finds no room, is dropped and
counted."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

import msgspec
from omni_core import kept_bodies
from omni_core.bus import Bus
from omni_core.kept_bodies import KeptBody
from omni_core.masking import Redactor, bare, masked
from omni_core.meters import Meter
from omni_wire.errors import DependencyUnavailable
from prometheus_client import CollectorRegistry

from omni_router.service.gathering import BEYOND

log = logging.getLogger("omniroute.router")

# Bytes of all that wait.
MOST_WAITING = 32 * 1024 * 1024
# Seconds: for NATS to take one, and for the last of them when the process ends.
ANSWER_WITHIN, STOP_WITHIN = 2.0, 2.0
RESULTS = ("kept", "away", "full", "failed")


class BusBodies:
    """Satisfies ``BodyKeeper``. ``redactor`` masks what is to be masked."""

    def __init__(self, bus: Bus, router_id: str, registry: CollectorRegistry, redactor: Redactor = masked) -> None:
        self._bus = bus
        self._subject = f"{kept_bodies.SUBJECT}.{router_id}"
        self._redactor = redactor
        self._waiting: deque[tuple[KeptBody, int]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._count = Meter(
            "omniroute_router_bodies", "Bodies that were to be kept, by what became of them.", ("result",), registry
        )
        for result in RESULTS:
            self._count.series((result,))

    def keep(self, bodies: Sequence[KeptBody], most: int) -> None:
        size = sum(len(body.content) for body in bodies)
        if not self._bus.connected:
            self._lost("away", len(bodies))
        elif self._bytes + size > MOST_WAITING:
            self._lost("full", len(bodies))
        else:
            self._bytes += size
            self._waiting.extend((body, most) for body in bodies)
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._run(), name="bodies")

    async def stop(self) -> None:
        """Give what waits a moment to go."""
        if (task := self._task) is not None:
            await asyncio.wait([task], timeout=STOP_WITHIN)
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while self._waiting:
            body, most = self._waiting.popleft()
            self._bytes -= len(body.content)
            try:
                # Beside the loop: masking a large one takes milliseconds.
                message = await asyncio.to_thread(self._message, body, most)
                name = f"{body.request_id}-{body.seq}-{body.stage}-{body.attempt}"
                await self._bus.publish(self._subject, message, name, ANSWER_WITHIN)
                self._count.add(("kept",))
            except DependencyUnavailable:
                self._lost("away", 1 + len(self._waiting))  # as nobody takes these now either
                self._waiting.clear()
                self._bytes = 0
            except Exception:
                self._lost("failed", 1)
                log.exception("a body could not be kept")
        self._task = None

    def _message(self, body: KeptBody, most: int) -> bytes:
        content = self._redactor(body.content) if body.redacted else bare(body.content)
        if body.size > len(body.content):  # its end may be half a secret, which a shorter mask before it brings near
            content = content[:-BEYOND]
        return kept_bodies.pack(msgspec.structs.replace(body, content=content[:most]))

    def _lost(self, why: str, bodies: int) -> None:
        self._count.add((why,), bodies)
