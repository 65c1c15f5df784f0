"""In which order the targets of a combo, or the accounts of a provider, are tried: one function a strategy.

Theory of operation. A strategy is given the ``Place``\\ s there are to choose among, each with what is known of it at
this moment, and gives back all of them in the order to try: the first is the choice, the rest the fallback. It looks at
nothing else. What chance there is comes from ``Turn.draw``, what the fleet shares (whose turn it is, who was used how
often) comes with the turn and the places, so the same input gives the same order.

Whoever is known to be cooling down goes behind all others, but for fill-first, whose order is the configured one
whatever happens. Where two are equal, the one that is listed first comes first.
"""

from collections.abc import Callable, Sequence

import msgspec

# Seconds below which no one is faster than another.
_A_MOMENT = 0.001
# A number in [0, 1), another one each time.
Draw = Callable[[], float]


class Place(msgspec.Struct, frozen=True):
    """A target or an account as it stands now. None is "not known".

    ``uses`` counts requests of the whole fleet, ``in_flight`` those of this router. ``first_byte`` is what it took to
    answer of late, in seconds (an exponentially weighted mean), ``headroom`` the share of its quota that is left (0 to
    1), ``cost`` what this request would cost there, in nano-USD, ``warm_ago`` the seconds since its prompt cache held
    the beginning of this conversation. ``cooling`` is whether its breaker is known to be open.
    """

    name: str
    weight: int = 1
    uses: int = 0
    in_flight: int = 0
    first_byte: float | None = None
    headroom: float | None = None
    cost: int | None = None
    warm_ago: float | None = None
    cooling: bool = False


class Turn(msgspec.Struct, frozen=True):
    """``cursor`` counts the requests before this one, over the fleet; ``sticky`` is how many in a row go to one."""

    draw: Draw
    cursor: int = 0
    sticky: int = 1


Rule = Callable[[Sequence[Place], Turn], list[Place]]


class Strategy(msgspec.Struct, frozen=True):
    """``rule`` and what it wants to know that is not at hand for nothing: ``cursor`` and ``uses`` are the fleet's,
    ``costs`` takes the request's size, prices and the warm prompt caches, ``sees`` what this router has seen,
    ``quotas`` what the fleet knows to be left of accounts' quotas."""

    rule: Rule
    cursor: bool = False
    uses: bool = False
    costs: bool = False
    sees: bool = False
    quotas: bool = False


def order(strategy: Strategy, places: Sequence[Place], turn: Turn) -> list[Place]:
    """All of ``places``, in the order to try them."""
    if strategy.rule is fill_first:
        return list(places)
    ready = [place for place in places if not place.cooling]
    if len(ready) == len(places):
        return strategy.rule(places, turn)
    cooling = [place for place in places if place.cooling]
    return [*(strategy.rule(ready, turn) if ready else ()), *strategy.rule(cooling, turn)]


# ---- the strategies; none is given an empty list --------------------------------------------------------------------


def fill_first(places: Sequence[Place], turn: Turn) -> list[Place]:
    """As listed. The next only gets what the one before it could not do."""
    return list(places)


def round_robin(places: Sequence[Place], turn: Turn) -> list[Place]:
    """In turn, ``sticky`` requests each, and round from there."""
    start = turn.cursor // turn.sticky % len(places)
    return [*places[start:], *places[:start]]


def weighted(places: Sequence[Place], turn: Turn) -> list[Place]:
    """The first by chance, each as likely as its weight is of all weights (or all alike, where all are 0); then the
    heaviest of the rest before the lighter."""
    weights = [place.weight for place in places]
    if not any(weights):
        weights = [1] * len(places)
    at, left = 0, turn.draw() * sum(weights)
    for at, weight in enumerate(weights):  # noqa: B007 - it is what is looked for
        left -= weight
        if left < 0:
            break
    rest = [place for index, place in enumerate(places) if index != at]
    return [places[at], *sorted(rest, key=lambda place: -place.weight)]


def random(places: Sequence[Place], turn: Turn) -> list[Place]:
    """Any order, all of them alike likely (Fisher and Yates' shuffle)."""
    shuffled = list(places)
    for last in range(len(shuffled) - 1, 0, -1):
        other = _below(last + 1, turn.draw)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    return shuffled


