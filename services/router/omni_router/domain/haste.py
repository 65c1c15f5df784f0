"""The time that a request gives itself, in its header ``x-omniroute-timeouts``: ``first_byte=2, total=30``, in seconds.

It may only shorten what is configured. ``total`` bounds the whole of the request, over all its attempts and to the end
of a stream; the others bound each attempt. What ends by it says nothing against a provider.
"""

import math
from typing import Final

import msgspec
from omni_catalogue.snapshot import Deadlines, Timeouts
from omni_wire.errors import InvalidRequest, UpstreamTimeout

from omni_router.domain.verdict import Hurried

HEADER: Final = "x-omniroute-timeouts"
_NAMES: Final = Deadlines.__struct_fields__
_LONGEST: Final = 86_400.0
_NEAR: Final = 0.05  # seconds by which clocks of one process may disagree


class Haste(msgspec.Struct, frozen=True):
    """``ends`` is when the request is over (monotonic), infinite where it did not say."""

    said: Deadlines
    ends: float

    def shortened(self, timeouts: Timeouts, now: float) -> Timeouts:
        """What is left of ``timeouts`` at ``now``."""
        left = max(self.ends - now, 0.0)
        found = {
            name: min(getattr(timeouts, name), left, math.inf if (own := getattr(self.said, name)) is None else own)
            for name in _NAMES
        }
        return Timeouts(**found)

    def left(self, now: float) -> float:
        """Seconds to the end, 0 for no end. Raises ``UpstreamTimeout`` where it is over."""
        if self.ends == math.inf:
            return 0.0
        if self.ends <= now:
            raise self._over()
        return self.ends - now

    def ended(self, timeouts: Timeouts, configured: Timeouts, lasted: float, now: float) -> bool:
        """Whether a call that ended after ``lasted`` seconds may have had longer without it: the request is over, or
        one of its shortened ``timeouts`` can have been up by then."""
        shorter = [name for name in _NAMES if getattr(timeouts, name) < getattr(configured, name)]
        return self.ends <= now or any(lasted >= getattr(timeouts, name) - _NEAR for name in shorter)

    def told(self, error: UpstreamTimeout, now: float) -> Hurried:
        return self._over() if self.ends <= now else Hurried(f"{error.message} ({HEADER})")

    def _over(self) -> Hurried:
        return Hurried(f"the {self.said.total:g} s that the request gave itself as a whole ({HEADER}) were over")


def read(value: str, began: float) -> Haste:
    """``began`` is when the request came (monotonic). Raises ``InvalidRequest``."""
    found: dict[str, float] = {}
    for part in value.split(","):
        name, equals, written = (word.strip() for word in part.partition("="))
        if name not in _NAMES or not equals:
            raise _refused(f"takes {', '.join(_NAMES)}, as in first_byte=2, total=30")
        if name in found:
            raise _refused(f"says {name} twice")
        found[name] = _seconds(name, written)
    said = Deadlines(**found)
    if said.first_byte is not None and said.total is not None and said.first_byte > said.total:
        raise _refused("gives first_byte more than total")
    return Haste(said, began + said.total if said.total is not None else math.inf)


def _seconds(name: str, written: str) -> float:
    number = written.replace(".", "", 1)
    seconds = float(written) if number.isascii() and number.isdecimal() and len(written) < 20 else 0.0
    if not 0.0 < seconds <= _LONGEST:
        raise _refused(f"must give {name} more than 0 and at most {_LONGEST:g} seconds")
    return seconds


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(f"the header {HEADER} {why}", param=HEADER)
