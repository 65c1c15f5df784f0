"""What is kept of calls, sealed: AES-256-GCM under a key that stays with analytics, bound to the place where it is
kept, so that a row that was copied to another or changed in any byte does not open."""

import hashlib
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = "omniroute bodies 1"
KEY_BYTES, NONCE_BYTES = 32, 12


class Chance(Protocol):
    """Cryptographic randomness."""

    def __call__(self, size: int, /) -> bytes: ...


class SealBroken(ValueError):
    """What is sealed does not open; the message says why, and never what it is."""


class SealKey(msgspec.Struct, frozen=True):
    """``id`` tells keys apart and nothing of the key."""

    id: str
    key: bytes

    def __repr__(self) -> str:
        return f"SealKey({self.id!r})"

    @classmethod
    def of(cls, key: bytes) -> "SealKey":
        """Raises ``SealBroken`` for one of another length."""
        if len(key) != KEY_BYTES:
            raise SealBroken(f"a key has {len(key)} bytes and must have {KEY_BYTES}")
        return cls(hashlib.sha256(FORMAT.encode() + key).hexdigest()[:12], key)


def place(request_id: str, stage: str, attempt: int) -> bytes:
    """What a sealed body is bound to. JSON, so that no two places have the same bytes."""
    return msgspec.json.encode([FORMAT, request_id, stage, attempt])


def seal(key: SealKey, content: bytes, bound: bytes, chance: Chance) -> bytes:
    """The nonce, then the ciphertext with its tag."""
    nonce = chance(NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, content, bound)


def unseal(key: SealKey, sealed: bytes, bound: bytes) -> bytes:
    """Raises ``SealBroken``."""
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealBroken("what is sealed was changed, or belongs elsewhere") from None


def _cipher(key: SealKey) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key.key)
