"""What an organisation's configuration is made of: the kinds of entity, what each document holds, what it belongs to.

A document is a section of the configuration file (``schema``), as a tree whose scalars are the text that would stand
there: so the file and the API are two views of one configuration, and one validation serves both.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from omni_wire.errors import InvalidRequest
from pydantic import BeforeValidator

from omni_auth.domain import rules, scalars
from omni_auth.domain.document import Tree
from omni_auth.domain.problems import Problem, dotted
from omni_auth.domain.schema import validate_section
from omni_auth.domain.sections.base import Flag, Name, Section, Text
from omni_auth.domain.sections.bodies import BodiesSection
from omni_auth.domain.sections.combos import AliasSection, ComboSection
from omni_auth.domain.sections.edge import ServerSection
from omni_auth.domain.sections.limits import LIMITED, LimitSection
from omni_auth.domain.sections.notify import NotifySection
from omni_auth.domain.sections.outbound import OutboundSection, ProxySection
from omni_auth.domain.sections.prices import ModelPriceSection
from omni_auth.domain.sections.providers import AccountSection, ProviderDocument
from omni_auth.domain.sections.routing import RoutingSection
from omni_auth.domain.sections.rules import RulesSection

DEFAULT_ORGANISATION = "default"
MANAGERS = ("api", "file")


class NamedSection(Section):
    """A team, a tag or (with more) an organisation: a name to refer to it by, and one for people."""

    name: Name
    title: str = ""


class OrganisationSection(NamedSection):
    require_totp: Flag = False  # of people who log in with a password


class UserSection(Section):
    name: Text  # whatever people sign in with
    title: str = ""


class MembershipSection(Section):
    role: Annotated[str, BeforeValidator(scalars.one_of(("member", "lead")))] = "member"


class SettingsSection(Section):
    """One row an organisation: those parts of the file that are no lists."""

    server: ServerSection = ServerSection()
    routing: RoutingSection = RoutingSection()
    rules: RulesSection = RulesSection()
    outbound: OutboundSection = OutboundSection()
    bodies: BodiesSection = BodiesSection()
    notify: NotifySection = NotifySection()


class Kind(msgspec.Struct, frozen=True):
    """``name`` is the plural, and the table. ``label`` is the field of the document that an entity is unique by, within
    its organisation and its owners; "" where there is one only. ``owners`` maps what it cannot be without to its kind,
    ``optional`` what it may belong to. ``words`` are fields of the document that name what it may
    belong to instead, which is no entity, or not always one. ``secret`` is the field that says where its secret is."""

    name: str
    word: str
    section: type[Section]
    label: str = "name"
    owners: dict[str, str] = {}
    optional: dict[str, str] = {}
    words: tuple[str, ...] = ()
    secret: str = ""

    @property
    def relations(self) -> dict[str, str]:
        return self.owners | self.optional


KINDS = {
    kind.name: kind
    for kind in (
        Kind("organisations", "organisation", OrganisationSection),
        Kind("teams", "team", NamedSection),
        Kind("users", "user", UserSection),
        Kind("memberships", "membership", MembershipSection, "", owners={"team": "teams", "user": "users"}),
        Kind("tags", "tag", NamedSection),
        Kind("proxies", "proxy", ProxySection, secret="credentials"),  # noqa: S106 - a field's name
        Kind("providers", "provider", ProviderDocument, "id"),
        Kind("accounts", "account", AccountSection, owners={"provider": "providers"}, secret="api_key"),  # noqa: S106
        Kind("combos", "combo", ComboSection),
        Kind("aliases", "alias", AliasSection),
        Kind(
            "limits",
            "limit",
            LimitSection,
            optional={"team": "teams", "user": "users", "key": "keys"},
            words=LIMITED,
        ),
        Kind("prices", "price", ModelPriceSection, "model", optional={"provider": "providers"}),
        Kind("settings", "settings", SettingsSection, ""),
    )
}


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is configured. ``id`` sorts by time of birth; ``created`` and ``updated`` in epoch ms; ``version``
    counts from 1 and makes the ETag; ``relations`` are ids of what it belongs to; ``source`` is the file that manages
    it."""

    kind: str
    id: str
    organisation: str
    document: dict[str, Tree]
    relations: dict[str, str] = {}
    version: int = 0
    created: int = 0
    updated: int = 0
    managed_by: str = "api"
    source: str = ""

    @property
    def name(self) -> str:
        label = KINDS[self.kind].label
        return str(self.document[label]) if label else ""

    @property
    def words(self) -> dict[str, str]:
        """What it belongs to that is no entity."""
        return {word: str(found) for word in KINDS[self.kind].words if (found := self.document.get(word)) is not None}


