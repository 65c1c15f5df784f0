"""What the edge needs of the world besides auth and router."""

from typing import Protocol

from omni_edge.domain.shared import Decision


class SharedDecisions(Protocol):
    """Where edges tell each other what auth said of a key. Neither call raises or takes long: it is there to spare a
    question, not to answer it."""

    async def find(self, digest: bytes) -> Decision | None: ...

    async def keep(self, digest: bytes, decision: Decision) -> None: ...


class NothingShared:
    """For an edge without Redis."""

    async def find(self, digest: bytes) -> Decision | None:
        return None

    async def keep(self, digest: bytes, decision: Decision) -> None:
        return None