def p2c(places: Sequence[Place], turn: Turn) -> list[Place]:
    """The power of two choices: of two drawn by chance the one with less to do, so that no crowd forms on the very
    best. Less to do is fewer requests under way, each weighed with the time that it takes there. Up to half as slow
    again as the fastest is alike: else a hair's breadth would leave the slowest with nothing."""
    if len(places) < 2:
        return list(places)
    one, other = _below(len(places), turn.draw), _below(len(places) - 1, turn.draw)
    other += other >= one
    fastest = min((place.first_byte for place in places if place.first_byte is not None), default=0.0)
    alike = max(1.5 * fastest, _A_MOMENT)

    def load(index: int) -> float:
        place = places[index]
        return (place.in_flight + 1) * max(alike, place.first_byte or 0.0)

    if load(other) < load(one):
        one, other = other, one
    rest = [place for index, place in enumerate(places) if index not in (one, other)]
    return [places[one], places[other], *rest]


def least_used(places: Sequence[Place], turn: Turn) -> list[Place]:
    """By the number of requests that went there."""
    return sorted(places, key=lambda place: place.uses)


def cost_optimized(places: Sequence[Place], turn: Turn) -> list[Place]:
    """By what this very request is expected to cost; last, where nobody knows."""
    return sorted(places, key=_cost)


def lowest_latency(places: Sequence[Place], turn: Turn) -> list[Place]:
    """By the time to the first byte. One that has not been measured goes first, but for one request at a time: the
    others do not wait behind an experiment."""
    known = sorted((place for place in places if place.first_byte is not None), key=lambda place: place.first_byte or 0)
    unknown = [place for place in places if place.first_byte is None]
    idle = [place for place in unknown if not place.in_flight]
    tried = sorted((place for place in unknown if place.in_flight), key=lambda place: place.in_flight)
    return [*random(idle, turn), *known, *tried]


def usage_headroom(places: Sequence[Place], turn: Turn) -> list[Place]:
    """By the share of its quota that is left; one of which nothing is known has not used anything up yet. Of equal ones
    that with fewer requests under way."""
    return sorted(places, key=lambda place: (-(1.0 if place.headroom is None else place.headroom), place.in_flight))


def cache_affinity(places: Sequence[Place], turn: Turn) -> list[Place]:
    """Where this conversation was last, as its prompt cache is warm there, unless another costs less even so; as listed
    where it was nowhere yet."""
    warm = [place for place in places if place.warm_ago is not None]
    if not warm:
        return list(places)
    home = min(warm, key=lambda place: place.warm_ago or 0.0)
    cheaper = [place for place in cost_optimized(places, turn) if _cost(place) < _cost(home)] if home.cost else []
    behind = [place for place in places if place is not home and not any(place is each for each in cheaper)]
    return [*cheaper, home, *behind]


FILL_FIRST = Strategy(fill_first)
# By the names that the configuration has for them (``omni_catalogue.snapshot.STRATEGIES``).
STRATEGIES = {
    "fill-first": FILL_FIRST,
    "round-robin": Strategy(round_robin, cursor=True),
    "weighted": Strategy(weighted),
    "random": Strategy(random),
    "p2c": Strategy(p2c, sees=True),
    "least-used": Strategy(least_used, uses=True, sees=True),
    "cost-optimized": Strategy(cost_optimized, costs=True),
    "lowest-latency": Strategy(lowest_latency, sees=True),
    "usage-headroom": Strategy(usage_headroom, sees=True, quotas=True),
    "cache-affinity": Strategy(cache_affinity, costs=True),
}


_NAMES = {each.rule: name for name, each in STRATEGIES.items()}


def name_of(strategy: Strategy) -> str:
    return _NAMES[strategy.rule]


def strategy(name: str) -> Strategy:
    """One of a later version's configuration, which this one does not know, is fill-first."""
    return STRATEGIES.get(name, FILL_FIRST)


# ---- small things ---------------------------------------------------------------------------------------------------


def _below(count: int, draw: Draw) -> int:
    return min(int(draw() * count), count - 1)


def _cost(place: Place) -> float:
    return float("inf") if place.cost is None else place.cost
