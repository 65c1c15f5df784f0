"""Limits of their own, compiled: what each of them is, and which keys it applies to.

An organisation's apply to all of its keys, a team's and a user's to theirs, a key's to that one. Those of the gateway's
own file are the platform's.
"""

from collections.abc import Iterable

import msgspec
from omni_catalogue.snapshot import Above, Budget, Limit, Price

from omni_auth.domain.apikeys import file_key_id
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.objects import LIMITS, Held, file_limit_id, limit_name
from omni_auth.domain.problems import dotted
from omni_auth.domain.schema import (
    BudgetSection,
    LimitEntry,
    LimitSection,
    PriceSection,
    RatesSection,
    validate_section,
)


class Whose(msgspec.Struct, frozen=True):
    """A key, by what limits go by; ``team`` and ``user`` are ids."""

    key: str
    organisation: str = DEFAULT_ORGANISATION
    team: str | None = None
    user: str | None = None


class Shared(msgspec.Struct, frozen=True):
    """A limit, and the id of what it is for: "" where that is the whole organisation."""

    limit: Limit
    target: str = ""

    def applies_to(self, whose: Whose) -> bool:
        if self.limit.organisation != whose.organisation:
            return False
        return not self.limit.of or self.target == getattr(whose, self.limit.of)


def of_file(entries: Iterable[LimitEntry]) -> list[Shared]:
    """Those of the gateway's own file, which knows no teams and no users."""
    return [
        Shared(
            _limit(entry, file_limit_id(limit_name(entry.model_dump())), "key" if entry.key else "", entry.key or ""),
            file_key_id(entry.key) if entry.key else "",
        )
        for entry in entries
    ]


def of_store(held: Held) -> tuple[list[Shared], list[str]]:
    """Those of every organisation that the store has. One that cannot be read (of a newer version, say) is left out and
    told, and so is one of a key that was revoked, by a version that did not take its limits along."""
    found, told = list[Shared](), list[str]()
    for entity in held:
        if entity.kind != LIMITS:
            continue
        section, problems = validate_section(LimitSection, entity.document)
        relation, target = next(iter(entity.relations.items()), ("", ""))
        if section is None:
            where = ": ".join(filter(None, (f"limits/{held.name(entity)}", dotted(problems[0].loc))))
            told.append(f"left out: {where}: {problems[0].message}")
        elif relation != "key" or held.has_key(target):
            limit = _limit(section, entity.id, relation, held.owner_name(relation, target), entity.organisation)
            found.append(Shared(limit, target))
    return found, told


def compile_budget(section: BudgetSection) -> Budget:
    if isinstance(section.unpriced, PriceSection):
        assumed = compile_price(section.unpriced)
        return Budget(nano_usd=section.usd, window=section.window, unpriced="assume", assumed_price=assumed)
    return Budget(nano_usd=section.usd, window=section.window, unpriced=section.unpriced)


def compile_price(section: PriceSection) -> Price:
    price = _rates(section)
    if not section.above:
        return price
    return msgspec.structs.replace(price, above=tuple(Above(each.tokens, _rates(each)) for each in section.above))


def _rates(section: RatesSection) -> Price:
    return Price(
        input=section.input,
        output=section.output,
        cached_input=section.input if section.cached_input is None else section.cached_input,
        cache_write=section.input if section.cache_write is None else section.cache_write,
        reasoning=section.reasoning,
    )


def _limit(
    section: LimitSection, limit_id: str, of: str, owner: str, organisation: str = DEFAULT_ORGANISATION
) -> Limit:
    return Limit(
        id=limit_id,
        name=section.name,
        requests_per_minute=section.requests_per_minute or 0,
        budget=compile_budget(section.budget) if section.budget else None,
        of=of,
        owner=owner,
        organisation=organisation,
    )
