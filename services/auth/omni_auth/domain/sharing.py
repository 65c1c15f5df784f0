"""Limits of their own, compiled: what each of them is, and which keys it applies to.

An organisation's apply to all of its keys, a team's and a user's to theirs, a key's to that one. Those of the gateway's
own file are the platform's.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from omni_catalogue.prices import Dated, History, Special, Terms, scaled
from omni_catalogue.snapshot import UPSTREAM, Above, Allowance, Budget, Limit, Price

from omni_auth.domain.apikeys import file_key_id
from omni_auth.domain.entities import DEFAULT_ORGANISATION
from omni_auth.domain.objects import LIMITS, Held, file_limit_id, limit_name
from omni_auth.domain.problems import dotted
from omni_auth.domain.schema import validate_section
from omni_auth.domain.sections.limits import LIMITED, ROLLING, BudgetSection, LimitEntry, LimitSection
from omni_auth.domain.sections.prices import DatedSection, PriceSection, RatesSection, TariffSection


class Whose(msgspec.Struct, frozen=True):
    """A key, by what limits go by; ``team`` and ``user`` are ids, ``tags`` those that all its requests carry."""

    key: str
    organisation: str = DEFAULT_ORGANISATION
    team: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()


class Shared(msgspec.Struct, frozen=True):
    """A limit, and the id of what it is for: "" where that is the whole organisation."""

    limit: Limit
    target: str = ""

    def applies_to(self, whose: Whose) -> bool:
        if self.limit.organisation != whose.organisation or self.limit.of in UPSTREAM:
            return False
        if self.limit.of == "tag":
            return self.target in whose.tags
        return not self.limit.of or self.target == getattr(whose, self.limit.of)


def of_file(entries: Iterable[LimitEntry]) -> list[Shared]:
    """Those of the gateway's own file, which knows no teams and no users."""
    found = []
    for entry in entries:
        of, owner = ("key", entry.key) if entry.key else _word(entry)
        target = file_key_id(entry.key) if entry.key else owner
        found.append(Shared(_limit(entry, file_limit_id(limit_name(entry.model_dump())), of, owner), target))
    return found


def _word(section: LimitSection) -> tuple[str, str]:
    """What it is of that is no entity, and what that is called."""
    return next(((word, owner) for word in LIMITED if (owner := getattr(section, word))), ("", ""))


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
            of, owner = (relation, held.owner_name(relation, target)) if relation else _word(section)
            limit = _limit(section, entity.id, of, owner, entity.organisation)
            if of not in UPSTREAM or entity.organisation == DEFAULT_ORGANISATION:
                found.append(Shared(limit, target or owner))
    return found, told


def compile_budget(section: BudgetSection) -> Budget:
    assumed = compile_price(section.unpriced) if isinstance(section.unpriced, PriceSection) else None
    return Budget(
        nano_usd=section.usd,
        window=section.window,
        unpriced="assume" if isinstance(section.unpriced, PriceSection) else section.unpriced,
        assumed_price=assumed,
        unaffordable=section.unaffordable,
    )


def compile_price(section: PriceSection) -> Price:
    price = _with_batch(_rates(section), section)
    if not section.above:
        return price
    above = tuple(Above(each.tokens, _with_batch(_rates(each), section)) for each in section.above)
    return msgspec.structs.replace(price, above=above)


def _with_batch(price: Price, section: PriceSection) -> Price:
    batch = section.batch
    if batch is None:
        return price
    rates = scaled(price, batch) if isinstance(batch, int) else _rates(batch)
    return msgspec.structs.replace(price, batch=rates)


def compile_changes(section: DatedSection) -> History:
    return tuple(Dated(each.since * 1000, compile_price(each)) for each in section.changes)


def compile_tariff(section: TariffSection) -> dict[str, Any]:
    """The fields of a ``Model`` that say what it costs."""
    terms = tuple(
        Terms(
            account=each.account,
            organisation=each.organisation,
            price=compile_price(each),
            changes=compile_changes(each),
        )
        for each in section.overrides
    )
    return {"price": compile_price(section), "changes": compile_changes(section), "terms": terms}


def _rates(section: RatesSection) -> Price:
    return Price(
        input=section.input,
        output=section.output,
        cached_input=section.input if section.cached_input is None else section.cached_input,
        cache_write=section.input if section.cache_write is None else section.cache_write,
        reasoning=section.reasoning,
        special=_special(section),
    )


def _special(section: RatesSection) -> Special | None:
    said = {name: rate for name in Special.__struct_fields__ if (rate := getattr(section, name)) is not None}
    return Special(**said) if said else None


def _limit(
    section: LimitSection, limit_id: str, of: str, owner: str, organisation: str = DEFAULT_ORGANISATION
) -> Limit:
    hard = section.mode == "hard"
    budget = compile_budget(section.budget) if section.budget and hard else None
    rolls = budget is not None and budget.window in ROLLING
    # A router of a version before would count these by requests of its keys.
    paced = section.requests_per_minute or 0 if hard and of not in UPSTREAM else 0
    return Limit(
        id=limit_id,
        name=section.name,
        requests_per_minute=paced,
        budget=None if rolls else budget,
        of=of,
        owner=owner,
        organisation=organisation,
        allowances=tuple(_refusing(section, of) if hard else _counted(section)),
        zone=section.time_zone or "",
        anchor=section.anchor or "",
        rolling=budget if rolls else None,
        rolling_warn=_warned(section) if rolls else (),
        when_away=section.when_away if hard else "",
    )


def _warned(section: LimitSection) -> tuple[int, ...]:
    """Of a hard limit, which tells of nothing where it does not say so."""
    return tuple(sorted(set(section.warn))) if "warn" in section.model_fields_set else ()


def _refusing(section: LimitSection, of: str) -> Iterator[Allowance]:
    """With what warns of the parts of a hard limit that are none."""
    warn = _warned(section)
    for allowance in _allowances(section):
        yield msgspec.structs.replace(allowance, warn=warn if allowance.window else ())
    if section.requests_per_minute is not None and of in UPSTREAM:
        yield Allowance(of="requests", most=section.requests_per_minute, window="minute", warn=warn)
    elif section.requests_per_minute is not None and warn:
        yield Allowance(of="requests", most=section.requests_per_minute, window="minute", mode="soft", warn=warn)
    if section.budget is not None and warn and section.budget.window not in ROLLING:
        yield Allowance(of="usd", most=section.budget.usd, window=section.budget.window, mode="soft", warn=warn)


def _counted(section: LimitSection) -> Iterator[Allowance]:
    """All that a limit counts that refuses nothing: also what a version before, which knows no modes, would refuse
    by."""
    found = list(_allowances(section))
    if section.requests_per_minute is not None:
        found.append(Allowance(of="requests", most=section.requests_per_minute, window="minute"))
    if section.budget is not None:
        found.append(Allowance(of="usd", most=section.budget.usd, window=section.budget.window))
    warn = tuple(sorted(set(section.warn))) if section.mode == "soft" else ()
    for allowance in found:
        yield msgspec.structs.replace(allowance, mode=section.mode, warn=warn)


def _allowances(section: LimitSection) -> Iterator[Allowance]:
    if section.requests is not None:
        yield Allowance(of="requests", most=section.requests.count, window=section.requests.window)
    if section.tokens is not None:
        tokens = section.tokens
        for of, most in (("tokens", tokens.total), ("input", tokens.input), ("output", tokens.output)):
            if most is not None:
                yield Allowance(of=of, most=most, window=tokens.window)
    if section.concurrent is not None:
        yield Allowance(of="concurrent", most=section.concurrent)
