"""What there is to choose among for a request: the targets of a combo, and the accounts of each.

Made with the offers, once for a key and an id. Where everything is fill-first there is nothing to choose, and no
``Choice``: the offers are tried as they stand.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec
from omni_catalogue.snapshot import Combo

from omni_router.domain import pricing
from omni_router.domain.conversation import Size, expected
from omni_router.domain.offer import Offer
from omni_router.domain.strategies import FILL_FIRST, Strategy, strategy


class Option(msgspec.Struct, frozen=True):
    """A target, with the offers of all its accounts, or one account for one model, with its offer: what is fast for one
    model may be slow for another, and each has a prompt cache. ``member`` is who its uses are counted for."""

    name: str
    member: str
    weight: int
    offers: tuple[Offer, ...]


class Level(msgspec.Struct, frozen=True):
    """Options of one kind and how they are put in order. ``scope`` names what the fleet counts for them: a combo's
    targets, or the accounts of a provider whatever they are asked for."""

    scope: str
    strategy: Strategy
    sticky: int
    options: tuple[Option, ...]


class Choice(msgspec.Struct, frozen=True):
    """``accounts`` are by the name of the target."""

    targets: Level
    accounts: Mapping[str, Level]


class Warm(msgspec.Struct, frozen=True):
    """What a provider's prompt cache holds of a conversation, as far as its last answer ``ago`` seconds ago tells."""

    tokens: int
    ago: float


def choice_for(combo: Combo | None, offers: Sequence[Offer]) -> Choice | None:
    """None where the order of the offers is the order to try them in."""
    weights = combo.weights if combo is not None else {}
    targets = tuple(
        Option(name, name, weights.get(name, 1), tuple(of_target)) for name, of_target in groupby(offers, _target)
    )
    accounts = {target.name: _accounts(target) for target in targets}
    chosen = strategy(combo.strategy) if combo is not None and len(targets) > 1 else FILL_FIRST
    if all(each is FILL_FIRST for each in (chosen, *(level.strategy for level in accounts.values()))):
        return None
    name, sticky = (combo.name, combo.sticky) if combo is not None else ("", 1)
    return Choice(Level(f"combo {name}", chosen, sticky, targets), accounts)


def _target(offer: Offer) -> str:
    return f"{offer.candidate.provider.id}/{offer.candidate.model.id}"


def seat(offer: Offer) -> str:
    """The name of an account's option."""
    return offer.circuits.seat


def _accounts(target: Option) -> Level:
    provider = target.offers[0].candidate.provider
    options = tuple(
        Option(seat(offer), offer.candidate.account.id, offer.candidate.account.weight, (offer,))
        for offer in target.offers
    )
    chosen = strategy(provider.strategy) if len(options) > 1 else FILL_FIRST
    return Level(f"provider {provider.id}", chosen, provider.sticky, options)


def expected_cost(option: Option, size: Size, warm: Mapping[str, Warm]) -> int | None:
    """What a request of that size would cost there, in nano-USD; None where nobody knows. ``warm`` is by ``seat``."""
    costs = []
    for offer in option.offers:
        provider, held = offer.candidate.provider, warm.get(seat(offer))
        usage = expected(provider.format, size, held.tokens if held is not None else 0)
        costs.append(pricing.expected_cost(provider.tier, offer.price, usage))
    return min((cost for cost in costs if cost is not None), default=None)
