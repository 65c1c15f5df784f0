"""What is in force: a configuration file and the store as one configuration, with the secrets of both."""

from collections.abc import Callable, Collection, Mapping

import msgspec

from omni_auth.domain import merging
from omni_auth.domain.configuration import Configuration
from omni_auth.domain.document import Tree
from omni_auth.domain.entities import KINDS, Entity
from omni_auth.domain.merging import Merged, StoreProblem
from omni_auth.domain.objects import SETTINGS, Held, Named
from omni_auth.domain.problems import ConfigErrors, Loc, dotted
from omni_auth.domain.schema import Config
from omni_auth.domain.secrecy import SecretUnreadable, fitting
from omni_auth.domain.sections.base import SecretSource

# The secret of the store's account or proxy of that name, or one of its settings. Raises ``SecretUnreadable``.
Fetch = Callable[[Named, SecretSource], str]


class Misfit(Exception):
    """The store's objects do not make a configuration together with the file. ``problems`` are theirs, ``of_file`` are
    lines about the file's."""

    def __init__(self, problems: Collection[StoreProblem], of_file: Collection[str] = ()) -> None:
        self.problems, self.of_file = tuple(problems), tuple(of_file)
        super().__init__("\n".join([*map(str, self.problems), *self.of_file]))


def combine(file: Configuration, held: Held, fetch: Fetch) -> Configuration:
    """Raises ``Misfit``."""
    merged = merging.merge(file.tree, held)
    config, of_file, of_store = merging.problems(merged)
    secrets, missing = _secrets(file, merged, fetch)
    if config is None or of_file or of_store or missing:
        told = [f"{file.filename or 'configuration'}: {dotted(one.loc)}: {one.message}" for one in of_file]
        raise Misfit([*of_store, *missing], told)
    aside = tuple(
        f"{file.filename}: {kind}/{name}: is managed by the API now and left aside here; take it out of the file"
        for kind, name in merged.aside
    )
    return msgspec.structs.replace(
        file, config=config, secrets=secrets, warnings=(*file.warnings, *aside), tree=merged.tree
    )


def usable(file: Configuration, held: Held, fetch: Fetch) -> tuple[Configuration, tuple[str, ...]]:
    """As ``combine``, but what of the store does not fit any more (a variable is gone, a file changed) is left out,
    with a line for each: the rest goes on. Raises ``ConfigErrors`` where it is the file that does not fit."""
    told: list[str] = []
    all_of_it = held
    while True:
        try:
            found = combine(file, held, fetch)
            return msgspec.structs.replace(found, unfit=_unfit(all_of_it, found.config)), tuple(told)
        except Misfit as error:
            left = _without(held, error.problems)
            if left is None:
                raise ConfigErrors(str(error).splitlines()) from None
            held = left
            told.extend(f"left out: {problem}" for problem in error.problems)


def _unfit(held: Held, config: Config) -> tuple[Named, ...]:
    """What the store has and ``config`` has not, of what is asked for by name: the name is nobody else's for that."""
    there = {("providers", provider.id) for provider in config.providers}
    there |= {("combos", combo.name) for combo in config.combos} | {("aliases", alias.name) for alias in config.aliases}
    kinds = ("providers", "combos", "aliases")
    return tuple(named for named, _ in held.items() if named[0] in kinds and named not in there)


def _without(held: Held, problems: Collection[StoreProblem]) -> Held | None:
    """Without what the problems are about, and what belongs to it; None where that changes nothing. Of settings only
    what does not fit goes: were they gone as a whole, a gateway could be open that was closed."""
    found = [entity for problem in problems if (entity := held.get(*problem.named)) is not None]
    gone = [entity for entity in found if entity.kind not in (SETTINGS, "proxies")]
    gone += [user for entity in gone for user in held.users(entity)]
    put = [_closed(entity) for entity in found if entity.kind == "proxies" and entity != _closed(entity)]
    if (settings := held.get(SETTINGS, SETTINGS)) in found and settings is not None:
        less = _less(settings.document, [one.loc for one in problems if one.named == (SETTINGS, SETTINGS)])
        put += [msgspec.structs.replace(settings, document=less)] if less != settings.document else []
    return held.changed(put=put, gone=gone) if gone or put else None


def _closed(proxy: Entity) -> Entity:
    """In the place of a proxy that cannot be had: were it gone, who names it could be without one."""
    return msgspec.structs.replace(proxy, document={"name": proxy.name, "url": "http://left-out.invalid:9"})


def _less(document: Mapping[str, Tree], places: Collection[Loc]) -> dict[str, Tree]:
    """Without what stands at the places."""
    kept = {key: item for key, item in document.items() if (key,) not in places}
    return {key: _item_less(item, [loc[1:] for loc in places if loc[:1] == (key,)]) for key, item in kept.items()}


def _item_less(item: Tree, places: Collection[Loc]) -> Tree:
    if isinstance(item, dict):
        return _less(item, places)
    if isinstance(item, list):
        kept = [(index, one) for index, one in enumerate(item) if (index,) not in places]
        return [_item_less(one, [loc[1:] for loc in places if loc[:1] == (index,)]) for index, one in kept]
    return item


def _secrets(file: Configuration, merged: Merged, fetch: Fetch) -> tuple[dict[Loc, str], list[StoreProblem]]:
    kept = {
        (part, original): index
        for part in ("proxies", "providers")
        for index, original in enumerate(merged.kept.get(part, ()))
    }
    secrets: dict[Loc, str] = {}
    for loc, secret in file.secrets.items():
        if loc[:2] in merged.settings:
            continue
        if loc[0] not in ("proxies", "providers"):
            secrets[loc] = secret
        elif (at := (str(loc[0]), int(loc[1]))) in kept:
            secrets[loc[0], kept[at], *loc[2:]] = secret
    missing = []
    for place, (whose, source) in merging.sealed(merged).items():
        try:
            secrets[place] = fitting(place, fetch(whose, source))
        except SecretUnreadable as error:
            # Of the settings what the secret is of goes as a whole: nothing there can be without it.
            field = (KINDS[whose[0]].secret,) if whose[0] != SETTINGS else place[:-1]
            missing.append(StoreProblem(whose, field, str(error)))
    return secrets, missing
