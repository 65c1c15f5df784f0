"""Gather what is ready: many small items in, few batches out, without a timer.

One gRPC message costs about as much as fifty items of a stream, so whatever a source has ready while the previous batch
is being written goes out together. A lone item goes at once; a slow reader stops the source (``limit``).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# Large enough that a burst is one message, small enough that a stuck reader holds little.
LIMIT = 256 * 1024

# Pumps whose reader was cancelled while they clean up: the loop itself holds tasks only weakly.
_closing: set[asyncio.Task[None]] = set()


class _Pump(Generic[T]):
    def __init__(self, source: AsyncIterator[T], weigh: Callable[[T], int], limit: int) -> None:
        self._source = source
        self._weigh = weigh
        self._limit = limit
        self._held = 0
        self._room = asyncio.Event()
        self.items: list[T] = []
        self.ready = asyncio.Event()
        self.done = False

    def take(self) -> list[T]:
        batch, self.items = self.items, []
        self._held = 0
        self._room.set()
        return batch

    async def run(self) -> None:
        try:
            async for item in self._source:
                weight = self._weigh(item)
                if self.items and self._held + weight > self._limit:
                    self._room.clear()
                    await self._room.wait()
                self.items.append(item)
                self._held += weight
                self.ready.set()
        finally:
            # The source's own finally blocks run here, in the task that ran it, also when it was cancelled.
            try:
                if isinstance(self._source, AsyncGenerator):
                    await self._source.aclose()
            finally:
                self.done = True
                self.ready.set()


async def coalesce(
    source: AsyncIterator[T], weigh: Callable[[T], int], limit: int = LIMIT
) -> AsyncGenerator[list[T], None]:
    """Yield lists of items in order, each of at most ``limit`` by ``weigh`` (one heavier item goes alone).

    What ``source`` raises is raised after the items before it. Closing this generator, or cancelling whoever reads it,
    cancels ``source`` where it stands, closes it, and waits for its ``finally`` blocks.
    """
    pump = _Pump(source, weigh, limit)
    task = asyncio.get_running_loop().create_task(pump.run())
    try:
        while True:
            if pump.items:
                yield pump.take()
            elif pump.done:
                await task
                return
            else:
                pump.ready.clear()
                await pump.ready.wait()
    finally:
        await _end(task)


class Gathered(Generic[T]):
    """As ``coalesce``, for a reader that may be given up while the source goes on: ``close`` ends the source, and the
    cancellation of ``batch`` does not."""

    def __init__(self, source: AsyncIterator[T], weigh: Callable[[T], int], limit: int = LIMIT) -> None:
        self._pump = _Pump(source, weigh, limit)
        self._task = asyncio.get_running_loop().create_task(self._pump.run())

    async def batch(self) -> list[T]:
        """What is ready, as soon as anything is; empty at the end. Raises what the source raised."""
        pump = self._pump
        while not pump.items:
            if pump.done:
                await self._task
                return []
            pump.ready.clear()
            await pump.ready.wait()
        return pump.take()

    async def close(self) -> None:
        """Cancel the source where it stands and wait for its ``finally`` blocks."""
        await _end(self._task)


async def _end(task: asyncio.Task[None]) -> None:
    if not task.done():
        task.cancel()
        _closing.add(task)
        task.add_done_callback(_closed)
        # Not awaited itself: a second cancellation must not cut the source's cleaning up short.
        await asyncio.wait([task])
    elif not task.cancelled():
        task.exception()  # already raised above, or of no interest to a reader that has left


def _closed(task: asyncio.Task[None]) -> None:
    _closing.discard(task)
    if not task.cancelled():
        task.exception()
