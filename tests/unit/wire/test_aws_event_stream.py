"""AWS's event stream encoding: golden bytes, the way there and back, and bytes that mean no good."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.aws_event_stream import (
    MAX_HEADERS_BYTES,
    Message,
    MessageSplitter,
    Timestamp,
    Uuid,
    Value,
    write_message,
)
from omni_wire.errors import WireError

# The test vectors of awslabs/aws-c-event-stream (tests/), as AWS's SDKs share them.
GOLDEN = {
    "empty": ("000000100000000005c248eb7d98c8ff", Message({}, b"")),
    "payload": ("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936", Message({}, b"{'foo':'bar'}")),
    "a header": (
        "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
        "7b27666f6f273a27626172277d8d9c08b1",
        Message({"content-type": "application/json"}, b"{'foo':'bar'}"),
    ),
}

values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(-(2**63), 2**63 - 1).map(Timestamp),
    st.binary(min_size=16, max_size=16).map(Uuid),
)
messages = st.builds(
    Message,
    st.dictionaries(st.text("abc:-é", min_size=1, max_size=8), values, max_size=5),
    st.binary(max_size=60),
)


def sealed(headers: bytes, payload: bytes = b"") -> bytes:
    """A message of any headers at all, its sums right."""
    lengths = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("case", GOLDEN)
def test_the_published_bytes_are_read_and_written(case: str) -> None:
    raw, message = bytes.fromhex(GOLDEN[case][0]), GOLDEN[case][1]
    assert MessageSplitter().feed(raw) == [message]
    assert write_message(message.headers, message.payload) == raw


def test_every_type_of_header_is_read() -> None:
    headers = (
        b"\x01a\x00" b"\x01b\x01" b"\x01c\x02\xcf" b"\x01d\x03\x00\x2a" b"\x01e\x04\x00\x00\xa0\x0c"
        b"\x01f\x05\x00\x00\x00\x00\x02\x86\x7f\xd1" b"\x01g\x06\x00\x03\x00\x01\x02" b"\x01h\x07\x00\x02\xc3\xa9"
        b"\x01i\x08\x00\x00\x00\x00\x00\x84\x80\xfd" b"\x01j\x09" + bytes(range(16))
    )  # fmt: skip
    [message] = MessageSplitter().feed(sealed(headers))
    assert message.headers == {
        "a": True,
        "b": False,
        "c": -49,
        "d": 42,
        "e": 40972,
        "f": 42368977,
        "g": b"\x00\x01\x02",
        "h": "é",
        "i": Timestamp(8683773),
        "j": Uuid(bytes(range(16))),
    }


@given(st.lists(messages, max_size=4), st.data())
def test_what_is_written_is_read_wherever_it_is_cut(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(write_message(message.headers, message.payload) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    splitter, came = MessageSplitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        came += splitter.feed(stream[start:end])
    assert came == sent
    assert splitter.rest == 0


@given(st.lists(messages, min_size=1, max_size=3), st.data())
def test_no_bit_may_change(sent: list[Message], data: st.DataObject) -> None:
    """What came well before it is kept; nothing that was not sent is ever passed on."""
    stream = bytearray(b"".join(write_message(message.headers, message.payload) for message in sent))
    stream[data.draw(st.integers(0, len(stream) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    splitter = MessageSplitter()
    try:
        came = splitter.feed(bytes(stream))
    except WireError:
        came = []
    assert came == sent[: len(came)]
    assert len(came) < len(sent)
    with pytest.raises(WireError):
        splitter.feed(b"")


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_no_bytes_raise_anything_but_a_wire_error(chunks: list[bytes]) -> None:
    splitter = MessageSplitter()
    for chunk in chunks:
        with contextlib.suppress(WireError):
            splitter.feed(chunk)


@given(st.binary(max_size=80), st.binary(max_size=8))
def test_no_headers_under_a_right_sum_raise_anything_but_a_wire_error(headers: bytes, payload: bytes) -> None:
    try:
        [message] = MessageSplitter().feed(sealed(headers, payload))
    except WireError:
        return
    assert message.payload == payload


@pytest.mark.parametrize(
    "headers",
    [
        b"\x00\x00",  # no name
        b"\x01a\x00\x01a\x01",  # twice
        b"\x01a\x0a",  # a type there is none of
        b"\x05a\x00",  # a name longer than all headers
        b"\x01a\x07\x00\x05abc",  # a value longer than all headers
        b"\x01a\x04\x00",  # half a number
        b"\x01a\x07\x00\x01\xff",  # no UTF-8
        b"\x01a",  # no value
    ],
)
def test_malformed_headers_are_refused(headers: bytes) -> None:
    with pytest.raises(WireError):
        MessageSplitter().feed(sealed(headers))


def test_a_length_is_refused_before_its_bytes_are_waited_for() -> None:
    for total, headers in ((2**31, 0), (2**20, MAX_HEADERS_BYTES + 1), (15, 0), (30, 15)):
        lengths = struct.pack(">II", total, headers)
        with pytest.raises(WireError):
            MessageSplitter().feed(lengths + struct.pack(">I", zlib.crc32(lengths)))


def test_what_is_no_event_stream_is_seen_at_once() -> None:
    with pytest.raises(WireError, match="no event stream"):
        MessageSplitter().feed(b'{"message":"Too many requests"}')


@pytest.mark.parametrize(
    "headers", [{"": "x"}, {"a" * 256: True}, {"a": "x" * 40_000}, {"a": 2**70}, {"a": "\ud800"}, {"a": Uuid(b"")}]
)
def test_what_the_encoding_cannot_hold_is_not_written(headers: dict[str, Value]) -> None:
    with pytest.raises(WireError):
        write_message(headers, b"")
