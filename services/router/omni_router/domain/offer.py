"""What a key gets for a requested id: candidates with their prices, and all about them that no request changes.

Made once for a key and an id, and used until the configuration changes.
"""

from collections.abc import Mapping

import msgspec
from omni_catalogue.catalogue import Candidate, Catalogue, Listed, Plan
from omni_catalogue.rules import Effective
from omni_catalogue.snapshot import KeyPolicy, Price
from omni_wire.errors import BudgetExhausted
from omni_wire.formats import WireFormat

from omni_router.domain import pricing, provider_call
from omni_router.domain.pricing import BILLED_APART, OTHER_MODELS, Pricing
from omni_router.domain.records import Source


class Offer:
    """One candidate, priced. ``source`` is what its events have in common. Per-token amounts in nano-USD a million
    tokens (``input_rate``) and nano-USD (``output_ceiling``), both 0 without a price. ``rules`` are the product's own;
    ``if_stream`` and ``if_whole`` say whether its provider is asked for a stream, for a client who wants one or not."""

    __slots__ = (
        "_calls", "candidate", "if_stream", "if_whole", "input_rate", "output_ceiling", "price", "pricing", "rules",
        "signs", "source",
    )  # fmt: skip

    def __init__(self, candidate: Candidate, priced: Pricing, source: Source, rules: Effective) -> None:
        self.candidate = candidate
        self.pricing = priced
        self.price: Price | None = priced.price
        self.source = source
        self.input_rate = pricing.dearest_input(priced.price) if priced.price is not None else 0
        self.output_ceiling = pricing.output_token_ceiling(priced.price) if priced.price is not None else 0
        self.rules = rules
        self.if_stream = provider_call.asks_stream(candidate.provider, candidate.model, True)
        self.if_whole = provider_call.asks_stream(candidate.provider, candidate.model, False)
        self.signs = provider_call.signs(candidate.provider)
        self._calls: dict[tuple[bool, str], tuple[str, Mapping[str, str]]] = {}

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


class Offers(msgspec.Struct, frozen=True):
    """``refused`` are the fields that the key may not set at all: what is billed apart under a budget, or leads to a
    model that the key's list does not name. ``formats`` are those of the providers."""

    policy: KeyPolicy
    plan: Plan
    offers: tuple[Offer, ...]
    refused: frozenset[str]
    formats: tuple[WireFormat, ...]


def listed(catalogue: Catalogue, policy: KeyPolicy, router_id: str) -> list[Listed]:
    """What the key may ask for by name, without what its budget refuses."""
    found = catalogue.listed(policy)
    if policy.budget is None:
        return found
    return [entry for entry in found if _is_within(catalogue, policy, entry.id, router_id)]


def _is_within(catalogue: Catalogue, policy: KeyPolicy, model: str, router_id: str) -> bool:
    try:
        offers_for(catalogue, catalogue.plan_for(policy, model), policy, router_id)
    except BudgetExhausted:
        return False
    return True


def offers_for(catalogue: Catalogue, plan: Plan, policy: KeyPolicy, router_id: str) -> Offers:
    """The plan as ``policy`` may use it.

    Raises ``BudgetExhausted`` when its budget refuses all: for want of a price, or because their format cannot bound an
    answer, so that no reservation would cover its cost.
    """
    found = []
    boundless = ""
    for candidate in plan.candidates:
        priced = pricing.pricing_for(candidate.model, policy.budget)
        counted = priced is not None and priced.price is not None and policy.budget is not None
        if counted and not provider_call.takes_limit(candidate.provider):
            boundless = candidate.provider.format
        elif priced is not None:
            source = Source(
                key_id=policy.id,
                model_requested=plan.requested,
                combo=plan.combo,
                provider=candidate.provider.id,
                account_id=candidate.account.id,
                model=candidate.model.id,
                provider_format=candidate.provider.format.value,
                pricing=priced.mode,
                config_revision=catalogue.snapshot.revision,
                router_id=router_id,
            )
            rules = catalogue.rules(policy, plan.combo, candidate.provider, candidate.model)
            found.append(Offer(candidate, priced, source, rules))
    if not found and boundless:
        raise BudgetExhausted(
            f"{plan.requested!r} can only be had in the format {boundless}, which takes no output limit, and this key "
            "has a USD budget, which could not be held",
            code="output_unbounded",
        )
    if not found:
        raise BudgetExhausted(
            f"{plan.requested!r} has no price, and this key has a USD budget: give the model a price, "
            "or the budget `unpriced: serve`",
            code="model_unpriced",
        )
    refused = BILLED_APART if policy.budget is not None else OTHER_MODELS if policy.models != ("*",) else frozenset()
    formats = tuple(dict.fromkeys(offer.candidate.provider.format for offer in found))
    return Offers(policy, plan, tuple(found), refused, formats)
