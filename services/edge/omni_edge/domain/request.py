"""What a request's head says, read in one pass over the raw header list."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from urllib.parse import parse_qsl

import msgspec
from omni_wire import loops
from omni_wire.errors import GatewayError, InvalidRequest, PermissionDenied, UnsupportedMediaType
from omni_wire.formats import WireFormat

from omni_edge.domain.inflating import ENCODINGS

# Carried on to the router (name as received → name as forwarded). Everything else stays here, credentials above all.
_FORWARDED: dict[bytes, str] = {
    name.encode(): name
    for name in (
        "accept",
        "anthropic-beta",
        "anthropic-version",
        loops.HEADER,
        "idempotency-key",
        "openai-beta",
        "tracestate",
        "user-agent",
    )
}
_OWN_PREFIX = b"x-omniroute-"  # carried on too
_READ_HERE = {
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"traceparent", b"transfer-encoding",
    b"upgrade", b"x-api-key", b"x-goog-api-key", b"x-request-id",
}  # fmt: skip
# What the usual clients send besides, named only to be passed over by one look-up instead of two comparisons.
_OF_NO_INTEREST = {
    b"accept-encoding", b"accept-language", b"connection", b"cookie", b"expect", b"host", b"origin", b"referer",
    b"sec-fetch-mode", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip",
    b"x-stainless-arch", b"x-stainless-async", b"x-stainless-helper-method", b"x-stainless-lang", b"x-stainless-os",
    b"x-stainless-package-version", b"x-stainless-raw-response", b"x-stainless-read-timeout",
    b"x-stainless-retry-count", b"x-stainless-runtime", b"x-stainless-runtime-version", b"x-stainless-timeout",
}  # fmt: skip

_ID_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_TRACE_CHARACTERS = b"0123456789abcdef-"


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A head without its secrets.

    ``request_id`` is the client's own or empty; ``key_digest`` is SHA-256 of the presented key, None without one;
    ``length`` is the announced size of the body in bytes, -1 when it comes in chunks.
    ``foreign`` is whether a page of another site made a browser send it; told only of a head without a key.
    """

    request_id: str
    traceparent: str
    key_digest: bytes | None
    content_type: bytes
    content_encoding: bytes
    length: int
    websocket: bool
    headers: dict[str, str]
    foreign: bool = False


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a page is told of its request. ``query`` is without the key, which is ``noise`` where it can be none."""

    inbound: Inbound
    request_id: str
    dialect: WireFormat
    query: Mapping[str, str] = {}
    noise: bool = False


def read_query(query: bytes) -> dict[str, str]:
    """What a query string says besides the key. Of a repeated name the last counts."""
    return {name: value for name, value in _pairs(query) if name != "key"}


def wants_events(query: bytes) -> bool:
    """Whether Google's ``alt`` asks for server-sent events; without it a stream is one JSON array."""
    return b"alt" in query and any(name in ("alt", "$alt") and value == "sse" for name, value in _pairs(query))


def _pairs(query: bytes) -> list[tuple[str, str]]:
    # Latin-1 both ways keeps every byte as it came.
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")


def read_head(headers: Sequence[tuple[bytes, bytes]], query: bytes = b"") -> Inbound:
    """``headers`` as ASGI gives them: names in lower case. Of a repeated header the last counts. ``query`` is looked
    at for Google's ``key=`` alone, and only where no header has one."""
    found: dict[bytes, bytes] = {}
    forwarded: dict[str, str] = {}
    for name, value in headers:
        if name in _OF_NO_INTEREST:
            continue
        if name in _READ_HERE:
            found[name] = value
        elif name in _FORWARDED:
            forwarded[_FORWARDED[name]] = value.decode("latin-1")
        elif name.startswith(_OWN_PREFIX):
            forwarded[name.decode("latin-1")] = value.decode("latin-1")
    get = found.get
    key = _presented_key(found, query)
    own_id = get(b"x-request-id", b"")
    trace = get(b"traceparent", b"")
    length = get(b"content-length")
    return Inbound(
        own_id.decode() if own_id and _is_id(own_id) else "",
        trace.decode() if len(trace) == 55 and not trace.translate(None, _TRACE_CHARACTERS) else "",
        sha256(key).digest() if key else None,
        get(b"content-type", b""),
        get(b"content-encoding", b""),
        int(length) if length is not None and length.isdigit() else (-1 if b"transfer-encoding" in found else 0),
        b"upgrade" in found and found[b"upgrade"].lower() == b"websocket",
        forwarded,
        not key and _is_foreign(headers),
    )


def _is_id(text: bytes) -> bool:
    """An id is kept with what is recorded and told: what looks like a key, ours or a vendor's, is none."""
    return len(text) <= 64 and not text.translate(None, _ID_CHARACTERS) and not text.startswith((b"or-", b"sk-"))


