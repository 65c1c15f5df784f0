"""What a provider's answers tell of its rate limits: in headers, by refusing.

Headers: OpenAI's and those of many like it (platform.openai.com/docs/guides/rate-limits), Anthropic's
(docs.anthropic.com/en/api/rate-limits). Their limits are a minute's; where one is a day's (Groq's requests), it is told
as more than a minute lets through, and bounds nothing that it should not. Header names are lower case.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec
from omni_wire.errors import GatewayError, UpstreamRejected

from omni_router.domain import waits
from omni_router.domain.verdict import QUOTA_SPENT

# (limit, what is left, when all of it is back)
_REQUESTS = (
    ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    (
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
)
_TOKENS = (
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
)
# From here down what is left is worth telling the fleet: others use it up as well.
_LITTLE = 0.1
_LONGEST = 120.0
_AT_ONCE = re.compile(r"concurren|simultaneous|parallel|at the same time", re.IGNORECASE)
_MOST = 1e9


class Told(msgspec.Struct, frozen=True):
    """A minute's limits, 0 where nothing is told; what is left for ``left_for`` seconds where that is little, else -1;
    ``refused`` for coming too often ("rate") or with too many ("at_once"), or ""."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    requests_left: int = -1
    tokens_left: int = -1
    left_for: float = 0.0
    refused: str = ""


NOTHING = Told()


def told(headers: Mapping[str, str], error: GatewayError | None, now: float) -> Told:
    """``error`` is what the attempt ended in; ``now`` is in epoch seconds."""
    requests, requests_left, requests_for = _window(_REQUESTS, headers, now)
    tokens, tokens_left, tokens_for = _window(_TOKENS, headers, now)
    refused = _refused(error) if error is not None else ""
    if not requests and not tokens and not refused:
        return NOTHING
    return Told(requests, tokens, requests_left, tokens_left, max(requests_for, tokens_for), refused)


def _window(names: Iterable[tuple[str, str, str]], headers: Mapping[str, str], now: float) -> tuple[int, int, float]:
    """The limit, what is left and for how long, of the first that is told."""
    for limit_name, left_name, reset_name in names:
        limit = waits.seconds(headers.get(limit_name))
        if not limit or limit >= _MOST:
            continue
        left, reset = waits.seconds(headers.get(left_name)), headers.get(reset_name)
        lasts = waits.until(reset, now) if reset is not None else None
        if left is None or not lasts or left > limit * _LITTLE:
            return int(limit), -1, 0.0
        return int(limit), int(left), min(lasts, _LONGEST)
    return 0, -1, 0.0


def _refused(error: GatewayError) -> str:
    if not isinstance(error, UpstreamRejected) or error.status != 429 or error.code == QUOTA_SPENT:
        return ""
    return "at_once" if _AT_ONCE.search(error.message) else "rate"
