"""Objects as the configuration file and the management API name them: an entity by a path of names, not by its id.

``acme`` is a provider, ``acme/main`` an account of it, ``*/gpt-4o`` a price everywhere and ``acme/gpt-4o`` one at a
provider, ``core/ann`` a membership, ``settings`` the only one of its kind.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from omni_wire.errors import InvalidRequest

from omni_auth.domain.document import Tree
from omni_auth.domain.entities import KINDS, Entity, Kind
from omni_auth.domain.problems import Loc

ANYWHERE = "*"
SETTINGS = "settings"

# What the organisation that runs the gateway decides for all; the other kinds each organisation has for itself.
PLATFORM = ("organisations", "providers", "accounts", "combos", "aliases", "prices", "settings")
# What the configuration file has words for, in an order in which each comes after what it belongs to.
IN_FILE = ("settings", "providers", "accounts", "combos", "aliases", "prices")

# The parts of a name before its last, by kind.
_BEFORE: dict[str, tuple[str, ...]] = {
    "accounts": ("provider",),
    "memberships": ("team", "user"),
    "prices": ("provider",),
}

Named = tuple[str, str]  # a kind, and a name


def kind_of(word: str) -> Kind:
    """Raises ``InvalidRequest`` (404)."""
    if word not in KINDS:
        raise InvalidRequest(f"there is nothing called '{word}'", status=404, code="not_found", param="kind")
    return KINDS[word]


def parts(kind: str, name: str) -> tuple[dict[str, str], str]:
    """The names of what an object belongs to, and its own label. Raises ``InvalidRequest`` (404)."""
    words = _BEFORE.get(kind, ())
    found = name.split("/", len(words) if KINDS[kind].label else len(words) - 1) if words else [name]
    given = dict(zip(words, found, strict=False))
    rest = found[len(words) :]
    missing = not all(found) or len(given) < len(words) or (KINDS[kind].label and words and not rest)
    if missing or (kind == SETTINGS and name != SETTINGS):
        raise unknown(kind, name)
    if given.get("provider") == ANYWHERE and kind == "prices":
        del given["provider"]
    label = "" if not KINDS[kind].label else rest[0] if words else name
    return given, label


def unknown(kind: str, name: str) -> InvalidRequest:
    return InvalidRequest(f"there is no {KINDS[kind].word} '{name}'", status=404, code="not_found")


class Held:
    """Entities that one organisation sees, by name. Immutable: a change makes another."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._by_id = {(entity.kind, entity.id): entity for entity in entities}
        self._named = {(entity.kind, self.name(entity)): entity for entity in self._by_id.values()}

    def __iter__(self) -> Iterator[Entity]:
        return iter(self._by_id.values())

    def items(self) -> Iterable[tuple[Named, Entity]]:
        return self._named.items()

    def get(self, kind: str, name: str) -> Entity | None:
        return self._named.get((kind, name))

    def name(self, entity: Entity) -> str:
        if entity.kind == SETTINGS:
            return SETTINGS
        before = [self._label(entity, relation) for relation in _BEFORE.get(entity.kind, ())]
        return "/".join([*before, *([entity.name] if KINDS[entity.kind].label else [])])

    def relations(self, kind: str, given: Mapping[str, str]) -> dict[str, str]:
        """Ids of what an object says that it belongs to. Raises ``InvalidRequest``."""
        found = {}
        for relation, name in given.items():
            target = self.get(KINDS[kind].relations[relation], name)
            if target is None:
                raise InvalidRequest(f"{relation}: there is no '{name}'", param=relation)
            found[relation] = target.id
        return found

    def users(self, entity: Entity) -> list[Entity]:
        """What belongs to an entity."""
        return [
            one
            for one in self._by_id.values()
            for relation, kind in KINDS[one.kind].relations.items()
            if kind == entity.kind and one.relations.get(relation) == entity.id
        ]

    def changed(self, *, put: Iterable[Entity] = (), gone: Iterable[Entity] = ()) -> "Held":
        left = dict(self._by_id)
        for entity in gone:
            left.pop((entity.kind, entity.id), None)
        for entity in put:
            left[entity.kind, entity.id] = entity
        return Held(left.values())

    def _label(self, entity: Entity, relation: str) -> str:
        target = self._by_id.get((KINDS[entity.kind].relations[relation], entity.relations.get(relation, "")))
        return target.name if target is not None else ANYWHERE


NOTHING = Held(())


class FileObject(msgspec.Struct, frozen=True):
    """Something a configuration file says, and where in it. ``document`` is as it stands there, a secret too."""

    kind: str
    name: str
    document: dict[str, Tree]
    loc: Loc = ()

    @property
    def etag(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self.document, order="sorted")).hexdigest()[:16]


def of_tree(tree: Tree) -> dict[Named, FileObject]:
    """The objects of a file's tree (one that the schema takes), each after what it belongs to."""
    found: list[FileObject] = []
    if not isinstance(tree, dict):
        return {}
    said = {key: tree[key] for key in ("server", "routing", "rules") if tree.get(key)}
    if said:
        found.append(FileObject(SETTINGS, SETTINGS, said))
    for index, provider in enumerate(mappings(tree, "providers")):
        loc: Loc = ("providers", index)
        document = {key: value for key, value in provider.items() if key != "accounts"}
        found.append(FileObject("providers", str(provider["id"]), document, loc))
        found.extend(
            FileObject("accounts", f"{provider['id']}/{account['name']}", account, (*loc, "accounts", number))
            for number, account in enumerate(mappings(provider, "accounts"))
        )
    for kind in ("combos", "aliases"):
        found.extend(
            FileObject(kind, str(item["name"]), item, (kind, index)) for index, item in enumerate(mappings(tree, kind))
        )
    for index, price in enumerate(mappings(tree, "prices")):
        document = {key: value for key, value in price.items() if key != "provider"}
        name = f"{price.get('provider') or ANYWHERE}/{price['model']}"
        found.append(FileObject("prices", name, document, ("prices", index)))
    return {(one.kind, one.name): one for one in found}


def file_tree(held: Held) -> dict[str, Tree]:
    """The other way: what a file would say. Providers without an account are left out, for they serve nothing."""
    lists: dict[str, list[Tree]] = {kind: [] for kind in ("providers", "combos", "aliases", "prices")}
    tree: dict[str, Tree] = {}
    for (kind, name), entity in held.items():
        if kind == SETTINGS:
            tree |= entity.document
        elif kind == "providers":
            accounts: list[Tree] = [dict(one.document) for one in held.users(entity) if one.kind == "accounts"]
            if accounts:
                lists[kind].append({**entity.document, "accounts": accounts})
        elif kind == "prices":
            provider = name.partition("/")[0]
            lists[kind].append({**({} if provider == ANYWHERE else {"provider": provider}), **entity.document})
        elif kind in lists:
            lists[kind].append(dict(entity.document))
    return tree | {kind: items for kind, items in lists.items() if items}


def mappings(tree: Mapping[str, Tree], key: str) -> list[dict[str, Tree]]:
    """The mappings in the list under ``key``."""
    listed = tree.get(key)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
