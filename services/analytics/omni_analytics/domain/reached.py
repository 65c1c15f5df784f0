"""Limits that are used to a percentage which somebody wants to hear of."""

import msgspec
from omni_wire.errors import WireError

from omni_analytics.domain.rows import MAX_INT, MAX_MS

MAX_TEXT = 1024


class Reached(msgspec.Struct, frozen=True):
    """``used`` of ``most``, of "requests", "tokens", "input", "output" or "usd" (nano-USD), in this ``window``.

    ``id`` is of the limit, the window and the percentage, so that one which comes twice is known; ``at_ms`` is when, in
    epoch milliseconds.
    """

    id: str
    at_ms: int
    percent: int
    used: int
    limit_id: str
    name: str
    organisation: str
    of: str
    window: str
    most: int


def check(reached: Reached) -> None:
    """Raises ``WireError`` for one that cannot be kept."""
    texts = reached.id, reached.limit_id, reached.name, reached.organisation, reached.of, reached.window
    if not reached.id or any(len(text) > MAX_TEXT or "\0" in text for text in texts):
        raise WireError("the event of a limit has no usable names", "limit")
    if not 0 < reached.at_ms < MAX_MS or not all(0 <= each <= MAX_INT for each in (reached.used, reached.most)):
        raise WireError("the event of a limit has a number that is none", "limit")
