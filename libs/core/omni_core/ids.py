"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by birth: those of one process strictly, in the order they were made
in, those of several by the millisecond."""

import os
import time
from collections.abc import Callable
from random import getrandbits
from threading import Lock

_MARKS = 0x7 << 76 | 0b10 << 62  # version 7, and the variant of RFC 9562
_CHANCE_BITS, _LOW_BITS = 74, 62  # all that is no time and no mark, and what of it is behind the variant
_STEP_BITS = 60  # leaves room for 8,000 ids and more within a millisecond


def uuid7(millis: int, chance: int) -> str:
    """A UUIDv7 as 32 hex digits; of ``chance`` the low 74 bits count. Grows with ``(millis, chance)``."""
    low = chance & (1 << _LOW_BITS) - 1
    high = chance >> _LOW_BITS & (1 << _CHANCE_BITS - _LOW_BITS) - 1
    return (millis << 80 | high << 64 | low | _MARKS).to_bytes(16, "big").hex()


class Mint:
    """Strictly growing ids, whatever the clock does: within a millisecond, and while the clock is behind the last id,
    each is the last one plus a random step (RFC 9562, section 6.2, method 2). ``clock`` gives epoch ms, ``chance`` as
    many random bits as it is asked for. May be called from any thread."""

    def __init__(self, clock: Callable[[], int], chance: Callable[[int], int]) -> None:
        self._clock, self._chance_of = clock, chance
        self._millis, self._chance = -1, 0
        self._lock = Lock()

    def __call__(self) -> str:
        with self._lock:
            now = self._clock()
            if now > self._millis:
                self._begin(now)
            else:
                self._chance += 1 + self._chance_of(_STEP_BITS)
                if self._chance >> _CHANCE_BITS:
                    self._begin(self._millis + 1)
            return uuid7(self._millis, self._chance)

    def _begin(self, millis: int) -> None:
        # The topmost bit is left clear, so that there is room for steps.
        self._millis, self._chance = millis, self._chance_of(_CHANCE_BITS - 1)

    def after_fork(self) -> None:
        """In a child, where another thread may have had the lock when it was born."""
        self._lock = Lock()


_mint = Mint(lambda: int(time.time() * 1000), getrandbits)
os.register_at_fork(after_in_child=_mint.after_fork)


def new_id() -> str:
    """An id greater than every one that this process has made before.

    It has to be unique, not secret: its chance comes from the process' generator, which is seeded by the system and
    anew after a fork, and not from a call to the system each time.
    """
    return _mint()
