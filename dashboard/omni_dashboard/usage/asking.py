"""Questions about usage: what somebody may see of it, whose keys there are, and what analytics answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from omni_core.ports.analytics import Breakdown, Slice
from omni_core.ports.auth import Identity
from omni_wire.errors import PermissionDenied

from omni_dashboard.domain.access import ADMIN, PLATFORM
from omni_dashboard.usage.analysis import Analysis, Answer, answer
from omni_dashboard.usage.measures import OWNERS
from omni_dashboard.usage.owners import Owner, of_keys, values_of

Ask = Callable[[Breakdown], Awaitable[Sequence[Slice]]]
Owners = Callable[[Identity], Awaitable[Mapping[str, Owner]]]


async def analysed(identity: Identity, asked: Analysis, ask: Ask, owners: Owners) -> Answer:
    """Raises ``PermissionDenied`` where a developer asks beyond their own key."""
    of_owners = any(name in OWNERS for name in (*asked.names, *asked.filters))
    if identity.role != ADMIN:
        if of_owners:
            raise PermissionDenied("a developer sees their own key only, and not by its owners", param="by")
        if any(key != identity.key_id for key in asked.filters.get("key", ())):
            raise PermissionDenied("a developer sees the usage of their own key only", param="filter")
        known: Mapping[str, Owner] = {identity.key_id: Owner(identity.organisation, name=identity.name)}
    else:
        bound = identity.organisation != PLATFORM
        known = await owners(identity) if of_owners or bound else {}
    filters = of_keys(asked.filters, known)
    if identity.role != ADMIN or identity.organisation != PLATFORM:
        wanted = filters.get("key")
        filters["key"] = tuple(key for key in known if wanted is None or key in wanted)
    asked = msgspec.structs.replace(asked, filters=filters)
    question = asked.breakdown()
    now = await ask(question)
    before = await ask(asked.before().breakdown()) if asked.compare else None
    return answer(asked, now, before, values_of(asked.names, question.dimensions, known))
