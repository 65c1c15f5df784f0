"""The FastAPI app of the pages: models, health, metrics and the OpenAPI document. Nothing here is hot."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from omni_core.component import Check
from omni_core.ports.context import CallContext
from omni_core.ports.router import ModelEntry
from omni_wire.errors import GatewayError, Internal
from omni_wire.formats import WireFormat
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

from omni_edge.domain.answer import error_body, error_headers
from omni_edge.domain.request import Inbound
from omni_edge.domain.surfaces import EXACT, Role
from omni_edge.server import schemas
from omni_edge.service import EdgeService

Security = list[dict[str, list[str]]]
Checks = Callable[[], dict[str, Check]]

_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": schemas.ErrorBody, "description": "No API key, or a wrong one"},
    503: {"model": schemas.ErrorBody, "description": "Something this answer needs is away; see Retry-After"},
}


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def model_object(entry: ModelEntry) -> dict[str, Any]:
    """OpenAI's model object; sizes are added where they are known."""
    shown: dict[str, Any] = {
        "id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owned_by,
    }  # fmt: skip
    if entry.context_length:
        shown["context_length"] = entry.context_length
    if entry.max_output:
        shown["max_output_tokens"] = entry.max_output
    return shown


def build_pages(service: EdgeService, registry: CollectorRegistry, checks: Checks, version: str) -> FastAPI:
    """The routes. ``checks`` is everything /readyz names."""
    app = FastAPI(
        title="OmniRoute", version=version, docs_url=None, redoc_url=None, openapi_url=None,
        description="One endpoint in front of every model provider. Speaks OpenAI's dialect.",
        redirect_slashes=False,
    )  # fmt: skip

    async def render(request: Request, error: Exception) -> Response:
        known = error if isinstance(error, GatewayError) else Internal("Something went wrong inside the gateway.")
        _, request_id = _asked(request)
        body = error_body(known, WireFormat.OPENAI_CHAT, request_id)
        response = Response(body, known.status)
        own = (b"content-length", b"x-request-id")  # the response and the stamp add these
        response.raw_headers += [
            header for header in error_headers(known, b"", len(body), close=False) if header[0] not in own
        ]
        return response

    app.add_exception_handler(GatewayError, render)
    app.add_exception_handler(Exception, render)

    async def who(request: Request) -> tuple[CallContext, str]:
        inbound, request_id = _asked(request)
        context = CallContext(request_id, inbound.traceparent)
        key_id = await service.identify(inbound.key_digest, context)
        service.check_origin(inbound)
        return context, key_id

    @app.get("/v1/models", response_model=schemas.ModelList, responses=_ERRORS, tags=["models"])
    async def list_models(request: Request) -> Response:
        """The model ids that this key may use: combos first, then provider/model."""
        context, key_id = await who(request)
        entries = await service.models(context, key_id)
        return _json({"object": "list", "data": [model_object(entry) for entry in entries]})

    missing: dict[int | str, dict[str, Any]] = {
        404: {"model": schemas.ErrorBody, "description": "No such model, or not for this key"}
    }

    @app.get(
        "/v1/models/{model_id:path}", response_model=schemas.ModelObject, responses=_ERRORS | missing, tags=["models"]
    )
    async def show_model(model_id: str, request: Request) -> Response:
        """One model. Ids hold slashes, which need no escaping."""
        context, key_id = await who(request)
        return _json(model_object(await service.model(context, key_id, model_id)))

    @app.get("/v1", response_model=schemas.Index, tags=["service"])
    async def index() -> Response:
        """What is here."""
        endpoints = [
            f"{surface.methods[0]} {path}" for path, surface in EXACT.items() if surface.role is not Role.RESERVED
        ]
        return _json({"object": "gateway", "name": "omniroute", "endpoints": endpoints})

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
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    return app


def _asked(request: Request) -> tuple[Inbound, str]:
    asked: tuple[Inbound, str] = request.scope["omniroute"]
    return asked


_STATUSES = {
    400: "The body is not as it must be",
    401: "No API key, or a wrong one",
    402: "The USD budget of this key is spent",
    403: "The key may not use this model",
    404: "No such model",
    413: "The body is too large",
    415: "The body is not JSON, or is compressed",
    429: "A limit of the key is reached, or its budget is held by requests in flight; see Retry-After",
    502: "The provider failed",
    503: "No provider can be tried now; see Retry-After",
    504: "The provider did not answer in time",
}


def _document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's own document plus the completing surfaces, which never reach FastAPI."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = document.setdefault("components", {})
    shapes = parts.setdefault("schemas", {})
    for model in (schemas.ChatCompletionRequest, schemas.ChatCompletion, schemas.ErrorBody):
        _add_schema(shapes, model)
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    keyed: Security = [{"bearer": []}, {"apiKey": []}]
    for path in ("/v1/models", "/v1/models/{model_id}"):
        document["paths"][path]["get"]["security"] = keyed
    document["paths"] = {"/v1/chat/completions": {"post": _chat(keyed)}} | document["paths"]
    return document


def _add_schema(shapes: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, inner in schema.pop("$defs", {}).items():
        shapes.setdefault(name, inner)
    shapes.setdefault(model.__name__, schema)


def _chat(keyed: Security) -> dict[str, Any]:
    def body(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

    told = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in (
            ("x-request-id", "The client's own if it sent a well-formed one"),
            ("x-omniroute-provider", "Who answered"),
            ("x-omniroute-model", "With which model"),
            ("x-omniroute-translation", '"lossless", or "lossy; dropped=" and the fields that were lost'),
        )
    }
    events = {"text/event-stream": {"schema": {"type": "string", "description": "chat.completion.chunk events"}}}
    answers = {"200": {"description": "The answer", "headers": told, "content": body("ChatCompletion") | events}}
    for status, text in _STATUSES.items():
        answers[str(status)] = {"description": text, "content": body("ErrorBody")}
    return {
        "operationId": "create_chat_completion",
        "tags": ["chat"],
        "summary": "Create a chat completion",
        "description": "OpenAI's Chat Completions. Fields not listed here are taken and passed on.",
        "security": keyed,
        "parameters": [
            {"name": "x-request-id", "in": "header", "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}}
        ],
        "requestBody": {"required": True, "content": body("ChatCompletionRequest")},
        "responses": answers,
    }
