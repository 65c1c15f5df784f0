"""Cutting lines of JSON anywhere changes nothing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.errors import WireError
from omni_wire.ndjson import NdjsonSplitter

NASTY = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"{}", b" ", b"a", "ü☃".encode()]), max_size=40).map(b"".join)


def split(chunks: list[bytes], limit: int = 1 << 20) -> tuple[list[bytes], bytes]:
    splitter = NdjsonSplitter(limit)
    return [line for chunk in chunks for line in splitter.feed(chunk)], splitter.rest


@given(NASTY, st.lists(st.integers(0, 200), max_size=30))
def test_cutting_the_stream_anywhere_changes_nothing(stream: bytes, places: list[int]) -> None:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    assert split([stream[start:end] for start, end in pairwise(edges)]) == split([stream])


def test_a_line_is_passed_on_when_its_line_feed_has_come_and_a_blank_one_never() -> None:
    splitter = NdjsonSplitter()
    assert splitter.feed(b'{"a":1}') == []
    assert splitter.feed(b"\r\n\n \n") == [b'{"a":1}\r\n']
    assert splitter.feed(b' {"b":2}\n{') == [b' {"b":2}\n']
    assert splitter.rest == b"{"


@pytest.mark.parametrize("stream", [b"x" * 12, b"a\n" + b"x" * 11 + b"\n"])
def test_a_line_that_grows_too_long_is_refused(stream: bytes) -> None:
    with pytest.raises(WireError, match="longer than 10 bytes"):
        split([stream], 10)
    assert split([b"x" * 10 + b"\n"], 10) == ([b"x" * 10 + b"\n"], b"")
