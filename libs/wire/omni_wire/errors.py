"""The error tree, and how each wire format says it.

Everything that can go wrong between a client and a provider is one of these, whichever process it happened in.

    GatewayError
    ├── RequestError                    the client must change something
    │   ├── InvalidRequest        400   malformed body, bad field
    │   ├── AmbiguousModel        400   a bare model id that several providers offer
    │   ├── LossRefused           400   strict translation asked for, and something would be lost
    │   ├── GuardRefused          400   a guard over content refuses what it found, in the request or the answer
    │   ├── Unauthenticated       401   no key, or a wrong one
    │   ├── BudgetExhausted       402   the USD budget is spent (or no priced candidate is left under one)
    │   ├── PermissionDenied      403   the key may not do this
    │   ├── ModelNotFound         404
    │   ├── BodyTooLarge          413
    │   └── UnsupportedMediaType  415
    ├── LimitError                      the client may try again later
    │   ├── RateLimited           429   the key's own limit
    │   └── BudgetHeld            429   the budget is held by requests in flight
    ├── UpstreamError                   the provider's doing
    │   ├── UpstreamRejected   as sent  it answered 4xx; its message is passed on
    │   ├── UpstreamFailed        502   it answered 5xx, or not as its format prescribes
    │   ├── UpstreamUnreachable   502   no connection
    │   ├── UpstreamTimeout       504   no answer, or a stream that fell silent
    │   ├── ProxyFailed           502   the way to it did not open: evidence against a proxy, and against no account
    │   └── StreamInterrupted     502   the stream ended before its end
    └── ServiceError                    our doing
        ├── Internal              500
        ├── NotBuilt              501   a wire format that has no codec yet
        ├── CredentialUnavailable 503
        ├── DependencyUnavailable 503   Redis, NATS or one of our services is away
        ├── NoCandidate           503   every candidate is cooling down or switched off
        └── ClientGone            499   recorded, never rendered
"""

from typing import Any, ClassVar

import msgspec

from omni_wire.formats import WireFormat
from omni_wire.surrogates import decode


class GatewayError(Exception):
    """Root of the tree.

    ``message`` is for the person; ``kind`` is the stable name for programs, metrics and other processes.
    ``retry_after`` is in seconds. ``param`` names the offending request field. ``reported`` says that somebody nearer
    to the cause has written it down already, ``trace`` which way the request took, for a client that asked.
    """

    kind: ClassVar[str] = "gateway_error"
    reported = False
    trace = ""
    status: int = 500
    code: str = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.param = param
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code


class RequestError(GatewayError):
    kind = "request_error"
    status = 400
    code = "bad_request"


class InvalidRequest(RequestError):
    kind = "invalid_request"


class AmbiguousModel(RequestError):
    kind = "ambiguous_model"
    code = "ambiguous_model"


class LossRefused(RequestError):
    kind = "loss_refused"
    code = "translation_loss"


class GuardRefused(RequestError):
    kind = "guard_refused"
    code = "guard_refused"


class Unauthenticated(RequestError):
    kind = "unauthenticated"
    status = 401
    code = "invalid_api_key"


class BudgetExhausted(RequestError):
    kind = "budget_exhausted"
    status = 402
    code = "budget_exhausted"


class PermissionDenied(RequestError):
    kind = "permission_denied"
    status = 403
    code = "permission_denied"


class ModelNotFound(RequestError):
    kind = "model_not_found"
    status = 404
    code = "model_not_found"


class BodyTooLarge(RequestError):
    kind = "body_too_large"
    status = 413
    code = "body_too_large"


class UnsupportedMediaType(RequestError):
    kind = "unsupported_media_type"
    status = 415
    code = "unsupported_media_type"


class LimitError(GatewayError):
    kind = "limit_error"
    status = 429
    code = "rate_limit_exceeded"


class RateLimited(LimitError):
    """``standing`` is the limit's name, how much it lets through, and in how many seconds, where that is to be told."""

    kind = "rate_limited"
    standing: tuple[str, int, int] | None = None


class BudgetHeld(LimitError):
    kind = "budget_held"
    code = "budget_held"


class UpstreamError(GatewayError):
    kind = "upstream_error"
    status = 502
    code = "upstream_error"


