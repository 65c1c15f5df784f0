"""What analytics needs from outside: a store that counts once, messages, a place for dead letters, a meter."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from omni_catalogue.pricebook import PriceBook
from omni_core.kept_bodies import KeptBody
from omni_core.ports.analytics import (
    Breakdown,
    Charge,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Repriced,
    RequestFound,
    Slice,
    StatementLine,
    UsageQuery,
    UsageReport,
)

from omni_analytics.domain.notices import Notice, Recipients
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rows import UsageRow


class Recorded(msgspec.Struct, frozen=True):
    """How many rows of each kind were written, and how many said nothing new."""

    attempts_stored: int = 0
    attempts_ignored: int = 0
    requests_stored: int = 0
    requests_ignored: int = 0


class UsageStore(Protocol):
    """Where usage is recorded, and the only writer there."""

    async def record(self, rows: Sequence[UsageRow]) -> Recorded:
        """Store all rows and their rollups in one durable transaction, or nothing.

        A row replaces the stored one of its id when its ``seq`` is higher, else it is ignored. Raises ``WireError``
        when a row itself cannot be stored, ``DependencyUnavailable`` when the store cannot.
        """
        ...

    async def query(self, query: UsageQuery) -> UsageReport:
        """Raises ``DependencyUnavailable`` when the store cannot answer in time."""
        ...

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        """Raises as ``query``, and ``InvalidRequest`` for too many slices or rows that are not kept."""
        ...

    async def listed(self, asked: Listing) -> Listed:
        """As ``query``."""
        ...

    async def key_use(self) -> dict[str, KeyUse]:
        """As ``query``."""
        ...

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        """See ``AnalyticsPort``. Raises as ``query``."""
        ...

    async def reprice(self, from_ms: int, until_ms: int, book: PriceBook, *, apply: bool) -> Repriced:
        """See ``AnalyticsPort``; what is written is written in one durable transaction."""
        ...

    async def charges(self, from_ms: int, until_ms: int) -> list[Charge]:
        """As ``query``."""
        ...

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        """As ``query``."""
        ...

    async def keep_reached(self, reached: Sequence[Reached], notify: Recipients) -> list[Reached]:
        """Store what is not stored yet, in one durable transaction, and give that; the webhooks that ``notify`` says
        are to be told. Raises as ``record``."""
        ...

    async def due_notices(self, now_ms: int, most: int, webhooks: Sequence[str]) -> list[Notice]:
        """Those that are to be sent to ``webhooks`` now, at ``most`` so many, for nobody else to have; they
        are due again later unless they are settled. Raises ``DependencyUnavailable``."""
        ...

    async def settle_notice(self, notice: Notice, state: str) -> None:
        """``state`` is "delivered" or "dead". Raises ``DependencyUnavailable``."""
        ...

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        """See ``AnalyticsPort``. Raises as ``query``."""
        ...

    async def kept_from_ms(self) -> int:
        """Since when every row is there; 0: since ever. Raises as ``query``."""
        ...

    async def forget_some(self, before_ms: int) -> bool:
        """Forget some of the rows that started before then (epoch milliseconds, where a day begins); what they added up
        to stays. True while there may be more. Raises ``DependencyUnavailable``."""
        ...


class Swept(msgspec.Struct, frozen=True):
    """How many bodies went because their time was over, and because there was no room; how many are left, in how many
    bytes; whether there may be ``more`` to go."""

    expired: int = 0
    crowded: int = 0
    bodies: int = 0
    size: int = 0
    more: bool = False


class BodiesStore(Protocol):
    """Where bodies are kept, and the only writer there. All methods raise ``DependencyUnavailable``."""

    async def store(self, bodies: Sequence[KeptBody]) -> None:
        """All of them or none, durably. One takes the place of another of its request, stage and attempt, where its
        ``seq`` is not lower."""
        ...

    async def find(self, id_: str, key_ids: tuple[str, ...] | None, now_ms: int) -> list[KeptBody]:
        """See ``AnalyticsPort.bodies``; those whose time is not over."""
        ...

    async def forget(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        """See ``AnalyticsPort.forget_bodies``."""
        ...

    async def sweep(self, now_ms: int, most_bytes: int) -> Swept:
        """Remove some of those whose time is over; where there are none, the oldest that are beyond ``most_bytes``."""
        ...

    async def close(self) -> None: ...


class UsageLog(Protocol):
    """Where rows are told of beside the store."""

    async def write(self, rows: Sequence[UsageRow]) -> None:
        """Rows that the store has; what was told before is not told again. Never raises."""
        ...


class UsageMessage(Protocol):
    """One message of the stream, as the bus delivers it."""

    @property
    def data(self) -> bytes: ...

    @property
    def num_delivered(self) -> int: ...

    @property
    def traceparent(self) -> str:
        """Of the span that published it; "" where no request in it is traced."""
        ...

    async def ack(self) -> None: ...

    async def nak(self, delay: float) -> None: ...

    async def term(self) -> None: ...


class Decoded(msgspec.Struct, frozen=True):
    """The rows of a message that can be counted, why the others cannot (empty when all can), and the limits that it
    tells of."""

    rows: tuple[UsageRow, ...]
    fault: str = ""
    reached: tuple[Reached, ...] = ()


class Decoder(Protocol):
    def __call__(self, data: bytes) -> Decoded: ...


class Letter(msgspec.Struct, frozen=True):
    """A message that was put aside, by its number; why and when (epoch milliseconds), after how many deliveries, where
    that was kept with it."""

    id: int
    data: bytes
    reason: str = ""
    deliveries: int = 0
    at_ms: int = 0


class DeadLetters(Protocol):
    """All methods raise ``DependencyUnavailable``."""

    async def bury(self, data: bytes, reason: str, deliveries: int) -> None:
        """Keep a message that cannot be taken."""
        ...

    async def behind(self, id_: int) -> Letter | None:
        """The first letter behind that one; None where there is none."""
        ...

    async def forget(self, id_: int) -> None:
        """Whether it is there or not."""
        ...

    async def count(self) -> int:
        """How many there are."""
        ...


class Backlog(Protocol):
    async def __call__(self) -> int:
        """How many messages are in the stream that nobody has acknowledged. Raises ``DependencyUnavailable``."""
        ...


class Meter(Protocol):
    """Where ingestion is counted. Times in seconds."""

    def committed(self, recorded: Recorded, messages: int, seconds: float) -> None: ...

    def buried(self) -> None: ...

    def redriven(self, result: str, letters: int) -> None:
        """So many letters were "counted", have "stayed" or were "discarded"."""
        ...

    def dead(self, letters: int) -> None:
        """So many are there."""
        ...

    def reached(self, of: str) -> None:
        """A limit ``of`` requests, tokens or money has come to one of its percentages."""
        ...

    def notified(self, result: str) -> None:
        """A webhook was told, or was not: "delivered", "failed" (it is tried again) or "dead"."""
        ...

    def ahead(self, rows: int) -> None:
        """So many rows had not begun yet by this clock."""
        ...

    def behind(self, seconds: float) -> None: ...
