"""A route that knows who may call it, and one row of the table that all of them stand in."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer
from omni_core.ports.auth import Identity
from omni_core.ports.context import CallContext
from omni_wire.errors import InvalidRequest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from omni_dashboard.domain import browsers
from omni_dashboard.domain.access import presented_key
from omni_dashboard.domain.browsers import SAFE, check_call
from omni_dashboard.server import problems
from omni_dashboard.service import Management

PUBLIC = ""
JSON = ("application/json",)
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")


class GuardedRoute(APIRoute):
    """A route that knows the role it needs, and asks before it reads anything of the request but its headers."""

    needs: str
    area: str
    what: str
    takes: tuple[str, ...]

    def get_route_handler(self) -> Any:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            headers = dict(request.scope["headers"])
            write = request.method not in SAFE
            token = "" if {b"authorization", b"x-api-key"} & headers.keys() else session_token(request)
            if token:

                def once_more() -> Awaitable[Identity]:
                    return management_of(request).identify_person(token, self.needs, self.area, write, self.what)

                if write:
                    check_call(request.headers, token)
                return await answered(request, once_more)
            key = presented_key(headers.get(b"authorization", b""), headers.get(b"x-api-key", b""))
            trace = headers.get(b"traceparent", b"")[:128].decode("latin-1")
            context = CallContext(problems.request_id_of(request), trace)
            peer = str(request.client.host) if request.client else ""
            forwarded = management_of(request).door.hops(request.scope["headers"])

            def again() -> Awaitable[Identity]:
                return management_of(request).identify(
                    context, key, self.needs, peer, forwarded, self.area, write, self.what
                )

            return await answered(request, again)

        async def answered(request: Request, again: Callable[[], Awaitable[Identity]]) -> Response:
            request.state.again = again  # for who goes on for long
            request.state.identity = await again()
            if self.takes and media_type(request) not in self.takes:
                told = f"a body here is {' or '.join(self.takes)}: say so in Content-Type"
                raise InvalidRequest(told, status=415, code="unsupported_media_type", param="Content-Type")
            answer: Response = await inner(request)
            return answer

        return handler


class Row(NamedTuple):
    """One route: who may call it, and what answers. ``area`` is what a key's own scopes call it, one of
    ``omni_catalogue.scopes.AREAS``; empty for what everyone known may see. ``takes`` are the media types of its body,
    none where it has none; ``name`` is its operation id, that of ``endpoint`` if empty; ``more`` goes into OpenAPI,
    ``also`` are statuses of problems that do not follow from the rest. ``what`` of its area roles tell apart, where
    they do."""

    method: str
    path: str
    needs: str
    endpoint: Any
    model: type[BaseModel] | None
    status: int = 200
    area: str = ""
    takes: tuple[str, ...] = ()
    name: str = ""
    more: dict[str, Any] | None = None
    also: tuple[int, ...] = ()
    what: str = ""

    @property
    def statuses(self) -> tuple[int, ...]:
        """Of the problems it may answer with."""
        conditional = "{name:path}" in self.path
        return (
            *(400, 422, 500, 503),
            *((401, 403) if self.needs else ()),
            *((404,) if "{" in self.path else ()),
            *self.also,
            *((409, 412) if conditional and self.method != "GET" else ()),
            *((413, 415) if self.takes else ()),
            *((409,) if (self.takes or self.method == "DELETE") and not conditional else ()),
        )

    def _also(self) -> dict[int | str, dict[str, Any]]:
        """What else it may answer that is no problem."""
        if self.method == "PUT":
            return {201: {"description": "it was not there", "model": self.model}}
        if self.method == "GET" and "{name:path}" in self.path:
            return {304: {"description": "it is what If-None-Match says"}}
        return {}

    def route(self) -> APIRoute:
        """For any application; what is behind it is asked for with each request."""
        route = (GuardedRoute if self.needs else APIRoute)(
            self.path,
            self.endpoint,
            methods=[self.method],
            status_code=self.status,
            response_model=self.model,
            response_class=JSONResponse if self.model else Response,
            name=self.name or None,
            responses=_problems(*self.statuses) | self._also(),
            openapi_extra=self.more,
            dependencies=_SCHEMES if self.needs else None,
            generate_unique_id_function=lambda route: route.name,
        )
        if isinstance(route, GuardedRoute):
            route.needs, route.area, route.what, route.takes = self.needs, self.area, self.what, self.takes
        return route


_SCHEMES = [
    Security(HTTPBearer(auto_error=False, description="an API key")),
    Security(APIKeyHeader(name="x-api-key", auto_error=False)),
    Security(APIKeyCookie(name=browsers.SECURE, auto_error=False, description="a session, see /api/session")),
]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "a problem (RFC 9457)", "content": content} for status in statuses}


def management_of(request: Request) -> Management:
    found: Management = request.app.state.management
    return found


def session_token(request: Request) -> str:
    """Of the session that came along, "" without one."""
    return browsers.session_of(request.cookies, request.headers.get("host", ""))


def link_next(request: Request, response: Response, limit: int, following: str) -> None:
    """Where the page after this one is (RFC 8288); nothing after the last."""
    if following:
        asked = {**request.query_params, "limit": limit, "after": following}
        response.headers["Link"] = f'<{request.url.path}?{urlencode(asked)}>; rel="next"'


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def identity_of(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity
