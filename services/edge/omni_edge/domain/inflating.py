"""Compressed bodies of requests, opened piece by piece: what is made to grow is let grow no further than it may."""

import zlib
from collections.abc import Iterator

from omni_wire.errors import BodyTooLarge, InvalidRequest

ENCODINGS = (b"gzip", b"x-gzip", b"deflate")
# Prompts shrink by 3 to 10. What grows more than this, beyond a first megabyte, is made to do harm.
MAX_RATIO = 20
_FREE = 1024 * 1024
PIECE = 256 * 1024  # bytes that are opened at a time, so that others get their turn in between
_GZIP = 16 + zlib.MAX_WBITS
# Members of one gzip body: what packs in blocks makes them of 64 KB. Of many that hold nothing each costs as much.
_FREE_MEMBERS = 64
_LEAST_MEMBER = 1024  # bytes of the body for each one more


class Inflater:
    """gzip (several members too) and deflate (with its zlib wrapping and without, as clients disagree)."""

    __slots__ = ("_engine", "_gzip", "_held", "_in", "_members", "_out")

    def __init__(self, encoding: bytes) -> None:
        """``encoding`` is one of ``ENCODINGS``."""
        self._gzip = encoding != b"deflate"
        self._engine = zlib.decompressobj(_GZIP) if self._gzip else None
        self._held = b""
        self._in = 0
        self._members = 1
        self._out = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` adds, in pieces of at most ``PIECE``. Raises ``InvalidRequest`` when it is no such data,
        ``BodyTooLarge`` when it grows beyond reason."""
        self._in += len(data)
        if self._engine is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return
            self._held = b""
            # RFC 1950, 2.2: method 8 in the low bits, and a header that is a multiple of 31.
            wrapped = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._engine = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        engine = self._engine
        while data:
            if engine.eof:
                if not self._gzip:
                    raise InvalidRequest("The compressed body has something behind its end.", code="bad_encoding")
                self._members += 1
                if self._members > _FREE_MEMBERS + self._in // _LEAST_MEMBER:
                    raise InvalidRequest("The compressed body has too many parts.", code="bad_encoding")
                engine = self._engine = zlib.decompressobj(_GZIP)
            try:
                piece = engine.decompress(data, PIECE)
            except zlib.error as error:
                raise InvalidRequest(
                    "The body is not compressed as its Content-Encoding says.", code="bad_encoding"
                ) from error
            self._out += len(piece)
            if self._out > _FREE and self._out > MAX_RATIO * self._in:
                raise BodyTooLarge(f"The compressed body grows to more than {MAX_RATIO} times its size.")
            if piece:
                yield piece
            data = engine.unused_data or engine.unconsumed_tail

    @property
    def finished(self) -> bool:
        """Whether the compressed data came to its own end."""
        return self._engine is not None and self._engine.eof


def cut_off() -> InvalidRequest:
    return InvalidRequest("The compressed body ends before its end.", code="bad_encoding")
