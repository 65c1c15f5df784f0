"""The OpenAPI document: FastAPI's own of the pages, and what never reaches FastAPI or answers in several dialects."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from omni_edge.domain.surfaces import Role, match
from omni_edge.server import dialect_schemas as other
from omni_edge.server import schemas

Part = dict[str, Any]

_STATUSES = {
    400: "The body is not as it must be; the message names the place",
    401: "No API key, or a wrong one",
    402: "The USD budget of this key, or one that it shares, is spent",
    403: "The key may not use this model",
    404: "No such model",
    413: "The body is too large",
    415: "The body is not JSON, or is compressed",
    429: "A limit of the key or one that it shares is reached, or a budget held by requests in flight; see Retry-After",
    502: "The provider failed",
    503: "No provider can be tried now; see Retry-After",
    504: "The provider did not answer in time",
}
# Of what a model answers, besides.
_ON_COMPLETIONS = {
    409: "The answer to this Idempotency-Key is larger than what is kept",
    422: "This Idempotency-Key was used for another request",
}
_ON_PAGES = (401, 503)
_ON_LISTS = (400, *_ON_PAGES)
_ON_MODELS = (401, 404, 503)


class _Operation(msgspec.Struct, frozen=True):
    """One row of the document. ``answers`` are alternatives, by who asks. What is ``listed`` comes as an array where it
    does not come as events."""

    path: str
    id: str
    tag: str
    summary: str
    description: str
    answers: tuple[type[BaseModel], ...]
    errors: tuple[type[BaseModel], ...]
    request: type[BaseModel] | None = None
    events: str = ""
    streamed: str = "text/event-stream"
    listed: bool = False
    statuses: tuple[int, ...] = tuple(_STATUSES)
    parameters: tuple[Part, ...] = ()


def _parameter(name: str, place: str, description: str, kind: str = "string") -> Part:
    return {
        "name": name, "in": place, "required": place == "path", "description": description, "schema": {"type": kind},
    }  # fmt: skip


_MODEL = _parameter("model", "path", "An id, which may hold slashes")
_MODEL_ID = _parameter("model_id", "path", "An id, which may hold slashes")
_PAGES = (
    _parameter("limit", "query", "Anthropic's: how many a page", "integer"),
    _parameter("after_id", "query", "Anthropic's: the last of the page before"),
    _parameter("before_id", "query", "Anthropic's: the first of the page behind"),
)
_GOOGLE_PAGES = (
    _parameter("pageSize", "query", "Google's: how many a page", "integer"),
    _parameter("pageToken", "query", "Google's: the nextPageToken of the page before"),
)
_ALL_ERRORS = (schemas.ErrorBody, other.AnthropicError, other.GoogleError)
_TAKEN = "Fields not listed here are taken and passed on."


def _gemini(version: str, prefix: str) -> tuple[_Operation, ...]:
    path = f"/{version}/models/{{model}}"
    google: Part = {"tag": "gemini", "errors": (other.GoogleError,)}
    return (
        _Operation(
            f"{path}:generateContent", f"{prefix}generate_content", summary="Generate content",
            description=f"Google's generateContent. {_TAKEN}", request=other.GenerateContentRequest,
            answers=(other.GenerateContentResponse,), parameters=(_MODEL,), **google,
        ),
        _Operation(
            f"{path}:streamGenerateContent", f"{prefix}stream_generate_content", summary="Generate content, streamed",
            description=f"Google's streamGenerateContent: one JSON array, or events with `alt=sse`. {_TAKEN}",
            request=other.GenerateContentRequest, answers=(other.GenerateContentResponse,),
            events="GenerateContentResponse objects, one an event", listed=True,
            parameters=(_MODEL, _parameter("alt", "query", '"sse" for server-sent events')), **google,
        ),
        _Operation(
            f"{path}:countTokens", f"{prefix}count_gemini_tokens", summary="Count tokens",
            description="The provider's own count where it has one, else an estimate.", request=other.CountTokensBody,
            answers=(other.GeminiTokenCount,), parameters=(_MODEL,), **google,
        ),
    )  # fmt: skip


_POSTS = (
    _Operation(
        "/v1/chat/completions", "create_chat_completion", "chat", "Create a chat completion",
        f"OpenAI's Chat Completions. {_TAKEN}", (schemas.ChatCompletion,), (schemas.ErrorBody,),
        schemas.ChatCompletionRequest, "chat.completion.chunk events",
    ),
    _Operation(
        "/v1/responses", "create_response", "responses", "Create a response",
        f"OpenAI's Responses. A WebSocket is refused with 426. {_TAKEN}", (other.ResponseObject,),
        (schemas.ErrorBody,), other.ResponsesRequest, "response.* events",
    ),
    _Operation(
        "/v1/responses/input_tokens", "count_input_tokens", "responses", "Count a response's input tokens",
        "The provider's own count where it has one, else an estimate.", (other.InputTokens,), (schemas.ErrorBody,),
        other.InputTokensRequest,
    ),
    _Operation(
        "/v1/messages", "create_message", "messages", "Create a message", f"Anthropic's Messages. {_TAKEN}",
        (other.Message,), (other.AnthropicError,), other.MessagesRequest, "message_start to message_stop",
    ),
    _Operation(
        "/v1/messages/count_tokens", "count_tokens", "messages", "Count a message's tokens",
        "The provider's own count where it has one, else an estimate.", (other.TokenCount,), (other.AnthropicError,),
        other.CountTokensRequest,
    ),
    *_gemini("v1beta", ""),
    *_gemini("v1", "v1_"),
    _Operation(
        "/api/chat", "create_ollama_chat", "ollama", "Chat", f"Ollama's chat. {_TAKEN}", (other.OllamaAnswer,),
        (other.OllamaError,), other.OllamaChatRequest, "OllamaAnswer objects, one a line",
        streamed="application/x-ndjson",
    ),
)  # fmt: skip

_GETS = (
    _Operation(
        "/v1/models", "list_models", "models", "List models",
        "The ids that this key may use: combos first, then provider/model. In Anthropic's shape for who sends "
        "`anthropic-version` (or `x-api-key` and no bearer token), in Google's for `x-goog-api-key`, else OpenAI's.",
        (schemas.ModelList, other.AnthropicModelList, other.GoogleModelList), _ALL_ERRORS, statuses=_ON_LISTS,
        parameters=(*_PAGES, *_GOOGLE_PAGES),
    ),
    _Operation(
        "/v1/models/{model_id}", "show_model", "models", "Show a model", "In the same three shapes.",
        (schemas.ModelObject, other.AnthropicModel, other.GoogleModel), _ALL_ERRORS, statuses=_ON_MODELS,
        parameters=(_MODEL_ID,),
    ),
    _Operation(
        "/v1beta/models", "list_gemini_models", "gemini", "List models", "In Google's shape.",
        (other.GoogleModelList,), (other.GoogleError,), statuses=_ON_LISTS, parameters=_GOOGLE_PAGES,
    ),
    _Operation(
        "/v1beta/models/{model_id}", "show_gemini_model", "gemini", "Show a model", "In Google's shape.",
        (other.GoogleModel,), (other.GoogleError,), statuses=_ON_MODELS, parameters=(_MODEL_ID,),
    ),
    _Operation(
        "/api/tags", "list_ollama_models", "ollama", "List models", "In Ollama's shape.", (other.OllamaTags,),
        (other.OllamaError,), statuses=_ON_PAGES,
    ),
)  # fmt: skip


_REQUEST_ID = {
    "name": "x-request-id", "in": "header", "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
}  # fmt: skip
_IDEMPOTENCY_KEY = {
    "name": "idempotency-key", "in": "header", "schema": {"type": "string", "maxLength": 255},
    "description": "The same request under the same key again is told the first one's answer",
}  # fmt: skip
_CACHE = {
    "name": "x-omniroute-cache", "in": "header",
    "schema": {"type": "string", "enum": ["on", "off", "refresh", "exact", "semantic"]},
    "description": "Whether this request may be answered from the cache, and whether by its meaning",
}  # fmt: skip
_TAGS = {
    "name": "x-omniroute-tags", "in": "header",
    "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._:@/=+-]{1,64}(, ?[A-Za-z0-9._:@/=+-]{1,64}){0,15}$"},
    "description": "Words for limits and reports to go by, with commas between them; added to those of the key",
}  # fmt: skip
_HEADERS = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in (
        ("x-request-id", "The client's own if it sent a well-formed one"),
        ("x-omniroute-provider", "Who answered"),
        ("x-omniroute-model", "With which model"),
        ("x-omniroute-translation", '"lossless", or "lossy; dropped=" and the fields that were lost'),
        ("x-omniroute-idempotent", '"replay" or "attached", where the answer was made for an earlier request'),
        ("x-omniroute-cache", '"hit", "semantic", "miss" or "bypass", where the cache had a say'),
        ("x-omniroute-cache-similarity", "How near the words are that were answered, up to 1, where it is semantic"),
    )
}


def openapi_document(app: FastAPI) -> Part:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = document.setdefault("components", {})
    shapes: Part = parts.setdefault("schemas", {})
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "googleApiKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
        "googleKey": {"type": "apiKey", "in": "query", "name": "key"},
    }
    told = {row.path: {"post": _operation(row, shapes)} for row in _POSTS}
    told |= {row.path: {"get": _operation(row, shapes)} for row in _GETS}
    document["paths"] = told | document["paths"]
    return document


def _operation(row: _Operation, shapes: Part) -> Part:
    answers, refusals = _schema(row.answers, shapes), _schema(row.errors, shapes)
    if row.listed:
        answers = {"type": "array", "items": answers}
        refusals = {"anyOf": [refusals, {"type": "array", "items": refusals}]}
    content = {"application/json": {"schema": answers}}
    if row.events:
        content[row.streamed] = {"schema": {"description": row.events}}
    answer: Part = {"description": "The answer", "content": content}
    if row.request is not None:
        answer["headers"] = _HEADERS
    errors = {"application/json": {"schema": refusals}}
    completes = match(row.path).role is Role.COMPLETE
    told = {status: _STATUSES[status] for status in row.statuses} | (_ON_COMPLETIONS if completes else {})
    operation: Part = {
        "operationId": row.id,
        "tags": [row.tag],
        "summary": row.summary,
        "description": row.description,
        "security": [{"bearer": []}, {"apiKey": []}, {"googleApiKey": []}, {"googleKey": []}],
        "parameters": [*row.parameters, _REQUEST_ID, *((_IDEMPOTENCY_KEY, _CACHE, _TAGS) if completes else ())],
        "responses": {"200": answer}
        | {str(status): {"description": text, "content": errors} for status, text in sorted(told.items())},
    }
    if row.request is not None:
        body = {"application/json": {"schema": _schema((row.request,), shapes)}}
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _schema(models: tuple[type[BaseModel], ...], shapes: Part) -> Part:
    """A reference to each of ``models``, which it adds to ``shapes``."""
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, inner in schema.pop("$defs", {}).items():
            shapes.setdefault(name, inner)
        shapes.setdefault(model.__name__, schema)
    references = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return references[0] if len(references) == 1 else {"anyOf": references}
