"""Outboxes, where settling leaves events, and how one is drained to JetStream."""

import asyncio
import re
from collections.abc import Callable

import msgspec
from omni_core import genai
from omni_core.bus import Bus
from omni_core.events import pack_batch, traces_among
from omni_core.ids import new_id
from omni_core.tracing import Kind, Tracer, Value
from redis.asyncio import Redis

from omni_ledger.script import FAILURES, RELAY_LUA, ScriptConnection, unavailable

STREAM = "OMNIROUTE_USAGE"
SUBJECTS = "omniroute.usage.*"
MAX_EVENTS = 512
MAX_BYTES = 512 * 1024  # half of what NATS takes by default
TURN_WITHIN = 2.0
PUBLISH_WITHIN = 5.0

_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]")


class Turn(msgspec.Struct, frozen=True):
    """``waiting`` events are in the outbox, those of the sealed batch among them; ``batch_id`` "" = nothing sealed."""

    waiting: int
    batch_id: str
    events: list[bytes]


class Outbox:
    """One script connection, for one user at a time."""

    def __init__(self, redis: Redis) -> None:
        self._connection = ScriptConnection(redis, RELAY_LUA)

    async def turn(self, router_id: str, *, done: str = "", seal: bool = True, alive: str = "") -> Turn:
        """Forget batch ``done``, seal the next one. ``alive`` "up" shows the router's sign of life (for 15 s), "down"
        withdraws it. Raises ``DependencyUnavailable``."""
        fresh = new_id() if seal else ""
        arguments = [router_id, done, fresh, str(MAX_EVENTS), str(MAX_BYTES), alive]
        try:
            async with asyncio.timeout(TURN_WITHIN):
                reply = await self._connection.call([argument.encode() for argument in arguments])
        except BaseException as error:  # also cancelled: an answer may still be under way on this connection
            await self._connection.drop()
            if isinstance(error, FAILURES):
                raise unavailable(error) from error
            raise
        if not isinstance(reply, list):
            raise unavailable(None)
        return Turn(int(reply[0]), reply[1].decode(), reply[2:])

    async def close(self) -> None:
        await self._connection.close()


def subject(router_id: str) -> str:
    """The subject of a router's batches; what NATS gives a meaning in subjects is replaced."""
    return "omniroute.usage." + (_NOT_A_TOKEN.sub("_", router_id) or "_")


async def drain(
    outbox: Outbox,
    bus: Bus,
    router_id: str,
    *,
    alive: str = "",
    on_batch: Callable[[int, int], None],
    tracer: Tracer | None = None,
) -> None:
    """Publish all of the router's events. ``on_batch`` is told events published and events still waiting.

    Raises ``DependencyUnavailable``; what was not acknowledged stays in the outbox, and its batch keeps its id.
    """
    turn = await outbox.turn(router_id, alive=alive)
    on_batch(0, turn.waiting)
    while turn.batch_id:
        await publish(bus, router_id, turn, tracer)
        published = len(turn.events)
        turn = await outbox.turn(router_id, done=turn.batch_id, alive=alive)
        on_batch(published, turn.waiting)


async def publish(bus: Bus, router_id: str, turn: Turn, tracer: Tracer | None = None) -> None:
    """One sealed batch, acknowledged by JetStream; a span linked to the requests in it that are traced, where any is.
    Raises ``DependencyUnavailable``."""
    data = pack_batch(turn.batch_id, router_id, turn.events)
    traced = traces_among(turn.events) if tracer is not None else []
    if tracer is None or not traced:
        await bus.publish(subject(router_id), data, turn.batch_id, PUBLISH_WITHIN)
        return
    described: dict[str, Value] = {
        genai.MESSAGING_SYSTEM: "nats",
        genai.MESSAGING_OPERATION: "send",
        genai.MESSAGING_DESTINATION: STREAM,
        genai.MESSAGING_BATCH: len(turn.events),
    }
    with tracer.begin(f"send {STREAM}", Kind.PRODUCER, attributes=described, links=traced) as span:
        await bus.publish(subject(router_id), data, turn.batch_id, PUBLISH_WITHIN, traceparent=span.traceparent)


async def ensure_stream(bus: Bus) -> None:
    """Raises ``DependencyUnavailable``."""
    await bus.ensure_stream(STREAM, [SUBJECTS])
