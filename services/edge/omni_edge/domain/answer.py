"""Response headers, and error bodies in dialects that have no wire format here."""

import math
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

import msgspec
from omni_wire.errors import GatewayError, render_body
from omni_wire.formats import WireFormat

Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_STREAM = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_LONG_NAME = 256  # characters

KEEP_ALIVE = b": keep-alive\n\n"


def header_value(text: str) -> bytes:
    """``text`` as a header may carry it: model names come from clients, so what is not printable ASCII is escaped."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~").encode("ascii")


def translation(losses: Sequence[str]) -> bytes:
    return header_value("lossy; dropped=" + ",".join(losses)) if losses else b"lossless"


def success_headers(
    request_id: bytes, content_type: str, provider: str, model: str, losses: Sequence[str], stream: bool
) -> Headers:
    if losses or len(model) > _LONG_NAME:  # any client can make as many of these as it likes, of any size
        told = _told(content_type, provider, model, translation(losses), stream)
    else:
        told = _told_again(content_type, provider, model, b"lossless", stream)
    return [*told, (b"x-request-id", request_id)]


def _told(content_type: str, provider: str, model: str, translated: bytes, stream: bool) -> Headers:
    headers = [
        (b"content-type", header_value(content_type)),
        (b"x-omniroute-provider", header_value(provider)),
        (b"x-omniroute-model", header_value(model)),
        (b"x-omniroute-translation", translated),
    ]
    return headers + _STREAM if stream else headers


_told_again = lru_cache(1024)(_told)


def error_headers(error: GatewayError, request_id: bytes, length: int, *, close: bool) -> Headers:
    headers: Headers = [_JSON, (b"content-length", b"%d" % length), (b"x-request-id", request_id)]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if close:
        headers.append((b"connection", b"close"))
    return headers


def error_body(error: GatewayError, wire_format: WireFormat | None, request_id: str) -> bytes:
    """None is Ollama's dialect: ``{"error": "…"}`` (docs.ollama.com/api/errors)."""
    if wire_format is None:
        return msgspec.json.encode({"error": error.message})
    return render_body(error, wire_format, request_id)
