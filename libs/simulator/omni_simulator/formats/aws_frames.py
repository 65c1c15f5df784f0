"""AWS's event stream encoding (application/vnd.amazon.eventstream), as far as a provider writes it: string headers."""

import struct
import zlib
from typing import Any

from omni_wire.errors import GatewayError

from omni_simulator.formats.base import encode

# AWS's error types by status (bedrock-runtime's service model).
_TYPES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
TYPE_HEADER = b"x-amzn-errortype"


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    named = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(named) + len(payload), len(named))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return checked + struct.pack(">I", zlib.crc32(checked))


def event(name: str, payload: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, payload if isinstance(payload, bytes) else encode(payload))


def exception(error: GatewayError) -> bytes:
    kind = error_type(error)
    headers = {
        ":exception-type": kind[0].lower() + kind[1:],
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, encode({"message": error.message}))


def error_type(error: GatewayError) -> str:
    return _TYPES.get(error.status, "InternalServerException" if error.status >= 500 else "ValidationException")
