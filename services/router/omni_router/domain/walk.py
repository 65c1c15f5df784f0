"""A request's way through its candidates: who was passed over and why, who failed and how, and what that comes to."""

from collections.abc import Iterable, Mapping
from math import ceil
from types import MappingProxyType

import msgspec
from omni_wire.errors import BudgetExhausted, GatewayError, NoCandidate, RateLimited, from_kind

from omni_router.domain import verdict
from omni_router.domain.offer import Offer

# An error names so many causes at most, with so much of each.
_MOST_CAUSES, _LONGEST_CAUSE = 20, 300

# The cause of a skip that is none any more: its candidate was waited for.
WAITED = "waited"

_WHY = {
    "rate_limit": "its rate limit is used up",
    "quota": "its quota is used up",
    "refused": "it refused the credential",
    "failing": "it failed too often",
    "paced": "its rate limit lets nobody through",
    "limit": "what this gateway may use of it for now is used up",
}

# The causes of skips that are the gateway's own limits of what is upstream: for a while, and until somebody raises it
# or a budget begins anew.
LIMITED, SPENT = "limit", "limit_spent"


class Skip(msgspec.Struct, frozen=True):
    """A candidate that was not asked: ``circuit`` is open for ``wait`` seconds more, for ``cause``; "" where it is a
    budget that does not cover it. With the cause "paced" it is a lane that lets nobody through, with "limit" and
    "limit_spent" a limit of what is upstream (``limit:<id>``)."""

    offer: Offer
    circuit: str
    cause: str
    wait: float
    told: bool


class Failure(msgspec.Struct, frozen=True):
    """A candidate that was asked and failed after ``ms``; its message is fit to be shown."""

    offer: Offer
    error: GatewayError
    ms: int = 0


class Outran(msgspec.Struct, frozen=True):
    """A candidate that was asked and let go after ``ms``, as another began first."""

    offer: Offer
    ms: int


