"""What a webhook is sent of limits that came to a percentage, signed, and when it is tried again. Pure.

The headers and the signature are those of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, 1.0.0):
``webhook-signature`` is "v1," and the base64 of HMAC-SHA256 of ``<webhook-id>.<webhook-timestamp>.<body>``, the key
being the base64 behind "whsec_".
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence

import msgspec
from omni_wire.asked import Asked

from omni_analytics.domain.reached import Reached

OWN = ""  # what the environment's webhook is called among those of the configuration
KIND = "limit.reached"
# Seconds after each try that failed; behind the last it is given up.
PAUSES = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)


# The names of the webhooks that are to be told of a limit.
Recipients = Callable[[Reached], Sequence[str]]


def nobody(_: Reached) -> tuple[str, ...]:
    return ()


class Webhook(msgspec.Struct, frozen=True):
    """Where to, and the bytes of the key to sign with; ``allow_private`` as a provider has it."""

    url: str
    key: bytes
    allow_private: bool = False

    def __repr__(self) -> str:
        return f"Webhook({self.url!r})"


class Notice(msgspec.Struct, frozen=True):
    """One to be sent to ``webhook``, for the ``tries``-th time, from 1."""

    event: Reached
    tries: int
    webhook: str = OWN


def post(webhook: Webhook, notice: Notice, now: int) -> Asked:
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
    return Asked("POST", webhook.url, headers, body)


def signature(key: bytes, name: str, now: int, body: bytes) -> str:
    signed = hmac.digest(key, f"{name}.{now}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


def pause_ms(tries: int) -> int | None:
    """Milliseconds until it is tried again after ``tries`` of them, from 1; None where it is given up."""
    return PAUSES[tries - 1] * 1000 if tries <= len(PAUSES) else None


def claimed_until(now_ms: int, tries: int) -> int:
    """When one whose try has begun is due again, should nobody say how it ended; the last try has as long as others."""
    return now_ms + (pause_ms(tries) or PAUSES[-1] * 1000)
