"""The published configuration, and whether news of it can reach us."""

import logging
from collections.abc import Callable
from pathlib import Path

from omni_catalogue.snapshot import Snapshot
from omni_core.bus import Bus
from omni_core.component import Check
from omni_core.config_feed import ConfigFeed

logger = logging.getLogger("omniroute.edge")


class Configuration:
    """Follows JetStream KV; ``cache_file`` keeps the last good copy for a start without it."""

    def __init__(self, bus: Bus, cache_file: Path) -> None:
        self._bus = bus
        self._feed = ConfigFeed(bus, cache_file)

    async def start(self, take: Callable[[Snapshot], None], wait: float) -> None:
        """Hand every revision to ``take`` from now on. One that does not come within ``wait`` seconds is not fatal."""
        self._feed.on_change(take)
        await self._feed.start(wait)
        if self._feed.current is None:
            logger.warning("no configuration has been published yet")

    async def stop(self) -> None:
        await self._feed.stop()

    def alive(self) -> bool:
        """Whether a revision published now would come at once."""
        return self._bus.connected

    def check(self) -> Check:
        """A bus that is away is named but does no harm: the last configuration holds, on disk too."""
        return Check(ok=True, detail="" if self.alive() else f"away; revision {self._feed.revision} holds")
