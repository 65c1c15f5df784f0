"""Protobuf's wire format (protobuf.dev/programming-guides/encoding), as much as reading and writing fields by number
takes. Fields nobody asks for are skipped, as protobuf has it.
"""

from typing import Final, Self

from omni_wire.errors import WireError

MAX_FIELDS: Final = 100_000  # of one message; more is nobody's conversation

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT: Final = 10  # bytes
_MASK: Final = (1 << 64) - 1


class Reader:
    """The fields of one message. Of a field given twice the last counts, unless all are asked for.

    ``path`` names the message in errors. Everything raises ``WireError`` only.
    """

    __slots__ = ("_fields", "path")

    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        self._fields = _fields(data, path)

    def has(self, number: int) -> bool:
        return number in self._fields

    def whole(self, number: int) -> int:
        """A number that is not negative; 0 when absent."""
        values = self._fields.get(number)
        if values is None:
            return 0
        value = values[-1]
        if not isinstance(value, int):
            raise self._wrong(number, "a number")
        return value

    def flag(self, number: int) -> bool:
        return self.whole(number) != 0

    def data(self, number: int) -> bytes:
        every = self.every(number)
        return every[-1] if every else b""

    def text(self, number: int) -> str:
        """Empty when absent."""
        try:
            return self.data(number).decode()
        except UnicodeDecodeError as error:
            raise self._wrong(number, "UTF-8") from error

    def every(self, number: int) -> list[bytes]:
        found: list[bytes] = []
        for value in self._fields.get(number, ()):
            if isinstance(value, int):
                raise self._wrong(number, "bytes")
            found.append(value)
        return found

    def child(self, number: int) -> Self | None:
        every = self.every(number)
        return type(self)(every[-1], f"{self.path}.{number}") if every else None

    def children(self, number: int) -> list[Self]:
        return [type(self)(data, f"{self.path}.{number}[{at}]") for at, data in enumerate(self.every(number))]

    def _wrong(self, number: int, wanted: str) -> WireError:
        return WireError(f"field {number} of {self.path} is not {wanted}", f"{self.path}.{number}")


def _fields(data: bytes, path: str) -> dict[int, list[int | bytes]]:
    found: dict[int, list[int | bytes]] = {}
    at, count = 0, 0
    while at < len(data):
        count += 1
        if count > MAX_FIELDS:
            raise WireError(f"{path} has more than {MAX_FIELDS} fields", path)
        tag, at = _varint(data, at, path)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"{path} has a field with the number {number}", path)
        if kind == _VARINT:
            value, at = _varint(data, at, path)
            found.setdefault(number, []).append(value)
            continue
        length = 8 if kind == _FIXED64 else 4
        if kind == _BYTES:
            length, at = _varint(data, at, path)
        elif kind not in (_FIXED64, _FIXED32):
            raise WireError(f"{path} has a field of kind {kind}", path)
        if length > len(data) - at:
            raise WireError(f"{path} breaks off", path)
        if kind == _BYTES:
            found.setdefault(number, []).append(data[at : at + length])
        at += length
    return found


def _varint(data: bytes, at: int, path: str) -> tuple[int, int]:
    value = 0
    for shift in range(_MAX_VARINT):
        if at >= len(data):
            raise WireError(f"{path} breaks off", path)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value & _MASK, at
    raise WireError(f"{path} has a number of more than {_MAX_VARINT} bytes", path)


# ---- writing --------------------------------------------------------------------------------------------------------


def number(field: int, value: int) -> bytes:
    """Nothing for 0, which is what absence means."""
    return _written(field << 3 | _VARINT) + _written(value) if value else b""


def text(field: int, value: str) -> bytes:
    """Nothing for an empty one. What UTF-8 has no way to say becomes a question mark."""
    return message(field, value.encode("utf-8", "replace")) if value else b""


def message(field: int, value: bytes) -> bytes:
    """Bytes, or a message inside another; an empty one is there all the same."""
    return _written(field << 3 | _BYTES) + _written(len(value)) + value


def _written(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
