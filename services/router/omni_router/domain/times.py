"""The times in which something came of late, and how long a share of them took: a histogram whose buckets grow with the
times, as a tenth of a second matters much in one and nothing in sixty. What is old counts less and less."""

from math import ceil, log

# Times that are too few to say what a share of them took.
ENOUGH = 20
# Seconds that the first bucket goes to, how much further the next goes each time, and how many there are: 40 minutes.
_FIRST, _WIDTH, _BUCKETS = 0.001, 1.2, 81
# When there are so many, each counts half from then on: new times weigh as much as all that were before.
_FULL = 200.0


class Times:
    """In seconds."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts: dict[int, float] = {}  # by bucket
        self._total = 0.0

    def add(self, seconds: float) -> None:
        bucket = min(ceil(log(seconds / _FIRST, _WIDTH)), _BUCKETS - 1) if seconds > _FIRST else 0
        self._counts[bucket] = self._counts.get(bucket, 0.0) + 1
        self._total += 1
        if self._total >= _FULL:
            halves = ((bucket, count / 2) for bucket, count in self._counts.items())
            self._counts = {bucket: half for bucket, half in halves if half >= 0.25}
            self._total = sum(self._counts.values())

    def within(self, share: float) -> float | None:
        """What ``share`` of them took at most, too much by a fifth at most; None where they are too few."""
        if self._total < ENOUGH:
            return None
        wanted, seen, bucket = share * self._total, 0.0, 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                break
        return _FIRST * _WIDTH**bucket
