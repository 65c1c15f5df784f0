"""Bodies of calls on their way from a router to analytics: a stream of their own, bounded, that nobody waits for.

They never touch usage events or their outbox: what this stream loses, or has no room for, is a body that is not there
to be read, and nothing else.
"""

import zlib
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from omni_wire.errors import WireError
from omniroute_proto.events.v1 import events_pb2 as pb

STREAM = "OMNIROUTE_BODIES"
SUBJECT = "omniroute.bodies"
SUBJECTS = f"{SUBJECT}.*"
DURABLE = "bodies"
# Of the stream: what analytics did not take in a day, or what is more than so many bytes, oldest first, is gone.
MAX_AGE, MAX_BYTES = 86_400.0, 256 * 1024 * 1024

# What there is to keep of a call, in the order in which it goes by.
STAGES = ("client_request", "provider_request", "provider_response", "client_response")
# Text shrinks to a fifth with the cheapest effort already.
_EFFORT = 1
# What a body can be at the most where its sender tells the truth.
_MOST = 1024 * 1024
_LONGEST = 512


class KeptBody(msgspec.Struct, frozen=True, kw_only=True):
    """``content`` is what is kept of ``size`` bytes, the first of them where it is ``cut``. ``attempt`` is from 1 for
    what a provider was told and said, and 0 for what is the client's; ``told_id`` is the request's id as the client
    knows it. Times in epoch milliseconds: ``until_ms`` is when it is to be gone. A higher ``seq`` replaces a lower."""

    request_id: str
    told_id: str
    key_id: str
    stage: str
    attempt: int
    provider: str
    model: str
    wire_format: str
    at_ms: int
    until_ms: int
    size: int
    content: bytes
    redacted: bool
    cut: bool = False
    seq: int = 1

    def __repr__(self) -> str:
        return f"KeptBody({self.request_id!r}, {self.stage!r}, {self.attempt})"


_PLAIN = tuple(name for name in KeptBody.__struct_fields__ if name != "content")


def pack(body: KeptBody) -> bytes:
    fields = {name: getattr(body, name) for name in _PLAIN}
    return pb.Body(**fields, content=zlib.compress(body.content, _EFFORT)).SerializeToString()


def unpack(data: bytes) -> KeptBody:
    """Raises ``WireError`` for what is none."""
    try:
        found = pb.Body.FromString(data)
        engine = zlib.decompressobj()
        content = engine.decompress(found.content, _MOST)
    except (DecodeError, zlib.error) as error:
        raise WireError("not an events.v1.Body") from error
    if found.stage not in STAGES or not found.request_id or not engine.eof:
        raise WireError("not a body of a call")
    fields: dict[str, Any] = {
        name: _tidy(getattr(found, name)) for name in KeptBody.__struct_fields__ if name != "content"
    }
    return KeptBody(**fields, content=content)


def _tidy(value: str | int) -> str | int:
    """A name may be a client's; no database takes what is cut off or out here."""
    return value.replace("\0", "")[:_LONGEST] if isinstance(value, str) else value
