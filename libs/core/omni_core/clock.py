"""Time, where it is read. Everything pure takes it as an argument."""

import time

# Seconds on a clock that never goes back, for measuring spans.
monotonic = time.monotonic


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
