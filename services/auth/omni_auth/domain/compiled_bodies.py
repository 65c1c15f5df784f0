"""Whose bodies are kept, as routers are told."""

from collections.abc import Iterable

from omni_catalogue.bodies import Bodies
from omni_catalogue.snapshot import KeyPolicy

from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.sections.bodies import BodiesSection


def compile_bodies(section: BodiesSection, policies: Iterable[KeyPolicy]) -> Bodies | None:
    """None where nobody's are. A name is that of a key of who runs the gateway: other organisations have their own."""
    if not (section.all or section.keys or section.providers or section.combos):
        return None
    named = frozenset(section.keys)
    keys = tuple(
        policy.id
        for policy in policies
        if policy.id in named or (policy.name in named and policy.organisation == DEFAULT_ORGANISATION)
    )
    return Bodies(
        everything=section.all,
        keys=keys,
        providers=section.providers,
        combos=section.combos,
        keep=int(section.keep) or 1,
        most_bytes=section.most_bytes,
        share=section.share,
        redact=section.redact,
    )
