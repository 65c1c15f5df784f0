"""One candidate with its price, and all about it that no request changes."""

from collections.abc import Mapping, Sequence
from copy import copy

import msgspec
from omni_catalogue.catalogue import Candidate
from omni_catalogue.lanes import Lane
from omni_catalogue.prices import Ceilings, Dated, ceilings, prices_hours, version
from omni_catalogue.rules import Effective
from omni_catalogue.snapshot import Budget, Hedge, Limit, Price, Timeouts

from omni_router.domain import provider_call
from omni_router.domain.circuits import Circuits
from omni_router.domain.pricing import Pricing
from omni_router.domain.records import Source

_NOTHING = Ceilings(0, 0, 0)


class Kept(msgspec.Struct, frozen=True):
    """Of the limits of a key, or of a candidate: whether some hold money on a budget, whether some refuse by tokens,
    whether it matters to some how many these are, or what they cost, and whether all that refuse, of which there are
    some, are open while Redis is away."""

    money: bool = False
    tokens: bool = False
    counted: bool = False
    away: bool = False

    @classmethod
    def by(cls, budgets: Sequence[Budget], limits: Sequence[Limit], when_away: str = "") -> "Kept":
        """``when_away`` is of what else refuses, a key's own; "" where nothing does."""
        away = {when_away, *(limit.when_away for limit in limits)} - {""}
        return cls(
            bool(budgets),
            any(limit.bounds_tokens for limit in limits),
            any(limit.counts_tokens for limit in limits),
            away == {"open"},
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
    counts. ``later`` are the same at later prices, each with when that comes into force (epoch milliseconds), from the
    first."""

    __slots__ = (
        "_calls", "_ceilings", "candidate", "circuits", "counted", "hedge", "if_stream", "if_whole", "kept", "lanes",
        "later", "limits", "price", "pricing", "quota", "rules", "signs", "source", "timeouts",
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
        self.price: Price | None = None
        self.source = source
        self._ceilings = _NOTHING
        self.rules = rules
        self.timeouts = timeouts
        self.lanes = lanes
        self.later: tuple[tuple[int, Offer], ...] = ()
        self.limits = limits
        self.kept = kept
        self.hedge = hedge
        self.quota = candidate.account.quota
        self.counted = self.quota.counted(candidate.model.id) if self.quota is not None else ()
        self.if_stream = provider_call.asks_stream(candidate.provider, candidate.model, True)
        self.if_whole = provider_call.asks_stream(candidate.provider, candidate.model, False)
        self.signs = provider_call.signs(candidate.provider)
        self._calls: dict[tuple[bool, str], tuple[str, Mapping[str, str]]] = {}
        for row in priced.history[:1]:
            self._cost(row)
        self.later = tuple((row.from_ms, self._costing(row)) for row in priced.history[1:])

    def _cost(self, row: Dated) -> None:
        self.price = row.price
        self.source = msgspec.structs.replace(self.source, price_version=version(row))
        self._ceilings = ceilings(row.price, 0)

    def _costing(self, row: Dated) -> "Offer":
        other = copy(self)
        other.later = ()
        other._cost(row)
        return other

    def at(self, now_ms: int) -> "Offer":
        """The same at the price of that time."""
        for from_ms, offer in reversed(self.later):
            if now_ms >= from_ms:
                return offer
        return self

    @property
    def hours_priced(self) -> bool:
        """Whether what is cached for an hour has a price of its own, whenever and however large the request is."""
        rows = self.pricing.history
        return bool(rows) and all(prices_hours(row.price) for row in rows)

    def ceilings(self, most: int) -> Ceilings:
        """What a request with ``most`` tokens of input, or fewer, costs at most."""
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
