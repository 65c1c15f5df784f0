"""What a wire format must be able to do here, and the few things all of them write alike."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from omni_wire.errors import GatewayError

from omni_simulator.values import Answer, Ask, Frames

encode = msgspec.json.Encoder().encode


class Format(Protocol):
    """``read`` raises ``InvalidRequest``; the rest always succeed. ``request_id_header`` is the vendor's own name."""

    request_id_header: bytes

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask: ...

    def whole(self, ask: Ask, answer: Answer) -> bytes: ...

    def frames(self, ask: Ask, answer: Answer) -> Frames: ...

    def count(self, tokens: int) -> bytes: ...

    def error(self, error: GatewayError, request_id: str) -> bytes: ...

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes: ...

    def model(self, name: str) -> dict[str, Any]: ...

    def models(self, names: Sequence[str]) -> dict[str, Any]: ...


def data_frame(payload: object) -> bytes:
    """An event without a name."""
    return b"data: " + encode(payload) + b"\n\n"


def named_frame(payload: dict[str, Any]) -> bytes:
    """An event named after its payload's type."""
    name: str = payload["type"]
    return b"event: " + name.encode() + b"\ndata: " + encode(payload) + b"\n\n"


def around(template: bytes, mark: bytes = b'"@"') -> tuple[bytes, bytes]:
    """The two sides of the one place in an encoded event that changes from delta to delta."""
    before, _, after = template.partition(mark)
    return before, after
