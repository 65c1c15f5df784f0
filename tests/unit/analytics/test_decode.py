"""A message becomes rows, field by field, and never an exception."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from omni_analytics.adapters.decode import MAX_DECISION, MAX_TEXT, decode_batch
from omni_analytics.domain.rows import AttemptRow, RequestRow
from omniroute_proto.events.v1 import events_pb2

from tests.unit.analytics.events import ATTEMPT, REQUEST, attempt_event, batch, request_event


def test_every_field_of_an_attempt_arrives_in_its_place() -> None:
    assert decode_batch(batch(attempt_event())).rows == (ATTEMPT,)


def test_every_field_of_a_request_arrives_in_its_place() -> None:
    assert decode_batch(batch(request_event())).rows == (REQUEST,)


def test_no_field_of_the_events_is_left_out() -> None:
    """Filled with distinct values, nothing of the protobuf is missing in the row."""
    usage = {"input_tokens": 21, "cached_input_tokens": 22, "cache_write_tokens": 23, "output_tokens": 24,
             "reasoning_tokens": 25, "estimated": True, "suspect": "absurd"}  # fmt: skip
    apart = {"cache_write_1h_tokens": 31, "audio_input_tokens": 32, "image_input_tokens": 33,
             "audio_output_tokens": 34, "image_output_tokens": 35}  # fmt: skip
    for message, kind in ((events_pb2.AttemptEvent(), "attempt"), (events_pb2.RequestEvent(), "request")):
        for field in message.DESCRIPTOR.fields:
            if field.name == "losses":
                message.losses.append("tools.0.cache_control")
            elif field.name == "tags":
                message.tags.extend(["batch", "blue", "batch"])
            elif field.name == "usage":
                message.usage.CopyFrom(events_pb2.AttemptEvent(usage=usage | {"apart": apart}).usage)
            elif field.type == field.TYPE_BYTES:
                setattr(message, field.name, b"bytes-%d" % field.number)
            elif field.type == field.TYPE_STRING:
                setattr(message, field.name, f"text-{field.number}")
            else:
                setattr(message, field.name, field.number if field.type != field.TYPE_BOOL else True)
        event = events_pb2.Event(**{kind: message})
        decoded = decode_batch(batch(event))
        assert decoded.fault == ""
        (row,) = decoded.rows
        for field in message.DESCRIPTOR.fields:
            if field.name == "losses":
                assert isinstance(row, RequestRow)
                assert row.losses == '["tools.0.cache_control"]'
            elif field.name == "tags":
                assert isinstance(row, RequestRow)
                assert row.tags == ("batch", "blue")
            elif field.name == "traceparent":
                continue  # for the consumer's span, not for the books
            elif field.name == "usage" and isinstance(row, AttemptRow):
                assert {name: getattr(row, name) for name in usage} == usage
                assert msgspec.json.decode(row.apart) == apart
            elif field.name == "usage":
                of_request = {name: count for name, count in usage.items() if name != "suspect"}
                assert {name: getattr(row, name) for name in of_request} == of_request
            else:
                assert getattr(row, field.name) == getattr(message, field.name), field.name


def test_a_router_of_the_version_before_tells_no_decision_and_a_boundless_one_is_left_away() -> None:
    (before,) = decode_batch(batch(request_event())).rows
    (usual,) = decode_batch(batch(request_event(decision=b'{"model":"best"}'))).rows
    found = decode_batch(batch(request_event(decision=b" " * (MAX_DECISION + 1))))
    assert isinstance(before, RequestRow)
    assert isinstance(usual, RequestRow)
    assert (before.decision, usual.decision) == (b"", b'{"model":"best"}')
    assert found.rows == (REQUEST,)
    assert found.fault == ""


def test_one_impossible_event_is_named_and_the_others_are_kept() -> None:
    decoded = decode_batch(batch(attempt_event(), attempt_event(id=""), request_event()))
    assert [type(row) for row in decoded.rows] == [AttemptRow, RequestRow]
    assert "id" in decoded.fault


def test_numbers_that_cannot_be_are_refused() -> None:
    for bad in (
        attempt_event(id="x" * 201),
        attempt_event(started_ms=0),
        attempt_event(started_ms=2**60),
        attempt_event(usage={"output_tokens": -1}),
        attempt_event(usage={"input_tokens": 2**62}),
        attempt_event(cost_nano_usd=-1),
        request_event(cost_nano_usd=2**62),
        request_event(config_revision=2**64 - 1),
        events_pb2.Event(),
    ):
        decoded = decode_batch(batch(bad))
        assert decoded.rows == ()
        assert decoded.fault


def test_an_empty_batch_is_a_fault() -> None:
    assert decode_batch(b"").fault == "the batch has no events"


def test_a_long_name_is_clipped_rather_than_refused() -> None:
    (row,) = decode_batch(batch(request_event(model_requested="m" * 5000))).rows
    assert isinstance(row, RequestRow)
    assert row.model_requested == "m" * MAX_TEXT


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    decoded = decode_batch(data)
    assert decoded.rows or decoded.fault


def test_a_limit_that_is_nearly_used_up_is_no_row_and_harms_none() -> None:
    message = events_pb2.LimitEvent()
    for field in message.DESCRIPTOR.fields:
        setattr(message, field.name, f"text-{field.number}" if field.type == field.TYPE_STRING else field.number)
    decoded = decode_batch(batch(events_pb2.Event(limit=message), attempt_event()))
    assert (decoded.rows, decoded.fault) == ((ATTEMPT,), "")
    (reached,) = decoded.reached
    for field in message.DESCRIPTOR.fields:
        assert getattr(reached, field.name) == getattr(message, field.name), field.name
