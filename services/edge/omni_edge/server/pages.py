"""The FastAPI app of the pages: models, health, metrics and the OpenAPI document. Nothing here is hot."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from omni_core.component import Check
from omni_core.ports.context import CallContext
from omni_wire.errors import GatewayError, Internal, InvalidRequest
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from omni_edge.domain.answer import error_body, error_headers
from omni_edge.domain.request import Asked
from omni_edge.domain.surfaces import endpoints, match
from omni_edge.server import schemas
from omni_edge.server.document import openapi_document
from omni_edge.server.exchange import own_of, peer_of
from omni_edge.server.models import model_list, model_object
from omni_edge.service import EdgeService

Checks = Callable[[], dict[str, Check]]

# Of the headers of an error, those that the response and the stamp add.
_ADDED = (b"content-length", b"x-request-id", b"request-id")


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def build_pages(service: EdgeService, registry: CollectorRegistry, checks: Checks, version: str) -> FastAPI:
    """The routes. ``checks`` is everything /readyz names."""
    app = FastAPI(
        title="OmniRoute", version=version, docs_url=None, redoc_url=None, openapi_url=None,
        description="One endpoint in front of every model provider. Speaks OpenAI's, Anthropic's and Google's.",
        redirect_slashes=False,
    )  # fmt: skip

    async def render(request: Request, error: Exception) -> Response:
        known = _known(error)
        asked = _asked(request)
        body = error_body(known, asked.dialect, asked.request_id)
        response = Response(body, known.status)
        response.raw_headers += [
            header for header in error_headers(known, asked.dialect, b"", len(body)) if header[0] not in _ADDED
        ]
        return response

    for kind in (GatewayError, HTTPException, Exception):
        app.add_exception_handler(kind, render)

    async def who(request: Request) -> tuple[CallContext, str]:
        asked = _asked(request)
        context = CallContext(asked.request_id, asked.inbound.traceparent)
        peer, headers = peer_of(request.scope), request.scope["headers"]
        who = await service.identify(asked.inbound.key_digest, context, asked.noise, service.counted(peer, headers))
        endpoint = match(request.scope["path"]).endpoint
        service.admit(who, endpoint, peer, headers)
        service.check_origin(asked.inbound, peer, own_of(request.scope), headers)
        if service.limiter.by_key:
            service.enter_key(who.key_id)
            service.limiter.leave_key(who.key_id)  # lists are short: they count, and do not run
        return context, who.key_id

    async def list_models(request: Request) -> Response:
        """The model ids that this key may use: combos first, then provider/model.

        Told in the dialect of who asks: Anthropic's with `anthropic-version`, Google's with `x-goog-api-key`, else
        OpenAI's."""
        context, key_id = await who(request)
        entries = await service.models(context, key_id)
        asked = _asked(request)
        return _json(model_list(entries, asked.dialect, asked.query))

    async def show_model(model_id: str, request: Request) -> Response:
        """One model. Ids hold slashes, which need no escaping."""
        context, key_id = await who(request)
        return _json(model_object(await service.model(context, key_id, model_id), _asked(request).dialect))

    for path in ("/v1/models", "/v1beta/models", "/api/tags"):
        app.get(path, include_in_schema=False)(list_models)
    for path in ("/v1/models/{model_id:path}", "/v1beta/models/{model_id:path}"):
        app.get(path, include_in_schema=False)(show_model)

    @app.get("/v1", response_model=schemas.Index, tags=["service"])
    async def index() -> Response:
        """What is here."""
        return _json({"object": "gateway", "name": "omniroute", "endpoints": endpoints()})

    @app.get("/healthz", tags=["service"])
    async def healthz() -> Response:
        """The process lives. Says nothing of what it depends on."""
        return _json({"status": "ok"})

    @app.get(
        "/readyz", response_model=schemas.Readiness, tags=["service"],
        responses={503: {"model": schemas.Readiness, "description": "Send requests elsewhere"}},
    )  # fmt: skip
    async def readyz() -> Response:
        """Whether requests can be served, and what each dependency says."""
        found = checks()
        ready = all(check.ok for check in found.values()) and not service.draining
        status = "draining" if service.draining else ("ready" if ready else "not ready")
        return _json({"status": status, "checks": found}, 200 if ready else 503)

    @app.get("/metrics", response_class=Response, tags=["service"])
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return _json(app.openapi())

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    return app


def _known(error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, HTTPException):  # a line end in a path, which none of the framework's patterns matches
        return InvalidRequest("There is nothing here.", status=error.status_code, code="not_found")
    return Internal("Something went wrong inside the gateway.")


def _asked(request: Request) -> Asked:
    asked: Asked = request.scope["omniroute"]
    return asked
