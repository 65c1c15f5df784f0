"""What must hold between the parts of a file: names are unique, targets exist, private addresses are meant.

Works on the raw tree, so that these problems are told together with those of single keys.
"""

from collections.abc import Iterator

from omni_auth.domain import scalars
from omni_auth.domain.combo_rules import model_of, wrong_targets
from omni_auth.domain.document import Tree
from omni_auth.domain.problems import Loc, Problem, suggestion

_IN_STORE = ("team", "user")
_OWNERS = (*_IN_STORE, "key")
Items = Iterator[tuple[Loc, dict[str, Tree]]]


def cross_check(tree: Tree) -> list[Problem]:
    return [
        *repeated(tree), *_clashes(tree), *addresses(tree), *_targets(tree), *_aliases(tree), *_prices(tree),
        *_blocked(tree), *_limited(tree),
    ]  # fmt: skip


def sections(tree: Tree, loc: Loc, key: str) -> Items:
    """The mappings in the list under ``key``, each with its place."""
    listed = tree.get(key) if isinstance(tree, dict) else None
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict):
            yield (*loc, key, index), item


def repeated(tree: Tree) -> Iterator[Problem]:
    """What one file says twice, whatever else there is."""
    yield from _unique(sections(tree, (), "providers"), "id", "provider")
    for loc, provider in sections(tree, (), "providers"):
        yield from _unique(sections(provider, loc, "accounts"), "name", "account of this provider")
        yield from _unique(sections(provider, loc, "models"), "id", "model of this provider")
    yield from _unique(sections(tree, (), "combos"), "name", "combo")
    yield from _unique(sections(tree, (), "keys"), "name", "key")
    yield from _unique(sections(tree, (), "aliases"), "name", "alias")
    yield from _priced_twice(tree)
    yield from _limited_twice(tree)


def _priced_twice(tree: Tree) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for loc, price in sections(tree, (), "prices"):
        provider, model = price.get("provider") or "", price.get("model")
        if not isinstance(provider, str) or not isinstance(model, str):
            continue
        if (provider, model) in seen:
            yield Problem((*loc, "model"), f"another price of '{model}' is here already")
        seen.add((provider, model))


def _limited_twice(tree: Tree) -> Iterator[Problem]:
    seen: set[tuple[str, ...]] = set()
    for loc, limit in sections(tree, (), "limits"):
        named = tuple(str(limit.get(word) or "") for word in (*_OWNERS, "name"))
        if named in seen:
            yield Problem((*loc, "name"), f"another limit of the same keys is called '{named[-1]}' already")
        seen.add(named)


def _limited(tree: Tree) -> Iterator[Problem]:
    """What the gateway's own file says of teams and users, which are in the store, and of keys that it has not."""
    keys = _words(sections(tree, (), "keys"), "name")
    told = "teams and users are not this file's to say; 'omniroute apply' this, or use /api"
    for part in ("limits", "keys"):
        for loc, item in sections(tree, (), part):
            yield from (Problem((*loc, word), told) for word in _IN_STORE if item.get(word) is not None)
    for loc, limit in sections(tree, (), "limits"):
        key = limit.get("key")
        if isinstance(key, str) and key not in keys:
            hint = suggestion(key, keys) or "; limits of a key that was made apart are at /api/limits"
            yield Problem((*loc, "key"), f"there is no key '{key}' in this file{hint}")


def _clashes(tree: Tree) -> Iterator[Problem]:
    providers = _words(sections(tree, (), "providers"), "id")
    for loc, combo in sections(tree, (), "combos"):
        name = combo.get("name")
        if isinstance(name, str) and name in providers:
            yield Problem((*loc, "name"), "a provider has this name already")


def _words(items: Items, key: str) -> set[str]:
    """What is written under ``key``; anything but a text (it may be a list) is for the schema to refuse."""
    return {word for _, item in items if isinstance(word := item.get(key), str)}


