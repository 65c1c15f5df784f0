"""What there is to choose among for a request: the targets of a combo, combos with theirs among them, and the accounts
of each target.

Made with the offers, once for a key and an id. Where everything is fill-first there is nothing to choose, and no
``Choice``: the offers are tried as they stand.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import msgspec
from omni_catalogue.snapshot import Combo, Node

from omni_router.domain import pricing
from omni_router.domain.conversation import Size
from omni_router.domain.offer import Offer
from omni_router.domain.strategies import FILL_FIRST, Place, Strategy, strategy


class Option(msgspec.Struct, frozen=True):
    """A target, with the offers of all its accounts, or one account for one model, with its offer: what is fast for one
    model may be slow for another, and each has a prompt cache. Or a combo in a combo: ``inside`` are its targets,
    ``offers`` those of all of them. ``member`` is who its uses are counted for. ``seats`` are its offers by the names
    of their places, ``priced`` one offer of each that cost the same, ``place`` is it where nothing is known of it."""

    name: str
    member: str
    weight: int
    offers: tuple[Offer, ...]
    inside: "Level | None" = None
    seats: Mapping[str, Offer] = {}
    priced: tuple[Offer, ...] = ()
    place: Place = Place("")

    @staticmethod
    def of(name: str, member: str, weight: int, offers: tuple[Offer, ...], inside: "Level | None" = None) -> "Option":
        priced = list[Offer]()
        for offer in offers:
            if not any(_is_alike(offer, other) for other in priced):
                priced.append(offer)
        seats = {seat(each): each for each in offers}
        return Option(name, member, weight, offers, inside, seats, tuple(priced), Place(name, weight))


_NO_COMBO = Node(name="")


class Level(msgspec.Struct, frozen=True):
    """Options of one kind and how they are put in order. ``scope`` names what the fleet counts for them: a combo's
    targets, or the accounts of a provider whatever they are asked for. ``named`` are the options by their names."""

    scope: str
    strategy: Strategy
    sticky: int
    options: tuple[Option, ...]
    named: Mapping[str, Option] = {}


class Choice(msgspec.Struct, frozen=True):
    """``accounts`` are by the name of the target, in whichever combo it stands."""

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
        Option.of(name, name, weights.get(name, 1), tuple(of_target)) for name, of_target in groupby(offers, _target)
    )
    accounts = {target.name: _accounts(target) for target in targets}
    if combo is not None and combo.nodes:
        targets = _options(combo.nodes, {target.name: target for target in targets})
    level = _level(combo if combo is not None else _NO_COMBO, targets)
    if not _chooses(level) and not any(map(_chooses, accounts.values())):
        return None
    return Choice(level, accounts)


def _level(of: Combo | Node, options: tuple[Option, ...]) -> Level:
    return _leveled(f"combo {of.name}", of.strategy, of.sticky, options)


def _leveled(scope: str, wanted: str, sticky: int, options: tuple[Option, ...]) -> Level:
    chosen = strategy(wanted) if len(options) > 1 else FILL_FIRST
    return Level(scope, chosen, sticky, options, {option.name: option for option in options})


def _options(nodes: Iterable[Node], targets: Mapping[str, Option]) -> tuple[Option, ...]:
    """Those of which anything may be used; ``targets`` are by name."""
    found = []
    for node in nodes:
        if not node.nodes:
            if node.name in targets:
                target = targets[node.name]
                place = msgspec.structs.replace(target.place, weight=node.weight)
                found.append(msgspec.structs.replace(target, weight=node.weight, place=place))
        elif inside := _options(node.nodes, targets):
            offers = tuple(offer for option in inside for offer in option.offers)
            found.append(Option.of(node.name, node.name, node.weight, offers, _level(node, inside)))
    return tuple(found)


def _chooses(level: Level) -> bool:
    inner = (option.inside for option in level.options if option.inside is not None)
    return level.strategy is not FILL_FIRST or any(map(_chooses, inner))


def _target(offer: Offer) -> str:
    return f"{offer.candidate.provider.id}/{offer.candidate.model.id}"


def seat(offer: Offer) -> str:
    """The name of an account's option."""
    return offer.circuits.seat


def _accounts(target: Option) -> Level:
    provider = target.offers[0].candidate.provider
    options = tuple(
        Option.of(seat(offer), offer.candidate.account.id, offer.candidate.account.weight, (offer,))
        for offer in target.offers
    )
    return _leveled(f"provider {provider.id}", provider.strategy, provider.sticky, options)


def expected_cost(option: Option, size: Size, warm: Mapping[str, Warm], now_ms: int) -> int | None:
    """What a request of that size would cost there now (epoch milliseconds), in nano-USD; None where nobody knows.
    ``warm`` is by ``seat``."""
    seats, cold, least = option.seats, option.priced, None
    if warm and not warm.keys().isdisjoint(seats):
        kept = [(seats[name], each.tokens) for name, each in warm.items() if name in seats]
        for offer, tokens in kept:
            least = _less(least, _expected_cost(offer, size, tokens, now_ms))
        if len(cold) > 1:
            cold = tuple([offer for name, offer in seats.items() if name not in warm])
        elif len(kept) == len(seats):
            return least
    for offer in cold:
        least = _less(least, _expected_cost(offer, size, 0, now_ms))
    return least


def _less(one: int | None, other: int | None) -> int | None:
    return other if one is None or (other is not None and other < one) else one


def _expected_cost(offer: Offer, size: Size, warm: int, now_ms: int) -> int | None:
    price = offer.at(now_ms).price if offer.later else offer.price
    return pricing.expected_cost(offer.candidate.provider, price, size, warm)


def share_left(option: Option, left: Mapping[str, float]) -> float | None:
    """Of what its accounts' providers give, the share that is left where there is most: an account has as much as the
    tightest of its windows. ``left`` is by circuit; None where nobody knows."""
    most = None
    for offer in option.offers:
        names = offer.circuits.account, offer.circuits.seat
        known = min([left[name] for name in names if name in left], default=None)
        if known is not None and (most is None or known > most):
            most = known
    return most


def _is_alike(one: Offer, other: Offer) -> bool:
    """Whether both cost the same."""
    return (
        one.candidate.provider is other.candidate.provider
        and one.price is other.price
        and one.pricing.history[1:] == other.pricing.history[1:]
    )
