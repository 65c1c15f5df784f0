"""What fails as one, and what an attempt says of each: an account, an account for one model, a combo's target.

A credential that is refused and a quota that is spent are the account's; a rate limit and a failing model are the
account's for that model, so that one bad model does not take the others with it. The target's counts what any of its
accounts runs into, so that ten of them need not be tried one by one. A proxy that is broken says nothing of any of
them (``omni_core.outbound_health`` watches proxies).
"""

import msgspec
from omni_catalogue import circuits as names
from omni_catalogue.catalogue import Candidate
from omni_wire.errors import GatewayError, ProxyFailed, UpstreamError, UpstreamRejected, UpstreamUnreachable

from omni_router.domain.verdict import QUOTA_SPENT, UNAFFORDABLE, Hurried, Unheard
from omni_router.domain.waits import Spent


class Circuits(msgspec.Struct, frozen=True):
    """Their names; ``target`` is "" where a combo's target has one account only, or there is no combo."""

    account: str
    seat: str
    target: str = ""

    @property
    def besides_account(self) -> tuple[str, ...]:
        return (self.seat, self.target) if self.target else (self.seat,)


class Evidence(msgspec.Struct, frozen=True):
    """``outcome`` is "success", "failure" (it counts), "cool" (at once, for ``told`` seconds, 0 where nobody said) or
    "neutral"."""

    circuit: str
    outcome: str
    cause: str = ""
    told: float = 0.0


def circuits_of(candidate: Candidate, combo: str) -> Circuits:
    """``combo`` is the one that was asked for, or ""."""
    account, provider, model = candidate.account.id, candidate.provider, candidate.model.id
    target = names.target(combo, f"{provider.id}/{model}") if combo and len(provider.accounts) > 1 else ""
    return Circuits(account, names.seat(account, model), target)


def evidence(circuits: Circuits, error: GatewayError | None, spent: Spent | None = None) -> tuple[Evidence, ...]:
    """One for each circuit. ``spent`` is what a good answer told."""
    if error is None:
        return _success(circuits, spent)
    account = seat = target = ("neutral", "", 0.0)
    told = error.retry_after or 0.0
    if isinstance(error, UpstreamRejected):
        if error.code == QUOTA_SPENT or (error.status == 402 and error.code != UNAFFORDABLE):
            account = ("cool", "quota", told)
        elif error.status == 401:
            account = ("cool", "refused", told)
        elif error.status == 429:
            seat = ("cool", "rate_limit", told)
    elif isinstance(error, UpstreamError) and not isinstance(error, Unheard | Hurried | ProxyFailed):
        target = ("failure", "failing", 0.0)
        if isinstance(error, UpstreamUnreachable):
            account = target
        else:
            seat = ("cool", "failing", told) if told else target
    return _each(circuits, account, seat, target)


def _success(circuits: Circuits, spent: Spent | None) -> tuple[Evidence, ...]:
    account = seat = good = ("success", "", 0.0)
    if spent is not None and spent.whole_account:
        account = ("cool", "quota", spent.seconds)
    elif spent is not None:
        seat = ("cool", "rate_limit", spent.seconds)
    return _each(circuits, account, seat, good)


def _each(
    circuits: Circuits, account: tuple[str, str, float], seat: tuple[str, str, float], target: tuple[str, str, float]
) -> tuple[Evidence, ...]:
    said = (Evidence(circuits.account, *account), Evidence(circuits.seat, *seat))
    return (*said, Evidence(circuits.target, *target)) if circuits.target else said
