"""The members a pool knows, each with a channel of its own: which may be given a call, and which is left alone."""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

import grpc
import msgspec

from omni_core.clients import picking
from omni_core.clock import monotonic
from omni_core.identity import Caller
from omni_core.rpc import ServiceChannel, open_channel

log = logging.getLogger("omniroute.pool")

# Seconds between two looks at the connection of a member that is left alone.
LOOK = 0.02

C = TypeVar("C")
READY = grpc.ChannelConnectivity.READY


class Place(msgspec.Struct, frozen=True):
    """Where a member is. Several calls in a row may go to a ``draining`` one only where there is no other."""

    address: str
    draining: bool = False


class Seat(Generic[C]):
    """One member. ``ejected`` while it is left alone; ``failures`` counts them since its last answer."""

    __slots__ = ("channel", "client", "draining", "ejected", "failures", "in_flight", "leaving", "place", "task")

    def __init__(self, place: Place, channel: ServiceChannel, client: C) -> None:
        self.place = place
        self.channel = channel
        self.client = client
        self.draining = place.draining
        self.ejected = False
        self.leaving = False
        self.failures = 0
        self.in_flight = 0
        self.task: asyncio.Task[None] | None = None


class Seats(Generic[C]):
    """Members of ``service``, called by ``caller``. ``connect`` makes a client of a channel."""

    def __init__(self, caller: Caller, service: str, connect: Callable[[ServiceChannel], C]) -> None:
        self._caller = caller
        self._service = service
        self._connect = connect
        self._seats: dict[str, Seat[C]] = {}
        self._usable: list[Seat[C]] = []
        self._changed = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._seats)

    def arrange(self, wanted: Mapping[str, Place]) -> None:
        """Know exactly these from now on. What runs at one that is left out goes on to its end."""
        for key, seat in list(self._seats.items()):
            place = wanted.get(key)
            if place is None or place.address != seat.place.address:
                del self._seats[key]
                self._leave(seat)
        for key, place in wanted.items():
            known = self._seats.get(key)
            if known is None:
                channel = open_channel(place.address, self._caller, self._service)
                self._seats[key] = Seat(place, channel, self._connect(channel))
            else:
                known.place, known.draining = place, place.draining
        self._settle()

    def free(self, tried: Collection[Seat[C]] = ()) -> Seat[C] | None:
        """One to give a call to, rather one that is not among ``tried``. None when there is none at the moment."""
        usable = self._usable
        if not usable:
            return None
        return picking.of_two(picking.untried(usable, tried) if tried else usable, random.random)

    def alone(self, seat: Seat[C]) -> bool:
        """Whether there is nobody else at the moment whom a call to ``seat`` could go to instead."""
        return len(self._usable) < 2 and not seat.channel.named

    async def change(self, until: float) -> bool:
        """Wait until something about the members changes; false when that took until ``until`` (monotonic)."""
        try:
            async with asyncio.timeout(until - monotonic()):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def answered(self, seat: Seat[C]) -> None:
        seat.failures = 0

    def failed(self, seat: Seat[C]) -> None:
        """Nobody answered there: leave it alone until its connection stands again, for longer each time."""
        if seat.ejected or seat.leaving:
            return  # the others that were under way there say nothing new
        connected = seat.channel.get_state(try_to_connect=True) is READY
        if connected and seat.channel.named:
            return  # others stand behind the same name
        seat.failures += 1
        # A connection that was lost once and stands again needs no penance.
        least = picking.pause(seat.failures) if connected or seat.failures > 1 else 0.0
        seat.ejected = True
        seat.task = asyncio.get_running_loop().create_task(self._bring_back(seat, least))
        self._settle()

    def release(self, seat: Seat[C]) -> None:
        """A call has ended there; whoever began it had counted it in ``in_flight``."""
        seat.in_flight -= 1
        if seat.leaving and not seat.in_flight:
            self._close(seat)

    def states(self) -> dict[str, int]:
        """How many are ready, draining and ejected."""
        counts = {"ready": 0, "draining": 0, "ejected": 0}
        for seat in self._seats.values():
            counts["ejected" if seat.ejected else "draining" if seat.draining else "ready"] += 1
        return counts

    async def close(self) -> None:
        """Disconnect from all, whatever is under way."""
        for seat in self._seats.values():
            seat.in_flight = 0
            self._leave(seat)
        self._seats.clear()
        self._settle()
        if self._closing:
            await asyncio.wait(self._closing)

    def _settle(self) -> None:
        self._usable = picking.usable(self._seats.values())
        self._changed.set()
        self._changed = asyncio.Event()

    def _leave(self, seat: Seat[C]) -> None:
        seat.leaving = True
        if seat.task is not None:
            seat.task.cancel()
        if not seat.in_flight:
            self._close(seat)

    def _close(self, seat: Seat[C]) -> None:
        task = asyncio.get_running_loop().create_task(seat.channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _bring_back(self, seat: Seat[C], least: float) -> None:
        began = monotonic()
        while (waited := monotonic() - began) < picking.LONGEST_PAUSE:
            if waited >= least and seat.channel.get_state(try_to_connect=True) is READY:
                break
            await asyncio.sleep(LOOK)
        seat.ejected = False
        self._settle()
