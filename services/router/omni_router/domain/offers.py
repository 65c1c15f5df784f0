"""What a key gets for a requested id: its candidates as offers, and what there is to choose among them.

Made once for a key and an id, and used until the configuration changes.
"""

from collections.abc import Iterable

import msgspec
from omni_catalogue.catalogue import Catalogue, Listed, Plan
from omni_catalogue.lanes import lanes_of
from omni_catalogue.snapshot import Budget, KeyPolicy, Limit, MidStream
from omni_wire.errors import BudgetExhausted
from omni_wire.formats import WireFormat

from omni_router.domain import pricing, provider_call
from omni_router.domain.choice import Choice, choice_for
from omni_router.domain.circuits import circuits_of
from omni_router.domain.offer import Kept, Offer
from omni_router.domain.pricing import BILLED_APART, OTHER_MODELS
from omni_router.domain.records import OWN_BUDGET, Source


class Offers(msgspec.Struct, frozen=True):
    """``refused`` are the fields that the key may not set at all: what is billed apart under a budget, or leads to a
    model that the key's list does not name. ``formats`` are those of the providers. ``choice`` is None where the offers
    are to be tried in their order. ``limits`` are those that the key shares; ``kept`` is of all that the key is kept
    to, ``upstream`` whether what one of them is kept to itself must have a bound; ``hedges`` whether one of them may
    have another asked besides."""

    policy: KeyPolicy
    plan: Plan
    offers: tuple[Offer, ...]
    refused: frozenset[str]
    formats: tuple[WireFormat, ...]
    choice: Choice | None = None
    limits: tuple[Limit, ...] = ()
    kept: Kept = Kept()
    mid_stream: MidStream = MidStream()
    hedges: bool = False
    upstream: bool = False


def listed(catalogue: Catalogue, policy: KeyPolicy, router_id: str) -> list[Listed]:
    """What the key may ask for by name, without what a budget refuses."""
    found = catalogue.listed(policy)
    limits = catalogue.limits(policy)
    if not Kept.by(_budgets(policy, limits), limits).bounds and not catalogue.has_limits_upstream:
        return found
    return [entry for entry in found if _is_within(catalogue, policy, entry.id, router_id)]


def _is_within(catalogue: Catalogue, policy: KeyPolicy, model: str, router_id: str) -> bool:
    try:
        offers_for(catalogue, catalogue.plan_for(policy, model), policy, router_id)
    except BudgetExhausted:
        return False
    return True


def _budgets(policy: KeyPolicy, limits: tuple[Limit, ...]) -> list[Budget]:
    """The key's own and those that it shares."""
    own = [policy.budget] if policy.budget is not None else []
    return own + [budget for limit in limits for budget in limit.budgets]


def charged(policy: KeyPolicy, limits: Iterable[Limit]) -> tuple[str, ...]:
    """The budgets that what the key spends is on: its own as ``OWN_BUDGET``, shared ones by their limits' ids."""
    own = (OWN_BUDGET,) if policy.budget is not None else ()
    return (*own, *(limit.id for limit in limits if limit.budget is not None))


def offers_for(catalogue: Catalogue, plan: Plan, policy: KeyPolicy, router_id: str) -> Offers:
    """The plan as ``policy`` may use it.

    Raises ``BudgetExhausted`` when a budget refuses all: for want of a price, or because their format cannot bound an
    answer, so that no reservation would cover its cost.
    """
    found = []
    boundless = ""
    limits = catalogue.limits(policy)
    budgets = _budgets(policy, limits)
    kept = Kept.by(budgets, limits, policy.own_when_away)
    upstream = False
    learns = catalogue.snapshot.routing.learns
    for candidate in plan.candidates:
        here = catalogue.limits_upstream(candidate)
        budgets_here = [*budgets, *(budget for limit in here for budget in limit.budgets)] if here else budgets
        kept_here = Kept.by(budgets_here, limits + here, policy.own_when_away) if here else kept
        priced = pricing.pricing_for(candidate.model.pays(candidate.account.id, policy.organisation), budgets_here)
        counted = kept_here.money and priced is not None and bool(priced.history)
        if (counted or (kept_here.tokens and priced is not None)) and not provider_call.takes_limit(candidate.provider):
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
                charged=charged(policy, limits + here) if priced.history else (),
            )
            rules = catalogue.rules(policy, plan.combo, candidate.provider, candidate.model)
            timeouts = catalogue.timeouts(plan.combo, candidate.provider)
            hedge = catalogue.hedge(plan.combo, candidate.provider)
            circuits = circuits_of(candidate, plan.combo)
            lanes = lanes_of(candidate.provider, candidate.account, candidate.model, learns=learns)
            hedged = hedge if hedge.most_extra else None
            found.append(Offer(candidate, priced, source, rules, circuits, timeouts, hedged, lanes, here, kept_here))
            upstream = upstream or (kept_here.bounds and not kept.bounds)
    if not found and boundless:
        raise BudgetExhausted(
            f"{plan.requested!r} can only be had in the format {boundless}, which takes no output limit, and this key "
            "or what it asks has a USD budget or a limit of tokens, or shares one, which could not be held",
            code="output_unbounded",
        )
    if not found:
        raise BudgetExhausted(
            f"{plan.requested!r} has no price, and this key or what it asks has a USD budget or shares one: give the "
            "model a price, or the budget `unpriced: serve`",
            code="model_unpriced",
        )
    refused = BILLED_APART if kept.bounds else OTHER_MODELS if policy.models != ("*",) else frozenset()
    formats = tuple(dict.fromkeys(offer.candidate.provider.format for offer in found))
    combo = catalogue.combo(plan.combo)
    mid_stream = combo.mid_stream if combo is not None and combo.mid_stream is not None else None
    return Offers(
        policy,
        plan,
        tuple(found),
        refused,
        formats,
        choice_for(combo, found),
        limits,
        kept=kept,
        upstream=upstream,
        mid_stream=mid_stream or catalogue.snapshot.routing.mid_stream,
        hedges=len(found) > 1 and any(offer.hedge is not None for offer in found),
    )
