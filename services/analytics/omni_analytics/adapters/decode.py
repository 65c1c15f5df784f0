"""``events.v1.EventBatch`` to rows. The only place in analytics that knows protobuf."""

from collections.abc import Callable, Sequence
from operator import attrgetter

import msgspec
from google.protobuf.message import DecodeError
from msgspec.structs import replace
from omni_core.usage_message import apart
from omni_wire.errors import WireError
from omniroute_proto.events.v1 import events_pb2

from omni_analytics.domain.reached import Reached
from omni_analytics.domain.reached import check as check_reached
from omni_analytics.domain.rows import AttemptRow, RequestRow, UsageRow, check, parts
from omni_analytics.ports import Decoded

# A model's name is the client's to choose; clipped, so that nobody's usage is refused for a long one.
MAX_TEXT = 512
# Bytes; what is more is left away, for the same reason.
MAX_DECISION = 64 * 1024
MOST_TAGS, MAX_TAG = 64, 64

_ATTEMPT, _REQUEST = parts(AttemptRow), parts(RequestRow)
_ATTEMPT_OWN = attrgetter(*_ATTEMPT.own[:-1])  # nothing comes repriced
_ATTEMPT_KIND = attrgetter(*_ATTEMPT.kind[:-1])  # a word of the usage is last
_REQUEST_OWN, _REQUEST_KIND = attrgetter(*_REQUEST.own), attrgetter(*_REQUEST.kind[:-1])  # losses are a list
_USED = attrgetter(*_REQUEST.used)
_REACHED = attrgetter(*Reached.__struct_fields__)


def decode_batch(data: bytes) -> Decoded:
    """Never raises: what cannot be read is said in ``fault``, and the rest of the batch is kept."""
    try:
        batch = events_pb2.EventBatch.FromString(data)
    except DecodeError:
        return Decoded((), "not an events.v1.EventBatch")
    rows, reached = list[UsageRow](), list[Reached]()
    fault = "" if batch.events else "the batch has no events"
    for event in batch.events:
        if event.WhichOneof("event") == "limit":
            try:
                check_reached(found := Reached(*_REACHED(event.limit)))
                reached.append(found)
            except WireError as error:
                fault = fault or str(error)
            continue
        try:
            rows.append(_READ.get(event.WhichOneof("event"), _unknown)(event))
        except WireError as error:
            fault = fault or str(error)
    return Decoded(tuple(rows), fault, tuple(reached))


def _attempt(event: events_pb2.Event) -> AttemptRow:
    attempt = event.attempt
    usage = attempt.usage
    row = AttemptRow(  # type: ignore[call-arg]
        *_ATTEMPT_OWN(attempt),
        0,
        *_USED(usage),
        msgspec.json.encode(apart(usage)).decode() if usage.HasField("apart") else "",
        *_ATTEMPT_KIND(attempt),
        usage.suspect,
    )
    if len(row.model) > MAX_TEXT:
        row = replace(row, model=row.model[:MAX_TEXT])
    check(row)
    return row


def _request(event: events_pb2.Event) -> RequestRow:
    request = event.request
    losses = _json_array(request.losses)
    row = RequestRow(*_REQUEST_OWN(request), *_USED(request.usage), *_REQUEST_KIND(request), losses)  # type: ignore[call-arg]
    if request.decision and len(request.decision) <= MAX_DECISION:
        row = replace(row, decision=request.decision)
    if request.tags:
        tags = dict.fromkeys(tag[:MAX_TAG] for tag in request.tags if "\0" not in tag)
        row = replace(row, tags=tuple(tags)[:MOST_TAGS])
    if len(row.model_requested) > MAX_TEXT or len(row.model_served) > MAX_TEXT:
        row = replace(row, model_requested=row.model_requested[:MAX_TEXT], model_served=row.model_served[:MAX_TEXT])
    check(row)
    return row


def _unknown(_: events_pb2.Event) -> UsageRow:
    raise WireError("an event of a kind this version does not know")


_READ: dict[str | None, Callable[[events_pb2.Event], UsageRow]] = {"attempt": _attempt, "request": _request}


def _json_array(texts: Sequence[str]) -> str:
    return msgspec.json.encode(list(texts)).decode() if texts else "[]"
