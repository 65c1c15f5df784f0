"""Where a trace begins: around the whole of a request on a completing surface. Made only where tracing is on.

The decision is made here and nowhere else. It goes on in the ``traceparent`` header that the request's own story reads,
rewritten to name our span where the request is traced, and without its sampled flag where it is not.
"""

from omni_core import genai
from omni_core.tracing import Span, Tracer, unsampled, well_formed
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omni_edge.domain.surfaces import PATTERNS, Role, match

_HEADER = b"traceparent"
_TRACED = (Role.COMPLETE, Role.COUNT)


class TracedApp:
    """The ASGI callable to serve in the place of ``app``."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or match(scope["path"]).role not in _TRACED:
            await self._app(scope, receive, send)
            return
        sent = _sent(scope)
        given = sent if well_formed(sent) else ""
        if not self._tracer.decide(given):
            passed_on = unsampled(given)
            await self._app(scope if passed_on == sent else _with(scope, passed_on), receive, send)
            return
        route = _route(scope["path"])
        span = self._tracer.begin(
            f"POST {route}", self._tracer.entry, given, {genai.HTTP_METHOD: "POST", genai.HTTP_ROUTE: route}
        )
        answer = _Answer(span, send)
        try:
            await self._app(_with(scope, span.traceparent), receive, answer.send)
        finally:
            answer.tell()
            span.end()


class _Answer:
    """What is seen of an answer going out."""

    def __init__(self, span: Span, send: Send) -> None:
        self._span = span
        self._send = send
        self._status = 0
        self._whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            for name, value in message.get("headers", ()):
                if name == b"x-request-id":
                    self._span.set(genai.REQUEST_ID, value.decode("latin-1"))
        elif not message.get("more_body", False):
            self._whole = True
        await self._send(message)

    def tell(self) -> None:
        if self._status:
            self._span.set(genai.HTTP_STATUS, self._status)
        if self._status >= 500:
            self._span.fail(str(self._status))
        elif not self._whole:
            self._span.fail("client_gone")


def _sent(scope: Scope) -> str:
    """The client's trace context, as it is; "" where there is none."""
    sent = [value for name, value in scope["headers"] if name == _HEADER]
    return str(sent[-1].decode("latin-1")) if sent else ""


def _with(scope: Scope, traceparent: str) -> Scope:
    headers = [header for header in scope["headers"] if header[0] != _HEADER]
    if traceparent:
        headers.append((_HEADER, traceparent.encode("ascii")))
    return {**scope, "headers": headers}


def _route(path: str) -> str:
    for prefix, suffix, _ in PATTERNS:
        if path.startswith(prefix) and path.endswith(suffix):
            return f"{prefix}{{model}}{suffix}"
    return path
