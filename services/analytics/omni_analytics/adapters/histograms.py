"""Many stored histograms as one. What some of them come to is remembered by their bytes, so nothing has to be thought
of where a row of the past changes; who asks again reads them, and adds up those that are new."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from omni_wire.latency import BUCKETS, numbers

# So many of one place are added up at once, and so many wait for that in all.
TOGETHER = 32
MOST_WAITING = 8192
# Sums that are remembered, some kilobytes each.
REMEMBERED = 2048


class Histograms:
    """Used by one thread."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._sums: dict[bytes, Sequence[int]] = {}

    def by_place(self, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[tuple[Any, ...], Sequence[int]]]:
        """Of rows that end with a stored histogram: what stands before it, and bucket, count, bucket, count, … of some
        of those that have the same."""
        waiting: dict[tuple[Any, ...], list[bytes]] = {}
        count = 0
        for row in rows:
            place = tuple(row[:-1])
            some = waiting.get(place)
            if some is None:
                some = waiting[place] = []
            some.append(row[-1])
            count += 1
            if len(some) == TOGETHER:
                yield place, self._sum(some)
                count -= len(waiting.pop(place))
            elif count == MOST_WAITING:
                yield from ((each, self._sum(found)) for each, found in waiting.items())
                waiting, count = {}, 0
        yield from ((each, self._sum(found)) for each, found in waiting.items())

    def _sum(self, stored: Sequence[bytes]) -> Sequence[int]:
        if len(stored) == 1:
            return numbers(stored[0])
        # One behind the other they are told apart: each says how long it is.
        name = blake2b(b"".join(stored), digest_size=16).digest()
        found = self._sums.pop(name, None)
        if found is None:
            found = _added_up(stored)
            if len(self._sums) >= self._most:
                del self._sums[next(iter(self._sums))]
        self._sums[name] = found  # behind all others: the first is what was not asked for longest
        return found


def _added_up(stored: Sequence[bytes]) -> Sequence[int]:
    counts = [0] * BUCKETS
    for each in map(numbers, stored):
        pairs = iter(each)
        for bucket, count in zip(pairs, pairs, strict=True):
            counts[bucket] += count
    return [number for pair in enumerate(counts) if pair[1] for number in pair]
