"""AWS's event stream encoding, ``application/vnd.amazon.eventstream``: cutting a stream into messages, and writing one.

A message is a prelude (length of the whole, length of the headers, CRC-32 of these two), typed headers, a payload and
the CRC-32 of everything before it; numbers are big-endian (smithy.io, "Amazon Event Stream Specification"). Chunks may
be cut anywhere. Both sums are proved, so a message is passed on only when every byte of it is as it was sent.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Final

import msgspec

from omni_wire.errors import WireError

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
MAX_MESSAGE_BYTES: Final = 24 * 1024 * 1024  # what AWS's own SDKs take
MAX_HEADERS_BYTES: Final = 128 * 1024

_PRELUDE: Final = struct.Struct(">III")
_SUM: Final = struct.Struct(">I")
_OVERHEAD: Final = _PRELUDE.size + _SUM.size
_INTEGERS: Final = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_LENGTH: Final = struct.Struct(">H")
_TRUE, _FALSE, _INT, _LONG, _BYTES, _STRING, _TIMESTAMP, _UUID = 0, 1, 4, 5, 6, 7, 8, 9
_MAX_NAME: Final = 255
_MAX_VALUE: Final = 2**15 - 1


class Timestamp(msgspec.Struct, frozen=True):
    milliseconds: int  # since the epoch


class Uuid(msgspec.Struct, frozen=True):
    octets: bytes  # sixteen


Value = bool | int | bytes | str | Timestamp | Uuid


class Message(msgspec.Struct, frozen=True):
    """``headers`` by their names, in the order they came."""

    headers: Mapping[str, Value]
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is a string; empty where there is none."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class MessageSplitter:
    """Cuts a byte stream into messages.

    ``feed`` returns the messages that a chunk completes. ``error`` is what is wrong with the bytes after them; the next
    call raises it, as does this one when there are no messages to return. ``rest`` is the number of bytes of a message
    that has not come whole.
    """

    __slots__ = ("_buffer", "_max", "error")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._buffer = bytearray()
        self._max = max_message_bytes
        self.error: WireError | None = None

    @property
    def rest(self) -> int:
        return len(self._buffer)

    def feed(self, chunk: bytes) -> list[Message]:
        if self.error is not None:
            raise self.error
        self._buffer += chunk
        messages: list[Message] = []
        at = 0
        try:
            while (end := self._end(at)) is not None:
                messages.append(_read(bytes(self._buffer[at:end])))
                at = end
        except WireError as error:
            self.error = error
            self._buffer.clear()
            if not messages:
                raise
            return messages
        if at:
            del self._buffer[:at]
        return messages

    def _end(self, at: int) -> int | None:
        """Where the message that begins at ``at`` ends; None until all of it is there. Lengths are believed only once
        their sum is right, so that no nonsense makes us wait for gigabytes."""
        if len(self._buffer) - at < _PRELUDE.size:
            return None
        total, headers, proof = _PRELUDE.unpack_from(self._buffer, at)
        if zlib.crc32(self._buffer[at : at + 8]) != proof:
            raise WireError("no event stream: the checksum of a message's prelude is wrong")
        if total > self._max or headers > MAX_HEADERS_BYTES:
            raise WireError(f"one message is longer than {self._max} bytes, or its headers than {MAX_HEADERS_BYTES}")
        if headers + _OVERHEAD > total:
            raise WireError("a message is shorter than its headers")
        end: int = at + total
        return end if end <= len(self._buffer) else None


def _read(raw: bytes) -> Message:
    (proof,) = _SUM.unpack_from(raw, len(raw) - 4)
    if zlib.crc32(raw[:-4]) != proof:
        raise WireError("the checksum of a message is wrong")
    payload = _PRELUDE.size + _PRELUDE.unpack_from(raw)[1]
    return Message(_read_headers(raw[_PRELUDE.size : payload]), raw[payload:-4])


def _read_headers(raw: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    at = 0
    try:
        while at < len(raw):
            name, at = _cut(raw, at + 1, raw[at])
            kind = raw[at]
            value, at = _value(raw, at + 1, kind)
            key = name.decode()
            if not key or key in headers:
                raise WireError("a message's header has no name, or one that was there before")
            headers[key] = value
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise WireError(f"a message's headers are malformed: {error}") from error
    return headers


def _value(raw: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if (number := _INTEGERS.get(kind)) is not None:
        return number.unpack_from(raw, at)[0], at + number.size
    if kind in (_BYTES, _STRING):
        data, at = _cut(raw, at + _LENGTH.size, _LENGTH.unpack_from(raw, at)[0])
        return (data if kind == _BYTES else data.decode()), at
    if kind == _TIMESTAMP:
        return Timestamp(_INTEGERS[_LONG].unpack_from(raw, at)[0]), at + 8
    if kind == _UUID:
        data, at = _cut(raw, at, 16)
        return Uuid(data), at
    raise WireError(f"a message's header has a value of the unknown type {kind}")


def _cut(raw: bytes, start: int, length: int) -> tuple[bytes, int]:
    end = start + length
    if end > len(raw):
        raise WireError("a message's header is longer than its headers")
    return raw[start:end], end


def write_message(headers: Mapping[str, Value], payload: bytes) -> bytes:
    """One whole message. An integer takes four bytes where it can, else eight.

    Raises ``WireError`` for what the encoding cannot hold.
    """
    written = b"".join(_write_header(name, value) for name, value in headers.items())
    total = len(written) + len(payload) + _OVERHEAD
    if total > MAX_MESSAGE_BYTES or len(written) > MAX_HEADERS_BYTES:
        raise WireError("too long for one message")
    lengths = struct.pack(">II", total, len(written))
    body = b"%b%b%b%b" % (lengths, _SUM.pack(zlib.crc32(lengths)), written, payload)
    return body + _SUM.pack(zlib.crc32(body))


def _write_header(name: str, value: Value) -> bytes:
    try:
        encoded = name.encode()
        if not 0 < len(encoded) <= _MAX_NAME:
            raise WireError("a header's name must be 1 to 255 bytes")
        return bytes((len(encoded),)) + encoded + _write_value(value)
    except (struct.error, UnicodeEncodeError) as error:
        raise WireError(f"a header cannot be written: {error}") from error


def _write_value(value: Value) -> bytes:
    match value:
        case bool():
            return bytes((_TRUE if value else _FALSE,))
        case int():
            kind = _INT if -(2**31) <= value < 2**31 else _LONG
            return bytes((kind,)) + _INTEGERS[kind].pack(value)
        case Timestamp():
            return bytes((_TIMESTAMP,)) + _INTEGERS[_LONG].pack(value.milliseconds)
        case Uuid():
            if len(value.octets) != 16:
                raise WireError("a UUID has sixteen bytes")
            return bytes((_UUID,)) + value.octets
        case _:
            data = value.encode() if isinstance(value, str) else value
            if len(data) > _MAX_VALUE:
                raise WireError(f"a header's value is longer than {_MAX_VALUE} bytes")
            return bytes((_STRING if isinstance(value, str) else _BYTES,)) + _LENGTH.pack(len(data)) + data
