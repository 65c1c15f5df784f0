"""What every call carries besides its own message."""

import msgspec


class CallContext(msgspec.Struct, frozen=True):
    """``request_id`` is a UUIDv7 or the client's own; ``traceparent`` is W3C trace context, verbatim or empty."""

    request_id: str
    traceparent: str = ""
