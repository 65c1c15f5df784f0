"""What edges tell each other of keys, sealed so that where it is kept need not be trusted.

It is kept under an HMAC of the key's digest, and signed: whoever reads it learns ids and scopes of keys, and neither a
key nor a digest; whoever writes cannot make a key good. What was told once may be put there again: so it is believed
only by an edge that works with the configuration it was told under (a revoked key is another one), and only while it is
young.
"""

import hmac

import msgspec
from omni_catalogue.scopes import Scopes

_SEAL = 32  # bytes
_SKEW = 1  # seconds by which another edge's clock may be ahead


class Decision(msgspec.Struct, frozen=True):
    """That auth took a key for ``key_id``: with which configuration in force, and when (epoch seconds)."""

    revision: int
    decided: int
    key_id: str
    scopes: Scopes

    def age(self, revision: int, now: int, ttl: float) -> int | None:
        """Its seconds, None for one that is not to be believed."""
        age = now - self.decided
        return max(age, 0) if self.revision == revision and -_SKEW <= age < ttl else None


def secret_of(token: str) -> bytes:
    """What edges seal with, of the token that they share; empty without one."""
    return hmac.digest(token.encode(), b"omniroute edge keys 1", "sha256") if token else b""


def name_of(secret: bytes, digest: bytes) -> str:
    return hmac.digest(secret, b"name" + digest, "sha256").hex()


def sealed(secret: bytes, digest: bytes, decision: Decision) -> bytes:
    told = msgspec.json.encode(decision)
    return hmac.digest(secret, b"told" + digest + told, "sha256") + told


def opened(secret: bytes, digest: bytes, data: bytes) -> Decision | None:
    """None for what no edge has told of this key."""
    seal, told = data[:_SEAL], data[_SEAL:]
    if not hmac.compare_digest(seal, hmac.digest(secret, b"told" + digest + told, "sha256")):
        return None
    try:
        return msgspec.json.decode(told, type=Decision)
    except msgspec.DecodeError:
        return None  # of another version
