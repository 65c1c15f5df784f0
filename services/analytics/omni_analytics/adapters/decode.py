"""``events.v1.EventBatch`` to rows. The only place in analytics that knows protobuf."""

from collections.abc import Callable, Sequence
from operator import attrgetter

import msgspec
from google.protobuf.message import DecodeError
from msgspec.structs import replace
from omni_wire.errors import WireError
from omniroute_proto.events.v1 import events_pb2

from omni_analytics.domain.rows import AttemptRow, RequestRow, UsageRow, check
from omni_analytics.ports import Decoded

# A model's name is the client's to choose; clipped, so that nobody's usage is refused for a long one.
MAX_TEXT = 512

_RENAMED = {
    name: f"usage.{name}"
    for name in (
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "estimated",
    )
}


def _getter(row: type[AttemptRow] | type[RequestRow]) -> Callable[[object], tuple[object, ...]]:
    return attrgetter(*(_RENAMED.get(name, name) for name in row.__struct_fields__ if name != "losses"))


_ATTEMPT = _getter(AttemptRow)
_REQUEST = _getter(RequestRow)


def decode_batch(data: bytes) -> Decoded:
    """Never raises: what cannot be read is said in ``fault``, and the rest of the batch is kept."""
    try:
        batch = events_pb2.EventBatch.FromString(data)
    except DecodeError:
        return Decoded((), "not an events.v1.EventBatch")
    rows: list[UsageRow] = []
    fault = "" if batch.events else "the batch has no events"
    for event in batch.events:
        try:
            rows.append(_row(event))
        except WireError as error:
            fault = fault or str(error)
    return Decoded(tuple(rows), fault)


def _row(event: events_pb2.Event) -> UsageRow:
    which = event.WhichOneof("event")
    row: UsageRow
    if which == "attempt":
        row = AttemptRow(*_ATTEMPT(event.attempt))  # type: ignore[arg-type]
        if len(row.model) > MAX_TEXT:
            row = replace(row, model=row.model[:MAX_TEXT])
    elif which == "request":
        request = event.request
        row = RequestRow(*_REQUEST(request), _json_array(request.losses))  # type: ignore[arg-type,call-arg]
        if max(len(row.model_requested), len(row.model_served)) > MAX_TEXT:
            row = replace(row, model_requested=row.model_requested[:MAX_TEXT], model_served=row.model_served[:MAX_TEXT])
    else:
        raise WireError("an event of a kind this version does not know")
    check(row)
    return row


def _json_array(texts: Sequence[str]) -> str:
    return msgspec.json.encode(list(texts)).decode() if texts else "[]"
