"""What the router needs from outside, besides the ports of other services."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec
from omni_catalogue.snapshot import Timeouts

from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One POST to a provider. ``allow_private`` lets the address be loopback or private."""

    url: str
    headers: dict[str, str]
    body: bytes
    allow_private: bool
    timeouts: Timeouts

    def __repr__(self) -> str:
        return f"UpstreamRequest(url={self.url!r})"


class UpstreamAnswer(Protocol):
    """An answer whose headers have come. Header names are lower case."""

    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """The whole body, or its first ``limit`` bytes. Raises ``UpstreamTimeout`` or ``StreamInterrupted``."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; iterated once.

        Raises ``UpstreamTimeout`` when it falls silent and ``StreamInterrupted`` when it is cut.
        """
        ...

    def close(self) -> None:
        """Let go at once; a body not read to its end closes the connection, and so cancels the provider's work."""
        ...


class Upstream(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Raises ``UpstreamUnreachable`` or ``UpstreamTimeout``."""
        ...


class EventCodec(Protocol):
    """Records to the bytes that go on the bus."""

    def attempt(self, record: AttemptRecord) -> bytes: ...

    def request(self, record: RequestRecord) -> bytes: ...

    def aborted(self, facts: AbortFacts) -> tuple[bytes, bytes]:
        """The attempt's and the request's events (seq 0), should nobody live to settle."""
        ...