def _unique(items: Items, key: str, what: str) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for loc, item in items:
        word = item.get(key)
        if not isinstance(word, str):
            continue
        if word in seen:
            yield Problem((*loc, key), f"another {what} is called '{word}' already ({seen[word]})")
        else:
            seen[word] = f"{loc[-2]}[{loc[-1]}]"


def addresses(tree: Tree) -> Iterator[Problem]:
    """Providers at private addresses that nobody said are meant."""
    for loc, provider in sections(tree, (), "providers"):
        url = provider.get("base_url")
        allowed = scalars.flag_or_none(provider.get("allow_private_address"))
        if isinstance(url, str) and not allowed and scalars.is_private(url):
            yield Problem(
                (*loc, "base_url"), "is a loopback or private address; set allow_private_address: true if it is meant"
            )


def _targets(tree: Tree) -> Iterator[Problem]:
    known = {
        word: _models(provider)
        for _, provider in sections(tree, (), "providers")
        if isinstance(word := provider.get("id"), str)
    }
    providers = {word: each for _, each in sections(tree, (), "providers") if isinstance(word := each.get("id"), str)}
    combos = _words(sections(tree, (), "combos"), "name")
    for loc, combo in sections(tree, (), "combos"):
        targets = combo.get("targets")
        seen: set[str] = set()
        for index, item in enumerate(targets if isinstance(targets, list) else ()):
            place, target = (*loc, "targets", index), model_of(item)
            if not isinstance(target, str):
                continue
            if target in seen:
                yield Problem(place, "is in this combo already")
            elif message := _target_problem(target, known, combos):
                yield Problem(place, message)
            seen.add(target)
        yield from wrong_targets(loc, combo, providers, (price for _, price in sections(tree, (), "prices")))


def _aliases(tree: Tree) -> Iterator[Problem]:
    known = {
        word: _models(provider)
        for _, provider in sections(tree, (), "providers")
        if isinstance(word := provider.get("id"), str)
    }
    combos = _words(sections(tree, (), "combos"), "name")
    for loc, alias in sections(tree, (), "aliases"):
        if (name := alias.get("name")) in combos:
            yield Problem((*loc, "name"), f"a combo is called '{name}' already")
        target = alias.get("target")
        if isinstance(target, str) and target not in combos and (message := _target_problem(target, known, combos)):
            yield Problem((*loc, "target"), f"{message}; an alias stands for a combo or for provider/model")


def _prices(tree: Tree) -> Iterator[Problem]:
    providers = _words(sections(tree, (), "providers"), "id")
    for loc, price in sections(tree, (), "prices"):
        provider = price.get("provider")
        if isinstance(provider, str) and provider and provider not in providers:
            yield Problem((*loc, "provider"), f"there is no provider '{provider}'{suggestion(provider, providers)}")


def _blocked(tree: Tree) -> Iterator[Problem]:
    providers = _words(sections(tree, (), "providers"), "id")
    routing = tree.get("routing") if isinstance(tree, dict) else None
    listed = routing.get("blocked_providers") if isinstance(routing, dict) else None
    for index, provider in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(provider, str) and provider not in providers:
            hint = suggestion(provider, providers) or "; take it off the list"
            yield Problem(("routing", "blocked_providers", index), f"there is no provider '{provider}'{hint}")


def _target_problem(target: str, known: dict[str, set[str] | None], combos: set[str]) -> str:
    provider, slash, model = target.partition("/")
    if not slash or not model or not provider:
        if target in combos:
            return "is a combo; a combo's targets are provider/model"
        return "must be provider/model"
    if provider not in known:
        return f"there is no provider '{provider}'{suggestion(provider, known)}"
    if "*" in model:
        return "must name one model, without '*'"
    models = known[provider]
    if models is not None and "*" not in models and model not in models:
        return f"provider '{provider}' has no model '{model}'{suggestion(model, models)}"
    return ""


def _models(provider: dict[str, Tree]) -> set[str] | None:
    """The ids a provider lists, or None where it lists nothing to check against."""
    if not isinstance(provider.get("models"), list):
        return None
    return _words(sections(provider, (), "models"), "id")
