"""Signatures of published configurations: auth makes them, whoever follows checks them before it reads any further.

    omniroute-config-1 <key id> <signature in base64>, a newline, the snapshot

Ed25519 over the first line without the signature ("omniroute-config-1 <key id>", a newline) and the snapshot, so that
what was signed as something else is no configuration. A key's id is the first 8 bytes of the SHA-256 of its public
half, in hex. Where no keys are configured the pair is made from the service token: then whoever holds that can sign,
as he can name himself as he likes in a call (ADR 16).
"""

import base64
import hashlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from omni_core.settings import CoreSettings
from omni_core.tls import CannotUse

log = logging.getLogger("omniroute.config")

SIGNING, PUBLIC = "OMNIROUTE_CONFIG_SIGNING_KEY", "OMNIROUTE_CONFIG_PUBLIC_KEYS"

_MARK = b"omniroute-config-1"
_HEAD = re.compile(_MARK + rb" ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)\n")
_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_FROM_TOKEN = b"omniroute configuration signing key 1"


class NotSigned(ValueError):
    """Why a configuration is not believed. Nothing that it says was read."""


class SigningKey:
    """What auth signs with."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key()
        self.id = key_id(self.public)

    def __repr__(self) -> str:
        return f"SigningKey({self.id!r})"

    @classmethod
    def new(cls) -> "SigningKey":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_token(cls, token: str) -> "SigningKey":
        """The one that all have who share the service token."""
        seed = HKDF(hashes.SHA256(), 32, salt=None, info=_FROM_TOKEN).derive(token.encode())
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def of(cls, settings: CoreSettings) -> "SigningKey":
        """The configured one, else that of the service token. Raises ``CannotUse``, also when public keys are
        configured and its own is none of them."""
        keys = settings.config_keys
        pem, where = _configured(keys.signing, keys.signing_file, SIGNING)
        key = _private(pem, where) if where else cls.from_token(settings.token)
        pem, where = _configured(keys.public, keys.public_file, PUBLIC)
        if where and key.id not in _publics(pem, where):
            raise CannotUse(
                f"the public half of the key to sign with, {key.id}, is not in {where}: who would believe it?"
            )
        return key

    def seal(self, snapshot: bytes) -> bytes:
        """What to publish: the same for the same snapshot, always."""
        head = _MARK + b" " + self.id.encode()
        signature = base64.b64encode(self._key.sign(head + b"\n" + snapshot))
        return head + b" " + signature + b"\n" + snapshot

    def pem(self) -> bytes:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self._key.private_bytes(encoding, form, serialization.NoEncryption())

    def public_pem(self) -> bytes:
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.public.public_bytes(encoding, form)


class PublicKeys:
    """Whose signatures are believed. ``file`` is read anew for each configuration, so that a key may be added while
    we run; one that cannot be used leaves those that were good."""

    def __init__(self, keys: Iterable[Ed25519PublicKey], file: str = "") -> None:
        self._keys = {key_id(key): key for key in keys}
        self._file = file

    @classmethod
    def of(cls, settings: CoreSettings) -> "PublicKeys":
        """The configured ones, else the one of what this process would sign with. Raises ``CannotUse``."""
        keys = settings.config_keys
        pem, where = _configured(keys.public, keys.public_file, PUBLIC)
        if not where:
            return cls([SigningKey.of(settings).public])
        return cls(_publics(pem, where).values(), "" if keys.public else keys.public_file)

    def opened(self, value: bytes) -> bytes:
        """The snapshot in what was published. Raises ``NotSigned``."""
        found = _HEAD.match(value)
        if found is None:
            raise NotSigned("it is not signed")
        signer, encoded = found[1].decode(), found[2]
        keys = self._current()
        if signer not in keys:
            believed = ", ".join(keys)
            raise NotSigned(f"it is signed with the key {signer}, and only {believed} is believed ({PUBLIC})")
        signature, snapshot = base64.b64decode(encoded), value[found.end() :]
        try:
            keys[signer].verify(signature, _MARK + b" " + found[1] + b"\n" + snapshot)
        except InvalidSignature:
            raise NotSigned(f"its signature is wrong: this is not what was signed with the key {signer}") from None
        if base64.b64encode(signature) != encoded:  # the last letter has bits that say nothing
            raise NotSigned("its signature is not written as auth writes one")
        return snapshot

    def _current(self) -> dict[str, Ed25519PublicKey]:
        if self._file:
            try:
                self._keys = _publics(*_configured("", self._file, PUBLIC))
            except CannotUse as error:
                log.warning("the public keys in force stay: %s", error)
        return self._keys


def key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _configured(pem: str, file: str, name: str) -> tuple[bytes, str]:
    """What is configured, and where; "" where nothing is."""
    if pem:
        return pem.encode(), name
    if not file:
        return b"", ""
    try:
        return Path(file).expanduser().read_bytes(), f"{name}_FILE {file}"
    except OSError as error:
        raise CannotUse(f"cannot read {name}_FILE {file}: {error.strerror}") from error


def _private(pem: bytes, where: str) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CannotUse(f"{where} is no private key in PEM, open to this process") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise CannotUse(f"{where} is a private key of another kind than Ed25519")
    return SigningKey(key)


def _publics(pem: bytes, where: str) -> dict[str, Ed25519PublicKey]:
    if b"PRIVATE KEY" in pem:
        raise CannotUse(f"{where} holds a private key, which is for auth alone")
    found: dict[str, Ed25519PublicKey] = {}
    for block in _PUBLIC_KEY.findall(pem):
        try:
            key = serialization.load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CannotUse(f"{where} has something in it that is no public key in PEM") from error
        if not isinstance(key, Ed25519PublicKey):
            raise CannotUse(f"{where} has a public key of another kind than Ed25519")
        found[key_id(key)] = key
    if not found:
        raise CannotUse(f"{where} has no public key in PEM")
    return found
