"""Events are the records, field by field, however their bytes were put together."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from omni_router.adapters.events import ProtobufEvents
from omni_router.domain.records import AttemptRecord, RequestRecord
from omni_wire.usage import Usage
from omniroute_proto.events.v1 import events_pb2

counts = st.integers(0, 2**53)
words = st.text(max_size=200)
usages = st.builds(Usage, counts, counts, counts, counts, counts, st.booleans())
codec = ProtobufEvents()


def fields(kind: type[msgspec.Struct], **fixed: Any) -> st.SearchStrategy[Any]:
    losses = st.lists(words, max_size=3).map(tuple)
    by_type = {str: words, int: counts, bool: st.booleans(), Usage: usages, tuple[str, ...]: losses}
    made = {field.name: by_type[field.type] for field in msgspec.structs.fields(kind)}
    small = {name: st.integers(0, 2**31 - 1) for name in ("status", "provider_status", "attempts") if name in made}
    return st.builds(kind, **(made | small | fixed))


def told(message: Any, record: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in record.__struct_fields__:
        value = getattr(message, field)
        if field == "usage":
            value = Usage(*(getattr(value, name) for name in Usage.__struct_fields__))
        found[field] = tuple(value) if field == "losses" else value
    return found


@given(fields(AttemptRecord, seq=st.integers(1, 9), first_byte_ms=st.integers(-1, 10**9)))
def test_an_attempt_event_says_all_of_its_record(record: AttemptRecord) -> None:
    event = events_pb2.Event.FromString(codec.attempt(record))
    assert told(event.attempt, record) == msgspec.structs.asdict(record)


@given(fields(RequestRecord, seq=st.integers(1, 9), first_byte_ms=st.integers(-1, 10**9)))
def test_a_request_event_says_all_of_its_record(record: RequestRecord) -> None:
    event = events_pb2.Event.FromString(codec.request(record))
    assert told(event.request, record) == msgspec.structs.asdict(record)
