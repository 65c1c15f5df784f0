"""What ``GET /api/requests/{id}`` gives, as OpenAPI shows it. Times in epoch milliseconds, spans in milliseconds."""

from typing import Annotated, Any

import msgspec
from omni_core.ports.analytics import AttemptFound, RequestFound
from omni_wire.usage import Usage
from pydantic import BaseModel, Field

from omni_dashboard.domain.values import usd


class UsageOut(BaseModel):
    """Input includes cached and cache-write tokens, output includes reasoning tokens. ``estimated`` where the provider
    gave no count; ``suspect`` is what was wrong with those that it gave. ``apart`` are parts of them that it counted
    apart; ``tier`` is flex or batch where it says that it answered so, which has rates of its own."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    suspect: str
    apart: dict[str, int]
    tier: str = ""

    @classmethod
    def of(cls, usage: Usage) -> "UsageOut":
        apart: dict[str, Any] = msgspec.to_builtins(usage.apart) if usage.apart is not None else {}
        tier = apart.pop("tier", "")
        return cls(**(msgspec.structs.asdict(usage) | {"apart": apart, "tier": tier}))


class AttemptOut(BaseModel):
    """One call to one account. ``outcome`` is ok, failed, partial, cancelled or aborted; ``first_byte_ms`` is null
    when none came, ``provider_status`` when there was none. ``overrun`` is whether it cost more than was reserved,
    ``price_version`` which price that is by (`GET /api/price-list`), ``charged`` the budgets that it was charged to
    (`key` for the key's own, ids of limits), ``repriced_nano_usd`` what the cost was corrected by since. ``proxy`` is
    the one that it took, or that failed; ``proxy_level`` ("account", "provider", "global") is where that was said."""

    id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int | None
    provider: str
    account: str
    model: str
    format: str
    outcome: str
    error: str
    provider_status: int | None
    usage: UsageOut
    cost_nano_usd: int
    cost_usd: str
    reserved_nano_usd: int
    pricing: str
    overrun: bool
    router: str
    price_version: str
    charged: list[str]
    repriced_nano_usd: int
    proxy: str | None
    proxy_level: str | None

    @classmethod
    def of(cls, found: AttemptFound) -> "AttemptOut":
        return cls(
            id=found.id,
            started_ms=found.started_ms,
            duration_ms=found.duration_ms,
            first_byte_ms=_came(found.first_byte_ms),
            provider=found.provider,
            account=found.account_id,
            model=found.model,
            format=found.provider_format,
            outcome=found.outcome,
            error=found.error_kind,
            provider_status=found.provider_status or None,
            usage=UsageOut.of(found.usage),
            cost_nano_usd=found.cost_nano_usd,
            cost_usd=usd(found.cost_nano_usd),
            reserved_nano_usd=found.reserved_nano_usd,
            pricing=found.pricing,
            overrun=found.overrun,
            router=found.router_id,
            price_version=found.price_version,
            charged=list(found.charged),
            repriced_nano_usd=found.repriced_nano_usd,
            proxy=found.proxy or None,
            proxy_level=found.proxy_level or None,
        )


class CallOut(AttemptOut):
    """With its request's event and whose it was."""

    request: str
    key: str

    @classmethod
    def of_call(cls, found: AttemptFound) -> "CallOut":
        return cls(**AttemptOut.of(found).model_dump(), request=found.request_id, key=found.key_id)


class StageOut(BaseModel):
    """A stage of a request's call: ``client_request``, then for each attempt ``provider_request`` (``translated`` where
    the provider speaks another format than the client) and ``provider_response``, and ``client_response``. ``status``
    is that of a response, null where none came. Times in epoch milliseconds."""

    stage: str
    at_ms: int
    format: str
    model: str
    attempt: str | None = None
    account: str | None = None
    translated: bool | None = None
    status: int | None = None
    error: str | None = None


class RequestLine(BaseModel):
    """One recorded request. ``request_id`` is the X-Request-Id that the client saw; ``outcome`` is ok, failed, partial,
    cancelled, replayed or cached, and ``status`` what the client was given, 499 when it went away. ``overhead_us`` are
    microseconds of our own before the provider was asked, null where none answered."""

    id: str
    request_id: str
    started_ms: int
    duration_ms: int
    first_byte_ms: int | None
    overhead_us: int | None
    key: str
    format: str
    model: str
    combo: str
    stream: bool
    status: int
    outcome: str
    error: str
    provider: str
    account: str
    model_served: str
    losses: list[str]
    usage: UsageOut
    cost_nano_usd: int
    cost_usd: str
    pricing: str
    config_revision: int
    router: str

    @classmethod
    def line(cls, found: RequestFound) -> "RequestLine":
        return cls(**_line(found))


class RequestOut(RequestLine):
    """``attempts`` in the order in which they began, ``stages`` in that of what happened; ``tags`` are its key's and
    its own."""

    tags: list[str]

    attempts: list[AttemptOut]
    stages: list[StageOut]
    decision: Annotated[
        dict[str, Any] | None,
        Field(
            description="Why it went there: `orders` are the strategies with what they saw, in the order that they gave"
            " (money in nano-USD), `steps` what became of each candidate that was looked at: answered, failed,"
            " passed_over, outrun or left. Null where there was nothing to decide: one candidate, which answered."
        ),
    ]

    @classmethod
    def of(cls, found: RequestFound) -> "RequestOut":
        return cls(
            **_line(found),
            tags=list(found.tags),
            attempts=list(map(AttemptOut.of, found.attempts)),
            stages=_stages(found),
            decision=_document(found.decision),
        )


def _line(found: RequestFound) -> dict[str, Any]:
    return {
        "id": found.id,
        "request_id": found.request_id,
        "started_ms": found.started_ms,
        "duration_ms": found.duration_ms,
        "first_byte_ms": _came(found.first_byte_ms),
        "overhead_us": found.overhead_us or None,
        "key": found.key_id,
        "format": found.client_format,
        "model": found.model_requested,
        "combo": found.combo,
        "stream": found.stream,
        "status": found.status,
        "outcome": found.outcome,
        "error": found.error_kind,
        "provider": found.provider,
        "account": found.account_id,
        "model_served": found.model_served,
        "losses": list(found.losses),
        "usage": UsageOut.of(found.usage),
        "cost_nano_usd": found.cost_nano_usd,
        "cost_usd": usd(found.cost_nano_usd),
        "pricing": found.pricing,
        "config_revision": found.config_revision,
        "router": found.router_id,
    }


def _stages(found: RequestFound) -> list[StageOut]:
    asked: dict[str, Any] = {"format": found.client_format, "model": found.model_requested}
    stages = [StageOut(stage="client_request", at_ms=found.started_ms, **asked)]
    for attempt in found.attempts:
        sent: dict[str, Any] = {
            "format": attempt.provider_format,
            "model": attempt.model,
            "attempt": attempt.id,
            "account": attempt.account_id,
            "translated": attempt.provider_format != found.client_format,
        }
        came = attempt.first_byte_ms if attempt.first_byte_ms >= 0 else attempt.duration_ms
        stages += [
            StageOut(stage="provider_request", at_ms=attempt.started_ms, **sent),
            StageOut(
                stage="provider_response",
                at_ms=attempt.started_ms + came,
                status=attempt.provider_status or None,
                error=attempt.error_kind or None,
                **sent,
            ),
        ]
    came = found.first_byte_ms if found.first_byte_ms >= 0 else found.duration_ms
    answered = StageOut(
        stage="client_response",
        at_ms=found.started_ms + came,
        status=found.status,
        error=found.error_kind or None,
        **asked,
    )
    return [*stages, answered]


def _came(first_byte_ms: int) -> int | None:
    return first_byte_ms if first_byte_ms >= 0 else None


def _document(decision: bytes) -> dict[str, Any] | None:
    """None also for what is no document: the rest of a request is worth telling without it."""
    try:
        return msgspec.json.decode(decision, type=dict[str, Any]) if decision else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
