"""Usage events in batches, for those who carry events without reading them."""

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from omni_wire.errors import WireError
from omniroute_proto.events.v1 import events_pb2

# How a request's ``traceparent`` begins on the wire: the tag of field 25, its length, its version.
_TRACED = b"\xca\x01\x3700-"
_EVENTS_TAG = bytes([events_pb2.EventBatch.EVENTS_FIELD_NUMBER << 3 | 2])  # length-delimited


def pack_batch(batch_id: str, router_id: str, events: Sequence[bytes]) -> bytes:
    """An ``events.v1.EventBatch`` of serialised ``events.v1.Event``, which are copied as they are."""
    # Concatenating serialised messages merges them, so a repeated field can be appended without parsing its members
    # (protobuf.dev/programming-guides/encoding, "Last one wins").
    parts = [events_pb2.EventBatch(batch_id=batch_id, router_id=router_id).SerializeToString()]
    for event in events:
        parts += (_EVENTS_TAG, _varint(len(event)), event)
    return b"".join(parts)


def unpack_batch(data: bytes) -> tuple[str, str, list[bytes]]:
    """Batch id, router id and the events, serialised again. Raises ``WireError``."""
    try:
        batch = events_pb2.EventBatch.FromString(data)
    except DecodeError as error:
        raise WireError("not an events.v1.EventBatch") from error
    return batch.batch_id, batch.router_id, [event.SerializeToString() for event in batch.events]


def lost_slice(
    slice_id: str, router_id: str, key_id: str, charged: Sequence[str], started_ms: int, error_kind: str
) -> bytes:
    """The serialised event of what a router had been leased of a key's limits and never accounted for: an attempt that
    was aborted, of a request and a provider that nobody knows. What it is charged is told where that is known."""
    attempt = events_pb2.AttemptEvent(
        id=slice_id,
        router_id=router_id,
        key_id=key_id,
        started_ms=started_ms,
        first_byte_ms=-1,
        outcome="aborted",
        error_kind=error_kind,
        pricing="priced",
        charged=" ".join(charged),
    )
    return events_pb2.Event(attempt=attempt).SerializeToString()


def charged_event(event: bytes, nano_usd: int) -> bytes:
    """The serialised attempt or request with what it is charged: protobuf merges what comes twice."""
    kind = events_pb2.Event.FromString(event).WhichOneof("event")
    if not nano_usd or kind not in ("attempt", "request"):
        return event
    more = events_pb2.Event()
    getattr(more, kind).cost_nano_usd = nano_usd
    return event + more.SerializeToString()


def traces_among(events: Sequence[bytes]) -> list[str]:
    """The trace contexts of the requests that are traced. Their bytes are looked at before any is parsed."""
    return [events_pb2.Event.FromString(event).request.traceparent for event in events if _TRACED in event]


def traces_in(batch: bytes) -> list[str]:
    """As ``traces_among``, of a batch; none of what is no batch."""
    if _TRACED not in batch:
        return []
    try:
        events = events_pb2.EventBatch.FromString(batch).events
    except DecodeError:
        return []
    return [event.request.traceparent for event in events if event.request.traceparent]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
