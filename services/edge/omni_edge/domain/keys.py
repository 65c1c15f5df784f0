"""Which keys this edge has asked about lately. Time is an argument; digests only, never a key."""

from collections import OrderedDict
from enum import Enum
from typing import TypeVar

import msgspec

from omni_edge.domain.admission import Holder

T = TypeVar("T")


class Verdict(Enum):
    UNKNOWN = "unknown"
    REFUSED = "refused"


class _Known(msgspec.Struct, frozen=True):
    holder: Holder
    fresh_until: float
    stale_until: float
    renew_at: float


class KeyCache:
    """Bounded, least recently used first to go. Refused keys have room of their own, so that guessing does not push
    good keys out. One that is used is asked about again at half its time: auth may be away for the other half.

    A key that was good is remembered as met, by its digest alone and beyond ``clear``: to present it again is no guess.

    ``generation`` grows with every ``clear``: an answer asked for before a clear must not be kept after it.
    """

    def __init__(self, size: int, ttl: float, negative_ttl: float, stale: float) -> None:
        self._size, self._ttl, self._negative_ttl, self._stale = size, ttl, negative_ttl, stale
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._met: OrderedDict[bytes, bool] = OrderedDict()
        self.generation = 0

    def __len__(self) -> int:
        return len(self._known) + len(self._refused)

    def find(self, digest: bytes, now: float) -> Holder | Verdict:
        """The key's holder while fresh, ``REFUSED`` while a refusal is, else ``UNKNOWN``."""
        known = self._known.get(digest)
        if known is not None and now < known.fresh_until:
            self._known.move_to_end(digest)
            return known.holder
        until = self._refused.get(digest)
        if until is not None:
            if now < until:
                return Verdict.REFUSED
            del self._refused[digest]
        return Verdict.UNKNOWN

    def is_due(self, digest: bytes, now: float) -> bool:
        """Whether to ask again about a key that is fresh yet; not said again for ``negative_ttl``."""
        known = self._known.get(digest)
        if known is None or now < known.renew_at:
            return False
        self._known[digest] = msgspec.structs.replace(known, renew_at=now + self._negative_ttl)
        return True

    def find_stale(self, digest: bytes, now: float) -> Holder | None:
        """The holder of a key that was good and has not been asked about since its time ran out."""
        known = self._known.get(digest)
        return known.holder if known is not None and now < known.stale_until else None

    def accept(self, digest: bytes, holder: Holder, now: float, generation: int, age: float = 0.0) -> None:
        """``age`` is of an answer that was given to somebody else, in seconds: it is believed that much shorter."""
        now -= age
        if generation == self.generation:
            self._refused.pop(digest, None)
            self._keep(self._met, digest, True)
            end = now + self._ttl
            self._keep(self._known, digest, _Known(holder, end, end + self._stale, now + self._ttl / 2))

    def refuse(self, digest: bytes, now: float, generation: int) -> None:
        if generation == self.generation:
            self._known.pop(digest, None)
            self._met.pop(digest, None)
            self._keep(self._refused, digest, now + self._negative_ttl)

    def has_met(self, digest: bytes) -> bool:
        return digest in self._met

    def extend(self, digest: bytes, now: float) -> None:
        """Believe a stale key a little longer, so that not every request of it waits for an auth that is away."""
        known = self._known.get(digest)
        if known is not None:
            fresh = min(now + self._negative_ttl, known.stale_until)
            self._known[digest] = msgspec.structs.replace(known, fresh_until=fresh)

    def clear(self) -> None:
        self._known.clear()
        self._refused.clear()
        self.generation += 1

    def _keep(self, shelf: "OrderedDict[bytes, T]", digest: bytes, value: T) -> None:
        shelf[digest] = value
        shelf.move_to_end(digest)
        while len(shelf) > self._size:
            shelf.popitem(last=False)
