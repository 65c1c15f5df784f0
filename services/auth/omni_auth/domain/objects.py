"""Objects as the configuration file and the management API name them: an entity by a path of names, not by its id.

``acme`` is a provider, ``acme/main`` an account of it, ``*/gpt-4o`` a price everywhere and ``acme/gpt-4o`` one at a
provider, ``core/ann`` a membership, ``settings`` the only one of its kind. ``monthly`` is a limit of an organisation,
``team/core/monthly``, ``user/ann/monthly``, ``key/ci/monthly``, ``tag/batch/monthly``, ``provider/acme/daily``,
``account/acme/main/daily``, ``model/acme/gpt-x/daily`` and ``tier/free/daily`` are those of what they name.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from omni_wire.errors import InvalidRequest

from omni_auth.domain.document import Tree
from omni_auth.domain.entities import KINDS, Entity, Kind
from omni_auth.domain.problems import Loc, suggestion

ANYWHERE = "*"
SETTINGS, LIMITS = "settings", "limits"
# What of a file is of no list: the settings.
SECTIONS = ("server", "routing", "rules", "outbound", "bodies", "notify")

# What the organisation that runs the gateway decides for all; the other kinds each organisation has for itself.
PLATFORM = ("organisations", "proxies", "providers", "accounts", "combos", "aliases", "prices", "settings")
# What the configuration file has words for, in an order in which each comes after what it belongs to.
IN_FILE = ("settings", "proxies", "providers", "accounts", "combos", "aliases", "prices", "limits")

# The parts of a name before its last, by kind.
_BEFORE: dict[str, tuple[str, ...]] = {
    "accounts": ("provider",),
    "memberships": ("team", "user"),
    "prices": ("provider",),
}

# What a limit may be of, in a file's words.
_LIMITED = (*KINDS[LIMITS].optional, *KINDS[LIMITS].words)

Named = tuple[str, str]  # a kind, and a name


def kind_of(word: str) -> Kind:
    """Raises ``InvalidRequest`` (404)."""
    if word not in KINDS:
        raise InvalidRequest(f"there is nothing called '{word}'", status=404, code="not_found", param="kind")
    return KINDS[word]


def parts(kind: str, name: str) -> tuple[dict[str, str], str]:
    """The names of what an object belongs to, and its own label. Raises ``InvalidRequest`` (404)."""
    if kind == LIMITS:
        return _limit_parts(name)
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


def _limit_parts(name: str) -> tuple[dict[str, str], str]:
    relation, _, rest = name.partition("/")
    if not rest:
        return {}, name
    owner, _, label = rest.rpartition("/")
    if relation not in _LIMITED or not owner or not label:
        ways = ", ".join(f"{word}/{word.upper()}/NAME" for word in _LIMITED)
        told = f"there is no limit '{name}': one is called NAME, {ways}"
        raise InvalidRequest(told, status=404, code="not_found")
    return {relation: owner}, label


def limit_name(entry: Mapping[str, Tree]) -> str:
    """What a limit of a file is called; its own name where what it says is no good."""
    owners = [(relation, owner) for relation in _LIMITED if isinstance(owner := entry.get(relation), str)]
    words = [word for owner in owners[:1] for word in owner]
    return "/".join([*words, str(entry.get("name", ""))])


def file_limit_id(name: str) -> str:
    """The id of a limit of the live file: what is spent of it stays spent after a restart, and when it is adopted."""
    return f"limit-{name}"


def unknown(kind: str, name: str) -> InvalidRequest:
    return InvalidRequest(f"there is no {KINDS[kind].word} '{name}'", status=404, code="not_found")


class HeldKey(msgspec.Struct, frozen=True):
    """A key in force, for what it belongs to and what belongs to it; ``team`` and ``user`` are ids."""

    id: str
    name: str
    team: str | None = None
    user: str | None = None


class Held:
    """Entities that one organisation sees, by name, and its keys in force. Immutable: a change makes another."""

    def __init__(self, entities: Iterable[Entity], keys: Iterable[HeldKey] = ()) -> None:
        self._by_id = {(entity.kind, entity.id): entity for entity in entities}
        self._keys = {key.id: key for key in keys}
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
        if entity.kind == LIMITS:
            owners = [word for relation in entity.relations for word in (relation, self._label(entity, relation))]
            owners += [word for owner in entity.words.items() for word in owner]
            return "/".join([*owners, entity.name])
        before = [self._label(entity, relation) for relation in _BEFORE.get(entity.kind, ())]
        return "/".join([*before, *([entity.name] if KINDS[entity.kind].label else [])])

    def relations(self, kind: str, given: Mapping[str, str]) -> dict[str, str]:
        """Ids of what an object says that it belongs to. Raises ``InvalidRequest``."""
        found = {}
        for relation, name in given.items():
            of = KINDS[kind].relations[relation]
            if of == "keys":
                found[relation] = self._key_id(name)
                continue
            target = self.get(of, name)
            if target is None:
                near = suggestion(name, [one.name for one in self if one.kind == of])
                raise InvalidRequest(f"{relation}: there is no '{name}'{near}", param=relation)
            found[relation] = target.id
        return found

    def _key_id(self, name: str) -> str:
        found = next((key.id for key in self._keys.values() if key.name == name), "")
        if not found:
            near = suggestion(name, [key.name for key in self._keys.values()]) or (
                "; a key of the gateway's own file has its limits there"
            )
            raise InvalidRequest(f"key: there is no '{name}'{near}", param="key")
        return found

    @property
    def keys(self) -> tuple[HeldKey, ...]:
        return tuple(self._keys.values())

    def keys_of(self, entity: Entity) -> list[HeldKey]:
        """The keys of a team or a user."""
        return [
            key for key in self._keys.values() if (entity.kind, entity.id) in (("teams", key.team), ("users", key.user))
        ]

    def has_key(self, key_id: str) -> bool:
        return key_id in self._keys

    def owner_name(self, relation: str, target: str | None) -> str:
        """What the ``team``, ``user`` or ``key`` of that id is called; "" for none. A key that is in force no more is
        called by its id."""
        if relation == "key" and target:
            return self._keys[target].name if target in self._keys else target
        found = self._by_id.get((f"{relation}s", target or ""))
        return found.name if found is not None else ""

    def with_keys(self, keys: Iterable[HeldKey]) -> "Held":
        """With those too, each in the place of the one of its id."""
        return Held(self._by_id.values(), [*self._keys.values(), *keys])

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
        return Held(left.values(), self._keys.values())

    def _label(self, entity: Entity, relation: str) -> str:
        if KINDS[entity.kind].relations[relation] == "keys":
            return self.owner_name(relation, entity.relations.get(relation))
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
    said = {key: tree[key] for key in SECTIONS if tree.get(key)}
    if said:
        found.append(FileObject(SETTINGS, SETTINGS, said))
    for index, proxy in enumerate(mappings(tree, "proxies")):
        found.append(FileObject("proxies", str(proxy["name"]), proxy, ("proxies", index)))
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
    for index, limit in enumerate(mappings(tree, LIMITS)):
        document = {key: value for key, value in limit.items() if key not in KINDS[LIMITS].optional}
        found.append(FileObject(LIMITS, limit_name(limit), document, (LIMITS, index)))
    return {(one.kind, one.name): one for one in found}


def limit_entries(held: Held) -> list[Tree]:
    """The limits as a file would say them."""
    found = [(_limit_parts(name)[0], one) for (kind, name), one in held.items() if kind == LIMITS]
    return [{**owner, **one.document} for owner, one in found]


def file_tree(held: Held) -> dict[str, Tree]:
    """The other way: what a file would say of what is the platform's. Providers without an account are left out, for
    they serve nothing."""
    lists: dict[str, list[Tree]] = {kind: [] for kind in ("proxies", "providers", "combos", "aliases", "prices")}
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