class Walk:
    """``skips`` and ``failures`` in the order in which they came, ``trail`` is all that happened, as it happened; most
    have none of them, and cost nothing."""

    trail: tuple[Skip | Failure | Outran, ...] = ()

    skips: tuple[Skip, ...] = ()
    failures: tuple[Failure, ...] = ()
    too_dear: GatewayError | None = None  # what the first said that a budget does not cover
    _open: Mapping[str, Skip] = MappingProxyType({})  # by circuit
    _refused: tuple[str, str] | None = None

    def passes_over(self, offer: Offer) -> bool:
        """Whether it is known without asking that ``offer`` is of no use: its provider has refused the request itself,
        or a circuit that it shares with another is open."""
        if self._refused is not None and self._refused == _target(offer):
            self.trail += (Skip(offer, "", "request_refused", 0.0, told=True),)
            return True
        for circuit in (offer.circuits.account, *offer.circuits.besides_account) if self._open else ():
            if (known := self._open.get(circuit)) is not None:
                skip = Skip(offer, circuit, known.cause, known.wait, known.told)
                self.skips += (skip,)
                self.trail += (skip,)
                return True
        return False

    def skipped(self, skip: Skip) -> None:
        """What was said of a candidate before, is said no more."""
        self.skips = (*(known for known in self.skips if known.offer is not skip.offer), skip)
        self.trail += (skip,)
        self._open = {**self._open, skip.circuit: skip}

    def failed(self, offer: Offer, error: GatewayError, ms: int = 0) -> None:
        """After so many milliseconds."""
        failure = Failure(offer, error, ms)
        self.failures += (failure,)
        self.trail += (failure,)
        self._refused = None if verdict.other_account_may_help(error) else _target(offer)

    def outran(self, offer: Offer, ms: int) -> None:
        self.trail += (Outran(offer, ms),)

    def refused(self, offer: Offer, error: GatewayError) -> Skip:
        """A budget does not cover this one; another may be cheaper."""
        self.too_dear = self.too_dear or error
        skip = Skip(offer, "", "budget", error.retry_after or 0.0, told=False)
        self.trail += (skip,)
        return skip

    def soonest(self, only: Offer | None = None) -> Skip | None:
        """Whose rate limit lets a request through first: what to wait for where nobody else is left. One that cools
        down after a refusal is waited for as well, unless this request was among the refused."""
        waiting = [
            skip
            for skip in self.skips
            if (only is None or skip.offer is only)
            and (skip.cause == "paced" or (skip.cause == "rate_limit" and not self.failures))
        ]
        return min(waiting, key=lambda skip: skip.wait, default=None)

    def asks_again(self, skip: Skip, waited: float) -> None:
        """What was said of its candidate holds no more, as it waited for so many seconds, in all."""
        self.skips = tuple(known for known in self.skips if known is not skip)
        self._open = {circuit: known for circuit, known in self._open.items() if circuit != skip.circuit}
        self.trail = tuple(
            each
            for each in self.trail
            if each is not skip and not (type(each) is Skip and each.offer is skip.offer and each.cause == WAITED)
        )
        if waited:
            self.trail += (Skip(skip.offer, skip.circuit, WAITED, waited, told=False),)

    def begins_anew(self) -> None:
        """Under another configuration: whoever was passed over may be asked."""
        self.skips, self._open = (), {}

    def last_resort(self) -> Offer | None:
        """Who to ask all the same, when all were passed over: of those that are only suspected the one whose time is
        nearest, so that a pool is never closed as a whole while one of it might work."""
        if self.failures or self.too_dear is not None:
            return None
        suspects = [skip for skip in self.skips if not skip.told and skip.cause not in ("paced", LIMITED, SPENT)]
        return min(suspects, key=lambda skip: skip.wait).offer if suspects else None

    def error(self, model: str) -> GatewayError:
        """What the request ends in, naming every cause; ``retry_after`` is the soonest that may help.

        Its kind and status are those of the last failure that may pass, as its client may try again then; of the last
        failure where none may.
        """
        if not self.failures:
            return self.too_dear or self._all_closed(model)
        passing = [failure.error for failure in self.failures if verdict.may_pass(failure.error)]
        chosen = passing[-1] if passing else self.failures[-1].error
        if len(self.failures) == 1 and not self.skips:
            return chosen
        waits = [error.retry_after for error in passing if error.retry_after is not None]
        skipped = [skip.wait for skip in self.skips if skip.cause != SPENT]
        wait = min((*waits, *skipped), default=None) if passing or self.skips else None
        return from_kind(
            chosen.kind, self._causes(), status=chosen.status, retry_after=wait, param=chosen.param, code=chosen.code
        )

    def _all_closed(self, model: str) -> GatewayError:
        causes = {skip.cause for skip in self.skips}
        if causes and causes <= {LIMITED, SPENT}:
            return self._used_up(model)
        wait = min((skip.wait for skip in self.skips if skip.cause != SPENT), default=1.0)
        limited = bool(causes) and causes <= {"rate_limit", "quota", "paced", LIMITED, SPENT}
        return NoCandidate(
            f"every account for {model!r} is cooling down; try again in {ceil(wait)} s: {self._causes()}",
            retry_after=wait,
            status=429 if limited else None,
            code="upstream_rate_limited" if limited else None,
        )

    def _used_up(self, model: str) -> GatewayError:
        """By limits of what is upstream alone. Whose they are is not for every key's holder."""
        what = f"what this gateway may use of all that serves {model!r} is used up"
        waits = [skip.wait for skip in self.skips if skip.cause == LIMITED]
        if not waits:
            told = f"{what}, or what is left of it is less than this request may cost"
            return BudgetExhausted(told, code="upstream_limit_spent")
        told = f"{what} for now; try again in {ceil(min(waits))} s"
        return RateLimited(told, retry_after=min(waits), code="upstream_limit")

    def _causes(self) -> str:
        causes = [failure.error.message[:_LONGEST_CAUSE] for failure in self.failures]
        causes += [f"[{'/'.join(_target(skip.offer))}] was not asked, as {_why(skip)}" for skip in self.skips]
        return _joined(causes)


def _why(skip: Skip) -> str:
    if skip.cause == SPENT:
        return "what this gateway may use of it is used up"
    return f"{_WHY.get(skip.cause, 'it cools down')}, for {ceil(skip.wait)} s more"


def _joined(causes: Iterable[str]) -> str:
    """Each once, with how often it came."""
    counts: dict[str, int] = {}
    for cause in causes:
        counts[cause] = counts.get(cause, 0) + 1
    said = [cause if times == 1 else f"{cause} ({times} times)" for cause, times in counts.items()]
    more = len(said) - _MOST_CAUSES
    return "; ".join(said[:_MOST_CAUSES]) + (f"; and {more} more" if more > 0 else "")


def _target(offer: Offer) -> tuple[str, str]:
    return offer.candidate.provider.id, offer.candidate.model.id
