"""A stream that can be waited for without being lost: what was waited for in vain comes all the same, later."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """An async iterator over ``source``. One reader."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source = source
        self._next: asyncio.Task[T] | None = None

    def __aiter__(self) -> "Ahead[T]":
        return self

    async def __anext__(self) -> T:
        task, self._next = self._next, None
        return await task if task is not None else await anext(self._source)

    async def within(self, seconds: float) -> bool:
        """Whether the next one, the end or an error has come by then; ``__anext__`` gives it."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._step())
        try:
            done, _ = await asyncio.wait({self._next}, timeout=seconds)
        except asyncio.CancelledError:
            await self.leave()
            raise
        return bool(done)

    async def leave(self) -> None:
        """Wait for nothing any more."""
        task, self._next = self._next, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # seen: whoever left does not want to know

    async def _step(self) -> T:
        return await anext(self._source)
