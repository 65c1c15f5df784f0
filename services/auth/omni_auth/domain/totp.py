"""A second factor: six digits of every half minute (RFC 6238), and codes for who has lost what shows them."""

import hashlib
from base64 import b32encode

import pyotp

ISSUER = "OmniRoute"
SECRET_BYTES = 20
STEP = 30_000  # ms
AROUND = 1  # steps that a clock may be off by
CODES, CODE_BYTES = 10, 10


def secret(entropy: bytes) -> str:
    return b32encode(entropy).decode()


def uri(secret: str, name: str, organisation: str) -> str:
    """What an authenticator scans."""
    told = ISSUER if organisation == "default" else f"{ISSUER} {organisation}"
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=told)


def step_of(secret: str, code: str, now: int, used: int) -> int:
    """The step that ``code`` is of, 0 for none: one of before or at ``used`` is a replay. ``now`` in epoch ms."""
    code = code.replace(" ", "")
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        return 0
    made, current = pyotp.TOTP(secret), now // STEP
    good = [
        step
        for step in range(current - AROUND, current + AROUND + 1)
        if pyotp.utils.strings_equal(made.generate_otp(step), code)
    ]
    return max((step for step in good if step > used), default=0)


def recovery_codes(entropy: bytes) -> tuple[str, ...]:
    """From ``CODES`` times ``CODE_BYTES`` random bytes: 80 bits each, in groups of four."""
    parts = [b32encode(entropy[at : at + CODE_BYTES]).decode().lower() for at in range(0, len(entropy), CODE_BYTES)]
    return tuple("-".join(part[at : at + 4] for at in range(0, 16, 4)) for part in parts)


def recovery_digest(code: str) -> bytes:
    bare = code.replace("-", "").replace(" ", "").lower()
    return hashlib.sha256(b"omniroute recovery " + bare.encode("utf-8", "surrogatepass")).digest()