class UpstreamRejected(UpstreamError):
    kind = "upstream_rejected"
    status = 400
    code = "upstream_rejected"


class UpstreamFailed(UpstreamError):
    kind = "upstream_failed"
    code = "upstream_failed"


class UpstreamUnreachable(UpstreamError):
    kind = "upstream_unreachable"
    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    kind = "upstream_timeout"
    status = 504
    code = "upstream_timeout"


class ProxyFailed(UpstreamError):
    """``proxy`` is its name, ``level`` whose word it was that it be used, where that is known."""

    kind = "proxy_failed"
    code = "proxy_failed"
    proxy = level = ""


class StreamInterrupted(UpstreamError):
    kind = "stream_interrupted"
    code = "stream_interrupted"


class ServiceError(GatewayError):
    kind = "service_error"


class Internal(ServiceError):
    kind = "internal"


class NotBuilt(ServiceError):
    kind = "not_built"
    status = 501
    code = "not_implemented"


class CredentialUnavailable(ServiceError):
    kind = "credential_unavailable"
    status = 503
    code = "credential_unavailable"


class DependencyUnavailable(ServiceError):
    kind = "dependency_unavailable"
    status = 503
    code = "service_unavailable"


class NoCandidate(ServiceError):
    kind = "no_candidate"
    status = 503
    code = "no_candidate"


class ClientGone(ServiceError):
    kind = "client_gone"
    status = 499
    code = "client_gone"


