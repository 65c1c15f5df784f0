"""What a key gets for a requested id: its candidates as offers, and what there is to choose among them.

Made once for a key and an id, and used until the configuration changes.
"""

import msgspec
from omni_catalogue.catalogue import Catalogue, Listed, Plan
from omni_catalogue.snapshot import KeyPolicy
from omni_wire.errors import BudgetExhausted
from omni_wire.formats import WireFormat

from omni_router.domain import pricing, provider_call
from omni_router.domain.choice import Choice, choice_for
from omni_router.domain.circuits import circuits_of
from omni_router.domain.offer import Offer
from omni_router.domain.pricing import BILLED_APART, OTHER_MODELS
from omni_router.domain.records import Source


class Offers(msgspec.Struct, frozen=True):
    """``refused`` are the fields that the key may not set at all: what is billed apart under a budget, or leads to a
    model that the key's list does not name. ``formats`` are those of the providers. ``choice`` is None where the offers
    are to be tried in their order."""

    policy: KeyPolicy
    plan: Plan
    offers: tuple[Offer, ...]
    refused: frozenset[str]
    formats: tuple[WireFormat, ...]
    choice: Choice | None = None


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
            found.append(Offer(candidate, priced, source, rules, circuits_of(candidate, plan.combo)))
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
    choice = choice_for(catalogue.combo(plan.combo), found)
    return Offers(policy, plan, tuple(found), refused, formats, choice)
