"""AnalyticsPort: questions about recorded usage."""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec
from omni_wire.latency import Counts
from omni_wire.usage import Usage

from omni_core.kept_bodies import KeptBody


class UsageQuery(msgspec.Struct, frozen=True):
    """Times in epoch milliseconds, from inclusive, until exclusive; 0 leaves an end open.

    ``group_by`` is empty or one of "key", "model", "provider", "account", "status". ``from_rows`` asks the rows alone,
    where they are kept, and not what they added up to. With a ``grain`` ("minute", "hour", "day"; of UTC), or with
    ``latency``, the report has points.
    """

    from_ms: int = 0
    until_ms: int = 0
    key_id: str = ""
    group_by: str = ""
    from_rows: bool = False
    grain: str = ""
    latency: bool = False


class UsageTotals(msgspec.Struct, frozen=True):
    """Counts and nano-USD. ``unpriced_requests`` are of models without a price."""

    requests: int = 0
    errors: int = 0
    attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int = 0
    unpriced_requests: int = 0


class UsagePoint(msgspec.Struct, frozen=True):
    """A group (``value``) in the minute, hour or day that begins at ``at_ms`` (epoch milliseconds); 0 and all of the
    span where no grain was asked for. ``total`` and ``ttft`` are histograms of its requests' times to the end and to
    the first byte, where latency was asked for."""

    at_ms: int
    value: str
    totals: UsageTotals
    total: Counts = {}
    ttft: Counts = {}


class UsageReport(msgspec.Struct, frozen=True):
    totals: UsageTotals
    groups: dict[str, UsageTotals]
    points: tuple[UsagePoint, ...] = ()


# What usage is told apart by: kept in the rollups, or known of the rows of requests alone.
ROLLED = ("key", "provider", "account", "model", "status")
OF_REQUESTS = ("requested", "combo", "surface", "outcome", "error", "stream", "router")
# What requests are only filtered by: one has any number of tags.
TAG = "tag"


class Breakdown(msgspec.Struct, frozen=True):
    """Usage told apart by any ``dimensions``, of what has one of the values that ``filters`` gives for a dimension.

    Times and ``grain`` as ``UsageQuery``. With a dimension of ``OF_REQUESTS`` all is counted from the requests' rows
    while they are kept: tokens and cost are then what a request says of its attempts. A filter by ``TAG`` is counted
    from the rows as well, those of the requests that have one of the tags and those of their attempts, as the rollups
    count them. ``latency`` are the measures of which histograms are asked for.
    """

    from_ms: int = 0
    until_ms: int = 0
    dimensions: tuple[str, ...] = ()
    filters: dict[str, tuple[str, ...]] = {}
    grain: str = ""
    latency: tuple[str, ...] = ()


class Slice(msgspec.Struct, frozen=True):
    """What has these ``values``, one a dimension, in the grain of time that begins at ``at_ms`` (0 without one).
    ``latency`` are histograms by measure (``omni_wire.latency``): "total" and "ttft" in milliseconds, "overhead" in
    microseconds."""

    at_ms: int
    values: tuple[str, ...]
    totals: UsageTotals
    latency: dict[str, Counts] = {}


class LimitEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Which to list, newest first: those of an ``organisation``, a limit by id or by ``name``, of at least so many
    ``percent``, in a span of time (as ``UsageQuery``); empty and 0 are for any. ``before_ms`` and ``before_id`` are
    those of the last one before; no more than ``most`` are given."""

    organisation: str = ""
    limit_id: str = ""
    name: str = ""
    percent: int = 0
    from_ms: int = 0
    until_ms: int = 0
    before_ms: int = 0
    before_id: str = ""
    most: int = 100


class LimitEvent(msgspec.Struct, frozen=True):
    """A limit whose use has come to a percentage: ``used`` of ``most`` of something, in its ``window``; see
    ``events.v1.LimitEvent``. ``webhook`` is "" where there was none to be told, "waiting", "delivered" or "dead" (given
    up) after so many ``tries``."""

    id: str
    at_ms: int
    percent: int
    used: int
    limit_id: str
    name: str
    organisation: str
    of: str
    window: str
    most: int
    webhook: str = ""
    tries: int = 0


class Standing(msgspec.Struct, frozen=True):
    """``pending`` messages are in the stream and not counted yet; rows that started before ``kept_from_ms`` (epoch
    milliseconds, 0 for none) may be forgotten."""

    pending: int
    kept_from_ms: int


class DeadLetter(msgspec.Struct, frozen=True):
    """A usage message that was put aside, as ``id`` in its stream: why and when (epoch milliseconds, 0 where that was
    not kept), after how many deliveries, its size in bytes, and how many of its events can be read. ``fault`` is what
    this version has against it, "" where it would be counted."""

    id: int
    at_ms: int
    reason: str
    deliveries: int
    size: int
    events: int
    fault: str


class DeadLetters(msgspec.Struct, frozen=True):
    """Those behind the last one of the page before. ``total`` is how many there are, ``next`` what to ask behind, 0 at
    the end."""

    letters: tuple[DeadLetter, ...]
    total: int
    next: int


class Redriven(msgspec.Struct, frozen=True):
    """Ids of letters that are ``counted`` now, and why others ``stayed``; what was not there is in neither."""

    counted: tuple[int, ...] = ()
    stayed: dict[int, str] = {}


# Letters in one call.
MOST_LETTERS = 100


class KeyUse(msgspec.Struct, frozen=True):
    """What a key was used for: requests that a router took. ``last_ms`` (epoch milliseconds) is exact within the newest
    hour there is usage of, else the hour in which the last one began."""

    requests: int
    last_ms: int


# Seconds that a day's usage may take to be priced anew.
REPRICE_TIMEOUT = 300.0

# The fields of what is found that have a form of their own in its messages; all others are alike there.
APART = frozenset(("usage", "losses", "attempts", "charged", "tags"))


class AttemptFound(msgspec.Struct, frozen=True, kw_only=True):
    """One call to one account. Times in epoch milliseconds, spans in milliseconds (-1: no first byte came), money in
    nano-USD. ``price_version`` stands for the price that the cost is by, ``repriced_nano_usd`` is what it was changed
    by since it was settled, ``charged`` are the budgets that it was charged to ("key", ids of limits). ``proxy`` is the
    one that it took, or that failed, ``proxy_level`` where that was said; empty for none."""

    id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int
    provider: str
    account_id: str
    model: str
    provider_format: str
    outcome: str
    error_kind: str
    provider_status: int
    usage: Usage
    cost_nano_usd: int
    reserved_nano_usd: int
    pricing: str
    overrun: bool
    router_id: str
    request_id: str = ""  # its request's event
    key_id: str = ""
    price_version: str = ""
    charged: tuple[str, ...] = ()
    repriced_nano_usd: int = 0
    proxy: str = ""
    proxy_level: str = ""


class RequestFound(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded request, with its ``attempts`` in the order in which they began. Units as ``AttemptFound``.

    ``id`` is its event's, ``request_id`` what the client was told. ``decision`` is the JSON of the router's decision
    record, empty where there is none.
    """

    id: str
    request_id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int
    key_id: str
    client_format: str
    model_requested: str
    combo: str
    provider: str
    account_id: str
    model_served: str
    stream: bool
    status: int
    error_kind: str
    usage: Usage
    cost_nano_usd: int
    pricing: str
    outcome: str
    losses: tuple[str, ...]
    config_revision: int
    router_id: str
    attempts: tuple[AttemptFound, ...]
    decision: bytes = b""
    overhead_us: int = 0
    tags: tuple[str, ...] = ()


# What listed rows can be filtered by: all that a request has, and what an attempt has of it.
OF_ATTEMPTS = (*ROLLED, "outcome", "error", "router")


class Listing(msgspec.Struct, frozen=True):
    """Rows of "request" or "attempt" (``kind``) that began in [from_ms, until_ms), newest first or, ``oldest`` first,
    in the order in which they began. Filters as ``Breakdown``; ``text`` is an id, or a part of a name in it. ``after``
    is the ``next`` of the page before."""

    kind: str = "request"
    from_ms: int = 0
    until_ms: int = 0
    filters: dict[str, tuple[str, ...]] = {}
    text: str = ""
    after: str = ""
    limit: int = 100
    oldest: bool = False


class Listed(msgspec.Struct, frozen=True):
    """``requests`` without their attempts and decisions, or ``attempts``. ``next`` is empty after the last page."""

    requests: tuple[RequestFound, ...] = ()
    attempts: tuple[AttemptFound, ...] = ()
    next: str = ""


class Update(msgspec.Struct, frozen=True):
    """Requests as they were stored, without attempts and decisions, after those of the update before; ``missed`` more
    were stored that are not kept any more. ``id`` is where to go on: the ``after`` of ``live``. An update without any
    says that there is nothing new."""

    id: str
    requests: tuple[RequestFound, ...] = ()
    missed: int = 0


