"""Questions about usage: what somebody may see of it, whose keys there are, and what analytics answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from omni_core.ports.analytics import Breakdown, Slice
from omni_core.ports.auth import Identity
from omni_wire.errors import PermissionDenied

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
        return {identity.key_id: Owner(identity.organisation, name=identity.name)}
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
