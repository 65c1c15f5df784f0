"""Why a request went where it went: what its strategies saw, who was passed over, who failed, who answered.

Made at a request's end, and only where there was something to decide: of one with a single candidate that answered, its
events say everything. A document of JSON, at most 16 KiB; what is left out for that is counted. Nothing of a request's
content is in it, and no provider's words, which may repeat that.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from omni_catalogue.prices import Special
from omni_catalogue.snapshot import Price

from omni_router.domain import verdict
from omni_router.domain.choice import Level
from omni_router.domain.offer import Offer
from omni_router.domain.strategies import Place, name_of
from omni_router.domain.walk import LIMITED, SPENT, WAITED, Failure, Outran, Skip

LIMIT = 16 * 1024  # bytes
TRACE_LIMIT = 2000  # characters
# Entries of each list, at first; characters of a text.
_MOST, _LONGEST = 32, 200

# What each strategy goes by; of the others it knows only who cools down.
_GOES_BY = {
    "weighted": frozenset(("weight",)),
    "p2c": frozenset(("in_flight", "first_byte_ms")),
    "least-used": frozenset(("uses",)),
    "cost-optimized": frozenset(("cost", "warm")),
    "lowest-latency": frozenset(("first_byte_ms", "in_flight")),
    "usage-headroom": frozenset(("headroom", "in_flight")),
    "cache-affinity": frozenset(("cost", "warm")),
}
_NOTHING: frozenset[str] = frozenset()


class Ordered(msgspec.Struct, frozen=True):
    """What was put in order, and how it came out; ``cursor`` are the requests before it, where they count."""

    level: Level
    places: Sequence[Place]
    cursor: int


class Tried(Protocol):
    """A candidate that was asked. ``first_byte_ms`` is -1 until one came, ``sent`` 0 until its provider was called."""

    id: str
    offer: Offer
    early: bool
    hedge: bool
    first_byte_ms: int
    sent: float
    losses: tuple[str, ...]


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target or an account as its strategy saw it. Money in nano-USD; None is "not known", or of no account."""

    name: str
    weight: int | None = None
    uses: int | None = None
    in_flight: int | None = None
    first_byte_ms: int | None = None
    headroom: float | None = None
    expected_cost_nano_usd: int | None = None
    warm_seconds_ago: float | None = None
    cooling: bool = False


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """``scope`` is "combo NAME" or "provider ID"; ``options`` come in the order in which they were to be tried, and
    ``left_out`` more after them. ``turn`` counts the requests before this one."""

    scope: str
    strategy: str
    options: tuple[Seen, ...]
    sticky: int = 1
    turn: int | None = None
    left_out: int = 0


class Prices(msgspec.Struct, frozen=True, omit_defaults=True):
    """As ``omni_catalogue.prices`` has them, nano-USD a million tokens. ``above`` are those of requests with more input
    than so many tokens."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    reasoning: int | None = None
    above: tuple["PricesAbove", ...] = ()
    special: Special | None = None


class PricesAbove(msgspec.Struct, frozen=True):
    tokens: int
    price: Prices


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one candidate. ``outcome`` is "answered", "failed", "passed_over", "waited" (``ms``
    for its rate limit, of which ``circuit`` is the lane), "outrun" (let go, as another
    began first) or "left" (the client went away before an answer began).

    Of one that was asked: ``attempt`` is its event's id, "" where it failed before its provider was called, of which no
    event tells; ``retry`` counts its tries from 0, ``early`` is whether it was
    suspected and asked before its time, ``hedge`` whether it was asked besides the one before it; ``message`` is there
    where it is in our words. Of one that was passed over:
    ``circuit`` is open for ``wait`` seconds more for ``cause``; ``told`` is whether the provider itself said how long.
    """

    provider: str
    account: str
    model: str
    outcome: str
    attempt: str = ""
    retry: int = 0
    early: bool = False
    hedge: bool = False
    first_byte_ms: int | None = None
    ms: int | None = None
    kind: str = ""
    status: int | None = None
    message: str = ""
    circuit: str = ""
    cause: str = ""
    wait: float | None = None
    told: bool | None = None
    pricing: str = ""
    price: Prices | None = None


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """``candidates`` is how many there were; ``steps`` are those that were looked at, as it happened, without
    ``steps_left_out`` of them in the middle. The other counts of what is left out are of what comes last.
    ``similarity`` is there where the cache told the answer to other words, which are as near as that, up to 1.
    ``guard`` is what guards found, by name, with what was done and how often; never what it says."""

    model: str
    revision: int
    router: str
    candidates: int
    combo: str = ""
    orders: tuple[Order, ...] = ()
    orders_left_out: int = 0
    steps: tuple[Step, ...] = ()
    steps_left_out: int = 0
    losses: tuple[str, ...] = ()
    losses_left_out: int = 0
    similarity: float | None = None
    guard: tuple[str, ...] = ()


