"""What a request's head says, read in one pass over the raw header list."""

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from omni_wire.errors import GatewayError, InvalidRequest, UnsupportedMediaType

# Carried on to the router (name as received → name as forwarded). Everything else stays here, credentials above all.
_FORWARDED = tuple(
    (name.encode(), name)
    for name in (
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "idempotency-key",
        "openai-beta",
        "tracestate",
        "user-agent",
    )
)
_OWN_PREFIX = b"x-omniroute-"

_ID_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_TRACE_CHARACTERS = b"0123456789abcdef-"


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A head without its secrets.

    ``request_id`` is the client's own or empty; ``key_digest`` is SHA-256 of the presented key, None without one;
    ``length`` is the announced size of the body in bytes, -1 when it comes in chunks.
    """

    request_id: str
    traceparent: str
    key_digest: bytes | None
    content_type: bytes
    content_encoding: bytes
    length: int
    websocket: bool
    headers: dict[str, str]


def read_head(headers: Iterable[tuple[bytes, bytes]]) -> Inbound:
    """``headers`` as ASGI gives them: names in lower case. Of a repeated header the last counts."""
    found = dict(headers)
    get = found.get
    forwarded = {}
    for name, text in _FORWARDED:
        if name in found:
            forwarded[text] = found[name].decode("latin-1")
    if _OWN_PREFIX in b"\n".join(found):  # one search in C: hardly any request has one of these
        for name in found:
            if name.startswith(_OWN_PREFIX):
                forwarded[name.decode("latin-1")] = found[name].decode("latin-1")
    key = _presented_key(found)
    own_id = get(b"x-request-id", b"")
    trace = get(b"traceparent", b"")
    length = get(b"content-length")
    return Inbound(
        own_id.decode() if own_id and len(own_id) <= 64 and not own_id.translate(None, _ID_CHARACTERS) else "",
        trace.decode() if len(trace) == 55 and not trace.translate(None, _TRACE_CHARACTERS) else "",
        sha256(key).digest() if key else None,
        get(b"content-type", b""),
        get(b"content-encoding", b""),
        int(length) if length is not None and length.isdigit() else (-1 if b"transfer-encoding" in found else 0),
        b"upgrade" in found and found[b"upgrade"].lower() == b"websocket",
        forwarded,
    )


def _presented_key(found: dict[bytes, bytes]) -> bytes:
    scheme, _, token = found.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        token = token.strip()
        if token:
            return token
    return found.get(b"x-api-key", b"").strip() or found.get(b"x-goog-api-key", b"").strip()


def media_refusal(content_type: bytes, content_encoding: bytes) -> GatewayError | None:
    """Why a body of this kind is not taken; None when it is. A missing content type is taken for JSON."""
    if content_encoding and content_encoding.strip().lower() != b"identity":
        return UnsupportedMediaType("The body must not be compressed: send it without Content-Encoding.")
    if not content_type or content_type == b"application/json":
        return None
    media, _, parameters = content_type.lower().partition(b";")
    if media.strip() != b"application/json":
        return UnsupportedMediaType("The body must be JSON, sent with 'Content-Type: application/json'.")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if charset.startswith(b"charset=") and charset not in (b"charset=utf-8", b"charset=utf8", b"charset=us-ascii"):
        return UnsupportedMediaType("JSON is UTF-8: send it with 'Content-Type: application/json'.")
    return None


def slow_body(seconds: float) -> GatewayError:
    return InvalidRequest(
        f"The request body did not arrive: nothing came for too long (limit {seconds:g} s).",
        status=408,
        code="request_timeout",
    )
