"""The two kinds of event as rows: field order is column order."""

import msgspec
from omni_wire.errors import WireError

# Far above anything real, far enough below 2^63 that ten thousand of them still add up exactly.
MAX_TOKENS = 10**12
MAX_NANO_USD = 10**15
MAX_MS = 10**14
MAX_INT = 2**63 - 1
MAX_ID = 200


class AttemptRow(msgspec.Struct, frozen=True):
    """One call to one account. Times in epoch milliseconds, spans in milliseconds, money in nano-USD."""

    id: str
    seq: int
    request_id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int
    key_id: str
    provider: str
    account_id: str
    model: str
    provider_format: str
    outcome: str
    error_kind: str
    provider_status: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    cost_nano_usd: int
    reserved_nano_usd: int
    pricing: str
    overrun: bool
    config_revision: int
    router_id: str


class RequestRow(msgspec.Struct, frozen=True):
    """One request that a router took; tokens and cost are the sum over its attempts. ``id`` is unique;
    ``request_id`` is what the client was told, which it may have chosen itself. ``losses`` is a JSON array."""

    id: str
    seq: int
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
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    cost_nano_usd: int
    pricing: str
    outcome: str
    config_revision: int
    router_id: str
    request_id: str
    losses: str


UsageRow = AttemptRow | RequestRow


def check(row: UsageRow) -> None:
    """Raise ``WireError`` for a row that cannot be counted: no identity, no time, or an impossible number."""
    if not 0 < len(row.id) <= MAX_ID:
        raise WireError("the event has no usable id", "id")
    if not 0 < row.started_ms < MAX_MS:
        raise WireError(f"started_ms {row.started_ms} is not a time", "started_ms")
    tokens = (
        row.input_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
    )
    if min(tokens) < 0 or max(tokens) > MAX_TOKENS:
        raise WireError("a token count is out of range", "usage")
    if not 0 <= row.cost_nano_usd <= MAX_NANO_USD:
        raise WireError(f"cost_nano_usd {row.cost_nano_usd} is out of range", "cost_nano_usd")
    if row.config_revision > MAX_INT:
        raise WireError("config_revision is out of range", "config_revision")