def retold(model: str, revision: int, router: str, similarity: float) -> Decision:
    """Of a request that was told the answer to other words."""
    return Decision(model=model, revision=revision, router=router, candidates=0, similarity=round(similarity, 4))


def decide(
    *,
    model: str,
    combo: str,
    revision: int,
    router: str,
    candidates: int,
    orders: Sequence[Ordered],
    trail: Sequence[Skip | Failure | Outran],
    tried: Sequence[Tried],
    most: int = _MOST,
    guard: Sequence[str] = (),
) -> Decision:
    """Of a walk's ``trail`` and those that were asked, in the order in which they ended; the last may not have."""
    last = tried[-1] if tried else None
    ended = sum([type(each) is not Skip for each in trail])
    happened: list[Skip | Failure | Outran | None] = [*trail, *[None] * (len(tried) - ended)]
    cut = max(0, len(happened) - most)
    asked, before, steps = iter(tried), None, []
    retry = 0
    for at, each in enumerate(happened):
        if isinstance(each, Skip):
            step = _skipped(each)
        else:
            attempt = next(asked)
            retry = retry + 1 if before is attempt.offer else 0
            before = attempt.offer
            step = _asked(attempt, each, retry)
        if not cut or at < most - 1 or at == len(happened) - 1:
            steps.append(step)
    losses = last.losses if last is not None else ()
    return Decision(
        model=_short(model),
        revision=revision,
        router=_short(router),
        candidates=candidates,
        combo=_short(combo),
        orders=tuple([_order(each, most) for each in orders[:most]]),
        orders_left_out=max(0, len(orders) - most),
        steps=tuple(steps),
        steps_left_out=len(happened) - len(steps),
        losses=tuple(map(_short, losses[:most])),
        losses_left_out=max(0, len(losses) - most),
        guard=tuple(map(_short, guard[:most])),
    )


def encode(decision: Decision) -> bytes:
    """At most ``LIMIT`` bytes: what is too much is halved until it fits."""
    data, most = _ENCODER.encode(decision), _MOST
    while len(data) > LIMIT and most:
        most //= 2
        decision = _cut(decision, most)
        data = _ENCODER.encode(decision)
    return data


def trace(decision: Decision) -> str:
    """The same in a line for people, of at most ``TRACE_LIMIT`` characters; who was looked at last is never left out.
    Empty where nobody was, and nothing was told by its meaning."""
    if decision.similarity is not None:
        return f"model {decision.model}; the answer to other words, similarity {decision.similarity}"[:TRACE_LIMIT]
    if not decision.steps:
        return ""
    ways = [f"{order.scope} {order.strategy}" for order in decision.orders]
    if not ways:
        ways = [f"combo {decision.combo} fill-first" if decision.combo else f"model {decision.model}"]
    parts = [", ".join(ways), *map(_told, decision.steps)]
    left_out = decision.steps_left_out
    line = _line(parts, left_out)
    while len(line) > TRACE_LIMIT and len(parts) > 2:
        del parts[-2]
        left_out += 1
        line = _line(parts, left_out)
    return line[:TRACE_LIMIT]


def _line(parts: list[str], left_out: int) -> str:
    return "; ".join([*parts[:-1], *([f"{left_out} more"] if left_out else ()), parts[-1]])


