"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by time of birth."""

import time
from random import getrandbits

_MARKS = 0x7 << 76 | 0b10 << 62  # version 7, and the variant of RFC 9562
_CHANCE = (1 << 80) - 1 & ~(0xF << 76) & ~(0b11 << 62)


def new_id(now_ms: int | None = None, random_bytes: bytes | None = None) -> str:
    """A UUIDv7 as 32 hex digits. ``now_ms`` and ten ``random_bytes`` may be given for reproducible tests.

    An id has to be unique, not secret: its chance comes from the process' generator, which is seeded by the system and
    anew after a fork, and not from a call to the system each time.
    """
    millis = int(time.time() * 1000) if now_ms is None else now_ms
    chance = getrandbits(80) if random_bytes is None else int.from_bytes(random_bytes, "big")
    number = millis << 80 | chance & _CHANCE | _MARKS
    return number.to_bytes(16, "big").hex()
