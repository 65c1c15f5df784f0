"""A provider's own words without the credential that it was shown: some repeat it where they refuse it."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

HIDDEN = "[redacted]"
# A shorter one would take ordinary words out, and a shorter beginning of one gives nothing away.
_SHORTEST = 8


def without(secret: str, text: str) -> str:
    """``text`` with ``secret`` left out, as it is or encoded in a usual way, and also where ``text`` was cut off in its
    middle."""
    if len(secret) < _SHORTEST:
        return text
    for form in _forms(secret):
        text = text.replace(form, HIDDEN)
    for length in range(len(secret) - 1, _SHORTEST - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + HIDDEN
    return text


def _forms(secret: str) -> Iterator[str]:
    raw = secret.encode()
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield quote(secret)
    yield raw.hex()
    yield raw.hex().upper()
    for shift in range(3):  # behind "user:" it begins anywhere among the threes of bytes
        whole = base64.b64encode(bytes(shift) + raw).decode()
        part = whole[4 if shift else 0 : len(whole) - 4]
        yield part
        yield part.replace("+", "-").replace("/", "_")
