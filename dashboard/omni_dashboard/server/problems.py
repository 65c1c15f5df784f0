"""Every error as RFC 9457 problem+json, with the request id."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from omni_wire.errors import GatewayError, Internal, InvalidRequest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MEDIA_TYPE = "application/problem+json"
_FIELD = r"[A-Za-z_][\w.\[\]-]*"
# "omniroute.yaml:7: providers[0].tier: must be …", "tier: must be …", "combos/best: targets[0]: there is no …"
_LINE = re.compile(rf"(?:\S+:\d+: )?((?:[a-z]+/.+?: )?{_FIELD}|[a-z]+/.+?): (\S.*)")


def problem(
    error: GatewayError,
    request_id: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:omniroute:problem:{error.kind}",
        "title": _phrase(error.status),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if error.param is not None:
        body["param"] = error.param
    if errors is not None:
        body["errors"] = errors
    out = dict(headers or {})
    if error.status == 401:
        out["WWW-Authenticate"] = 'Bearer realm="omniroute"'
    if error.retry_after is not None:
        out["Retry-After"] = str(max(1, round(error.retry_after)))
    return Response(msgspec.json.encode(body), status_code=error.status, headers=out, media_type=MEDIA_TYPE)


def register(app: FastAPI) -> None:
    app.add_exception_handler(Exception, _answer)
    for kind in (GatewayError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    request_id = request_id_of(request)
    match error:
        case GatewayError():
            return problem(error, request_id, errors=_fields(error))
        case RequestValidationError():
            return _validation(error, request_id)
        case HTTPException():
            code = _phrase(error.status_code).lower().replace(" ", "_")
            found = InvalidRequest(str(error.detail), status=error.status_code, code=code)
            headers = {**(error.headers or {}), **({"Allow": _allowed(request)} if error.status_code == 405 else {})}
            return problem(found, request_id, headers=headers)
        case _:
            return problem(Internal(f"something went wrong here; the log says more under {request_id}"), request_id)


def _validation(error: RequestValidationError, request_id: str) -> Response:
    """Says where and what, never the value: it may be a secret."""
    details = error.errors()[:20]
    wrong = [{"field": _place(item["loc"]), "message": str(item["msg"])} for item in details]
    if any(item["type"] == "json_invalid" for item in details):
        return problem(InvalidRequest("the body is not JSON", code="invalid_json"), request_id, errors=wrong)
    first = wrong[0] if wrong else {"field": "", "message": "the request is not valid"}
    detail = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    found = InvalidRequest(detail, status=422, param=first["field"] or None, code="invalid_parameter")
    return problem(found, request_id, errors=wrong)


def _allowed(request: Request) -> str:
    """The methods of all routes with that path; the framework names those of the first."""
    path = request.scope["path"]
    routes = [route for route in request.app.routes if isinstance(route, Route) and route.path_regex.match(path)]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


def _fields(error: GatewayError) -> list[dict[str, str]] | None:
    """What a service says of each field, a line each."""
    if error.param is None or error.status >= 500:
        return None
    lines = [_LINE.fullmatch(line) for line in error.message.splitlines()]
    told = [{"field": line[1], "message": line[2]} for line in lines if line]
    return told or [{"field": error.param, "message": error.message}]


def request_id_of(request: Request) -> str:
    return str(request.scope.get("omniroute.request_id", ""))


def _place(loc: Sequence[Any]) -> str:
    """("body", "limits", "requests_per_minute") is "limits.requests_per_minute"."""
    return ".".join(str(part) for part in loc[1:])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
