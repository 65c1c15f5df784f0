"""What must hold between the parts of a file: names are unique, targets exist, private addresses are meant.

Works on the raw tree, so that these problems are told together with those of single keys.
"""

from collections.abc import Iterator

from omni_catalogue.snapshot import LOCAL_EMBEDDINGS, UPSTREAM

from omni_auth.domain import scalars
from omni_auth.domain.combo_rules import ComboRules
from omni_auth.domain.document import Tree
from omni_auth.domain.hedge_rules import late_hedges
from omni_auth.domain.naming import Names, items, model_of
from omni_auth.domain.problems import Loc, Problem, suggestion
from omni_auth.domain.sections.limits import LIMITED
from omni_auth.domain.sections.outbound import NO_PROXY

_IN_STORE = ("team", "user")
_OWNERS = (*_IN_STORE, "key")
Items = Iterator[tuple[Loc, dict[str, Tree]]]


def cross_check(tree: Tree) -> list[Problem]:
    names = Names(tree)
    return [
        *repeated(tree), *_clashes(tree), *addresses(tree), *_targets(tree, names), *_aliases(tree, names),
        *_aka(tree, names), *_prices(tree), *_blocked(tree), *_limited(tree, names), *_embeddings(tree, names),
        *late_hedges(tree), *proxy_addresses(tree), *_proxied(tree), *_kept(tree), *webhooks(tree),
    ]  # fmt: skip


def sections(tree: Tree, loc: Loc, key: str) -> Items:
    """The mappings in the list under ``key``, each with its place."""
    listed = tree.get(key) if isinstance(tree, dict) else None
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict):
            yield (*loc, key, index), item


def repeated(tree: Tree) -> Iterator[Problem]:
    """What one file says twice, whatever else there is."""
    yield from _unique(sections(tree, (), "proxies"), "name", "proxy")
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
        named = tuple(str(limit.get(word) or "") for word in (*_OWNERS, *LIMITED, "name"))
        if named in seen:
            yield Problem((*loc, "name"), f"another limit of the same keys is called '{named[-1]}' already")
        seen.add(named)


def _limited(tree: Tree, names: Names) -> Iterator[Problem]:
    """What the gateway's own file says of teams and users, which are in the store, and limits of keys, providers,
    accounts and models that are not there."""
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
        for word in UPSTREAM:
            owner = limit.get(word)
            if isinstance(owner, str) and (message := names.limited_problem(word, owner)):
                yield Problem((*loc, word), message)


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


def proxy_addresses(tree: Tree) -> Iterator[Problem]:
    """As ``addresses``, of proxies."""
    for loc, proxy in sections(tree, (), "proxies"):
        url, allowed = proxy.get("url"), scalars.flag_or_none(proxy.get("allow_private_address"))
        if isinstance(url, str) and not allowed and scalars.is_private(url):
            yield Problem(
                (*loc, "url"), "is a loopback or private address; set allow_private_address: true if it is meant"
            )


def webhooks(tree: Tree) -> Iterator[Problem]:
    """As ``addresses``, of webhooks, and those that are called alike."""
    notify = tree.get("notify") if isinstance(tree, dict) else None
    yield from _unique(sections(notify, ("notify",), "webhooks"), "name", "webhook")
    for loc, webhook in sections(notify, ("notify",), "webhooks"):
        url, allowed = webhook.get("url"), scalars.flag_or_none(webhook.get("allow_private_address"))
        if isinstance(url, str) and not allowed and scalars.is_private(url):
            yield Problem(
                (*loc, "url"), "is a loopback or private address; set allow_private_address: true if it is meant"
            )


def _proxied(tree: Tree) -> Iterator[Problem]:
    """Proxies that are named and not there."""
    known = _words(sections(tree, (), "proxies"), "name")
    outbound = tree.get("outbound") if isinstance(tree, dict) else None
    named: list[tuple[Loc, Tree]] = []
    if isinstance(outbound, dict):
        named.append((("outbound", "proxy"), outbound.get("proxy")))
    for loc, provider in sections(tree, (), "providers"):
        named.append(((*loc, "proxy"), provider.get("proxy")))
        named += [((*at, "proxy"), each.get("proxy")) for at, each in sections(provider, loc, "accounts")]
    for loc, word in named:
        if isinstance(word, str) and word != NO_PROXY and word not in known:
            yield Problem(loc, f"there is no proxy '{word}'{suggestion(word, known)}")


def _targets(tree: Tree, names: Names) -> Iterator[Problem]:
    combos = ComboRules(names)
    for loc, combo in sections(tree, (), "combos"):
        seen: set[str] = set()
        for index, item in enumerate(items(combo, "targets")):
            place, target = (*loc, "targets", index), model_of(item)
            if not isinstance(target, str):
                continue
            if target in seen:
                yield Problem(place, "is in this combo already")
            elif message := names.target_problem(target):
                yield Problem(place, message)
            seen.add(target)
        yield from combos.problems(loc, combo)


