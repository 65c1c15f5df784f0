"""What must hold for a combo besides its targets being there: combos in it that come to an end, targets that cost
nothing where all is to be free, and some that have the tags it asks for. Works on the raw tree, as ``rules`` does."""

from collections.abc import Iterable, Iterator

import msgspec
from omni_catalogue.snapshot import TIERS

from omni_auth.domain import scalars
from omni_auth.domain.naming import Mapped, Names, items, mappings, model_of
from omni_auth.domain.problems import Loc, Problem, suggestion
from omni_auth.domain.sections.prices import RatesSection

MAX_DEPTH = 3  # combos, the outermost counted in
MAX_TARGETS = 1000  # of a combo that has others in it, theirs counted in


class Leaf(msgspec.Struct, frozen=True):
    """A target with its place in the combo that is looked at, its own tags and those of all around it. ``at`` tells
    where it is, "" for a target of that combo itself."""

    loc: Loc
    at: str
    provider: Mapped
    model: str
    tags: frozenset[str]
    used: bool


class ComboRules:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._inner = {name: list(self._combos_in(combo)) for name, combo in names.combos.items()}
        self._sizes = self._measured()

    def problems(self, loc: Loc, combo: Mapped) -> Iterator[Problem]:
        """What names nothing that is there is for others to tell."""
        found = list(self._nesting(loc, combo))
        yield from found
        if found or any(inner not in self._sizes for inner in self._combos_in(combo)):
            return
        leaves = list(self._leaves(combo, loc, "", frozenset(), frozenset()))
        if scalars.flag_or_none(combo.get("free_only")):
            for leaf in leaves:
                if why := _paid(leaf.provider, leaf.model, self._names.prices):
                    yield Problem(leaf.loc, f"{leaf.at}{why}")
        yield from _untagged(loc, combo, leaves)

    # ---- combos in combos -------------------------------------------------------------------------------------------

    def _combos_in(self, combo: Mapped) -> Iterator[str]:
        for target in items(combo, "targets"):
            named = model_of(target)
            if isinstance(named, str) and named in self._names.combos:
                yield named

    def _measured(self) -> dict[str, tuple[int, int]]:
        """How many combos deep each is, and how many targets it comes to; without those that have a circle in them. The
        innermost come first, so that none is looked at twice."""
        outer: dict[str, list[str]] = {name: [] for name in self._inner}
        open_in = {}
        for name, inner in self._inner.items():
            open_in[name] = len(inner)
            for each in inner:
                outer[each].append(name)
        found: dict[str, tuple[int, int]] = {}
        ready = [name for name, count in open_in.items() if not count]
        for name in ready:
            sizes = [found[each] for each in self._inner[name]]
            own = len(items(self._names.combos[name], "targets")) - len(sizes)
            found[name] = 1 + max((deep for deep, _ in sizes), default=0), own + sum(size for _, size in sizes)
            for each in outer[name]:
                open_in[each] -= 1
                if not open_in[each]:
                    ready.append(each)
        return found

    def _nesting(self, loc: Loc, combo: Mapped) -> Iterator[Problem]:
        name = str(combo.get("name"))
        for index, target in enumerate(items(combo, "targets")):
            inner = model_of(target)
            if not isinstance(inner, str) or inner not in self._inner:
                continue
            place = (*loc, "targets", index)
            if inner not in self._sizes:
                if circle := self._way(inner, name):
                    told = " → ".join(_short((name, *circle)))
                    yield Problem(place, f"goes round in a circle: {told}; take one of them out")
                continue
            depth, size = self._sizes[inner]
            if depth >= MAX_DEPTH:
                told = " → ".join((name, *self._deepest(inner)))
                yield Problem(place, f"puts combos {depth + 1} deep: {told}; at most {MAX_DEPTH} may be")
            elif size > MAX_TARGETS:
                told = f"comes to {size} targets with those of the combos in it; at most {MAX_TARGETS} may be"
                yield Problem(place, told)

    def _way(self, start: str, goal: str) -> tuple[str, ...]:
        """Through which combos one is in another, the shortest way; empty where it is not."""
        came = {start: ""}
        left = [start]
        for name in left:
            if name == goal:
                way = [name]
                while came[way[0]]:
                    way.insert(0, came[way[0]])
                return tuple(way)
            for inner in self._inner[name]:
                if inner not in came and inner not in self._sizes:
                    came[inner] = name
                    left.append(inner)
        return ()

    def _deepest(self, name: str) -> tuple[str, ...]:
        """The way down, as far as it may go and one further."""
        way = [name]
        while len(way) < MAX_DEPTH and (inner := self._inner[way[-1]]):
            way.append(max(inner, key=lambda each: self._sizes[each][0]))
        return tuple(way)

    # ---- targets ----------------------------------------------------------------------------------------------------

    def _leaves(
        self, combo: Mapped, loc: Loc, at: str, around: frozenset[str], wanted: frozenset[str]
    ) -> Iterator[Leaf]:
        """``around`` are the tags of the targets that a combo stands for, ``wanted`` what combos in the one that is
        looked at ask for."""
        for index, target in enumerate(items(combo, "targets")):
            named = model_of(target)
            if not isinstance(named, str):
                continue
            place = loc if at else (*loc, "targets", index)
            own = _tags(target)
            if named in self._names.combos:
                inner = self._names.combos[named]
                asked = (wanted - own) | frozenset(tag for tag in items(inner, "require_tags") if isinstance(tag, str))
                yield from self._leaves(inner, place, at or f"in '{named}': ", around | own, asked)
                continue
            for provider, model in self._names.spread(named):
                tags = own | _tags(provider)
                told = at if named.endswith(f"/{model}") and not at else f"{at}'{provider['id']}/{model}' "
                yield Leaf(place, told, provider, model, around | tags, wanted <= tags)


