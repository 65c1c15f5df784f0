"""What must hold for the targets of a combo besides their being there: that none costs where all is to be free, and
that some have the tags it asks for. Works on the raw tree, as ``rules`` does."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from omni_catalogue.snapshot import TIERS

from omni_auth.domain import scalars
from omni_auth.domain.document import Tree
from omni_auth.domain.problems import Loc, Problem, suggestion

Mapped: TypeAlias = "dict[str, Tree]"


def model_of(target: Tree) -> Tree:
    """A target's "provider/model", which may stand by itself."""
    return target.get("model") if isinstance(target, dict) else target


def wrong_targets(
    loc: Loc, combo: Mapped, providers: Mapping[str, Mapped], prices: Iterable[Mapped]
) -> Iterator[Problem]:
    """``providers`` are by id. What is no target, or one of a provider that is not there, is for others to tell."""
    found: list[tuple[Loc, Tree, Mapped, str]] = []
    for index, target in enumerate(_items(combo, "targets")):
        named = model_of(target)
        provider, _, model = named.partition("/") if isinstance(named, str) else ("", "", "")
        if provider in providers and model:
            found.append(((*loc, "targets", index), target, providers[provider], model))
    if scalars.flag_or_none(combo.get("free_only")):
        listed = list(prices)
        for place, _, provider_section, model in found:
            if why := _paid(provider_section, model, listed):
                yield Problem(place, why)
    yield from _untagged(loc, combo, [_tags(provider) | _tags(target) for _, target, provider, _ in found])


def _paid(provider: Mapped, model: str, prices: Iterable[Mapped]) -> str:
    tier = provider.get("tier") or "api_key"
    if tier in TIERS and tier != "free":
        told = f"costs: the tier of '{provider['id']}' is {tier}, and this combo is free_only"
        return f"{told}; take it out, or say tier: free there"
    price = _price(provider, model, prices)
    if any(scalars.number_or_none(price.get(key)) for key in ("input", "output", "cached_input", "cache_write")):
        return "costs: it has a price, and this combo is free_only; take it out, or make the price 0"
    return ""


def _price(provider: Mapped, model: str, prices: Iterable[Mapped]) -> Mapped:
    """As ``compilation`` finds it; empty where there is none."""
    here: dict[str, Mapped] = {}
    anywhere: dict[str, Mapped] = {}
    for price in prices:
        owner, named = price.get("provider"), price.get("model")
        if isinstance(named, str) and owner in (None, provider["id"]):
            (anywhere if owner is None else here)[named] = price
    listed = {named: each for each in _mappings(provider, "models") if isinstance(named := each.get("id"), str)}
    if model not in listed and model not in here:
        model = "*"
    own = listed.get(model, {}).get("price")
    return here.get(model) or anywhere.get(model) or (own if isinstance(own, dict) else {})


def _untagged(loc: Loc, combo: Mapped, tagged: list[set[str]]) -> Iterator[Problem]:
    wanted = [tag for tag in _items(combo, "require_tags") if isinstance(tag, str)]
    known = {tag for tags in tagged for tag in tags}
    missing = [(index, tag) for index, tag in enumerate(wanted) if tag not in known]
    for index, tag in missing:
        told = f"no target of this combo has the tag '{tag}'{suggestion(tag, known)}"
        yield Problem((*loc, "require_tags", index), f"{told}; tags are those of the target and of its provider")
    if wanted and tagged and not missing and not any(tags.issuperset(wanted) for tags in tagged):
        yield Problem((*loc, "require_tags"), "no target of this combo has all of these tags")


def _tags(section: Tree) -> set[str]:
    return {tag for tag in _items(section, "tags") if isinstance(tag, str)} if isinstance(section, dict) else set()


def _items(section: Mapped, key: str) -> list[Tree]:
    listed = section.get(key)
    return listed if isinstance(listed, list) else []


def _mappings(section: Mapped, key: str) -> list[dict[str, Tree]]:
    return [item for item in _items(section, key) if isinstance(item, dict)]
