"""Batches of usage events: the bytes are those protobuf itself would make."""

import pytest
from omni_core.events import pack_batch, unpack_batch
from omni_wire.errors import WireError
from omniroute_proto.events.v1 import events_pb2


def test_a_packed_batch_is_what_the_stubs_would_write() -> None:
    events = [
        events_pb2.Event(request=events_pb2.RequestEvent(id=f"r{size}", error_kind="x" * size))
        for size in (0, 1, 100, 127, 128, 20_000)
    ]
    packed = pack_batch("batch-1", "router-1", [event.SerializeToString() for event in events])
    assert packed == events_pb2.EventBatch(batch_id="batch-1", router_id="router-1", events=events).SerializeToString()
    assert unpack_batch(packed) == ("batch-1", "router-1", [event.SerializeToString() for event in events])


def test_an_empty_batch_is_a_batch() -> None:
    assert unpack_batch(pack_batch("b", "r", [])) == ("b", "r", [])


def test_bytes_that_are_no_batch_are_refused() -> None:
    with pytest.raises(WireError):
        unpack_batch(b"\xff\xff")
