"""The configuration file and the store as one configuration, but for the store's limits, which are not the platform's
alone.

What the store has under some name stands for what the file says under it, which is then left aside and told. The file's
order is kept; what only the store has comes after it, oldest first.
"""

import msgspec

from omni_auth.domain import objects, rules, schema
from omni_auth.domain.document import Tree
from omni_auth.domain.objects import LIMITS, PLATFORM, Held, Named, mappings
from omni_auth.domain.problems import Loc, Problem, dotted
from omni_auth.domain.schema import Config
from omni_auth.domain.sections.base import SecretSource, optional_source, secret_source

_LABELS = {
    "proxies": "name",
    "providers": "id",
    "combos": "name",
    "aliases": "name",
    "prices": "model",
    "limits": "name",
}


class StoreProblem(msgspec.Struct, frozen=True):
    """What is wrong with an object of the store; ``loc`` counts from its document."""

    named: Named
    loc: Loc
    message: str

    def __str__(self) -> str:
        where = f"{self.named[0]}/{self.named[1]}"
        return f"{where}: {dotted(self.loc)}: {self.message}" if self.loc else f"{where}: {self.message}"


class Merged(msgspec.Struct, frozen=True):
    """``tree`` is of the shape of a file. ``kept`` maps each list to the places its items had in the file, ``added`` to
    the names of what follows; ``settings`` are the places of what the store says of no list; ``aside`` is what of the
    file is left out."""

    tree: dict[str, Tree]
    kept: dict[str, list[int]]
    added: dict[str, list[str]]
    settings: frozenset[Loc]
    aside: tuple[Named, ...]

    def named(self, loc: Loc) -> tuple[Named | None, Loc]:
        """The object of the store that a place is of, and the place within it; None for the file's, and the place
        there."""
        if loc[:2] in self.settings:
            return (objects.SETTINGS, objects.SETTINGS), loc
        if len(loc) < 2 or not isinstance(loc[1], int) or loc[0] not in self.kept:
            return None, loc
        part, index = str(loc[0]), loc[1]
        kept = self.kept[part]
        if index < len(kept):
            return None, (part, kept[index], *loc[2:])
        name, rest = self.added[part][index - len(kept)], loc[2:]
        if part == "providers" and len(rest) > 1 and rest[0] == "accounts":
            accounts = mappings(mappings(self.tree, part)[index], "accounts")
            if isinstance(rest[1], int) and rest[1] < len(accounts):
                return ("accounts", f"{name}/{accounts[rest[1]]['name']}"), rest[2:]
        return (part, name), rest

    def sorted_out(self, problems: list[Problem]) -> tuple[list[Problem], list[StoreProblem]]:
        """Those of the file, at their places there, and those of the store."""
        of_file, of_store = [], []
        for problem in problems:
            named, loc = self.named(problem.loc)
            if named is None:
                of_file.append(Problem(loc, problem.message, problem.place))
            else:
                of_store.append(StoreProblem(named, loc, problem.message))
        return of_file, of_store


def merge(tree: Tree, held: Held) -> Merged:
    """``tree`` is a file's, whether or not the schema takes it."""
    said = dict(tree) if isinstance(tree, dict) else {}
    stored = objects.file_tree(held)
    names = {(kind, name) for (kind, name), _ in held.items() if kind in PLATFORM or kind == LIMITS}
    merged: dict[str, Tree] = dict(said)
    aside: list[Named] = []
    kept: dict[str, list[int]] = {}
    added: dict[str, list[str]] = {}
    for part, label in _LABELS.items():
        listed = said.get(part)
        more = stored.get(part)
        if not isinstance(listed, list | None) or not (isinstance(listed, list) or more):
            continue
        items = listed or []
        kept[part] = []
        for index, item in enumerate(items):
            name = _name(part, label, item)
            if (part, name) in names:
                aside.append((part, name))
            else:
                kept[part].append(index)
        new = [item for item in more if isinstance(item, dict)] if isinstance(more, list) else []
        added[part] = [_name(part, label, item) for item in new]
        merged[part] = [*(items[index] for index in kept[part]), *new]
    settings: set[Loc] = set()
    for section in objects.SECTIONS:
        own, theirs = said.get(section), stored.get(section)
        if isinstance(theirs, dict) and isinstance(own, dict | None):
            merged[section] = {**(own or {}), **theirs}
            settings.update((section, key) for key in theirs)
    return Merged(merged, kept, added, frozenset(settings), tuple(aside))


def problems(merged: Merged) -> tuple[Config | None, list[Problem], list[StoreProblem]]:
    """The configuration that it is, or what is wrong with it as a whole."""
    config, wrong = schema.validate(merged.tree)
    of_file, of_store = merged.sorted_out([*wrong, *rules.cross_check(merged.tree)])
    return config, of_file, of_store


def sealed(merged: Merged) -> dict[Loc, tuple[Named, SecretSource]]:
    """Where secrets of the store's accounts, proxies and settings are used: each place with whose it is, and its
    source."""
    found: dict[Loc, tuple[Named, SecretSource]] = {}
    start = len(merged.kept.get("proxies", ()))
    for index, name in enumerate(merged.added.get("proxies", ()), start):
        source = optional_source(mappings(merged.tree, "proxies")[index].get("credentials", "none"))
        if source.kind != "none":
            found["proxies", index, "credentials"] = (("proxies", name), source)
    if ("notify", "webhooks") in merged.settings:
        for loc, webhook in rules.sections(merged.tree.get("notify"), ("notify",), "webhooks"):
            found[*loc, "secret"] = ((objects.SETTINGS, objects.SETTINGS), secret_source(webhook.get("secret")))
    start = len(merged.kept.get("providers", ()))
    for index, name in enumerate(merged.added.get("providers", ()), start):
        for number, account in enumerate(mappings(mappings(merged.tree, "providers")[index], "accounts")):
            source = optional_source(account.get("api_key") or ("none" if account.get("login") else None))
            if source.kind != "none":
                loc = ("providers", index, "accounts", number, "api_key")
                found[loc] = (("accounts", f"{name}/{account['name']}"), source)
    return found


def _name(part: str, label: str, item: Tree) -> str:
    word = item.get(label) if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(word, str):
        return ""
    if part == LIMITS:
        return objects.limit_name(item)
    if part != "prices":
        return word
    provider = item.get("provider")
    return f"{provider if isinstance(provider, str) else objects.ANYWHERE}/{word}"
