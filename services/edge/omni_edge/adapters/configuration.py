"""The published configuration, and whether news of it can reach us."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from omni_catalogue.snapshot import Snapshot
from omni_core.bus import Bus
from omni_core.component import Check, ConfigState
from omni_core.config_feed import ConfigFeed, ConfigMetrics
from omni_core.signatures import PublicKeys
from prometheus_client import CollectorRegistry

logger = logging.getLogger("omniroute.edge")


class Configuration:
    """Follows JetStream KV; ``cache_file`` keeps the last good copy for a start without it."""

    def __init__(self, bus: Bus, cache_file: Path, keys: PublicKeys, registry: CollectorRegistry) -> None:
        self._bus = bus
        self._feed = ConfigFeed(bus, cache_file, keys, ConfigMetrics("edge", registry))

    async def start(self, take: Callable[[Snapshot], None], wait: float) -> None:
        """Hand every revision to ``take`` from now on. One that does not come within ``wait`` seconds is not fatal."""
        self._feed.on_change(lambda snapshot: partial(take, snapshot))
        await self._feed.start(wait)
        if self._feed.current is None:
            logger.warning("no configuration has been published yet")

    async def stop(self) -> None:
        await self._feed.stop()

    def state(self) -> ConfigState:
        """What is in force, and what is refused."""
        return self._feed.state

    def alive(self) -> bool:
        """Whether a revision published now would come at once."""
        return self._bus.connected

    def check(self) -> Check:
        """Once there is a configuration, a bus that is away is named but does no harm: the last one holds, on disk
        too."""
        alive, revision = self.alive(), self._feed.revision
        told = "" if alive else f"away; revision {revision} holds" if revision else "not connected"
        return Check(alive or revision > 0, told)