def _aliases(tree: Tree, names: Names) -> Iterator[Problem]:
    for loc, alias in sections(tree, (), "aliases"):
        name, target = alias.get("name"), alias.get("target")
        if isinstance(name, str) and name in names.combos:
            yield Problem((*loc, "name"), f"a combo is called '{name}' already")
        if isinstance(target, str) and (message := names.alias_problem(str(name), target)):
            yield Problem((*loc, "target"), message)


def _aka(tree: Tree, names: Names) -> Iterator[Problem]:
    """Further names of providers that are somebody else's, so that nobody could say whose a model is meant."""
    seen: dict[str, str] = {}
    for loc, provider in sections(tree, (), "providers"):
        for index, word in enumerate(items(provider, "aka")):
            place = (*loc, "aka", index)
            if not isinstance(word, str):
                continue
            if word in names.providers:
                yield Problem(place, "is the id of a provider")
            elif word in seen:
                yield Problem(place, f"the provider '{seen[word]}' goes by it already")
            elif word in names.combos or word in names.aliases:
                yield Problem(place, f"{'a combo' if word in names.combos else 'an alias'} has this name already")
            seen.setdefault(word, str(provider.get("id")))


def _prices(tree: Tree) -> Iterator[Problem]:
    providers = _words(sections(tree, (), "providers"), "id")
    for loc, price in sections(tree, (), "prices"):
        provider = price.get("provider")
        if isinstance(provider, str) and provider and provider not in providers:
            yield Problem((*loc, "provider"), f"there is no provider '{provider}'{suggestion(provider, providers)}")
        yield from _overridden(tree, loc, price, provider if isinstance(provider, str) else "")
    for loc, owner in sections(tree, (), "providers"):
        for place, model in sections(owner, loc, "models"):
            if isinstance(listed := model.get("price"), dict):
                yield from _overridden(tree, (*place, "price"), listed, str(owner.get("id") or ""))


def _overridden(tree: Tree, loc: Loc, price: dict[str, Tree], provider: str) -> Iterator[Problem]:
    """Accounts that are not there, or are those of another provider than the price is of."""
    known = [
        f"{owner.get('id')}/{account.get('name')}"
        for _, owner in sections(tree, (), "providers")
        for _, account in sections(owner, (), "accounts")
        if provider in ("", owner.get("id"))
    ]
    for place, terms in sections(price, loc, "overrides"):
        account = terms.get("account")
        if isinstance(account, str) and account and account not in known:
            of = f" of provider '{provider}'" if provider else ""
            yield Problem((*place, "account"), f"there is no account '{account}'{of}{suggestion(account, known)}")


_EMBED = ("openai.chat", "openai.responses")


def _embeddings(tree: Tree, names: Names) -> Iterator[Problem]:
    """Whose vectors the semantic cache goes by."""
    said = tree
    loc = ("routing", "cache", "semantic", "embeddings")
    for key in loc:
        said = said.get(key) if isinstance(said, dict) else None
    if not isinstance(said, str) or said == LOCAL_EMBEDDINGS:
        return
    if message := names.model_problem(said):
        yield Problem(loc, message if "/" in said else f"{message}, or local for the one that is installed here")
        return
    provider = names.provider(said.partition("/")[0]) or {}
    if provider.get("format") not in _EMBED:
        told = f"provider '{provider.get('id')}' speaks {provider.get('format')}, which has no /embeddings"
        yield Problem(loc, f"{told}; name a model of one that speaks {' or '.join(_EMBED)}")


def _kept(tree: Tree) -> Iterator[Problem]:
    """Providers and combos whose bodies are kept. A key that is not there may have been revoked, or come yet."""
    bodies = tree.get("bodies") if isinstance(tree, dict) else None
    for part, label, word in (("providers", "id", "provider"), ("combos", "name", "combo")):
        known = _words(sections(tree, (), part), label)
        listed = bodies.get(part) if isinstance(bodies, dict) else None
        for index, name in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(name, str) and name not in known:
                hint = suggestion(name, known) or "; take it off the list"
                yield Problem(("bodies", part, index), f"there is no {word} '{name}'{hint}")


def _blocked(tree: Tree) -> Iterator[Problem]:
    providers = _words(sections(tree, (), "providers"), "id")
    routing = tree.get("routing") if isinstance(tree, dict) else None
    listed = routing.get("blocked_providers") if isinstance(routing, dict) else None
    for index, provider in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(provider, str) and provider not in providers:
            hint = suggestion(provider, providers) or "; take it off the list"
            yield Problem(("routing", "blocked_providers", index), f"there is no provider '{provider}'{hint}")
