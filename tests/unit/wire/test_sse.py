"""Cutting SSE anywhere changes nothing, and an event says what WHATWG HTML 9.2 says it does."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omni_wire.errors import WireError
from omni_wire.sse import SseSplitter, parse_event

# Bytes in which line ends, blank lines, marks and half characters are common.
NASTY = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"data: ", b"data:", b"event: x", b":", b"a", "ü☃".encode(), b"\xef\xbb\xbf"]
    ),
    max_size=40,
).map(b"".join)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20).map(str.encode)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def split(chunks: list[bytes], limit: int = 1 << 20) -> tuple[list[bytes], bytes]:
    splitter = SseSplitter(limit)
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events, splitter.rest


@given(NASTY, st.lists(st.integers(0, 200), max_size=30))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [8, 9, 10])
@example(b"data: a\r\rdata: b\r\r", [8, 9])
@example(b"\xef\xbb\xbfdata: a\n\n", [1, 2])
def test_cutting_the_stream_anywhere_changes_nothing(stream: bytes, places: list[int]) -> None:
    assert split(cut(stream, places)) == split([stream])


@given(NASTY)
def test_byte_by_byte_is_no_different(stream: bytes) -> None:
    assert split([bytes([byte]) for byte in stream]) == split([stream])


@given(st.lists(st.lists(LINE, min_size=1, max_size=4), max_size=6), ENDS, st.lists(st.integers(0, 500), max_size=20))
def test_events_come_out_as_they_went_in_whatever_ends_their_lines(
    events: list[list[bytes]], end: bytes, places: list[int]
) -> None:
    stream = b"".join(b"".join(b"data: " + line + end for line in lines) + end for lines in events)
    found, rest = split(cut(stream, places))
    assert [parse_event(event).data for event in found] == [b"\n".join(lines) for lines in events]
    assert rest == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_passed_on_as_soon_as_its_blank_line_has_come(end: bytes) -> None:
    splitter = SseSplitter()
    assert splitter.feed(b"data: a" + end) == []
    assert splitter.feed(end) == [b"data: a\n\n"]
    assert splitter.rest == b""


def test_what_has_come_of_the_next_event_is_the_rest() -> None:
    splitter = SseSplitter()
    assert splitter.feed(b"data: a\n\ndata: b\nda") == [b"data: a\n\n"]
    assert splitter.rest == b"data: b\nda"
    assert splitter.feed(b"") == []
    assert splitter.feed(b"ta: c\n\n") == [b"data: b\ndata: c\n\n"]


def test_blank_lines_alone_are_no_events() -> None:
    assert split([b"\n\n\n\n\r\n\r\n", b"data: a\n\n", b"\n\n"])[0] == [b"data: a\n\n"]


def test_a_byte_order_mark_may_come_first_and_only_first() -> None:
    mark = b"\xef\xbb\xbf"
    events, _ = split([mark + b"data: a\n\n" + mark + b"data: b\n\n"])
    assert [parse_event(event).data for event in events] == [b"a", None]


@given(st.integers(1, 40), st.lists(st.integers(0, 100), max_size=10), st.booleans())
def test_an_event_of_the_limit_passes_and_a_longer_one_does_not_however_it_is_cut(
    limit: int, places: list[int], ended: bool
) -> None:
    end = b"\n\n" if ended else b""
    split(cut(b"x" * limit + end, places), limit)
    with pytest.raises(WireError, match=f"longer than {limit} bytes"):
        split(cut(b"x" * (limit + 2) + end, places), limit)
    if ended:
        with pytest.raises(WireError):
            split(cut(b"x" * (limit + 1) + end, places), limit)


def test_many_small_events_in_one_chunk_are_within_the_limit() -> None:
    events, _ = split([b"data: a\n\n" * 1000], 10)
    assert len(events) == 1000


@pytest.mark.parametrize(
    ("raw", "name", "data"),
    [
        (b"data: a\n\n", b"", b"a"),
        (b"data:a\n\n", b"", b"a"),
        (b"data:  a \n\n", b"", b" a "),
        (b"data\n\n", b"", b""),
        (b"data:\n\n", b"", b""),
        (b"data: a\ndata: b\n\n", b"", b"a\nb"),
        (b"data: a\ndata:\ndata: b\n\n", b"", b"a\n\nb"),
        (b"event: message_stop\ndata: {}\n\n", b"message_stop", b"{}"),
        (b"data: {}\nevent: late\n\n", b"late", b"{}"),
        (b": ping\n\n", b"", None),
        (b": ping\ndata: a\n\n", b"", b"a"),
        (b"id: 7\nretry: 10\ndata: a\n\n", b"", b"a"),
        (b"event: ping\n\n", b"ping", None),
        (b"datas: a\n\n", b"", None),
        (b"\ndata: a\n\n", b"", b"a"),
        (b'data: {"a": "b: c"}\n\n', b"", b'{"a": "b: c"}'),
        (b"data: [DONE]\n\n", b"", b"[DONE]"),
    ],
)
def test_an_event_is_read_as_the_standard_says(raw: bytes, name: bytes, data: bytes | None) -> None:
    event = parse_event(raw)
    assert (event.event, event.data) == (name, data)


@given(st.lists(st.tuples(st.sampled_from([b"data", b"event", b"id", b""]), LINE), min_size=1, max_size=6))
def test_reading_agrees_with_a_plain_reading_of_the_standard(fields: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(field + b": " + value + b"\n" for field, value in fields) + b"\n"
    data = [value for field, value in fields if field == b"data"]
    names = [value for field, value in fields if field == b"event"]
    event = parse_event(raw)
    assert event.data == (b"\n".join(data) if data else None)
    assert event.event == (names[-1] if names else b"")
