"""What a request passes before anybody looks at what it asks for: hosts, addresses, origins, how often somebody comes.

In front of the application only where something of it is configured. Probes pass: who is asked whether he lives must be
able to say so to whoever asks. The paths of another application on the same listener are looked at too, but for CORS,
which is its own.
"""

from http import HTTPStatus

import msgspec
from omni_catalogue.doorway import is_preflight, origin_of
from omni_core.ids import new_id
from omni_wire.errors import GatewayError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omni_edge.domain.answer import Headers, error_headers
from omni_edge.domain.request import read_head, spoken
from omni_edge.domain.surfaces import match, owns
from omni_edge.server.exchange import peer_of
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.reply import linger, send_error
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings

_ELSEWHERE = "elsewhere"


class Gate:
    """``app`` is called with what is let in. ``alone`` is whether every path of the listener is the edge's."""

    def __init__(self, service: EdgeService, metrics: EdgeMetrics, settings: EdgeSettings, app: ASGIApp) -> None:
        self._service = service
        self._metrics = metrics
        self._settings = settings
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, alone: bool) -> None:
        service, headers = self._service, scope["headers"]
        surface = match(scope["path"])
        if surface.probe:
            await self._app(scope, receive, send)
            return
        ours = alone or owns(scope["path"])
        origins = service.door.models
        if ours and origins.any and (origin := origin_of(headers)):
            if is_preflight(scope["method"], headers):
                await _answer_preflight(send, origins.preflight(origin))
                return
            send = _saying(send, origins.headers(origin))
        try:
            name = service.enter(peer_of(scope), headers)
        except GatewayError as error:
            self._metrics.refusals.labels(surface.name if ours else _ELSEWHERE, error.kind).inc()
            await self._refuse(error, scope, receive, send, ours=ours)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if name:
                service.limiter.leave(name)

    async def _refuse(self, error: GatewayError, scope: Scope, receive: Receive, send: Send, *, ours: bool) -> None:
        """The body is not waited for: whoever is not wanted here does not get to send 20 MB first."""
        query: bytes = scope["query_string"]
        request_id = read_head(scope["headers"]).request_id or new_id()
        if ours:
            surface = match(scope["path"])
            dialect = spoken(scope["headers"], query) if surface.by_header else surface.format
            await send_error(send, error, dialect, request_id, close=True, finish=False)
        else:
            await _send_problem(send, error, request_id)
        await linger(receive, send, self._settings)


async def _answer_preflight(send: Send, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _saying(send: Send, more: Headers) -> Send:
    async def say(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return say


async def _send_problem(send: Send, error: GatewayError, request_id: str) -> None:
    """As the management API tells errors (RFC 9457)."""
    body = msgspec.json.encode(
        {
            "type": f"urn:omniroute:problem:{error.kind}", "title": HTTPStatus(error.status).phrase,
            "status": error.status, "detail": error.message, "code": error.code, "request_id": request_id,
        }
    )  # fmt: skip
    headers = error_headers(error, match("/v1").format, request_id.encode("ascii"), len(body))
    headers[0] = (b"content-type", b"application/problem+json")
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
