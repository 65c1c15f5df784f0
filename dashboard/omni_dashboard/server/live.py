"""``/api/live``: requests as they are stored, as server-sent events (html.spec.whatwg.org, "Server-sent events")."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic
from typing import Annotated, Any

import msgspec
from fastapi import Header
from omni_core.ports.analytics import Update
from omni_wire.errors import GatewayError, RateLimited
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from omni_dashboard.domain.access import DEVELOPER
from omni_dashboard.server.request_schemas import RequestLine
from omni_dashboard.server.routes import Row, identity_of, management_of
from omni_dashboard.service import Management

# Seconds: a client that takes nothing for so long is let go; how often it is asked whether its key is still good.
STALLED, ASKED_AGAIN = 20.0, 30.0
# That one person, or key, has open here at once: all who watch share what analytics serves.
MOST_EACH = 20
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_STREAM: dict[str, Any] = {"responses": {"200": {"description": "events", "content": {"text/event-stream": {}}}}}
_SILENCE = b": nothing new\n\n"


def rows() -> tuple[Row, ...]:
    return (Row("GET", "/api/live", DEVELOPER, live, None, area="usage", more=_STREAM, also=(429,)),)


async def live(
    request: Request,
    last_event_id: Annotated[str, Header(max_length=100, description="the id of the last event that was seen")] = "",
) -> Response:
    """Requests as they are stored: events `requests`, at most four a second, each with all that came since the one
    before; `ready` first, and `end` with a reason before it is closed. With `Last-Event-ID` it goes on there, and says
    how many were `missed` that are not kept any more. An admin sees all keys', a developer those of their own."""
    management, identity = management_of(request), identity_of(request)
    whose = identity.person or identity.key_id
    if management.watching[whose] >= MOST_EACH:
        raise RateLimited(f"you watch {MOST_EACH} times already: close one", retry_after=10.0)
    sees = await management.sees(identity)
    updates = management.live(sees, last_event_id)
    parts = _counted(management.watching, whose, _events(request, management, sees, updates))
    return EventStream(parts, media_type="text/event-stream", headers=_HEADERS)


class EventStream(StreamingResponse):
    """A stream that does not wait for ever for a client that takes nothing."""

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for part in self.body_iterator:
            async with asyncio.timeout(STALLED):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _counted(
    watching: Counter[str], whose: str, events: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    watching[whose] += 1
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    finally:
        watching[whose] -= 1
        if not watching[whose]:
            del watching[whose]


async def _events(
    request: Request, management: Management, sees: tuple[str, ...] | None, updates: AsyncGenerator[Update, None]
) -> AsyncGenerator[bytes, None]:
    first, asked = True, monotonic()
    async with aclosing(updates):
        try:
            async for update in management.until_it_ends(updates):
                if update.missed and not first:
                    yield _event("end", {"reason": "you read too slowly", "missed": update.missed}, update.id)
                    return
                if first or update.requests:
                    lines = [RequestLine.line(found).model_dump() for found in update.requests]
                    told = {"requests": lines, "missed": update.missed}
                    yield _event("ready" if first else "requests", told, update.id)
                else:
                    yield _SILENCE
                first = False
                if monotonic() - asked > ASKED_AGAIN:
                    now = await request.state.again()
                    if await management.sees(now) != sees:
                        yield _event("end", {"reason": "what you may see is not the same any more"})
                        return
                    asked = monotonic()
            yield _event("end", {"reason": "this gateway is shutting down"})
        except GatewayError as error:
            yield _event("end", {"reason": error.message})


def _event(name: str, data: dict[str, Any], id_: str = "") -> bytes:
    named = b"id: %b\n" % id_.encode() if id_ else b""
    return b"%bevent: %b\ndata: %b\n\n" % (named, name.encode(), msgspec.json.encode(data))
