"""The Connect protocol's streaming messages (connectrpc.com/docs/protocol, "Streaming RPCs"), cut and written.

One byte of flags (1: the payload is compressed, 2: it is the end of the stream, in JSON), four bytes of length, big
endian, then that many bytes of payload. Compression is gzip, which is what Cursor's servers and clients negotiate.
"""

import struct
import zlib
from typing import Final

import msgspec

from omni_wire.errors import WireError

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024

COMPRESSED: Final = 1
END: Final = 2
_KNOWN: Final = COMPRESSED | END
_HEAD: Final = struct.Struct(">BI")
_GZIP: Final = 16 + zlib.MAX_WBITS


class ConnectFrame(msgspec.Struct, frozen=True):
    """``payload`` is decompressed; ``end`` says that it is the last one, and JSON."""

    payload: bytes
    end: bool = False


class ConnectSplitter:
    """Cut a byte stream into frames; chunks may be cut anywhere.

    ``feed`` returns the frames that a chunk completes; ``rest`` is what has come of the next. ``error`` is what is
    wrong after them: the next ``feed`` raises it, and every one after. Raises ``WireError`` only: for flags nobody
    knows, for a payload that is not the gzip it says it is, and for one longer than ``max_frame_bytes``, packed or
    unpacked; no more than that is ever held of a frame.
    """

    __slots__ = ("_held", "_max", "error")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self.error: WireError | None = None
        self._held = bytearray()
        self._max = max_frame_bytes

    @property
    def rest(self) -> bytes:
        return bytes(self._held)

    def feed(self, chunk: bytes) -> list[ConnectFrame]:
        if self.error is not None:
            raise self.error
        self._held += chunk
        frames: list[ConnectFrame] = []
        try:
            at = self._cut(frames)
        except WireError as error:
            self.error = error
            self._held.clear()
            if not frames:
                raise
            return frames
        del self._held[:at]
        return frames

    def _cut(self, frames: list[ConnectFrame]) -> int:
        """Append every frame that is whole; where the rest begins."""
        at = 0
        while len(self._held) - at >= _HEAD.size:
            flags, length = _HEAD.unpack_from(self._held, at)
            if flags & ~_KNOWN:
                raise WireError(f"a frame with flags {flags:#04x}, which nobody knows")
            if length > self._max:
                raise WireError(f"one frame is longer than {self._max} bytes")
            start = at + _HEAD.size
            if len(self._held) - start < length:
                break
            payload = bytes(self._held[start : start + length])
            if flags & COMPRESSED and payload:
                payload = _unpacked(payload, self._max)
            frames.append(ConnectFrame(payload, bool(flags & END)))
            at = start + length
        return at


def write_frame(payload: bytes, *, end: bool = False) -> bytes:
    """One frame, uncompressed."""
    return _HEAD.pack(END if end else 0, len(payload)) + payload


def _unpacked(payload: bytes, limit: int) -> bytes:
    """Never more than ``limit`` bytes are made of a payload, however much is packed into it."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        data = unpacker.decompress(payload, limit + 1)
    except zlib.error as error:
        raise WireError(f"a frame is not the gzip it says it is: {error}") from error
    if len(data) > limit:
        raise WireError(f"one frame holds more than {limit} bytes")
    if not unpacker.eof:
        raise WireError("a frame's gzip breaks off")
    return data
