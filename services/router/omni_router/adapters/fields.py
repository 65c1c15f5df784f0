"""Fields of protobuf messages as bytes, for the few that differ from event to event.

Making a message object for them costs several times what writing their bytes does (protobuf.dev, "Encoding"): a tag,
then a varint, or a length and as many bytes.
"""

from google.protobuf.descriptor import Descriptor

_MASK = (1 << 64) - 1
_VARINT, _BYTES = 0, 2


def _slow(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


# Seven bits a byte, two bytes a look: the whole of a number below 2^14, and the half of it that more follows.
_WHOLE = tuple(map(_slow, range(1 << 14)))
_HALF = tuple(bytes((low & 0x7F | 0x80, low >> 7 | 0x80)) for low in range(1 << 14))


def varint(number: int) -> bytes:
    """An integer of up to 64 bits; a negative one as its two's complement, which takes ten bytes."""
    if 0 <= number < 16_384:
        return _WHOLE[number]
    if number < 0:
        return _slow(number & _MASK)
    high = number >> 14
    if high < 16_384:
        return _HALF[number & 0x3FFF] + _WHOLE[high]
    if high < 1 << 28:
        return _HALF[number & 0x3FFF] + _HALF[high & 0x3FFF] + _WHOLE[high >> 14]
    return _slow(number)


def text(value: str) -> bytes:
    """Length and bytes."""
    data = value.encode()
    return varint(len(data)) + data


def number_tag(message: Descriptor, field: str) -> bytes:
    """What stands before a number's varint."""
    return _slow(message.fields_by_name[field].number << 3 | _VARINT)


def bytes_tag(message: Descriptor, field: str) -> bytes:
    """What stands before the length of a text or of a message."""
    return _slow(message.fields_by_name[field].number << 3 | _BYTES)
