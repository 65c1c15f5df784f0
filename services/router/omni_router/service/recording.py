"""One answer that several may read: as it is made here, or as another router makes it.

Theory of operation. A ``Recording`` is this router's copy: entries in their order, and readers, each at its own place.
A task fills it, from the provider (it has claimed the name) or from what the claim's holder writes to the store. So
the client of the first request is a reader like all others, and its leaving ends nothing that another still reads.
"""

import asyncio
from collections.abc import AsyncGenerator

from omni_core.ports.router import CompleteCall, Frame, Head
from omni_wire.errors import GatewayError, from_kind

from omni_router.ports import Ended, Entry


class Reader:
    """One request. ``made`` is whether the answer is made for it, so that the provider's call is its own; ``late``
    whether it came when all was there."""

    __slots__ = ("call", "late", "made", "seen")

    def __init__(self, call: CompleteCall) -> None:
        self.call = call
        self.late = self.made = False
        self.seen = 0


class Recording:
    """``complete`` is whether it was when it was found, ``away`` whether the store failed; ``token`` is of who makes it
    here."""

    def __init__(self, name: str, print_: str) -> None:
        self.name = name
        self.print = print_
        self.size = 0
        self.ended: Ended | None = None
        self.complete = self.away = False
        self.token = ""
        self.kept = True  # else only who it is made for reads on, and what that one has read is dropped
        self.readers: list[Reader] = []
        self._frames: list[Frame] = []
        self._dropped = 0
        self._changed = asyncio.Event()

    @property
    def seen(self) -> int:
        """How many frames there were so far."""
        return self._dropped + len(self._frames)

    def whole(self) -> tuple[Head, bytes]:
        """Of one that is kept and complete."""
        head, *data = self._frames
        assert isinstance(head, Head)  # noqa: S101 - the first frame of every answer
        return head, b"".join([frame for frame in data if isinstance(frame, bytes)])

    def add(self, entry: Entry) -> None:
        if isinstance(entry, Ended):
            self.end(entry)
            return
        if isinstance(entry, bytes):
            self.size += len(entry)
        self._frames.append(entry)
        self._tell()

    def end(self, ended: Ended) -> None:
        if self.ended is None:
            self.ended = ended
            self._tell()

    def unkeep(self) -> None:
        """Too large: whoever reads it by the way reads no more."""
        self.kept = False
        self._tell()

    async def read_up(self) -> None:
        """Of what is not kept, wait until it was read."""
        while self._frames and self.readers:
            await self._changed.wait()

    async def read(self, reader: Reader, unkept: GatewayError) -> AsyncGenerator[Frame, None]:
        """All of it, as it comes. Raises what it ended in, or ``unkept``."""
        while True:
            while self.kept or reader.made:
                at = reader.seen - self._dropped
                if at >= len(self._frames):
                    break
                frame = self._frames[at]
                reader.seen += 1
                yield frame
                if not self.kept:
                    self._drop(reader)
            if not self.kept and not reader.made:
                raise again(unkept)
            if self.ended is not None:
                if self.ended.error is not None:
                    raise again(self.ended.error) if not reader.made else self.ended.error
                return
            await self._changed.wait()

    def _drop(self, reader: Reader) -> None:
        self._frames = self._frames[reader.seen - self._dropped :]
        self._dropped = reader.seen
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def again(error: GatewayError) -> GatewayError:
    """The same for another reader: an exception carries the trace of whoever raised it."""
    same = from_kind(
        error.kind, error.message, status=error.status, retry_after=error.retry_after, param=error.param,
        code=error.code,
    )  # fmt: skip
    same.reported = True
    return same
