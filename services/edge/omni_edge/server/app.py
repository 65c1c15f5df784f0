"""The ASGI callable: completing surfaces go straight to an ``Exchange``, everything else through the pages.

Whatever is answered here, errors too, carries ``x-request-id``.
"""

import asyncio
import logging
from typing import Any

from omni_core.ids import new_id
from omni_wire.errors import ClientGone, DependencyUnavailable, GatewayError, Internal, InvalidRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omni_edge.domain.answer import own_id
from omni_edge.domain.request import Asked, Inbound, read_head, read_query, spoken
from omni_edge.domain.surfaces import EXACT, Role, Surface, match, owns
from omni_edge.server.exchange import CompletionPoint, Exchange
from omni_edge.server.gate import Gate
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.reply import SMALL_BODY, linger, send_error
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings

logger = logging.getLogger("omniroute.edge")

_ROUTED = (Role.COMPLETE, Role.COUNT)


class EdgeApp:
    """``elsewhere`` answers the paths that the edge does not own, when it shares its listener."""

    def __init__(self, service: EdgeService, pages: ASGIApp, metrics: EdgeMetrics, settings: EdgeSettings) -> None:
        self._service = service
        self._pages = pages
        self._metrics = metrics
        self._settings = settings
        self._points: dict[str, CompletionPoint] = {}
        self._hot = {path: self._point(surface) for path, surface in EXACT.items() if surface.role in _ROUTED}
        self._gate = Gate(service, metrics, settings, self._serve)
        self.elsewhere: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._service.guards and scope["type"] == "http":
            await self._gate(scope, receive, send, alone=self.elsewhere is None)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            point = self._hot.get(scope["path"])
            if point is not None and scope["method"] == "POST":
                await Exchange(point, scope, receive, send).run()
            elif self.elsewhere is not None and not owns(scope["path"]):
                await self.elsewhere(scope, receive, send)
            else:
                await self._dispatch(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif self.elsewhere is not None and not owns(scope["path"]):
            await self.elsewhere(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket here"})

    @property
    def active(self) -> int:
        return sum(len(point.roster) for point in self._points.values())

    async def until_idle(self, timeout: float) -> bool:
        """Wait until no exchange is running; false when ``timeout`` seconds did not do."""
        try:
            async with asyncio.timeout(timeout):
                while self.active:  # noqa: ASYNC110 - at shutdown only; an event would cost every request
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return False
        return True

    def interrupt_all(self) -> None:
        """Tell every client still being served that the gateway goes down."""
        for point in self._points.values():
            for exchange in tuple(point.roster):
                exchange.interrupt(DependencyUnavailable("This gateway is shutting down; try again.", retry_after=1))

    def _point(self, surface: Surface) -> CompletionPoint:
        if surface.name not in self._points:
            self._points[surface.name] = CompletionPoint(surface, self._service, self._metrics, self._settings)
        return self._points[surface.name]

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        surface = match(scope["path"])
        if surface.role in _ROUTED and scope["method"] == "POST":
            await Exchange(self._point(surface), scope, receive, send).run()
            return
        query: bytes = scope["query_string"]
        inbound = read_head(scope["headers"], query)
        dialect = spoken(scope["headers"], query) if surface.by_header else surface.format
        noise = inbound.key_digest is not None and self._service.is_noise(scope["headers"], query)
        asked = Asked(inbound, inbound.request_id or new_id(), dialect, read_query(query), noise)
        # From here on the query is what ``asked`` has of it: the server's own may hold a key.
        await _Cold(self, surface, asked, send).run({**scope, "query_string": b"", "omniroute": asked}, receive)

    async def page(self, surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a page, or raise why there is none."""
        method = scope["method"]
        if surface.role is Role.UNKNOWN:
            raise InvalidRequest(
                f"There is nothing at {method} {scope['path'][:200]}. The API begins at /v1.",
                status=404,
                code="not_found",
            )
        if self._service.draining and not surface.probe:
            raise DependencyUnavailable("This gateway is shutting down; try again.", retry_after=1)
        if method not in surface.methods:
            raise InvalidRequest(
                f"{method} is not allowed here; allowed: {', '.join(surface.methods)}.",
                status=405,
                code="method_not_allowed",
            )
        # The server knows that it was a HEAD and leaves the body out; the pages need not know.
        await self._pages({**scope, "method": "GET"} if method == "HEAD" else scope, receive, send)

    @property
    def draining(self) -> bool:
        return self._service.draining

    @property
    def settings(self) -> EdgeSettings:
        return self._settings

    @property
    def metrics(self) -> EdgeMetrics:
        return self._metrics


class _Cold:
    """One request off the hot path: stamped, counted, its errors rendered in the asker's dialect."""

    def __init__(self, app: EdgeApp, surface: Surface, asked: Asked, send: Send) -> None:
        self._app = app
        self._surface = surface
        self._inbound: Inbound = asked.inbound
        self._dialect = asked.dialect
        self._request_id = asked.request_id
        self._send = send
        self._status = 0

    async def run(self, scope: Scope, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await self._answer(scope, receive)
        except ClientGone:
            pass
        except GatewayError as error:
            await self._refuse(error, receive)
        except Exception:
            logger.exception("a page failed unexpectedly", extra={"fields": {"request_id": self._request_id}})
            if not self._status:
                await self._refuse(Internal("Something went wrong inside the gateway."), receive)
        finally:
            self._app.metrics.surface(self._surface.name).answered(self._status, loop.time() - started)

    async def _answer(self, scope: Scope, receive: Receive) -> None:
        surface = self._surface
        if scope["method"] == "OPTIONS" and surface.role is not Role.UNKNOWN:
            allow = ", ".join((*surface.methods, "OPTIONS")).encode("ascii")
            await self._stamped({"type": "http.response.start", "status": 204, "headers": [(b"allow", allow)]})
            await self._stamped({"type": "http.response.body", "body": b"", "more_body": False})
            return
        if self._inbound.websocket and "POST" in surface.methods:
            # Codex asks for a WebSocket first and posts at once when told 426 (other statuses cost it ten seconds).
            raise InvalidRequest("There is no WebSocket here: send a POST.", status=426, code="upgrade_refused")
        await self._app.page(surface, scope, receive, self._stamped)

    async def _stamped(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            request_id = self._request_id.encode("ascii")
            stamp = [(b"x-request-id", request_id), *own_id(self._dialect, request_id)]
            message = {**message, "headers": [*message.get("headers", ()), *stamp]}
        await self._send(message)

    async def _refuse(self, error: GatewayError, receive: Receive) -> None:
        self._status = error.status
        self._app.metrics.refusals.labels(self._surface.name, error.kind).inc()
        close = self._app.draining or error.status == 426 or not 0 <= self._inbound.length <= SMALL_BODY
        more: list[tuple[bytes, bytes]] = []
        if error.status == 405:
            more.append((b"allow", ", ".join((*self._surface.methods, "OPTIONS")).encode("ascii")))
        await send_error(
            self._send, error, self._dialect, self._request_id, close=close, more=more, finish=not close
        )  # fmt: skip
        if close:
            await linger(receive, self._send, self._app.settings)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing hangs on the server's own start and stop: the component's life is the composition root's business."""
    while True:
        message: dict[str, Any] = dict(await receive())
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
