"""How a key looks: ``or-<8 hex digits>-<43 base62 digits>-<6>``, the last six the CRC-32 of all before them.

So a scanner can tell a key from noise, and so can an edge, without asking anybody.
"""

import zlib

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_DIGITS, CHECK_DIGITS = 43, 6
_LENGTH = len("or-12345678-") + SECRET_DIGITS + 1 + CHECK_DIGITS


def assembled(public: str, entropy: bytes) -> str:
    """The key with the public id ``public`` and 256 random bits."""
    body = f"or-{public}-{_base62(entropy, SECRET_DIGITS)}"
    return f"{body}-{_checksum(body)}"


def is_wellformed(key: str) -> bool:
    """Whether a text is a whole key of ours by its shape and checksum (not whether it is valid)."""
    if len(key) != _LENGTH:
        return False
    parts = key.split("-")
    return len(parts) == 4 and parts[0] == "or" and parts[3] == _checksum(key.rpartition("-")[0])


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("utf-8", "surrogatepass")).to_bytes(4, "big"), CHECK_DIGITS)


def _base62(data: bytes, width: int) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")
