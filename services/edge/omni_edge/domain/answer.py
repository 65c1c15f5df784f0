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
_MAX_VALUE = 1024  # bytes of one header's value: clients and proxies have bounds of 8 KiB for all of them together

KEEP_ALIVE = b": keep-alive\n\n"


def header_value(text: str) -> bytes:
    """``text`` as a header may carry it: model names come from clients, so what is not printable ASCII is escaped,
    and what is beyond 1,024 bytes is cut off."""
    value = _escaped(text[:_MAX_VALUE])
    if len(value) <= _MAX_VALUE:
        return value
    end = value.rfind(b"%", _MAX_VALUE - 2, _MAX_VALUE)  # of an escape, all or nothing
    return value[: end if end >= 0 else _MAX_VALUE]


def _escaped(text: str) -> bytes:
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~").encode("ascii")


def translation(losses: Sequence[str]) -> bytes:
    """As many whole names as a header has room for, then how many more there are."""
    if not losses:
        return b"lossless"
    value = b"lossy; dropped="
    reserve = len(b",+%d more" % len(losses))
    for place, loss in enumerate(losses):
        left = len(losses) - place
        field = (b"," if place else b"") + _escaped(loss[: _MAX_VALUE + 1])
        if len(value) + len(field) > _MAX_VALUE - (reserve if left > 1 else 0):
            return value + (b",+%d more" if place else b"+%d more") % left
        value += field
    return value


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
