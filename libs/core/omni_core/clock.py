"""Time, where it is read. Everything pure takes it as an argument."""

import time


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Seconds on a clock that never goes back, for measuring spans."""
    return time.monotonic()
