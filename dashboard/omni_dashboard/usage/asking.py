"""Questions about usage: what somebody may see of it, whose keys there are, and what analytics answers."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import msgspec
from omni_core.ports.analytics import TAG, Breakdown, Slice, UsagePoint, UsageQuery, UsageReport
from omni_core.ports.auth import Identity
from omni_wire.errors import PermissionDenied
from omni_wire.latency import TOTAL, TTFT

from omni_dashboard.domain.access import runs_gateway, sees_organisation
from omni_dashboard.usage.analysis import Analysis, Answer, answer
from omni_dashboard.usage.measures import OWNERS
from omni_dashboard.usage.owners import Owner, Values, of_keys, values_of

Ask = Callable[[Breakdown], Awaitable[Sequence[Slice]]]
Owners = Callable[[Identity], Awaitable[Mapping[str, Owner]]]


async def analysed(identity: Identity, asked: Analysis, ask: Ask, owners: Owners) -> Answer:
    """Raises ``PermissionDenied`` where a developer asks beyond their own key."""
    filters, known = await visible(identity, asked.filters, owners, asked.names)
    asked = msgspec.structs.replace(asked, filters=filters)
    question = asked.breakdown()
    now = await ask(question)
    before = await ask(asked.before().breakdown()) if asked.compare else None
    return answer(asked, now, before, values_of(asked.names, question.dimensions, known))


async def own_keys(identity: Identity, owners: Owners) -> Mapping[str, Owner]:
    """The one that somebody came with, or all that are a person's."""
    if not identity.person:
        return {identity.key_id: Owner(identity.organisation)}
    return {key: owner for key, owner in (await owners(identity)).items() if owner.user == identity.name}


async def visible(
    identity: Identity, filters: Mapping[str, Values], owners: Owners, names: Values = ()
) -> tuple[dict[str, Values], Mapping[str, Owner]]:
    """What passes ``filters`` of what ``identity`` may see, in words that analytics knows, and whose the keys are where
    that matters. ``names`` are the dimensions asked for beside. Raises ``PermissionDenied`` where a developer asks
    beyond their own keys."""
    of_owners = any(name in OWNERS for name in (*names, *filters))
    if not sees_organisation(identity):
        if of_owners:
            raise PermissionDenied("a developer sees their own keys only, and not by owners", param="by")
        known = await own_keys(identity, owners)
        if any(key not in known for key in filters.get("key", ())):
            raise PermissionDenied("a developer sees the usage of their own keys only", param="filter")
    else:
        known = await owners(identity) if of_owners or not runs_gateway(identity) else {}
    found = of_keys(filters, known)
    if not runs_gateway(identity):
        wanted = found.get("key")
        found["key"] = tuple(key for key in known if wanted is None or key in wanted)
    return found, known


def of_tags(query: UsageQuery, tags: Values) -> Breakdown:
    """The same question of requests that have one of ``tags``."""
    filters = {TAG: tags, **({"key": (query.key_id,)} if query.key_id else {})}
    by = (query.group_by,) if query.group_by else ()
    latency = (TOTAL, TTFT) if query.latency else ()
    return Breakdown(query.from_ms, query.until_ms, by, filters, query.grain, latency)


def reported(query: UsageQuery, slices: Sequence[Slice]) -> Iterator[UsageReport]:
    """Each of the slices that answer it, as a report of its own."""
    for one in slices:
        value = "".join(one.values)
        point = UsagePoint(one.at_ms, value, one.totals, one.latency.get(TOTAL, {}), one.latency.get(TTFT, {}))
        yield UsageReport(
            one.totals,
            {value: one.totals} if query.group_by else {},
            (point,) if query.grain or query.latency else (),
        )
