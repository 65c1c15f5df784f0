"""What would become of a request now: the counterpart of ``domain.decision``, before anything has happened."""

import msgspec
from omni_wire.errors import GatewayError

from omni_router.domain.decision import Order, Prices, prices
from omni_router.domain.offer import Offer
from omni_router.domain.walk import Skip


class Foreseen(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate. ``outcome`` is "would_be_asked", if none before it answers, "would_be_passed_over", or
    "would_wait": ``wait`` seconds, as nobody else would answer.

    Of one that would be asked: how many output tokens its budget pays for, what would be held for it, and what the
    request is expected to cost there (None: nobody knows), in nano-USD; ``early`` and ``probe`` are whether it would be
    asked before its time, and decide about a breaker; after ``hedge_ms`` without a first byte the next would be asked
    besides it. Of one that would be passed over: as in ``decision.Step``.
    """

    provider: str
    account: str
    model: str
    outcome: str
    granted_output_tokens: int | None = None
    reserved_nano_usd: int | None = None
    expected_cost_nano_usd: int | None = None
    early: bool = False
    probe: bool = False
    hedge_ms: int | None = None
    circuit: str = ""
    cause: str = ""
    wait: float | None = None
    told: bool | None = None
    pricing: str = ""
    price: Prices | None = None


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """As the client would get it; ``retry_after`` in seconds."""

    kind: str
    status: int
    code: str
    message: str
    retry_after: float | None = None


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """``candidates`` is how many there are, ``steps`` those that were looked at, ``left_out`` how many were not.
    ``refused`` is there where nobody would be asked."""

    model: str
    revision: int
    router: str
    candidates: int
    combo: str = ""
    orders: tuple[Order, ...] = ()
    steps: tuple[Foreseen, ...] = ()
    left_out: int = 0
    refused: Refused | None = None


def would_be_asked(
    offer: Offer,
    granted: int,
    reserved: int,
    expected: int | None,
    *,
    early: bool,
    probe: bool,
    hedge_after: float | None = None,
) -> Foreseen:
    """``hedge_after`` in seconds."""
    candidate = offer.candidate
    return Foreseen(
        candidate.provider.id,
        candidate.account.id,
        candidate.model.id,
        "would_be_asked",
        granted,
        reserved,
        expected,
        early,
        probe,
        int(hedge_after * 1000) if hedge_after is not None else None,
        pricing=offer.pricing.mode,
        price=prices(offer.price),
    )


def would_be_passed_over(skip: Skip) -> Foreseen:
    candidate = skip.offer.candidate
    return Foreseen(
        candidate.provider.id,
        candidate.account.id,
        candidate.model.id,
        "would_be_passed_over",
        circuit=skip.circuit,
        cause=skip.cause,
        wait=round(skip.wait, 1),
        told=skip.told,
        pricing=skip.offer.pricing.mode,
        price=prices(skip.offer.price),
    )


def would_wait(skip: Skip) -> Foreseen:
    return msgspec.structs.replace(would_be_passed_over(skip), outcome="would_wait")


def refused(error: GatewayError) -> Refused:
    return Refused(error.kind, error.status, error.code, error.message, error.retry_after)
