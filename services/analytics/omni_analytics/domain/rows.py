"""The two kinds of event as rows."""

import msgspec
from omni_wire.errors import WireError

# Far above anything real, far enough below 2^63 that ten thousand of them still add up exactly.
MAX_TOKENS = 10**12
MAX_NANO_USD = 10**15
MAX_MS = 10**14
MAX_INT = 2**63 - 1
MAX_ID = 200
# What is suspect of an attempt that had not begun yet when it was recorded.
CLOCK_AHEAD = "clock_ahead"
# What an attempt was charged to whose router did not say so, once that cannot be told from its price any more.
UNTOLD = "-"


class AttemptRow(msgspec.Struct, frozen=True, gc=False):
    """One call to one account. Times in epoch milliseconds, spans in milliseconds, money in nano-USD.

    First what is an attempt's own, then what it used, then what many share: its kind (see ``parts``).

    ``repriced_nano_usd`` is what the cost was changed by since it was settled. ``apart`` is JSON of what was counted
    apart (``omni_wire.usage.Apart``), empty where nothing was. ``charged`` are the budgets that the cost was charged
    to, with a space between; ``suspect`` is as ``Usage`` has it. ``proxy`` is the one that it took, or that failed, and
    ``proxy_level`` where that was said, both empty where there was none.
    """

    id: str
    seq: int
    request_id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int
    cost_nano_usd: int
    reserved_nano_usd: int
    proxy: str
    proxy_level: str
    repriced_nano_usd: int

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    apart: str

    key_id: str
    provider: str
    account_id: str
    model: str
    provider_format: str
    outcome: str
    error_kind: str
    provider_status: int
    pricing: str
    overrun: bool
    config_revision: int
    router_id: str
    price_version: str
    charged: str
    suspect: str


class RequestRow(msgspec.Struct, frozen=True, gc=False):
    """One request that a router took; tokens and cost are the sum over its attempts. ``id`` is unique;
    ``request_id`` is what the client was told, which it may have chosen itself. ``losses`` is a JSON array.

    ``overhead_us`` is our own time before the provider was asked that answered, in microseconds, 0 where none did.
    In the same three parts as ``AttemptRow``, and apart from them ``decision``, the router's decision record (JSON),
    where it has one, and its ``tags``.
    """

    id: str
    seq: int
    request_id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int
    cost_nano_usd: int
    overhead_us: int

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool

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
    attempts: int
    pricing: str
    outcome: str
    config_revision: int
    router_id: str
    losses: str
    decision: bytes = b""
    tags: tuple[str, ...] = ()


UsageRow = AttemptRow | RequestRow
# What few have, and is kept in a table of its own.
APART = ("decision", "tags")


class Parts(msgspec.Struct, frozen=True):
    """The field names of a row but those of ``APART``, by part. ``single`` are those that differ from row to row."""

    own: tuple[str, ...]
    used: tuple[str, ...]
    kind: tuple[str, ...]

    @property
    def single(self) -> tuple[str, ...]:
        return self.own + self.used

    @property
    def all(self) -> tuple[str, ...]:
        return self.own + self.used + self.kind


def parts(row: type[AttemptRow] | type[RequestRow]) -> Parts:
    names = tuple(name for name in row.__struct_fields__ if name not in APART)
    used, kind = names.index("input_tokens"), names.index("key_id")
    return Parts(names[:used], names[used:kind], names[kind:])


def check(row: UsageRow) -> None:
    """Raise ``WireError`` for a row that cannot be counted: no identity, no time, or an impossible number."""
    if not 0 < len(row.id) <= MAX_ID or "\0" in row.id:
        raise WireError("the event has no usable id", "id")
    if not 0 < row.started_ms < MAX_MS:
        raise WireError(f"started_ms {row.started_ms} is not a time", "started_ms")
    # Clears nearly every row at once: each is below 2^39, and not negative, when all of them together are.
    tokens = row.input_tokens | row.cached_input_tokens | row.cache_write_tokens | row.output_tokens
    if (tokens | row.reasoning_tokens) >> 39 and not all(0 <= count <= MAX_TOKENS for count in _tokens(row)):
        raise WireError("a token count is out of range", "usage")
    if not 0 <= row.cost_nano_usd <= MAX_NANO_USD:
        raise WireError(f"cost_nano_usd {row.cost_nano_usd} is out of range", "cost_nano_usd")
    if isinstance(row, RequestRow) and row.overhead_us < 0:
        raise WireError(f"overhead_us {row.overhead_us} is out of range", "overhead_us")
    if row.config_revision > MAX_INT:
        raise WireError("config_revision is out of range", "config_revision")


def _tokens(row: UsageRow) -> tuple[int, ...]:
    return (
        row.input_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
    )
