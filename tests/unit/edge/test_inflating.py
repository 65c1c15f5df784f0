"""Compressed bodies, in whatever pieces they come."""

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_edge.domain.inflating import ENCODINGS, MAX_RATIO, PIECE, Inflater
from omni_wire.errors import BodyTooLarge, GatewayError, InvalidRequest


def inflated(encoding: bytes, data: bytes, size: int) -> tuple[bytes, bool]:
    inflater = Inflater(encoding)
    out = b"".join(
        piece for at in range(0, len(data), size) for piece in inflater.feed(data[at : at + size])
    )  # fmt: skip
    return out, inflater.finished


@given(st.binary(max_size=3_000), st.integers(1, 4_000), st.sampled_from(["gzip", "two", "zlib", "raw"]))
def test_a_body_is_the_same_however_it_is_cut(body: bytes, size: int, how: str) -> None:
    packer = zlib.compressobj(9, wbits=-15)
    packed = {
        "gzip": gzip.compress(body), "two": gzip.compress(body[:7]) + gzip.compress(body[7:]),
        "zlib": zlib.compress(body), "raw": packer.compress(body) + packer.flush(),
    }[how]  # fmt: skip
    assert inflated(b"deflate" if how in ("zlib", "raw") else b"gzip", packed, size) == (body, True)
    if len(packed) > 1:
        with contextlib.suppress(GatewayError):
            assert not inflated(b"gzip" if how == "gzip" else b"deflate", packed[:-1], size)[1]


@given(st.binary(max_size=300), st.sampled_from(ENCODINGS))
def test_no_bytes_raise_anything_but_an_error_of_the_client(data: bytes, encoding: bytes) -> None:
    with contextlib.suppress(InvalidRequest, BodyTooLarge):
        inflated(encoding, data, 50)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_what_grows_without_end_is_let_grow_no_further(encoding: bytes) -> None:
    packed = (gzip.compress if encoding == b"gzip" else zlib.compress)(bytes(64 * 1024 * 1024))
    inflater, out = Inflater(encoding), 0
    with pytest.raises(BodyTooLarge):
        for at in range(0, len(packed), 1000):
            for piece in inflater.feed(packed[at : at + 1000]):
                assert len(piece) <= PIECE
                out += len(piece)
    assert out <= 1024 * 1024 + PIECE + MAX_RATIO * len(packed)


def test_a_body_of_a_great_many_parts_is_not_opened_to_its_end() -> None:
    """Each takes a machine of its own and a copy of the rest: 2 MB of empty ones took eleven seconds."""
    inflater = Inflater(b"gzip")
    with pytest.raises(InvalidRequest, match="too many parts"):
        list(inflater.feed(gzip.compress(b"") * 100_000))
    blocks = b"".join(gzip.compress(bytes(range(256)) * 16) for _ in range(60))
    assert inflated(b"gzip", blocks, 5_000) == (bytes(range(256)) * 16 * 60, True)
