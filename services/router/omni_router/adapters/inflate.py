"""Compressed answers, for providers that compress although they were asked not to."""

import zlib

from omni_wire.errors import UpstreamFailed

# Text of models shrinks by 5 to 50. What grows more than this, beyond a first megabyte, is made to do harm.
_MAX_RATIO = 200
_FREE = 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


class Inflater:
    """gzip (several members too) and deflate (with and without its zlib wrapping, as servers disagree)."""

    __slots__ = ("_engine", "_gzip", "_held", "_in", "_out")

    def __init__(self, encoding: str) -> None:
        """Raises ``UpstreamFailed`` for an encoding other than gzip and deflate."""
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise UpstreamFailed("the provider compressed its answer in a way it was not asked to")
        self._gzip = encoding != "deflate"
        self._engine = zlib.decompressobj(_GZIP) if self._gzip else None
        self._held = b""
        self._in = 0
        self._out = 0

    def feed(self, data: bytes) -> bytes:
        """What ``data`` adds. Raises ``UpstreamFailed`` when it is no such data, or grows beyond reason."""
        self._in += len(data)
        if self._engine is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return b""
            # RFC 1950, 2.2: method 8 in the low bits, and a header that is a multiple of 31.
            wrapped = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._engine = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        parts = []
        engine = self._engine
        while data:
            if engine.eof:
                data = data.lstrip(b"\0") if self._gzip else b""  # gzip may be padded with zeros
                if not data:
                    break
                engine = self._engine = zlib.decompressobj(_GZIP)
            allowed = _FREE + _MAX_RATIO * self._in - self._out
            try:
                part = engine.decompress(data, allowed + 1)
            except zlib.error as error:
                raise UpstreamFailed("the provider's compressed answer is corrupt") from error
            self._out += len(part)
            if len(part) > allowed:
                raise UpstreamFailed("the provider's compressed answer grows beyond reason")
            parts.append(part)
            data = engine.unused_data
        return b"".join(parts)

    @property
    def finished(self) -> bool:
        """Whether the compressed data came to its own end; an empty body did."""
        return self._engine.eof if self._engine is not None else not self._held
