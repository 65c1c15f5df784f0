"""What the ledger refuses, as the client's error."""

from math import ceil

from omni_catalogue.snapshot import Limit
from omni_ledger import Refusal
from omni_wire.errors import BudgetExhausted, BudgetHeld, GatewayError, RateLimited

_OWNERS = {"": "this key's organisation", "team": "this key's team", "user": "this key's user", "key": "this key"}


def as_error(refusal: Refusal, limits: tuple[Limit, ...]) -> GatewayError:
    """A shared limit is told by its own name only: what a team or a user is called is not for every key's holder."""
    shared = next((limit for limit in limits if limit.window_owner == refusal.level), None)
    of, whose = "", "this key's"
    if shared is not None:
        of, whose = f"the limit '{shared.name}' of {_OWNERS.get(shared.of, shared.of)}: ", "its"
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
