"""Forgets rows that are older than they are to be kept, some at a time beside recording."""

import asyncio
import logging
from collections.abc import Callable

from omni_wire.errors import GatewayError

from omni_analytics.adapters.retention import horizon
from omni_analytics.ports import UsageStore
from omni_analytics.settings import AnalyticsSettings

logger = logging.getLogger("omniroute.analytics")

# Between two transactions, for recording to have its turn.
_PAUSE = 0.05


class Keeper:
    """``caught_up`` says that what was delivered is counted. Before that nothing is forgotten: a message that comes
    again, because its acknowledgement was lost, is known by its rows."""

    def __init__(
        self, store: UsageStore, settings: AnalyticsSettings, now_ms: Callable[[], int], caught_up: Callable[[], bool]
    ) -> None:
        self._store = store
        self._settings = settings
        self._now_ms = now_ms
        self._caught_up = caught_up
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._settings.keep_days:
            self._task = asyncio.create_task(self._run(), name="analytics-keeper")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def forget(self) -> None:
        """All that is too old now. Raises ``DependencyUnavailable``."""
        more = True
        while more and self._caught_up():
            more = await self._store.forget_some(horizon(self._now_ms(), self._settings.keep_days))
            await asyncio.sleep(_PAUSE)

    async def _run(self) -> None:
        while True:
            try:
                await self.forget()
            except GatewayError as error:
                logger.warning("cannot forget old usage", extra={"fields": {"error": error.message}})
            await asyncio.sleep(self._settings.keep_every)