def _short(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) <= 2 * MAX_DEPTH else (*names[:MAX_DEPTH], "…", *names[-MAX_DEPTH:])


_RATES = tuple(RatesSection.model_fields)


def _paid(provider: Mapped, model: str, prices: Iterable[Mapped]) -> str:
    tier = provider.get("tier") or "api_key"
    if tier in TIERS and tier != "free":
        told = f"costs: the tier of '{provider['id']}' is {tier}, and this combo is free_only"
        return f"{told}; take it out, or say tier: free there"
    price = _price(provider, model, prices)
    if any(scalars.number_or_none(each.get(key)) for each in _every(price) for key in _RATES):
        return "costs: it has a price, and this combo is free_only; take it out, or make the price 0"
    return ""


def _every(price: Mapped) -> Iterator[Mapped]:
    """The price, and all that may be paid instead of it."""
    yield price
    for key in ("above", "changes", "overrides"):
        for each in mappings(price, key):
            yield from _every(each)


def _price(provider: Mapped, model: str, prices: Iterable[Mapped]) -> Mapped:
    """As ``compilation`` finds it; empty where there is none."""
    here: dict[str, Mapped] = {}
    anywhere: dict[str, Mapped] = {}
    for price in prices:
        owner, named = price.get("provider"), price.get("model")
        if isinstance(named, str) and owner in (None, provider["id"]):
            (anywhere if owner is None else here)[named] = price
    listed = {named: each for each in mappings(provider, "models") if isinstance(named := each.get("id"), str)}
    if model not in listed and model not in here:
        model = "*"
    own = listed.get(model, {}).get("price")
    return here.get(model) or anywhere.get(model) or (own if isinstance(own, dict) else {})


def _untagged(loc: Loc, combo: Mapped, leaves: list[Leaf]) -> Iterator[Problem]:
    wanted = [tag for tag in items(combo, "require_tags") if isinstance(tag, str)]
    tagged = [leaf.tags for leaf in leaves if leaf.used]
    known = {tag for tags in tagged for tag in tags}
    missing = [(index, tag) for index, tag in enumerate(wanted) if tag not in known]
    for index, tag in missing:
        told = f"no target of this combo has the tag '{tag}'{suggestion(tag, known)}"
        yield Problem((*loc, "require_tags", index), f"{told}; tags are those of the target and of its provider")
    if wanted and tagged and not missing and not any(tags.issuperset(wanted) for tags in tagged):
        yield Problem((*loc, "require_tags"), "no target of this combo has all of these tags")
    if leaves and not tagged:
        yield Problem((*loc, "targets"), "no target is left of what the combos in it take by their require_tags")


def _tags(section: object) -> frozenset[str]:
    found = items(section, "tags") if isinstance(section, dict) else []
    return frozenset(tag for tag in found if isinstance(tag, str))
