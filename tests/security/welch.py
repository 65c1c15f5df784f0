"""Whether two samples of times have the same mean: Welch's t.

The slowest tenth of both together is left out, for it says how busy the machine is and hides what is looked for.
"""

from collections.abc import Sequence
from statistics import fmean, variance

# Beyond it two samples are taken for different (the usual threshold of leakage assessment, ISO/IEC 17825).
THRESHOLD = 4.5


def cropped(left: Sequence[float], right: Sequence[float], keep: float = 0.9) -> float:
    """t of both samples without the slowest, by one bound for both."""
    everything = sorted([*left, *right])
    bound = everything[int(len(everything) * keep) - 1]
    return welch([time for time in left if time <= bound], [time for time in right if time <= bound])


def welch(left: Sequence[float], right: Sequence[float]) -> float:
    spread = variance(left) / len(left) + variance(right) / len(right)
    return (fmean(left) - fmean(right)) / spread**0.5 if spread else 0.0
