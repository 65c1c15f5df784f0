"""What is written down about an attempt and about a request: the facts of the usage events."""

import msgspec
from omni_wire.usage import Usage

# What the budget of a key itself is called among those that an attempt was charged to.
OWN_BUDGET = "key"


class Source(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """Who asked for what, and who answered: what repeats from event to event. Empty where there was no attempt.

    ``price_version`` stands for the price it is counted with (``omni_catalogue.prices.version``), "" where there is
    none; ``charged`` are the budgets it is on: ``OWN_BUDGET``, and ids of limits."""

    key_id: str
    model_requested: str
    combo: str
    config_revision: int
    router_id: str
    provider: str = ""
    account_id: str = ""
    model: str = ""
    provider_format: str = ""
    pricing: str = ""
    price_version: str = ""
    charged: tuple[str, ...] = ()


class AttemptRecord(msgspec.Struct, frozen=True):
    """One call to one account. Times in milliseconds, ``first_byte_ms`` -1 when none came; money in nano-USD.

    ``outcome`` is "ok", "failed", "partial", "cancelled" or "aborted"; a higher ``seq`` replaces a lower. ``proxy`` is
    the one that it took, or that failed; ``proxy_level`` one of ``proxies.LEVELS``, where that was said.
    """

    id: str
    request_id: str
    seq: int
    started_ms: int
    duration_ms: int
    first_byte_ms: int
    source: Source
    outcome: str
    error_kind: str
    provider_status: int
    usage: Usage
    cost_nano_usd: int
    reserved_nano_usd: int
    overrun: bool
    proxy: str = ""
    proxy_level: str = ""


class RequestRecord(msgspec.Struct, frozen=True):
    """One request a router took. ``status`` is what the client was given, 499 when it went away; ``request_id`` is what
    it was told, while ``id`` is ours and unique. ``source`` is that of its last attempt. ``traceparent`` is empty where
    it is not traced, ``decision`` where the rest says all (see ``domain.decision``). ``tags`` are its key's and its
    own. ``overhead_us`` are microseconds of our own before the provider was asked that answered, 0 where none did."""

    id: str
    request_id: str
    seq: int
    started_ms: int
    duration_ms: int
    first_byte_ms: int
    source: Source
    client_format: str
    stream: bool
    status: int
    error_kind: str
    attempts: int
    usage: Usage
    cost_nano_usd: int
    outcome: str
    losses: tuple[str, ...]
    traceparent: str = ""
    decision: bytes = b""
    tags: tuple[str, ...] = ()
    overhead_us: int = 0


class AbortFacts(msgspec.Struct, frozen=True):
    """What must be known of an attempt and its request before it begins, in case the router dies during it. ``number``
    is the attempt's, from 1."""

    attempt_id: str
    event_id: str
    request_id: str
    started_ms: int
    attempt_started_ms: int
    source: Source
    client_format: str
    stream: bool
    number: int
    tags: tuple[str, ...] = ()
