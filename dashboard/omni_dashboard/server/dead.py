"""``/api/events/dead``: usage messages that could not be counted, to look at, count after all, or discard."""

from typing import Annotated

from fastapi import Query
from omni_core.ports.analytics import MOST_LETTERS, DeadLetter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from omni_dashboard.domain.access import ADMIN
from omni_dashboard.server.routes import JSON, Row, identity_of, link_next, management_of

_ID = r"^[1-9][0-9]{0,17}$"
Id = Annotated[str, Field(pattern=_ID)]


class DeadLetterOut(BaseModel):
    """``reason`` is why it was put aside at ``at_ms`` (epoch milliseconds; 0 and empty where that was not kept),
    ``fault`` what this version has against it: null where it would be counted now. ``events`` are those in it that can
    be read."""

    id: str
    at_ms: int
    reason: str
    deliveries: int
    bytes: int
    events: int
    fault: str | None

    @classmethod
    def of(cls, found: DeadLetter) -> "DeadLetterOut":
        return cls(
            id=str(found.id),
            at_ms=found.at_ms,
            reason=found.reason,
            deliveries=found.deliveries,
            bytes=found.size,
            events=found.events,
            fault=found.fault or None,
        )


class DeadLettersOut(BaseModel):
    """Oldest first; ``total`` is how many there are in all."""

    items: list[DeadLetterOut]
    total: int
    next: str | None


class LettersIn(BaseModel):
    """Ids of letters, as they are listed."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Id] = Field(min_length=1, max_length=MOST_LETTERS)

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(map(int, self.ids))


class RedrivenOut(BaseModel):
    """Letters that are counted now, and why others stayed. What was not there is in neither."""

    counted: list[str]
    stayed: dict[str, str]


class DiscardedOut(BaseModel):
    """Letters that are gone now, and were never counted."""

    discarded: list[str]


def rows() -> tuple[Row, ...]:
    return (
        Row("GET", "/api/events/dead", ADMIN, dead_letters, DeadLettersOut, area="system"),
        Row("POST", "/api/events/dead/redrive", ADMIN, redrive, RedrivenOut, area="system", takes=JSON),
        Row("POST", "/api/events/dead/discard", ADMIN, discard, DiscardedOut, area="system", takes=JSON),
    )


async def dead_letters(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MOST_LETTERS)] = 20,
    after: Annotated[str, Query(pattern=r"^[0-9]{0,18}$", description="`next` of the page before")] = "",
) -> DeadLettersOut:
    """Usage messages that could not be counted, oldest first, and why not."""
    found = await management_of(request).dead_letters(identity_of(request), int(after or 0), limit)
    following = str(found.next or "")
    link_next(request, response, limit, following)
    return DeadLettersOut(items=list(map(DeadLetterOut.of, found.letters)), total=found.total, next=following or None)


async def redrive(request: Request, wanted: LettersIn) -> RedrivenOut:
    """Count what is in them now, once, whatever of it was counted before. One that this version cannot read stays."""
    found = await management_of(request).redrive(identity_of(request), wanted.numbers)
    stayed = {str(id_): why for id_, why in found.stayed.items()}
    return RedrivenOut(counted=list(map(str, found.counted)), stayed=stayed)


async def discard(request: Request, wanted: LettersIn) -> DiscardedOut:
    """Remove them for good: what is in them is missing in the accounts."""
    return DiscardedOut(
        discarded=list(map(str, await management_of(request).discard(identity_of(request), wanted.numbers)))
    )
