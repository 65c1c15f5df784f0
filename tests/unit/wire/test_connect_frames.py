"""Connect's frames, cut anywhere, and what is no frame."""

import gzip
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.connect_frames import ConnectFrame, ConnectSplitter, write_frame
from omni_wire.errors import WireError


def packed(payload: bytes, flags: int = 1) -> bytes:
    data = gzip.compress(payload, mtime=0)
    return struct.pack(">BI", flags, len(data)) + data


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.integers(0, 300), max_size=8))
def test_frames_are_the_same_wherever_the_bytes_are_cut(payloads: list[bytes], places: list[int]) -> None:
    data = b"".join([write_frame(payload) for payload in payloads]) + write_frame(b"{}", end=True)
    cuts = sorted({min(place, len(data)) for place in places})
    splitter, found = ConnectSplitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += splitter.feed(data[start:end])
    assert found == [*map(ConnectFrame, payloads), ConnectFrame(b"{}", end=True)]
    assert splitter.rest == b""


def test_a_compressed_frame_is_unpacked_the_last_one_too() -> None:
    splitter = ConnectSplitter()
    assert splitter.feed(packed(b"hello") + packed(b"{}", 3)) == [ConnectFrame(b"hello"), ConnectFrame(b"{}", end=True)]


def test_half_a_frame_waits_for_its_other_half() -> None:
    splitter, data = ConnectSplitter(), write_frame(b"hello")
    assert splitter.feed(data[:7]) == []
    assert splitter.rest == data[:7]
    assert splitter.feed(data[7:]) == [ConnectFrame(b"hello")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x04\0\0\0\0", "flags"),
        (b"\0\xff\xff\xff\xff", "longer"),
        (b"\x01\0\0\0\x03abc", "not the gzip"),
        (struct.pack(">BI", 1, 20) + gzip.compress(b"hello" * 50, mtime=0)[:20], "breaks off"),
    ],
)
def test_what_is_no_frame_is_an_error_after_those_before_it(data: bytes, said: str) -> None:
    splitter = ConnectSplitter()
    assert splitter.feed(write_frame(b"one") + data) == [ConnectFrame(b"one")]
    assert said in str(splitter.error)
    with pytest.raises(WireError, match=said):
        splitter.feed(b"")
    with pytest.raises(WireError, match=said):
        ConnectSplitter().feed(data)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = packed(bytes(200 * 1024 * 1024))
    assert len(bomb) < 1024 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(WireError, match="more than 65536 bytes"):
            ConnectSplitter(64 * 1024).feed(packed(bytes(200_000)))
        with pytest.raises(WireError, match="more than"):
            ConnectSplitter(1024 * 1024).feed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()