def _told(step: Step) -> str:
    name = f"{step.account} ({step.model})"
    match step.outcome:
        case "answered":
            how = ", asked early" if step.early else ", asked besides" if step.hedge else ""
            return f"{name} answers in {step.first_byte_ms} ms{how}"
        case "outrun":
            return f"{name} outrun after {step.ms} ms{', asked besides' if step.hedge else ''}"
        case "waited":
            return f"waited {step.ms} ms for {step.account} ({step.model})"
        case "passed_over":
            if step.cause == "budget":
                return f"{name} passed over: {step.cause}"
            wait = f" for {step.wait} s" if step.wait else ""
            if step.cause in ("paced", LIMITED, SPENT):
                return f"{name} passed over: {step.cause}{wait}"
            who = "the provider said so" if step.told else "suspected"
            return f"{name} passed over: {step.cause}{wait}, {who}"
        case "failed":
            return f"{name} failed in {step.ms} ms: {step.kind} {step.status}"
        case _:
            return f"{name} was asked"


_ENCODER = msgspec.json.Encoder()


def _cut(decision: Decision, most: int) -> Decision:
    steps = decision.steps
    kept = (*steps[: max(0, most - 1)], *steps[-1:]) if len(steps) > most else steps
    orders = [
        msgspec.structs.replace(
            each, options=each.options[:most], left_out=each.left_out + max(0, len(each.options) - most)
        )
        for each in decision.orders[:most]
    ]
    return msgspec.structs.replace(
        decision,
        orders=tuple(orders),
        orders_left_out=decision.orders_left_out + len(decision.orders) - len(orders),
        steps=kept,
        steps_left_out=decision.steps_left_out + len(steps) - len(kept),
        losses=decision.losses[:most],
        losses_left_out=decision.losses_left_out + max(0, len(decision.losses) - most),
    )


def _order(ordered: Ordered, most: int) -> Order:
    level, places = ordered.level, ordered.places
    name = name_of(level.strategy)
    by = _GOES_BY.get(name, _NOTHING)
    return Order(
        _short(level.scope),
        name,
        tuple([seen(place, by) for place in places[:most]]),
        level.sticky,
        ordered.cursor if level.strategy.cursor else None,
        max(0, len(places) - most),
    )


def seen(place: Place, by: frozenset[str]) -> Seen:
    if not by:
        return Seen(_short(place.name), cooling=place.cooling)
    first_byte, headroom, warm = place.first_byte, place.headroom, place.warm_ago
    return Seen(
        _short(place.name),
        place.weight if "weight" in by else None,
        place.uses if "uses" in by else None,
        place.in_flight if "in_flight" in by else None,
        int(first_byte * 1000) if first_byte is not None and "first_byte_ms" in by else None,
        round(headroom, 3) if headroom is not None and "headroom" in by else None,
        place.cost if "cost" in by else None,
        round(warm, 1) if warm is not None and "warm" in by else None,
        place.cooling,
    )


def _skipped(skip: Skip) -> Step:
    candidate = skip.offer.candidate
    if skip.cause == WAITED:
        names = _short(candidate.provider.id), _short(candidate.account.id), _short(candidate.model.id)
        return Step(*names, "waited", ms=int(skip.wait * 1000), circuit=_short(skip.circuit))
    return Step(
        _short(candidate.provider.id),
        _short(candidate.account.id),
        _short(candidate.model.id),
        "passed_over",
        circuit=_short(skip.circuit),
        cause=skip.cause,
        wait=round(skip.wait, 1),
        told=skip.told,
    )


def _asked(attempt: Tried, end: Failure | Outran | None, retry: int) -> Step:
    offer = attempt.offer
    candidate, error = offer.candidate, end.error if type(end) is Failure else None
    answered = attempt.first_byte_ms >= 0
    outcome = "failed" if error is not None else "outrun" if end is not None else "answered" if answered else "left"
    return Step(
        _short(candidate.provider.id),
        _short(candidate.account.id),
        _short(candidate.model.id),
        outcome,
        attempt.id if attempt.sent else "",
        retry,
        attempt.early,
        attempt.hedge,
        attempt.first_byte_ms if answered else None,
        end.ms if end is not None else None,
        error.kind if error is not None else "",
        error.status if error is not None else None,
        error.message[:_LONGEST] if error is not None and verdict.may_be_quoted(error) else "",
        pricing=offer.pricing.mode,
        price=prices(offer.price),
    )


def prices(price: Price | None) -> Prices | None:
    return _prices(price) if price is not None else None


def _prices(price: Price) -> Prices:
    above = tuple(PricesAbove(step.tokens, _prices(step.price)) for step in price.above)
    return Prices(
        price.input, price.output, price.cached_input, price.cache_write, price.reasoning, above, price.special
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST]
