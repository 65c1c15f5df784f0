"""What the edge needs of the world besides auth and router."""

from typing import Protocol

from omni_edge.domain.shared import Decision
from omni_edge.domain.tally import Heard, Told


class SharedDecisions(Protocol):
    """Where edges tell each other what auth said of a key. Neither call raises or takes long: it is there to spare a
    question, not to answer it."""

    async def find(self, digest: bytes) -> Decision | None: ...

    async def keep(self, digest: bytes, decision: Decision) -> None: ...


class SharedTallies(Protocol):
    """The counts that all edges have together."""

    async def add(self, kind: str, told: list[Told]) -> list[Heard] | None:
        """Add to them, and return each of those told of; None when that cannot be done now. Never raises."""


class NothingShared:
    """For an edge without Redis."""

    async def find(self, digest: bytes) -> Decision | None:
        return None

    async def keep(self, digest: bytes, decision: Decision) -> None:
        return None
