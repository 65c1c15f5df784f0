"""An answer while it arrives: its connection fills it, its reader empties it."""

import asyncio
import math
from collections.abc import Mapping
from typing import Protocol

from omni_catalogue.proxies import Egress
from omni_catalogue.snapshot import Timeouts
from omni_wire.errors import StreamInterrupted, UpstreamError, UpstreamTimeout

# Above this many bytes unread, the connection is not read any further.
HIGH_WATER = 256 * 1024

_SOON = 0.01  # seconds; timers may be a little early

_HEAD, _CHUNK, _WHOLE = range(3)


class Source(Protocol):
    """The connection, as far as an answer knows it."""

    loop: asyncio.AbstractEventLoop

    def watch(self, deadline: float) -> None:
        """Call the answer's ``overdue`` at ``deadline`` (loop time), unless watched anew before."""
        ...

    def resume(self) -> None:
        """There is room again."""
        ...

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        ...


class HttpAnswer:
    """``UpstreamAnswer``. Made before the request is sent; ``status`` and ``headers`` hold once ``opened`` returned.

    The connection writes ``parts``, ``size``, ``complete`` and ``error``, and lets go (``source`` None) when the
    answer is complete or failed. One reader at a time.
    """

    __slots__ = (
        "_begin_by",
        "_end_by",
        "_mode",
        "_timeouts",
        "_waiter",
        "complete",
        "error",
        "headed",
        "headers",
        "high",
        "parts",
        "size",
        "source",
        "status",
        "touched",
        "want",
        "way",
    )

    def __init__(self, timeouts: Timeouts, begin_by: float, end_by: float = 0.0) -> None:
        """``begin_by`` and ``end_by`` are loop time, or 0 for none."""
        self.way: Egress | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.headed = False
        self.complete = False
        self.touched = False  # whether a single byte of it came
        self.error: UpstreamError | None = None
        self.source: Source | None = None
        self.want = 0  # bytes that are worth waking the reader for, once the head is there
        self.high = HIGH_WATER
        self._begin_by = begin_by
        self._end_by = end_by
        self._mode = _HEAD
        self._timeouts = timeouts
        self._waiter: asyncio.Future[None] | None = None

    # ---- the reader's side ------------------------------------------------------------------------------------------

    async def opened(self) -> None:
        """Wait for the head. Raises ``UpstreamError``."""
        while not self.headed:
            if self.error is not None:
                raise self.error
            await self._wait(self._timeouts.total)
        self._mode = _CHUNK
        self.want = 1

    async def read(self, limit: int) -> bytes:
        if not self.complete and self.size < limit:
            self._mode = _WHOLE
            self.want = limit
            self.high = max(limit, HIGH_WATER)
            if self.source is not None:
                self.source.resume()
                bound = self._begin_by or self.source.loop.time() + self._timeouts.total
                while not self.complete and self.error is None and self.size < limit:
                    await self._wait(until=bound)
        if self.error is not None and self.size < limit:
            raise self.error
        parts = self.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.size = 0
        return body if len(body) <= limit else body[:limit]

    def chunks(self) -> "HttpAnswer":
        return self

    def __aiter__(self) -> "HttpAnswer":
        return self

    async def __anext__(self) -> bytes:
        parts = self.parts
        while not parts:
            if self.error is not None:
                raise self.error
            if self.complete:
                raise StopAsyncIteration
            await self._wait(self._timeouts.idle)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self.size > HIGH_WATER and self.source is not None:
            self.source.resume()
        self.size = 0
        return data

    def begun(self) -> None:
        self._begin_by = 0.0

    def close(self) -> None:
        source, self.source = self.source, None
        if source is not None:  # complete answers have let go of theirs
            self.error = StreamInterrupted("the answer was given up")
            source.abort()
            self.wake()

    async def _wait(self, seconds: float = math.inf, *, until: float = 0.0) -> None:
        source = self.source
        if source is None:
            raise StreamInterrupted("the provider's answer was cut")
        waiter = self._waiter = source.loop.create_future()
        deadline = until or self._begin_by or source.loop.time() + seconds
        source.watch(min(deadline, self._end_by) if self._end_by else deadline)
        try:
            await waiter
        except BaseException:  # cancelled: nobody will read the rest
            self.close()
            raise
        finally:
            self._waiter = None

    # ---- the connection's side --------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: UpstreamError) -> None:
        """What arrived can still be read; then ``error`` is raised."""
        self.source = None
        self.error = error
        self.wake()

    def overdue(self) -> UpstreamTimeout:
        """Nothing more came in time."""
        if self._mode == _WHOLE:
            return UpstreamTimeout("the provider did not finish its answer in time")
        if self._mode == _HEAD or self._begin_by:
            return UpstreamTimeout("the provider gave no answer in time")
        if self._end_by and self.source is not None and self.source.loop.time() > self._end_by - _SOON:
            return UpstreamTimeout("the provider's stream did not end in time")
        return UpstreamTimeout(f"the provider's stream fell silent for {self._timeouts.idle:g} s")
