"""What a webhook is sent of limits that came to a percentage, signed, and when it is tried again. Pure.

The headers and the signature are those of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, 1.0.0):
``webhook-signature`` is "v1," and the base64 of HMAC-SHA256 of ``<webhook-id>.<webhook-timestamp>.<body>``, the key
being the base64 behind "whsec_".
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

import msgspec
from omni_wire.errors import InvalidRequest

from omni_analytics.domain.reached import Reached

PREFIX = "whsec_"
KIND = "limit.reached"
# Seconds after each try that failed; behind the last it is given up.
PAUSES = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)
_LEAST_KEY, _MOST_KEY = 16, 64  # bytes


class Webhook(msgspec.Struct, frozen=True):
    """Where to, and the bytes of the key to sign with; ``allow_private`` as a provider has it."""

    url: str
    key: bytes
    allow_private: bool = False

    def __repr__(self) -> str:
        return f"Webhook({self.url!r})"


class Notice(msgspec.Struct, frozen=True):
    """One to be sent, for the ``tries``-th time, from 1."""

    event: Reached
    tries: int


class Post(msgspec.Struct, frozen=True):
    """A call, as ``omni_core.web`` takes it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def key_of(secret: str) -> bytes:
    """Raises ``InvalidRequest``, without repeating it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        key = b""
    if not _LEAST_KEY <= len(key) <= _MOST_KEY:
        told = f"a webhook's secret is {PREFIX} and the base64 of {_LEAST_KEY} to {_MOST_KEY} bytes"
        raise InvalidRequest(f"{told}: echo {PREFIX}$(openssl rand -base64 32)")
    return key


def post(webhook: Webhook, notice: Notice, now: int) -> Post:
    """``now`` in epoch seconds. The id is the same at every try, for who gets it twice to know."""
    event = notice.event
    body = msgspec.json.encode({"type": KIND, "data": event})
    name = "limit_" + hashlib.sha256(event.id.encode()).hexdigest()[:32]
    headers = {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(webhook.key, name, now, body),
    }
    return Post("POST", webhook.url, headers, body)


def signature(key: bytes, name: str, now: int, body: bytes) -> str:
    signed = hmac.digest(key, f"{name}.{now}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


def pause_ms(tries: int) -> int | None:
    """Milliseconds until it is tried again after ``tries`` of them, from 1; None where it is given up."""
    return PAUSES[tries - 1] * 1000 if tries <= len(PAUSES) else None


def claimed_until(now_ms: int, tries: int) -> int:
    """When one whose try has begun is due again, should nobody say how it ended; the last try has as long as others."""
    return now_ms + (pause_ms(tries) or PAUSES[-1] * 1000)
