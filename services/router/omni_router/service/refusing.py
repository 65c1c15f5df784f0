"""What the ledger refuses, as the client's error."""

from math import ceil

from omni_catalogue.snapshot import Limit
from omni_ledger import Refusal
from omni_wire.errors import BudgetExhausted, BudgetHeld, GatewayError, RateLimited

_OWNERS = {"": "this key's organisation", "team": "this key's team", "user": "this key's user", "key": "this key"}
_MEASURES = {"requests": "requests", "tokens": "tokens", "input": "tokens of input", "output": "tokens of output"}
_WINDOWS = {
    "minute": "in a minute",
    "5h": "in 5 hours",
    "day": "a day",
    "week": "a week",
    "month": "a month",
    "total": "in total",
}


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
    if refusal.cause == "concurrent":
        return RateLimited(
            f"{of}it has as many requests under way as it may; try again shortly", retry_after=refusal.retry_after
        )
    window = next((each.window for each in limit.allowances if each.of == refusal.cause), "")
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
