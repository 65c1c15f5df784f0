"""Half a surrogate pair in JSON: ``"\\ud83d"``, where a string was cut inside an emoji.

JavaScript and Python write it so, and JSON's grammar allows it (RFC 8259, section 8.2), but no text in UTF-8 can hold
it and msgspec refuses it. It is read as U+FFFD, which is what browsers and JavaScript's ``toWellFormed`` make of it.
"""

import re
from typing import Final, Protocol, TypeVar

import msgspec

T = TypeVar("T", covariant=True)

# Every escape, so that a backslash that is escaped itself hides what follows it: whole pairs, halves, all others.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_REPLACEMENT: Final = b"\\ufffd"


class Decoder(Protocol[T]):
    """``msgspec.json.Decoder``, as far as it is needed."""

    def decode(self, data: bytes, /) -> T: ...


def mended(data: bytes) -> bytes:
    """JSON in which every half has become U+FFFD; the very bytes where there is none."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    return _ESCAPE.sub(lambda escape: _REPLACEMENT if escape[1] else escape[0], data)


def decode(decoder: Decoder[T], data: bytes) -> T:
    """``data`` decoded, mended where that is what it takes. Raises what ``decoder`` does."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        whole = mended(data)
        if whole == data:
            raise
        return decoder.decode(whole)
