"""Which circuits and lanes nobody has said anything of, as of a moment ago: where attempts need not ask in each
step."""

from math import inf
from typing import Any

from omni_wire.errors import DependencyUnavailable

from omni_ledger import operations
from omni_ledger.batcher import Batcher, Entry
from omni_ledger.model import Hold

# Seconds for which it is believed that they are well, from when that was asked.
BELIEVED = 0.25
USED_WITHIN = 0.3
FORGET = 10.0
MOST = 200  # in one operation: Redis does nothing else meanwhile


class _Place:
    """What an attempt must find in order: its circuits, and a lane. ``well_at`` is when that was asked which was
    answered with yes."""

    __slots__ = ("circuits", "lanes", "used_at", "well_at")

    def __init__(self, circuits: tuple[str, ...]) -> None:
        self.circuits = circuits
        self.lanes: Any = None
        self.well_at = self.used_at = -inf


class Places:
    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._places: dict[tuple[str, tuple[str, ...]], _Place] = {}
        self._generation = 0
        self._asking = False

    def are_well(self, hold: Hold, now: float, down: bool) -> bool:
        """Whether nothing keeps the attempt from any of its circuits, and no lane bounds it. While Redis is away, what
        was known last is believed."""
        if hold.breaker is None and hold.passage is None:
            return True
        place = self._places.get((hold.account_id, hold.circuits))
        if place is None:
            return False
        place.used_at = now
        if hold.passage is not None and hold.passage.lanes is not place.lanes:
            if not _is_free(hold):
                return False
            if hold.passage.lanes != place.lanes:
                place.well_at = -inf  # another was asked about
            place.lanes = hold.passage.lanes
        return place.well_at > -inf if down else now - place.well_at <= BELIEVED

    def wanted(self, hold: Hold, now: float) -> None:
        """Ask about its circuits from now on."""
        if hold.breaker is None and hold.passage is None:
            return
        name = hold.account_id, hold.circuits
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = _Place((hold.account_id, *hold.circuits))
        place.used_at = now
        if hold.passage is not None and place.lanes is None and _is_free(hold):
            place.lanes = hold.passage.lanes
        if now - place.well_at > BELIEVED:
            self.ask(now)

    def spoiled(self) -> None:
        """Something bad is known that Redis has not been told yet, or that was learned since it was asked."""
        self._generation += 1
        for place in self._places.values():
            place.well_at = -inf

    def ask(self, now: float) -> None:
        if self._asking or self._batcher.is_down:
            return
        places = self._places
        for name in [name for name, place in places.items() if now - place.used_at > FORGET]:
            del places[name]
        due = [place for place in places.values() if now - place.used_at <= USED_WITHIN][:MOST]
        if not due:
            return
        circuits = sorted({name for place in due for name in place.circuits})
        lanes = sorted({lane.name for place in due for lane in place.lanes or ()})
        generation = self._generation

        def note(_: Entry, result: Any) -> None:
            self._asking = False
            if generation != self._generation or operations.failure(result) is not None:
                return
            bad = {name for name, well in zip(circuits, result[0], strict=True) if not well}
            bound = {name for name, free in zip(lanes, result[1], strict=True) if not free}
            for place in due:
                is_well = bad.isdisjoint(place.circuits) and all(lane.name not in bound for lane in place.lanes or ())
                place.well_at = now if is_well else -inf

        try:
            self._batcher.submit(operations.spotless(circuits, lanes), wait=False, note=note, lost=self._lost)
        except DependencyUnavailable:
            return
        self._asking = True

    def _lost(self) -> None:
        self._asking = False


def _is_free(hold: Hold) -> bool:
    """Whether no lane has a limit by configuration, and nobody waits in its queue for this attempt."""
    passage = hold.passage
    if passage is None:
        return True
    limits = (lane.limit for lane in passage.lanes)
    return not any(
        limit.requests_per_minute or limit.tokens_per_minute or limit.min_gap or limit.concurrent for limit in limits
    )
