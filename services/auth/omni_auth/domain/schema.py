"""The configuration as a whole: its sections, and what is wrong with one that was written."""

from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from omni_auth.domain.document import Tree
from omni_auth.domain.problems import Loc, Problem, suggestion
from omni_auth.domain.sections.base import Section
from omni_auth.domain.sections.bodies import BodiesSection
from omni_auth.domain.sections.combos import AliasSection, ComboSection
from omni_auth.domain.sections.edge import ServerSection
from omni_auth.domain.sections.limits import KeySection, LimitEntry
from omni_auth.domain.sections.logins import LoginsSection
from omni_auth.domain.sections.notify import NotifySection
from omni_auth.domain.sections.outbound import OutboundSection, ProxySection
from omni_auth.domain.sections.prices import PriceEntry
from omni_auth.domain.sections.providers import ProviderSection
from omni_auth.domain.sections.routing import RoutingSection
from omni_auth.domain.sections.rules import RulesSection

Part = TypeVar("Part", bound=Section)


class Config(Section):
    server: ServerSection = ServerSection()
    proxies: tuple[ProxySection, ...] = ()
    providers: tuple[ProviderSection, ...] = ()
    combos: tuple[ComboSection, ...] = ()
    aliases: tuple[AliasSection, ...] = ()
    prices: tuple[PriceEntry, ...] = ()
    keys: tuple[KeySection, ...] = ()
    limits: tuple[LimitEntry, ...] = ()
    logins: LoginsSection = LoginsSection()
    routing: RoutingSection = RoutingSection()
    rules: RulesSection = RulesSection()
    outbound: OutboundSection = OutboundSection()
    bodies: BodiesSection = BodiesSection()
    notify: NotifySection = NotifySection()


def validate(tree: Tree) -> tuple[Config | None, list[Problem]]:
    """The configuration a tree describes, or everything that is wrong with it."""
    return validate_section(Config, tree)


def validate_section(root: type[Part], tree: Tree) -> tuple[Part | None, list[Problem]]:
    """As ``validate``, for a tree that is one section by itself; places count from there."""
    try:
        return root.model_validate(tree), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    found = [detail["loc"] for detail in details]
    return None, [
        Problem(detail["loc"], _words(detail["type"], detail["loc"], detail["msg"], root))
        for detail in details
        # A list does not count its bad items and then looks too short; each of those is told already.
        if detail["type"] != "too_short" or not any(_inside(loc, detail["loc"]) for loc in found)
    ]


def _inside(loc: Loc, outer: Loc) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _words(kind: str, loc: Loc, message: str, root: type[Section]) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        known = known_keys(loc[:-1], root)
        return f"unknown key{suggestion(str(loc[-1]), known)} (known: {', '.join(known)})"
    if kind == "tuple_type":
        return "must be a list"
    if kind == "too_long":
        return "has too many items"
    if kind == "too_short":
        return "must have at least one item"
    return message


def known_keys(loc: Loc, root: type[Section] = Config) -> tuple[str, ...]:
    """The keys that the section at ``loc`` of ``root`` takes."""
    section = root
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            section = _inner(section.model_fields[part].annotation) or section
    return tuple(section.model_fields)


def _inner(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for found in map(_inner, get_args(annotation)) if found), None)
