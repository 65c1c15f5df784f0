"""Who is being served on a surface, and the one timer that all the young share.

Nearly every request is over before anything of its own can run out, so it gets no timer of its own: that would be the
dearest part of its bookkeeping. A sweep promotes whoever has outlived one and calls its ``look``; from then on it keeps
time by itself. While nobody is young nothing ticks.
"""

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from omni_wire.errors import GatewayError


class Guest(Protocol):
    """``seat`` is the roster's to set; the guest leaves by discarding itself from it."""

    seat: set["Guest"]

    def look(self) -> None: ...

    def interrupt(self, verdict: GatewayError) -> None: ...


class Roster:
    """A guest is first looked at when it has been here between half of ``first_look`` seconds and all of them."""

    def __init__(self, first_look: float) -> None:
        self._period = first_look / 2
        self._young: set[Guest] = set()
        self._older: set[Guest] = set()  # those who have seen one sweep
        self._grown: set[Guest] = set()  # those who keep time by themselves
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._young) + len(self._older) + len(self._grown)

    def __iter__(self) -> Iterator[Guest]:
        return chain(self._young, self._older, self._grown)

    def enter(self, guest: Guest) -> None:
        guest.seat = self._young
        self._young.add(guest)
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._period, self._sweep)

    def _sweep(self) -> None:
        grown, self._older, self._young = self._older, self._young, set()
        for guest in grown:
            guest.seat = self._grown
            self._grown.add(guest)
            guest.look()
        if self._older:
            self._arm()
        else:
            self._timer = None
