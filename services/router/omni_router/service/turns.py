"""Waiting for one's turn: a request that a rate limit does not let through now is let through later, not refused.

It also says of this router's attempts that they are under way, as each holds up others where so many at once are
allowed, and nobody shall wait long for a router that has died.

Places in the queue are the fleet's and the ledger's, in the order in which requests came. Who waits asks the ledger
again when that said its turn may be, or when a bell says that an attempt has ended there; it is the ledger that lets it
through. So a bell that is lost costs a second, and one too many a question.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from omni_core import clock
from omni_ledger import Ledger, Refusal, Ticket

from omni_router.domain.offer import Offer
from omni_router.ports import Bell, Bells

# Seconds after which a request asks again at the latest, more where many are ahead of it; always well within its lease.
_SOON, _A_PLACE, _LATEST = 1.0, 0.05, 4.0
# Seconds between two signs of life of attempts; the ledger takes those for gone that give none for four times as long.
_KEPT_EVERY, _AT_ONCE = 15.0, 500


class Turn:
    """One request's. ``came_ms`` is 0 until the ledger has given it a place."""

    def __init__(self, ticket: str, bell: Bell | None) -> None:
        self._id, self._bell = ticket, bell
        self._came_ms = self._ahead = 0
        self.lanes: set[str] = set()
        self.seconds = 0.0  # that were waited

    @property
    def ticket(self) -> Ticket:
        return Ticket(id=self._id, came_ms=self._came_ms)

    def refused(self, offer: Offer, refusal: Refusal) -> None:
        """The ledger has kept a place, or gives one now."""
        self._came_ms, self._ahead = refusal.came_ms or self._came_ms, refusal.ahead
        self.lanes.update(lane.name for lane in offer.lanes)

    async def wait(self, seconds: float) -> None:
        """Until it may be time to ask again, ``seconds`` at most."""
        if not self._came_ms:  # the first question gets it a place
            return
        began = clock.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, max(_SOON, self._ahead * _A_PLACE), _LATEST)):
                await (self._bell.wait() if self._bell is not None else asyncio.Event().wait())
        if self._bell is not None:
            self._bell.clear()
        self.seconds += clock.monotonic() - began


class Turns:
    """Of one router. ``bells`` None is for where nobody rings."""

    def __init__(self, ledger: Ledger, router_id: str, bells: Bells | None) -> None:
        self._ledger, self._router_id, self._bells = ledger, router_id, bells
        self.waiting = 0
        self._under_way: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def began(self, attempt: str) -> None:
        """It is in a lane until it has ``ended``."""
        self._under_way[attempt] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_KEPT_EVERY, self._keep)

    def ended(self, attempt: str) -> None:
        self._under_way.pop(attempt, None)

    def _keep(self) -> None:
        self._timer = None
        attempts = tuple(self._under_way)
        for start in range(0, len(attempts), _AT_ONCE):
            self._ledger.keep_soon(attempts[start : start + _AT_ONCE])
        if attempts:
            self._timer = asyncio.get_running_loop().call_later(_KEPT_EVERY, self._keep)

    @contextlib.contextmanager
    def wait_for(self, request: str) -> Iterator[Turn]:
        """A place for a request, named by its id; given back at the end, however that comes."""
        ticket = f"{self._router_id}/{request}"
        self.waiting += 1
        try:
            with self._bells.listening(request) if self._bells is not None else contextlib.nullcontext() as bell:
                turn = Turn(ticket, bell)
                try:
                    yield turn
                finally:
                    if turn.lanes:
                        self._ledger.leave_soon(ticket, tuple(sorted(turn.lanes)))
        finally:
            self.waiting -= 1
