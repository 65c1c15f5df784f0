"""What the router needs from outside, besides the ports of other services."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec
from omni_catalogue.snapshot import Timeouts

from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One POST to a provider. ``allow_private`` lets the address be loopback or private.

    ``begin_within`` are the seconds from ``send`` to the answer's beginning: whatever is waited for until ``begun`` is
    called, a whole ``read`` too, ends by then in ``UpstreamTimeout``. 0 leaves only ``timeouts``. ``end_within`` are
    the seconds to the answer's end, 0 for any number.
    """

    url: str
    headers: dict[str, str]
    body: bytes
    allow_private: bool
    timeouts: Timeouts
    begin_within: float = 0.0
    end_within: float = 0.0

    def __repr__(self) -> str:
        return f"UpstreamRequest(url={self.url!r})"


class UpstreamAnswer(Protocol):
    """An answer whose headers have come. Header names are lower case."""

    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """The whole body, or its first ``limit`` bytes.

        Raises ``UpstreamTimeout``, ``StreamInterrupted`` or, where it is not HTTP, ``UpstreamFailed``.
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; iterated once.

        Raises ``UpstreamTimeout`` when it falls silent, ``StreamInterrupted`` when it is cut, and ``UpstreamFailed``
        where it is not HTTP.
        """
        ...

    def begun(self) -> None:
        """What was waited for has come: from here on only ``timeouts.idle`` and ``timeouts.total`` count."""
        ...

    def close(self) -> None:
        """Let go at once. Where the body has not come to its end this closes the connection, and so cancels the
        provider's work."""
        ...


class Upstream(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Raises ``UpstreamUnreachable``, ``UpstreamTimeout``, ``StreamInterrupted`` or ``UpstreamFailed``."""
        ...


class EventCodec(Protocol):
    """Records to the bytes that go on the bus."""

    def attempt(self, record: AttemptRecord) -> bytes: ...

    def request(self, record: RequestRecord) -> bytes: ...

    def aborted(self, facts: AbortFacts) -> tuple[bytes, bytes]:
        """The attempt's and the request's events (seq 0), should nobody live to settle."""
        ...