def as_tree(value: object) -> Tree:
    """A JSON value with its scalars as the text that the file would have."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): as_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_tree(item) for item in value]
    return None if value is None else str(value)


def typed(kind: str, document: Mapping[str, Tree]) -> dict[str, object]:
    """A document with its scalars as JSON has them, by what its section makes of each: "on" is true where a flag is
    meant, "1_000" is 1000. One that the section does not take stays as it is."""
    section, _ = validate_section(KINDS[kind].section, dict(document))
    return {key: _typed(item, getattr(section, key, item)) for key, item in document.items()}


def _typed(tree: Tree, meant: object) -> object:
    if isinstance(tree, dict):
        return {key: _typed(item, getattr(meant, key, item)) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_typed(*pair) for pair in zip(tree, meant if isinstance(meant, tuple) else tree, strict=True)]
    if tree is None or isinstance(meant, str):
        return tree
    flag = scalars.flag_or_none(tree)
    if flag is not None and isinstance(meant, bool | Section | None):  # a switch may stand for a section of its own
        return flag
    number = scalars.number_or_none(tree) if isinstance(meant, int | float) else None
    return tree if number is None else number


def same(kind: str, one: Mapping[str, Tree], other: Mapping[str, Tree]) -> bool:
    """Whether two documents say the same, however each is spelt."""
    return one == other or typed(kind, one) == typed(kind, other)


def check(entity: Entity) -> None:
    """Raises ``InvalidRequest`` naming the first field that is wrong."""
    kind = KINDS[entity.kind]
    _, problems = validate_section(kind.section, entity.document)
    if entity.kind == "providers":
        alone = rules.addresses({"providers": [entity.document]})
        problems += [Problem(problem.loc[2:], problem.message) for problem in alone]
    if entity.kind == "proxies":
        alone = rules.proxy_addresses({"proxies": [entity.document]})
        problems += [Problem(problem.loc[2:], problem.message) for problem in alone]
    if entity.kind == "settings":
        problems += rules.webhooks(entity.document)
        problems += [
            Problem((*loc, "secret"), "a secret itself is not kept in the settings; name an env or a file")
            for loc, webhook in rules.sections(entity.document.get("notify"), ("notify",), "webhooks")
            if isinstance(said := webhook.get("secret"), dict) and ("value" in said or "vault" in said)
        ]
    if not problems and kind.label and not entity.name.isprintable():
        problems = [Problem((kind.label,), "must not have control characters")]
    if problems:
        field = dotted(problems[0].loc)
        raise InvalidRequest(f"{field}: {problems[0].message}" if field else problems[0].message, param=field or None)
    if kind.secret and isinstance(said := entity.document.get(kind.secret), dict) and "value" in said:
        told = f"{kind.secret}: a secret itself is not kept here; name an env or a file"
        raise InvalidRequest(told, param=kind.secret)
    if entity.managed_by not in MANAGERS:
        raise InvalidRequest(f"managed_by: must be one of {', '.join(MANAGERS)}", param="managed_by")
    for relation in kind.owners:
        if not entity.relations.get(relation):
            raise InvalidRequest(f"{relation}: is required", param=relation)
    for relation in entity.relations:
        if relation not in kind.relations:
            raise InvalidRequest(f"{relation}: a {kind.word} belongs to no such thing", param=relation)
    if len(entity.relations) + len(entity.words) > 1 and kind.optional:
        relation = [*entity.relations, *entity.words][1]
        raise InvalidRequest(f"{relation}: a {kind.word} belongs to one thing, not to several", param=relation)
