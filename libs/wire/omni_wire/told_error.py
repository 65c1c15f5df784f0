"""The error a provider tells where its status did not: under 200, or in the middle of a stream.

Words are those of OpenAI (platform.openai.com/docs/guides/error-codes), Anthropic (docs.anthropic.com/en/api/errors)
and Google (cloud.google.com/apis/design/errors); a number in ``code`` is Google's and OpenRouter's status itself.
"""

from typing import Any, Final

import msgspec

from omni_wire.errors import UpstreamFailed, UpstreamRejected, upstream_message
from omni_wire.surrogates import decode

_STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "slow_down": 503,
    "server_is_overloaded": 503,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_CODES: Final = {
    401: "upstream_unauthenticated",
    402: "upstream_payment_required",
    403: "upstream_permission_denied",
    404: "upstream_not_found",
    429: "upstream_rate_limited",
}
_MAX_NESTING: Final = 8
_ANY: Final = msgspec.json.Decoder()


def tells_error(body: bytes) -> bool:
    """Whether a whole body is an error's, whatever its status."""
    node = _read(body)
    if isinstance(node, list) and node:
        node = node[0]
    return isinstance(node, dict) and bool(node.get("error") or "error" in (node.get("type"), node.get("object")))


def _read(body: bytes) -> Any:
    try:
        return decode(_ANY, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def error_words(body: bytes) -> set[str]:
    """The words by which an error body or event says what it is: those in its ``code``, ``type`` and ``status``."""
    node = _error(body)
    said = [node.get(field) for field in ("code", "type", "status")] if isinstance(node, dict) else []
    return {word for word in said if isinstance(word, str)}


def told_status(body: bytes) -> int:
    """The status that an error body or event tells by its words; 0 when it tells none."""
    node = _error(body)
    return _in(node) if isinstance(node, dict) else 0


def _error(body: bytes) -> Any:
    node = _read(body)
    for _ in range(_MAX_NESTING):
        if isinstance(node, list) and node:
            node = node[0]
        elif isinstance(node, dict) and isinstance(node.get("error"), dict):
            node = node["error"]
        elif isinstance(node, dict) and isinstance(inner := node.get("response"), dict) and inner.get("error"):
            node = inner
        else:
            break
    return node


def _in(error: dict[str, Any]) -> int:
    code = error.get("code")
    if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
        return code
    for word in (error.get("status"), code, error.get("type")):
        status = _STATUS.get(word) if isinstance(word, str) else None
        if status is not None:
            return status
    return 0


def error_of(message: str, status: int, retry_after: float | None = None) -> UpstreamFailed | UpstreamRejected:
    """The error for what a provider said with ``status``, which is kept, as SDKs choose their exception class by it."""
    if 400 <= status < 500:
        return UpstreamRejected(message, status=status, retry_after=retry_after, code=_CODES.get(status))
    return UpstreamFailed(message, status=status if 500 <= status < 600 else 502, retry_after=retry_after)


def told_error(body: bytes, saying: str) -> UpstreamFailed | UpstreamRejected:
    """The error in ``body``, a provider's own words after ours."""
    return error_of(f"{saying}: {upstream_message(body)}", told_status(body))
