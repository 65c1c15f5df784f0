"""One candidate with its price, and all about it that no request changes."""

from collections.abc import Mapping, Sequence

import msgspec
from omni_catalogue.catalogue import Candidate
from omni_catalogue.lanes import Lane
from omni_catalogue.rules import Effective
from omni_catalogue.snapshot import Budget, Hedge, Limit, Price, Timeouts

from omni_router.domain import pricing, provider_call
from omni_router.domain.circuits import Circuits
from omni_router.domain.pricing import Pricing
from omni_router.domain.records import Source


class Kept(msgspec.Struct, frozen=True):
    """Of the limits of a key, or of a candidate: whether some hold money on a budget, whether some refuse by tokens,
    and whether it matters to some how many these are, or what they cost."""

    money: bool = False
    tokens: bool = False
    counted: bool = False

    @classmethod
    def by(cls, budgets: Sequence[Budget], limits: Sequence[Limit]) -> "Kept":
        return cls(
            bool(budgets), any(limit.bounds_tokens for limit in limits), any(limit.counts_tokens for limit in limits)
        )

    @property
    def bounds(self) -> bool:
        """Whether what is asked for must have a bound."""
        return self.money or self.tokens


_NOT_KEPT = Kept()


class Offer:
    """One candidate, priced. ``source`` is what its events have in common. ``rules`` are the product's own;
    ``if_stream`` and ``if_whole`` say whether its provider is asked for a stream, for a client who wants one or not.
    ``timeouts`` are those that are configured; ``hedge`` is None where nobody is asked besides it; ``lanes`` are what
    its provider lets through. ``limits`` are those of what is upstream, whoever asks; ``kept`` is of these and of those
    of the key. ``quota`` is what is known of its account's, ``counted`` the windows of that in which a request to it
    counts."""

    __slots__ = (
        "_calls", "_ceilings", "candidate", "circuits", "counted", "hedge", "if_stream", "if_whole", "kept", "lanes",
        "limits", "price", "pricing", "quota", "rules", "signs", "source", "timeouts",
    )  # fmt: skip

    def __init__(
        self,
        candidate: Candidate,
        priced: Pricing,
        source: Source,
        rules: Effective,
        circuits: Circuits,
        timeouts: Timeouts,
        hedge: Hedge | None = None,
        lanes: tuple[Lane, ...] = (),
        limits: tuple[Limit, ...] = (),
        kept: Kept = _NOT_KEPT,
    ) -> None:
        self.candidate = candidate
        self.circuits = circuits
        self.pricing = priced
        self.price: Price | None = priced.price
        self.source = source
        self._ceilings = ceilings(priced.price, 0) if priced.price is not None else (0, 0)
        self.rules = rules
        self.timeouts = timeouts
        self.lanes = lanes
        self.limits = limits
        self.kept = kept
        self.hedge = hedge
        self.quota = candidate.account.quota
        self.counted = self.quota.counted(candidate.model.id) if self.quota is not None else ()
        self.if_stream = provider_call.asks_stream(candidate.provider, candidate.model, True)
        self.if_whole = provider_call.asks_stream(candidate.provider, candidate.model, False)
        self.signs = provider_call.signs(candidate.provider)
        self._calls: dict[tuple[bool, str], tuple[str, Mapping[str, str]]] = {}

    def ceilings(self, most: int) -> tuple[int, int]:
        """What a million tokens of input, of which there are ``most``, and one of output cost at most."""
        return ceilings(self.price, most) if self.price is not None and self.price.above else self._ceilings

    def call(self, stream: bool, framing: str) -> tuple[str, Mapping[str, str]]:
        """Address and unchanging headers of a call. Raises ``NotBuilt``."""
        known = self._calls.get((stream, framing))
        if known is None:
            provider, model = self.candidate.provider, self.candidate.model.id
            known = self._calls[stream, framing] = (
                provider_call.url(provider, model, stream=stream, framing=framing),
                provider_call.fixed_headers(provider, stream=stream, framing=framing),
            )
        return known


def ceilings(price: Price, most: int) -> tuple[int, int]:
    return pricing.dearest_input(price, most), pricing.output_token_ceiling(price, most)
