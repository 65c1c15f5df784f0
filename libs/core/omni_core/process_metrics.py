"""What every process tells of itself, whatever it runs: its build, the system's numbers of it, how busy its loop is."""

import asyncio
from collections import deque
from collections.abc import Callable
from importlib import metadata

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

TICK = 1.0
# The worst of this many ticks is shown, so that a scrape every 15 s misses none.
_TICKS = 15


def version() -> str:
    """Of the installed distribution; "0" where there is none."""
    try:
        return metadata.version("omniroute")
    except metadata.PackageNotFoundError:
        return "0"


class ProcessMetrics:
    """``omniroute_build_info``, ``omniroute_process_…``. Made inside the event loop that it watches; ``stop`` it.

    ``on_tick`` is called once a second: a timer that is there may serve others too.
    """

    def __init__(self, registry: CollectorRegistry, target: str, on_tick: Callable[[], None]) -> None:
        Gauge(
            "omniroute_build_info", "1; which version of which target runs.", ["version", "target"], registry=registry
        ).labels(version(), target).set(1)
        ProcessCollector(namespace="omniroute", registry=registry)
        Gauge(
            "omniroute_process_loop_lag_seconds",
            "How late a timer of the event loop ran, at worst in the last 15 seconds.",
            registry=registry,
        ).set_function(lambda: max(self._late, default=0.0))
        self._late: deque[float] = deque(maxlen=_TICKS)
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + TICK
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        self._late.append(now - self._due)
        self._due = now + TICK
        self._timer = self._loop.call_at(self._due, self._tick)
        self._on_tick()

    def stop(self) -> None:
        self._timer.cancel()
