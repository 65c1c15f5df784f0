"""The vault's key-encryption keys as text: ``id:base64`` each, parted by commas or lines, the first the primary.

Lines that begin with ``#`` are for people. Nothing here tells a key: what is wrong is told by its place and its id.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

import msgspec

KEY_BYTES = 32
# Too short for a key in base64 or hexadecimal: one that stands where the id belongs is never told as if it were the id.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_MAKE = "make one with: openssl rand -base64 32"
HEADER = "# The keys of the vault of credentials, the first is the primary. Keep a copy apart from the backups.\n"


class Kek(msgspec.Struct, frozen=True):
    """``key`` is the secret itself, which no text of this shows."""

    id: str
    key: bytes

    def __repr__(self) -> str:
        return f"Kek({self.id!r})"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id)]


class KeyringUnreadable(ValueError):
    """The message says what is wrong and what to do."""


def parse(text: str) -> tuple[Kek, ...]:
    """Raises ``KeyringUnreadable``, also for a text without a key."""
    keys: list[Kek] = []
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for number, entry in enumerate(filter(None, (part.strip() for line in lines for part in line.split(","))), 1):
        kek = _entry(number, entry)
        for other in keys:
            if other.id == kek.id:
                raise KeyringUnreadable(f"two keys have the id '{kek.id}': give each key an id of its own")
            if other.key == kek.key:
                raise KeyringUnreadable(f"'{other.id}' and '{kek.id}' are the same key: take one out, or {_MAKE}")
        keys.append(kek)
    if not keys:
        raise KeyringUnreadable(f"there is no key: write id:base64, such as 2026-11:…; {_MAKE}")
    return tuple(keys)


def _entry(number: int, entry: str) -> Kek:
    name, parted, written = entry.partition(":")
    if not parted or not _ID.fullmatch(name):
        raise KeyringUnreadable(
            f"key {number} has no id: write id:base64, the id of letters, digits, '.', '_' and '-' (32 at most)"
        )
    try:
        key = base64.b64decode(written.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise KeyringUnreadable(f"the key '{name}' is not base64; {_MAKE}") from None
    if len(key) != KEY_BYTES:
        raise KeyringUnreadable(f"the key '{name}' has {len(key)} bytes and must have {KEY_BYTES}; {_MAKE}")
    return Kek(name, key)


def render(keys: Iterable[Kek]) -> str:
    """As a file."""
    return HEADER + "".join(f"{kek.id}:{base64.b64encode(kek.key).decode()}\n" for kek in keys)


def fresh_id(day: str, taken: Iterable[str]) -> str:
    """``day`` (2026-11-29), or the first of 2026-11-29.2, … that no key has."""
    known, number, name = frozenset(taken), 1, day
    while name in known:
        number += 1
        name = f"{day}.{number}"
    return name
