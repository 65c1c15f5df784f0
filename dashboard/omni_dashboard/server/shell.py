"""What surrounds every request: who may come at all, its id, a bound on its body, security headers, metrics, and the
last resort."""

import logging
import re
from collections.abc import Callable, Mapping

from omni_catalogue.doorway import Doorway, is_preflight, origin_of
from omni_core.ids import new_id
from omni_wire.errors import BodyTooLarge, GatewayError, UnsupportedMediaType
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omni_dashboard.server.problems import problem

logger = logging.getLogger("omniroute.dashboard")

_REQUEST_ID = re.compile(rb"(?!or[slo]?-|sk-)[A-Za-z0-9._-]{8,128}")  # what looks like a key is no id: ids are logged

_PROBES = ("/healthz", "/readyz", "/metrics")

# The page brings everything it needs; nothing foreign is loaded, framed or sent to.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Shell:
    """The outermost ASGI layer around ``app``. A body has at most ``max_body_bytes``, or what ``sizes`` says of its
    path. ``door`` is who may come, as configured; probes may always. ``clock`` is monotonic, in seconds, ``wall`` in
    epoch seconds."""

    def __init__(
        self,
        app: ASGIApp,
        registry: CollectorRegistry,
        *,
        max_body_bytes: int,
        sizes: Mapping[str, int],
        door: Callable[[], Doorway],
        clock: Callable[[], float],
        wall: Callable[[], int],
    ) -> None:
        self._app = app
        self._max_body = max_body_bytes
        self._sizes = sizes
        self._door = door
        self._clock = clock
        self._wall = wall
        self._requests = Counter(
            "omniroute_dashboard_requests",
            "Requests to the management surface, by route and status class.",
            ["route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "omniroute_dashboard_request_seconds", "Time to answer them.", ["route"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else new_id()
        scope["omniroute.request_id"] = request_id
        status = 0
        began = self._clock()
        door = self._door()
        origin = origin_of(scope["headers"]) if door.management.any and scope["path"].startswith("/api/") else b""
        allowed = door.management.headers(origin) if origin else []

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [*HEADERS, *allowed, (b"x-request-id", request_id.encode())]
                if not any(name.lower() == b"cache-control" for name, _ in message["headers"]):
                    extra.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            if origin and is_preflight(scope["method"], scope["headers"]):
                allowed = door.management.preflight(origin)
                await Response(status_code=204)(scope, receive, guarded_send)
                return
            if door.active and scope["path"] not in _PROBES:
                client = scope.get("client")
                door.check(str(client[0]) if client else "", scope["headers"], self._wall())
            body = await self._read(scope, receive, headers)
            await self._app(scope, body, guarded_send)
        except GatewayError as error:
            await problem(error, request_id)(scope, receive, guarded_send)
        except Exception:
            # The application has answered already; what is left is to say it in the log.
            logger.exception("a management request failed", extra={"fields": {"request_id": request_id}})
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self._requests.labels(route, f"{status // 100}xx" if status else "none").inc()
            self._seconds.labels(route).observe(self._clock() - began)

    async def _read(self, scope: Scope, receive: Receive, headers: dict[bytes, bytes]) -> Receive:
        """The body, whole, before anything else happens: bodies here are small or refused."""
        most = self._sizes.get(scope["path"], self._max_body)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            raise BodyTooLarge(f"a body here has at most {most} bytes")
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return receive
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise UnsupportedMediaType("a body here is not compressed", param="Content-Encoding")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            if len(body) > most:
                raise BodyTooLarge(f"a body here has at most {most} bytes")
            if not message.get("more_body", False):
                break
        read = False

        async def replay() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        return replay