class WireError(ValueError):
    """Bytes that are not what their format prescribes. The only thing a codec or a framer raises on bad input.

    ``field`` is a dotted path, where one is known.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def _leaves(cls: type[GatewayError]) -> list[type[GatewayError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in _leaves(child))]


KINDS: dict[str, type[GatewayError]] = {cls.kind: cls for cls in _leaves(GatewayError)}


def from_kind(
    kind: str,
    message: str,
    *,
    status: int | None = None,
    retry_after: float | None = None,
    param: str | None = None,
    code: str | None = None,
) -> GatewayError:
    """Rebuild an error that crossed a process border; a kind this version does not know becomes ``Internal``."""
    cls = KINDS.get(kind, Internal)
    return cls(message, status=status, retry_after=retry_after, param=param, code=code)


# ---- rendering ------------------------------------------------------------------------------------------------------

# OpenAI's `type` by status (platform.openai.com/docs/guides/error-codes); SDKs choose the exception class by status.
_OPENAI_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}

# Anthropic's `error.type` by status (docs.anthropic.com/en/api/errors).
_ANTHROPIC_TYPE = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

# Google's `error.status` by HTTP status (cloud.google.com/apis/design/errors).
_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


def render_body(error: GatewayError, wire_format: WireFormat, request_id: str) -> bytes:
    """The whole JSON body that ``wire_format`` prescribes for ``error``; the status is ``error.status``."""
    return msgspec.json.encode(_payload(error, wire_format, request_id))


# Above any number that an event of a Responses stream had: clients check that they rise.
_LAST_EVENT = 2**31 - 2


def render_frame(
    error: GatewayError, wire_format: WireFormat, request_id: str, *, sequence_number: int = _LAST_EVENT
) -> bytes:
    """What ends a stream already begun, in the words of ``wire_format``: one SSE event, for Responses two, for Ollama a
    line of JSON.

    Responses numbers its events; ``sequence_number`` is that of the first one here, where the caller has counted.
    Before Gemini's event stands bare JSON, a line that readers of SSE pass over: gemini-cli (@google/genai up to 1.x)
    takes the event for one more chunk and sees only that.
    """
    payload = _payload(error, wire_format, request_id)
    if wire_format is WireFormat.ANTHROPIC_MESSAGES:
        return b"event: error\ndata: " + msgspec.json.encode(payload) + b"\n\n"
    if wire_format is WireFormat.OPENAI_RESPONSES:
        return _responses_frames(payload["error"], request_id, sequence_number)
    if wire_format is WireFormat.GEMINI_GENERATE:
        bare = msgspec.json.encode(payload)
        return bare + b"\n\ndata: " + bare + b"\n\n"
    if wire_format is WireFormat.OLLAMA_CHAT:
        return msgspec.json.encode(payload) + b"\n"
    if wire_format is WireFormat.COHERE_CHAT:
        ending = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": payload["message"]}}
        return b"event: message-end\ndata: " + msgspec.json.encode(ending) + b"\n\n"
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"


def _responses_frames(inner: dict[str, Any], request_id: str, number: int) -> bytes:
    """``error`` and ``response.failed``. OpenAI's SDKs raise on any event that holds an ``error`` object (the reference
    has its fields flat, so both are given); Codex heeds ``response.failed`` only."""
    flat = {"code": inner["code"], "message": inner["message"], "param": inner["param"]}
    first = {"type": "error", "sequence_number": number, **flat, "error": {"type": inner["type"], **flat}}
    response: dict[str, Any] = {
        "id": f"resp_{request_id}",
        "object": "response",
        "status": "failed",
        "error": {"code": inner["code"], "message": inner["message"]},
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    last = {"type": "response.failed", "sequence_number": number + 1, "response": response}
    frames = [(b"error", first), (b"response.failed", last)]
    return b"".join(b"event: %b\ndata: %b\n\n" % (name, msgspec.json.encode(body)) for name, body in frames)


def render_item(error: GatewayError, request_id: str, *, first: bool) -> bytes:
    """The element that ends a Gemini stream given as one JSON array, and the array with it; ``first`` when nothing of
    the array has been sent yet."""
    return (b"[" if first else b",\n") + render_body(error, WireFormat.GEMINI_GENERATE, request_id) + b"]\n"


# Those whose errors have no field for the place of what is wrong, or none that their SDKs show.
_WITHOUT_PARAM = (
    WireFormat.ANTHROPIC_MESSAGES,
    WireFormat.GEMINI_GENERATE,
    WireFormat.OLLAMA_CHAT,
    WireFormat.COHERE_CHAT,
)


def _payload(error: GatewayError, wire_format: WireFormat, request_id: str) -> dict[str, Any]:
    # JSON in UTF-8 has no lone surrogates, and a message may quote what had some.
    message = error.message
    if wire_format in _WITHOUT_PARAM and error.param and error.param not in message:
        message = f"{error.param}: {message}"
    message = message.encode("utf-8", "replace").decode()
    if wire_format is WireFormat.ANTHROPIC_MESSAGES:
        kind = _ANTHROPIC_TYPE.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    if wire_format is WireFormat.GEMINI_GENERATE:
        status = _GOOGLE_STATUS.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": error.code.upper(),
            "domain": "omniroute",
            "metadata": {"request_id": request_id},
        }
        details: list[dict[str, Any]] = [info]
        if error.param and error.status == 400:
            place = {"field": error.param, "description": message}
            details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [place]})
        return {"error": {"code": error.status, "message": message, "status": status, "details": details}}
    if wire_format is WireFormat.OLLAMA_CHAT:  # docs.ollama.com/api/errors
        return {"error": message}
    if wire_format is WireFormat.COHERE_CHAT:  # docs.cohere.com/reference/errors
        return {"id": request_id, "message": message}
    kind = _OPENAI_TYPE.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    return {
        "error": {
            "message": message,
            "type": kind,
            "code": error.code,
            "param": error.param,
            "request_id": request_id,
        }
    }


# ---- reading a provider's own error ---------------------------------------------------------------------------------


_MAX_NESTING = 8
_ANY = msgspec.json.Decoder()


def upstream_message(body: bytes) -> str:
    """The human message inside a provider's error body, whatever its dialect; a short extract when there is none."""
    try:
        decoded = decode(_ANY, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested past any sense
        decoded = None
    found = _find_message(decoded)
    if found:
        return found[:2000]
    return body[:200].decode("utf-8", "replace").strip() or "no details given"


def _find_message(node: object) -> str | None:
    for _ in range(_MAX_NESTING):
        if isinstance(node, list) and node:  # Gemini's JSON-array streams wrap the error in a list
            node = node[0]
            continue
        if not isinstance(node, dict):
            return None
        inner = node.get("error")
        if isinstance(inner, dict):
            node = inner
            continue
        if isinstance(inner, str) and inner:
            return inner
        message = node.get("message")
        return message if isinstance(message, str) and message else None
    return None
