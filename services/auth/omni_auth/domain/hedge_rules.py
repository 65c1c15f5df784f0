"""A second attempt that would come when the first is given up anyhow. Works on the raw tree, as ``rules`` does."""

from collections.abc import Iterator

from omni_auth.domain import scalars
from omni_auth.domain.document import Tree
from omni_auth.domain.naming import Mapped, items
from omni_auth.domain.problems import Loc, Problem

_FIRST_BYTE = 120.0  # seconds, where nobody says


def late_hedges(tree: Tree) -> Iterator[Problem]:
    """Where a place says when a second is asked, and the ``first_byte`` in force there is no longer."""
    if not isinstance(tree, dict):
        return
    everywhere = _mapping(tree.get("routing"))
    for_all = _first_byte(everywhere) or _FIRST_BYTE
    yield from _late(("routing",), everywhere, for_all)
    own = []
    for index, provider in enumerate(map(_mapping, items(tree, "providers"))):
        own.append(_first_byte(provider) or for_all)
        yield from _late(("providers", index), provider, own[-1])
    for index, combo in enumerate(map(_mapping, items(tree, "combos"))):
        yield from _late(("combos", index), combo, _first_byte(combo) or max(own, default=for_all))


def _late(loc: Loc, place: Mapped, first_byte: float) -> Iterator[Problem]:
    hedge = _mapping(place.get("hedge"))
    for word in ("after", "least"):
        seconds = scalars.number_or_none(hedge.get(word))
        if seconds is not None and seconds >= first_byte:
            told = f"is not before the {first_byte:g} s of timeouts.first_byte, when the next is asked in any case"
            yield Problem((*loc, "hedge", word), f"{told}; say less")


def _first_byte(place: Mapped) -> float | None:
    return scalars.number_or_none(_mapping(place.get("timeouts")).get("first_byte"))


def _mapping(value: Tree) -> Mapped:
    return value if isinstance(value, dict) else {}
