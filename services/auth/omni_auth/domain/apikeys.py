"""API keys: how one is made, recognised and found.

A key is ``or-<id8>-<43 base62 digits>-<6>``: a public id, 256 random bits, and the CRC-32 of all before it, so that a
scanner can tell a key from noise. Only HMAC-SHA256(pepper, SHA-256(key)) is kept; looking that up tells a guesser
nothing by its timing.
"""

import hashlib
import hmac
import zlib
from collections.abc import Iterable, Sequence

import msgspec
from omni_wire.errors import InvalidRequest
from pydantic_core import PydanticCustomError

from omni_auth.domain import scalars
from omni_auth.domain.schema import ROLES, WINDOWS

ENTROPY_BYTES = 36
LOCAL_NAME = "local"

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_DIGITS, _CHECK_DIGITS = 43, 6


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the store keeps it. ``digest`` is the HMAC; limits of 0 are none; ``created`` in epoch seconds."""

    id: str
    name: str
    role: str
    models: tuple[str, ...]
    requests_per_minute: int
    budget_nano_usd: int
    budget_window: str
    created: int
    hint: str
    digest: bytes

    def __repr__(self) -> str:
        return f"StoredKey({self.id!r}, {self.name!r})"


def presented_digest(key: str) -> bytes:
    """What crosses process borders instead of a key: its SHA-256."""
    return hashlib.sha256(key.encode()).digest()


def stored_digest(pepper: bytes, key_digest: bytes) -> bytes:
    """What the store keeps and the index is keyed by."""
    return hmac.digest(pepper, key_digest, "sha256")


def file_key_id(name: str) -> str:
    """The id of a key of the configuration file: the same after every restart."""
    return f"key-{name}"


def mint(entropy: bytes) -> tuple[str, str]:
    """A key's id and the key itself, from ``ENTROPY_BYTES`` random bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"needs {ENTROPY_BYTES} random bytes")
    public = entropy[:4].hex()
    body = f"or-{public}-{_base62(entropy[4:], _SECRET_DIGITS)}"
    return f"api-{public}", f"{body}-{_checksum(body)}"


def is_wellformed(key: str) -> bool:
    """Whether a text is a whole key of ours by its shape and checksum (not whether it is valid)."""
    parts = key.split("-")
    return len(parts) == 4 and parts[0] == "or" and parts[3] == _checksum(key.rpartition("-")[0])


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("utf-8", "surrogatepass")).to_bytes(4, "big"), _CHECK_DIGITS)


def _base62(data: bytes, width: int) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")


def check_new(
    *, name: str, role: str, models: Sequence[str], requests_per_minute: int, budget_nano_usd: int, budget_window: str
) -> None:
    """Raises ``InvalidRequest`` naming the field that is wrong."""
    _check("name", scalars.name, name)
    _check("role", scalars.one_of(ROLES), role)
    _check("budget_window", scalars.one_of(WINDOWS), budget_window)
    if not models or isinstance(models, str):
        raise InvalidRequest("models: must have at least one pattern", param="models")
    for pattern in models:
        _check("models", scalars.pattern, pattern)
    if not _is_whole(requests_per_minute, 1_000_000_000):
        raise InvalidRequest(
            "requests_per_minute: must be from 0 (no limit) to 1000000000", param="requests_per_minute"
        )
    if not _is_whole(budget_nano_usd, scalars.MAX_USD * scalars.NANO):
        raise InvalidRequest(
            f"budget: must be from 0 (none) to {scalars.MAX_USD} USD, in whole nano-USD", param="budget"
        )


def _is_whole(number: object, most: int) -> bool:
    """A fraction or a NaN would get into the store, and no key could be read from it any more."""
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= most


def _check(field: str, reader: object, value: str) -> None:
    try:
        reader(value)  # type: ignore[operator]
    except PydanticCustomError as error:
        raise InvalidRequest(f"{field}: {error.message()}", param=field) from None


def refuse_taken(name: str, stored: Iterable[StoredKey], file_names: Iterable[str]) -> None:
    """Raises ``InvalidRequest`` when a key of that name exists."""
    if any(key.name == name for key in stored) or name in file_names:
        raise InvalidRequest(f"there is a key called '{name}' already", param="name")


def find(key: str, stored: Iterable[StoredKey], file_names: Iterable[str], filename: str) -> StoredKey:
    """The stored key of that id or name. Raises ``InvalidRequest`` for none, for two, and for one of the file."""
    found = [one for one in stored if key in (one.id, one.name)]
    in_file = any(key in (name, file_key_id(name)) for name in file_names)
    if found and in_file and found[0].id != key:
        raise InvalidRequest(f"two keys are called '{key}', one of {filename}: give the id {found[0].id}", param="key")
    if found:
        return found[0]
    if in_file:
        raise InvalidRequest(f"key '{key}' is managed by {filename}: take it out there", param="key")
    raise InvalidRequest(f"there is no key '{key}'", param="key")
