"""Vectors of texts: as they are kept, and how near two are. Pure.

One is kept as half-precision floats (IEEE 754 binary16, little endian: two bytes a dimension, 11 bits of precision) of
its direction, and sketched as a bit for each dimension's sign. Sketches are compared first, as an exclusive-or of two
numbers takes next to nothing: near vectors have few signs that differ (two at a cosine of 0.95 about a tenth), so only
the nearest few by their sketches are compared whole.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from operator import itemgetter, mul

MAX_DIMENSIONS = 8192


def direction(vector: Sequence[float]) -> tuple[float, ...] | None:
    """``vector`` at length 1; None for one that points nowhere, or has no dimension, too many, or what is no number."""
    if not 0 < len(vector) <= MAX_DIMENSIONS:
        return None
    try:
        length = math.hypot(*vector)
        return tuple([each / length for each in vector]) if 0 < length < math.inf else None
    except OverflowError:
        return None


def pack(unit: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(unit)}e", *unit)


def unpack(packed: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(packed) // 2}e", packed[: len(packed) // 2 * 2])


def sketch(unit: Sequence[float]) -> bytes:
    """A bit a dimension, the first one highest: whether it is above 0."""
    bits = "".join(["1" if each > 0 else "0" for each in unit])
    return int(bits, 2).to_bytes(-(-len(unit) // 8), "big")


def closest(own: bytes, others: Iterable[tuple[str, bytes]], most: int) -> list[str]:
    """The names of up to ``most`` whose sketches differ least from ``own``, the nearest first; of other sizes none."""
    said = int.from_bytes(own, "big")
    found = [
        (name, (said ^ int.from_bytes(other, "big")).bit_count()) for name, other in others if len(other) == len(own)
    ]
    return [name for name, _ in sorted(found, key=itemgetter(1))[:most]]


def similarity(unit: Sequence[float], packed: bytes) -> float:
    """The cosine between ``unit`` and one that was packed, -1 to 1; -1 where they have not the same dimensions."""
    if len(packed) != 2 * len(unit):
        return -1.0
    other = unpack(packed)
    length = math.hypot(*other)
    return max(-1.0, min(1.0, sum(map(mul, unit, other)) / length)) if length > 0 else -1.0
