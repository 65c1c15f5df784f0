"""Requests told to those who watch, as they are stored: coalesced, and bounded by what is kept for all of them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from omni_core.ports.analytics import RequestFound, Update
from omni_wire.errors import DependencyUnavailable

from omni_analytics.domain.recent import Recent
from omni_analytics.domain.rows import RequestRow, UsageRow

# Seconds: between two updates with something new, and until one says that there is nothing.
APART, SILENCE = 0.25, 10.0
MOST_WATCHERS = 200

Found = Callable[[RequestRow], RequestFound]


class Watchers:
    """``apart`` and ``silence`` in seconds. What storing pays for it is a reference a request."""

    def __init__(self, recent: Recent, found: Found, *, apart: float = APART, silence: float = SILENCE) -> None:
        self._recent = recent
        self._found = found
        self._apart = apart
        self._silence = silence
        self._news = asyncio.Event()
        self.watching = 0

    def stored(self, rows: Sequence[UsageRow], *, again: bool = False) -> None:
        """``again`` is whether some of them were stored before: these are told once."""
        requests = [row for row in rows if type(row) is RequestRow]
        if again:
            requests = self._recent.new(requests)
        if requests:
            self._recent.add(requests)
            self._news.set()
            self._news = asyncio.Event()

    async def live(self, key_ids: tuple[str, ...] | None, after: str) -> AsyncGenerator[Update, None]:
        """See ``AnalyticsPort``."""
        if self.watching >= MOST_WATCHERS:
            raise DependencyUnavailable(f"{MOST_WATCHERS} watch already", retry_after=10.0)
        keys = None if key_ids is None else frozenset(key_ids)
        self.watching += 1
        try:
            update = self._update(self._recent.place(after), keys)
            while True:
                place = self._recent.stored  # before the reader has its turn
                yield update
                await asyncio.sleep(self._apart)
                await self._wait(place)
                update = self._update(place, keys)
        finally:
            self.watching -= 1

    async def _wait(self, place: int) -> None:
        if self._recent.stored > place:
            return
        try:
            async with asyncio.timeout(self._silence):
                await self._news.wait()
        except TimeoutError:
            return

    def _update(self, place: int, keys: frozenset[str] | None) -> Update:
        rows, missed = self._recent.since(place)
        told = tuple(self._found(row) for row in rows if keys is None or row.key_id in keys)
        return Update(self._recent.name(self._recent.stored), told, missed)
