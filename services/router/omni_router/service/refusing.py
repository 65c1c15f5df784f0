"""What the ledger refuses, as the client's error."""

from collections.abc import Iterable
from math import ceil

from omni_catalogue.snapshot import Limit
from omni_ledger import Refusal
from omni_wire.errors import BudgetExhausted, BudgetHeld, GatewayError, RateLimited

from omni_router.domain.offer import Offer
from omni_router.domain.walk import LIMITED, SPENT, Skip

_OWNERS = {
    "": "this key's organisation",
    "team": "this key's team",
    "user": "this key's user",
    "key": "this key",
    "tag": "a tag of this request",
}
_MEASURES = {"requests": "requests", "tokens": "tokens", "input": "tokens of input", "output": "tokens of output"}
_WINDOWS = {
    "minute": "in a minute",
    "5h": "in 5 hours",
    "day": "a day",
    "week": "a week",
    "month": "a month",
    "total": "in total",
}


_OWN = ("breaker_open", "paced")


def is_own_matter(refusal: Refusal, upstream: Iterable[Limit]) -> bool:
    """Whether a candidate that has these limits of what is upstream is refused alone, and another may be asked."""
    if refusal.reason in _OWN:
        return True
    return bool(refusal.level) and any(limit.window_owner == refusal.level for limit in upstream)


def skip_of(offer: Offer, refusal: Refusal) -> Skip | None:
    """What keeps this candidate alone from being asked: a breaker, a lane or a limit of what is upstream. None where
    the key is refused whoever is asked."""
    if not is_own_matter(refusal, offer.limits):
        return None
    if refusal.reason in _OWN:
        return Skip(offer, refusal.circuit, refusal.cause, refusal.retry_after, refusal.told)
    waits = refusal.retry_after and (refusal.cause or refusal.reason != "budget_exhausted")
    cause = LIMITED if waits else SPENT
    return Skip(offer, refusal.level, cause, refusal.retry_after, told=False)


def as_error(refusal: Refusal, limits: tuple[Limit, ...]) -> GatewayError:
    """A shared limit is told by its own name only: what a team or a user is called is not for every key's holder."""
    shared = next((limit for limit in limits if limit.window_owner == refusal.level), None)
    of, whose = "", "this key's"
    if shared is not None:
        of, whose = f"the limit '{shared.name}' of {_OWNERS.get(shared.of, shared.of)}: ", "its"
        if refusal.cause:
            return _allowance(refusal, shared, of)
    if refusal.reason == "rate_limited":
        return RateLimited(
            f"{of}{whose} requests per minute are used up; try again in {ceil(refusal.retry_after)} s",
            retry_after=refusal.retry_after,
        )
    if refusal.reason == "budget_held":
        return BudgetHeld(
            f"{of}what is left of {whose} USD budget is held by requests in flight; try again shortly",
            retry_after=refusal.retry_after,
        )
    return BudgetExhausted(f"{of}{whose} USD budget is spent, or what is left of it is less than this request may cost")


def _allowance(refusal: Refusal, limit: Limit, of: str) -> GatewayError:
    if refusal.cause == "usd":
        return _money(refusal, f"{of}its USD budget {_WINDOWS[_window(refusal, limit)]}")
    if refusal.cause == "concurrent":
        return RateLimited(
            f"{of}it has as many requests under way as it may; try again shortly", retry_after=refusal.retry_after
        )
    window = _window(refusal, limit)
    what = " ".join(filter(None, (_MEASURES.get(refusal.cause, refusal.cause), _WINDOWS.get(window, window))))
    if refusal.reason == "tokens_held":
        return BudgetHeld(
            f"{of}what is left of its {what} is held by requests in flight; try again shortly",
            code="tokens_held",
            retry_after=refusal.retry_after,
        )
    if refusal.cause == "requests":
        text = f"{of}its {what} are used up"
    else:
        text = f"{of}its {what} are used up, or what is left of them is less than this request may take"
    if refusal.retry_after == 0:
        return BudgetExhausted(text, code="limit_exhausted")
    return RateLimited(f"{text}; try again in {ceil(refusal.retry_after)} s", retry_after=refusal.retry_after)


def _window(refusal: Refusal, limit: Limit) -> str:
    return next((each.window for each in limit.allowances if each.of == refusal.cause and each.mode == "hard"), "")


def _money(refusal: Refusal, budget: str) -> GatewayError:
    """Of a budget whose window rolls: sooner or later enough of it is free again."""
    if refusal.reason == "budget_held":
        return BudgetHeld(
            f"what is left of {budget} is held by requests in flight; try again shortly",
            retry_after=refusal.retry_after,
        )
    return RateLimited(
        f"{budget} is spent, or what is left of it is less than this request may cost; "
        f"try again in {ceil(refusal.retry_after)} s",
        retry_after=refusal.retry_after,
        code="budget_exhausted",
    )
