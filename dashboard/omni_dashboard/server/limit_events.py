"""``GET /api/limit-events``: limits whose use came to a percentage."""

from typing import Annotated

import msgspec
from fastapi import Query
from omni_core.ports.analytics import LimitEvent, LimitEvents
from omni_wire.errors import InvalidRequest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from omni_dashboard.domain.access import ADMIN
from omni_dashboard.domain.values import epoch_ms
from omni_dashboard.server.routes import Row, identity_of, link_next, management_of
from omni_dashboard.server.schemas import Organisation


class LimitEventOut(BaseModel):
    """``used`` of ``most`` of "requests", "tokens", "input", "output" or "usd" (nano-USD), in ``window``. ``at_ms`` in
    epoch milliseconds; ``name`` is what ``/api/limits`` calls it. ``webhook`` is "waiting", "delivered" or "dead"
    (given up) after so many ``tries``; empty where there was none to be told."""

    id: str
    at_ms: int
    percent: int
    used: int
    limit_id: str
    name: str
    organisation: str
    of: str
    window: str
    most: int
    webhook: str
    tries: int

    @classmethod
    def from_port(cls, event: LimitEvent) -> "LimitEventOut":
        return cls(**msgspec.structs.asdict(event))


class LimitEventsOut(BaseModel):
    items: list[LimitEventOut]
    next: str | None


async def limit_events(
    request: Request,
    response: Response,
    name: Annotated[str, Query(max_length=1024, description="as /api/limits calls it")] = "",
    percent: Annotated[int, Query(ge=0, le=1000, description="at least")] = 0,
    from_: Annotated[str, Query(alias="from", max_length=40, description="ISO 8601 or epoch ms, inclusive")] = "",
    until: Annotated[str, Query(max_length=40, description="ISO 8601 or epoch ms, exclusive")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str, Query(max_length=1100, description="`next` of the page before")] = "",
    organisation: Organisation = "",
) -> LimitEventsOut:
    """Limits whose use came to one of the percentages that they tell of, newest first. The platform's admins see all
    organisations'."""
    before_ms, _, before_id = after.partition(".")
    if after and not (before_ms.isdecimal() and len(before_ms) < 16 and before_id):
        raise InvalidRequest("after: is the `next` of a page, as it was given", param="after")
    asked = LimitEvents(
        name=name,
        percent=percent,
        from_ms=epoch_ms(from_, "from") if from_ else 0,
        until_ms=epoch_ms(until, "until") if until else 0,
        before_ms=int(before_ms or 0),
        before_id=before_id,
        most=limit + 1,
    )
    found = await management_of(request).limit_events(identity_of(request), asked, organisation)
    shown = found[:limit]
    following = f"{shown[-1].at_ms}.{shown[-1].id}" if len(found) > limit else ""
    link_next(request, response, limit, following)
    return LimitEventsOut(items=list(map(LimitEventOut.from_port, shown)), next=following or None)


def rows() -> tuple[Row, ...]:
    return (Row("GET", "/api/limit-events", ADMIN, limit_events, LimitEventsOut, area="quota"),)
