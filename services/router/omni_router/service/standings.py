"""What this router has seen of targets and accounts: how fast they are, what they have to do, what is left of them.

It is this router's own, and lost with it. That is meant: a request under way is counted where it is, a router's own
network is part of how long a provider takes, and every router sees enough of each. Only what must be even over the
fleet (turns, uses), and what one request makes worth knowing for the next wherever that goes (warm prompt caches), is
in Redis.
"""

from collections.abc import Mapping
from copy import copy
from typing import TypeVar

from omni_router.domain.circuits import Circuits
from omni_router.domain.headroom import headroom
from omni_router.domain.times import Times

T = TypeVar("T")

# What the newest observation counts in a mean.
_NEWEST = 0.3
# What has not been measured for so long is measured again, so that one that was slow gets another chance.
_MEASURED_FOR = 300.0
# Seconds that a failure counts besides those that it took: who fails fast is not fast.
_FAILURE = 10.0
# Tokens of an answer, as long as none was seen.
_TYPICAL = 500
# Model ids can come from clients, so what is remembered about them is bounded.
_MOST = 4096


class Standing:
    """Of one target, or one account for one model. ``uses`` are this router's; times are seconds on a clock that never
    goes back. ``beginnings`` are those of streams, where somebody wants to know."""

    __slots__ = ("_first_byte", "_headroom", "_known_until", "_measured", "beginnings", "in_flight", "uses")

    def __init__(self) -> None:
        self.in_flight = self.uses = 0
        self.beginnings: Times | None = None
        self._first_byte, self._measured = 0.0, float("-inf")
        self._headroom, self._known_until = 1.0, 0.0

    def enter(self) -> None:
        self.in_flight += 1
        self.uses += 1

    def leave(self) -> None:
        self.in_flight -= 1

    def answered(self, seconds: float, now: float) -> None:
        """After so many seconds there was a first byte; of an answer that is not streamed, that is all of it."""
        mean = self.first_byte(now)
        self._first_byte = seconds if mean is None else mean + _NEWEST * (seconds - mean)
        self._measured = now

    def outrun(self, seconds: float, now: float) -> None:
        """After so many seconds there was none, when it was let go for another: it takes that long at least."""
        mean = self.first_byte(now)
        if mean is None or seconds > mean:
            self.answered(seconds, now)

    def failed(self, seconds: float, now: float) -> None:
        self.answered(seconds + _FAILURE, now)

    def told(self, headers: Mapping[str, str], now: float) -> None:
        """What an answer says of the quota."""
        if (found := headroom(headers)) is not None:
            self._headroom, self._known_until = found[0], now + found[1]

    def first_byte(self, now: float) -> float | None:
        return self._first_byte if now - self._measured <= _MEASURED_FOR else None

    def headroom(self, now: float) -> float | None:
        return self._headroom if now < self._known_until else None


class Standings:
    """All of them by name, and what else is worth remembering. Counts of turns are for when the fleet's are away."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        self._cooling: dict[str, float] = {}
        self._turns: dict[str, int] = {}
        self._outputs: dict[str, float] = {}

    def copy(self) -> "Standings":
        """One that learns on its own which circuits are open, and whose turn it is."""
        made = copy(self)
        made._standings, made._cooling, made._turns = dict(self._standings), dict(self._cooling), dict(self._turns)
        return made

    def of(self, name: str) -> Standing:
        found = self._standings.get(name)
        return found if found is not None else _put(self._standings, name, Standing())

    def cools(self, circuit: str, until: float) -> None:
        _put(self._cooling, circuit, until)

    @property
    def has_cooling(self) -> bool:
        """Whether any circuit was seen open."""
        return bool(self._cooling)

    def is_cooling(self, circuits: Circuits, now: float) -> bool:
        """Whether one of them is known to be open."""
        cooling = self._cooling
        if not cooling:
            return False
        return any(now < cooling.get(circuit, now) for circuit in (circuits.account, *circuits.besides_account))

    def turn(self, scope: str) -> int:
        """How many there were before."""
        return _put(self._turns, scope, self._turns.get(scope, -1) + 1)

    def typical_output(self, model: str, limit: int) -> int:
        """Tokens an answer to ``model`` has of late, at most ``limit`` (0: none); the limit before one was seen."""
        seen = self._outputs.get(model)
        if seen is None:
            return limit or _TYPICAL
        return min(round(seen), limit) if limit else round(seen)

    def saw_output(self, model: str, tokens: int) -> None:
        mean = self._outputs.get(model, tokens)
        _put(self._outputs, model, mean + _NEWEST * (tokens - mean))


def _put(kept: dict[str, T], name: str, value: T) -> T:
    if len(kept) >= _MOST:
        kept.clear()
    kept[name] = value
    return value
