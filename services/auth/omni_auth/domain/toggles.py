"""What is switched off or blocked, taken out of what is published: a router is told of what is on, and of the rest by
name alone. So one of an earlier version uses nothing that is off either.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec
from omni_catalogue.snapshot import Combo, Node, Off, Provider, leaves
from omni_catalogue.wildcards import is_wildcard

from omni_auth.domain.objects import Named
from omni_auth.domain.schema import Config


def only_on(
    config: Config, providers: Iterable[Provider], combos: Iterable[Combo], unfit: Iterable[Named] = ()
) -> tuple[tuple[Provider, ...], tuple[Combo, ...], Off]:
    """``providers`` and ``combos`` (aliases among them) are all that ``config`` was compiled to; ``unfit`` is what
    of the store had to be left out of it: what cannot be had is as good as off."""
    unfit = tuple(unfit)
    found = tuple(providers)
    accounts = _accounts_off(config)
    on = tuple(
        msgspec.structs.replace(provider, accounts=left)
        for provider in found
        if (left := tuple(account for account in provider.accounts if account.id not in accounts))
    )
    ids = {provider.id for provider in on}
    off = [provider for provider in found if provider.id not in ids]
    switched = {combo.name for combo in config.combos if not combo.enabled}
    inner = frozenset(switched)
    switched |= {alias.name for alias in config.aliases if alias.target in switched and not is_wildcard(alias.name)}
    left_combos, idle = [], []
    for combo in combos:
        if combo.name in switched:
            continue
        nodes = tuple(_on(combo.nodes, inner, ids))
        targets = leaves(nodes) if combo.nodes else tuple(filter(_of(ids), combo.targets))
        if targets:
            left_combos.append(msgspec.structs.replace(combo, targets=targets, nodes=nodes))
        else:
            idle.append(combo.name)
    taken = {combo.name for combo in left_combos}  # by the file, which has one of that name as well
    idle += [name for kind, name in unfit if kind != "providers" and name not in taken]
    models = tuple(f"{provider.id}/{model.id}" for provider in off for model in provider.models)
    models += tuple(f"{name}/*" for kind, name in unfit if kind == "providers" and name not in ids)
    return on, tuple(left_combos), Off(models=models, combos=tuple(sorted(switched)), idle=tuple(idle))


def _of(providers: Collection[str]) -> Callable[[str], bool]:
    return lambda target: target.partition("/")[0] in providers


def _on(nodes: Iterable[Node], switched: Collection[str], providers: Collection[str]) -> Iterator[Node]:
    """What stands in a combo without what is off, and without combos of which nothing is left."""
    for node in nodes:
        if not node.nodes:
            if _of(providers)(node.name):
                yield node
        elif node.name not in switched and (left := tuple(_on(node.nodes, switched, providers))):
            yield msgspec.structs.replace(node, nodes=left)


def _accounts_off(config: Config) -> frozenset[str]:
    blocked = config.routing.blocked_providers
    return frozenset(
        f"{provider.id}/{account.name}"
        for provider in config.providers
        for account in provider.accounts
        if not (provider.enabled and account.enabled) or provider.id in blocked
    )