class RepricedGroup(msgspec.Struct, frozen=True):
    """Attempts of a key for a model whose cost is another by today's prices, in nano-USD."""

    key_id: str
    provider: str
    model: str
    attempts: int
    old_nano_usd: int
    new_nano_usd: int


class Repriced(msgspec.Struct, frozen=True):
    """``attempts`` were looked at. Left as they are: those of which nobody knows a price today (``unknown``), those
    that were charged at their reservation as their router died (``aborted``), and those that only a budget's
    ``assumed`` price counts."""

    groups: tuple[RepricedGroup, ...]
    attempts: int = 0
    unknown: int = 0
    aborted: int = 0
    assumed: int = 0


class Charge(msgspec.Struct, frozen=True):
    """What a key spent on the budgets that were ``charged`` ("key" for its own, ids of limits), in nano-USD:
    ``nano_usd`` as it was settled, ``cost_nano_usd`` with what was corrected since. Where it was not ``told`` which
    budgets these were, a router of an earlier version made the events."""

    key_id: str
    charged: tuple[str, ...]
    told: bool
    nano_usd: int
    cost_nano_usd: int


class StatementLine(msgspec.Struct, frozen=True):
    """What attempts for a model used in a day (epoch milliseconds, UTC) that are alike in what is to be known of their
    counts: ``outcome``, ``pricing``, whether they are ``estimated``, and ``suspect`` as in ``Usage``."""

    day_ms: int
    model: str
    outcome: str
    pricing: str
    estimated: bool
    suspect: str
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_nano_usd: int


class AnalyticsPort(Protocol):
    async def query(self, query: UsageQuery) -> UsageReport:
        """Raises ``InvalidRequest`` for an unknown ``group_by`` or ``grain``, and for too many points."""
        ...

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        """In the order of time and values; there is none where nothing was used. Raises ``InvalidRequest`` for what
        there is not, for too many slices, and for rows that are not kept."""
        ...

    def live(self, key_ids: tuple[str, ...] | None, after: str = "") -> AsyncGenerator[Update, None]:
        """What is stored from now on, or since the update ``after``: of those keys, or of all. The first update comes
        at once, one with something new at most four times a second, one without every few seconds. Closing the
        generator ends it. Raises ``DependencyUnavailable`` where too many listen already."""
        ...

    async def listed(self, asked: Listing) -> Listed:
        """A page of rows. Raises ``InvalidRequest`` for what there is not, and names what there is."""
        ...

    async def key_use(self) -> dict[str, KeyUse]:
        """By key id; keys that were never used are not in it."""
        ...

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        """Raises ``InvalidRequest`` for too many."""
        ...

    async def standing(self) -> Standing:
        """Raises ``DependencyUnavailable`` where the stream cannot be asked."""
        ...

    async def dead_letters(self, after: int, limit: int) -> DeadLetters:
        """Messages that could not be counted, oldest first, from behind ``after``: at most ``limit``, which is at most
        ``MOST_LETTERS``. Raises ``DependencyUnavailable``."""
        ...

    async def redrive(self, ids: tuple[int, ...]) -> Redriven:
        """Count what is in these letters now, once, and remove those of which nothing is left to count. Raises
        ``InvalidRequest`` for more than ``MOST_LETTERS``, ``DependencyUnavailable``."""
        ...

    async def discard(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Remove these letters without counting them; which of them there were. Raises as ``redrive``."""
        ...

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        """By its event's id, or by what the client was told (the newest, where several were told the same), among those
        of ``key_ids``, or anybody's where that is None."""
        ...

    async def bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> tuple[KeptBody, ...]:
        """What is kept of what a request said and was answered, in the order in which it went by; found as
        ``find_request`` finds it. Raises ``DependencyUnavailable``, also where it does not open."""
        ...

    async def forget_bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        """Remove them; how many there were. Raises ``DependencyUnavailable``."""
        ...

    async def reprice(self, from_ms: int, until_ms: int, book: bytes, *, apply: bool) -> Repriced:
        """What the attempts that began then, within one day of UTC, cost by the prices of ``book``
        (``omni_catalogue.pricebook``). With ``apply`` what is stored, and what it adds up to, is corrected: all of it,
        or nothing and an error. Raises ``InvalidRequest``, and ``DependencyUnavailable`` when the store cannot."""
        ...

    async def charges(self, from_ms: int, until_ms: int = 0) -> list[Charge]:
        """Of what began then (epoch milliseconds, 0 for an open end), from the rows. Raises ``DependencyUnavailable``
        where there are too many of them."""
        ...

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        """Of whole days, from the rows. Raises as ``charges``."""
        ...