def presented_key(headers: Sequence[tuple[bytes, bytes]], query: bytes) -> bytes:
    """The key itself, empty without one: to be looked at, never kept."""
    return _presented_key(dict(headers), query)


def _presented_key(found: dict[bytes, bytes], query: bytes) -> bytes:
    scheme, _, token = found.get(b"authorization", b"").partition(b" ")
    if scheme == b"Bearer" or scheme.lower() == b"bearer":
        token = token.strip()
        if token:
            return token
    key = found.get(b"x-api-key", b"").strip() or found.get(b"x-goog-api-key", b"").strip()
    if query and not key and b"key" in query:
        return next((value.encode("latin-1") for name, value in _pairs(query) if name == "key"), b"").strip()
    return key


def spoken(headers: Sequence[tuple[bytes, bytes]], query: bytes) -> WireFormat:
    """The dialect of somebody who asks on a path that several share. Every SDK of Anthropic's sends
    ``anthropic-version``, every one of Google's ``x-goog-…``, and OpenAI's a bearer token and neither."""
    found = dict(headers)
    if b"anthropic-version" in found:
        return WireFormat.ANTHROPIC_MESSAGES
    if any(name.startswith(b"x-goog-") for name in found) or b"google-genai" in found.get(b"user-agent", b""):
        return WireFormat.GEMINI_GENERATE
    if b"authorization" in found:
        return WireFormat.OPENAI_CHAT
    if b"x-api-key" in found:
        return WireFormat.ANTHROPIC_MESSAGES
    if any(name == "key" for name, _ in _pairs(query)):
        return WireFormat.GEMINI_GENERATE
    return WireFormat.OPENAI_CHAT


def _is_foreign(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """By what browsers say of themselves and pages cannot change: Fetch Metadata (w3.org/TR/fetch-metadata), Origin."""
    host = origin = b""
    for name, value in headers:
        if name == b"sec-fetch-site":
            if value.strip().lower() in (b"cross-site", b"same-site"):
                return True
        elif name == b"host":
            host = value
        elif name == b"origin":
            origin = value
    # "null", a sandboxed page's origin, has no host and is never ours.
    return bool(origin) and (not host or _authority(origin.partition(b"://")[2]) != _authority(host))


def _authority(value: bytes) -> bytes:
    """Host and port, without a scheme's own port: a proxy that ends TLS may leave it out or put it in."""
    return value.strip().lower().removesuffix(b":80").removesuffix(b":443")


def foreign_refusal() -> GatewayError:
    return PermissionDenied("A page of another site may not use this gateway without an API key.")


def untyped_refusal() -> GatewayError:
    """A browser sends a body without JSON's content type for any page, and one with it only after asking us first."""
    return UnsupportedMediaType("Without an API key the body must be sent with 'Content-Type: application/json'.")


def media_refusal(content_type: bytes, content_encoding: bytes) -> GatewayError | None:
    """Why a body of this kind is not taken; None when it is. A missing content type is taken for JSON."""
    if content_encoding and encoding_of(content_encoding) not in (*ENCODINGS, b""):
        return UnsupportedMediaType(
            "The body may be compressed with gzip or deflate, once; else send it without Content-Encoding.",
            param="Content-Encoding",
        )
    if not content_type or content_type == b"application/json":
        return None
    media, _, parameters = content_type.lower().partition(b";")
    if media.strip() != b"application/json":
        return UnsupportedMediaType("The body must be JSON, sent with 'Content-Type: application/json'.")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if charset.startswith(b"charset=") and charset not in (b"charset=utf-8", b"charset=utf8", b"charset=us-ascii"):
        return UnsupportedMediaType("JSON is UTF-8: send it with 'Content-Type: application/json'.")
    return None


def encoding_of(content_encoding: bytes) -> bytes:
    """How a body is compressed; empty for one that is not."""
    word = content_encoding.strip().lower()
    return b"" if word == b"identity" else word


def loop_refusal(headers: Mapping[str, str]) -> GatewayError | None:
    """A provider whose address is ours, or that of another gateway which sends to us. A 400: what is wrong is the
    configuration, and trying again would make it worse."""
    said = headers.get(loops.HEADER)
    if said is None or loops.passed(said) < loops.MOST:
        return None
    return InvalidRequest(
        f"This request has passed {loops.MOST} gateways: a provider of theirs is a gateway, and sends it back.",
        code="loop_detected",
    )


def slow_body(seconds: float) -> GatewayError:
    return InvalidRequest(
        f"The request body did not arrive: nothing came for too long (limit {seconds:g} s).",
        status=408,
        code="request_timeout",
    )
