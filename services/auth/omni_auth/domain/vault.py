"""Envelope encryption of a provider's credential.

Each secret is sealed with a data key of its own (AES-256-GCM), and the data key is wrapped by a key-encryption key
(KEK), which is all that a rotation changes. Both layers are bound to what the row says of itself and to whose row it
is, by associated data: so a row that was copied to another account, put back from an older version or changed in any
byte does not open. Whether a whole row is the one that its account means, the account's own version of it tells.
"""

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = "omniroute vault 1"
NONCE_BYTES = 12
DATA_KEY_BYTES = 32


class Chance(Protocol):
    """Cryptographic randomness."""

    def __call__(self, size: int, /) -> bytes: ...


class Binding(msgspec.Struct, frozen=True):
    """What a sealed secret belongs to. ``sealed_at`` in epoch ms."""

    organisation: str
    kind: str
    id: str
    version: str
    sealed_at: int

    def associated(self, layer: str, *more: str) -> bytes:
        """JSON, so that no two bindings have the same bytes."""
        of = [self.organisation, self.kind, self.id, self.version, self.sealed_at]
        return msgspec.json.encode([FORMAT, layer, *of, *more])


class Sealed(msgspec.Struct, frozen=True):
    """``wrapped`` is the data key under the KEK ``kek``, ``content`` the secret under the data key."""

    kek: str
    wrapped: bytes
    content: bytes


class VaultRefused(ValueError):
    """A secret that does not open, or a KEK that cannot be had; the message says why, and never a secret."""


class Wrapping(Protocol):
    """The KEKs, wherever they are. All raise ``VaultRefused``. A rotation may change the primary between two calls, so
    what is wrapped says with which key."""

    @property
    def primary(self) -> str: ...

    def wrap(self, kek: str, data_key: bytes, associated: bytes) -> bytes: ...

    def unwrap(self, kek: str, wrapped: bytes, associated: bytes) -> bytes: ...


def seal(secret: str, binding: Binding, keys: Wrapping, chance: Chance) -> Sealed:
    data_key = chance(DATA_KEY_BYTES)
    return _wrapped(data_key, encrypt(data_key, secret.encode(), binding.associated("secret"), chance), binding, keys)


def unseal(sealed: Sealed, binding: Binding, keys: Wrapping) -> str:
    """Raises ``VaultRefused``."""
    data_key = _data_key(sealed, binding, keys)
    try:
        return decrypt(data_key, sealed.content, binding.associated("secret")).decode()
    except UnicodeDecodeError:
        raise VaultRefused(_CHANGED) from None


def rewrap(sealed: Sealed, binding: Binding, keys: Wrapping) -> Sealed:
    """The same with its data key under the primary KEK; it is opened on the way, so that nothing broken is renewed.
    Raises ``VaultRefused``."""
    data_key = _data_key(sealed, binding, keys)
    decrypt(data_key, sealed.content, binding.associated("secret"))
    return _wrapped(data_key, sealed.content, binding, keys)


def _wrapped(data_key: bytes, content: bytes, binding: Binding, keys: Wrapping) -> Sealed:
    kek = keys.primary
    return Sealed(kek, keys.wrap(kek, data_key, binding.associated("data key", kek)), content)


def _data_key(sealed: Sealed, binding: Binding, keys: Wrapping) -> bytes:
    return keys.unwrap(sealed.kek, sealed.wrapped, binding.associated("data key", sealed.kek))


_CHANGED = "what is sealed was changed, or belongs to something else"


def encrypt(key: bytes, plain: bytes, associated: bytes, chance: Chance) -> bytes:
    """The nonce, then the ciphertext with its tag."""
    nonce = chance(NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plain, associated)


def decrypt(key: bytes, content: bytes, associated: bytes) -> bytes:
    """Raises ``VaultRefused``."""
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(key).decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):
        raise VaultRefused(_CHANGED) from None


def _cipher(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
