"""How much of an account's quota is left, as its provider tells it with every answer. Header names are lower case."""

from collections.abc import Mapping

# The windows of rate limits are minutes, those of subscriptions hours: what was told is good for about as long.
_SHORT, _LONG = 60.0, 900.0

# (limit, remaining): OpenAI and those like it (platform.openai.com, rate limits), then Anthropic (docs.anthropic.com,
# rate limits).
_PAIRS = tuple(
    (f"{before}limit{after}", f"{before}remaining{after}")
    for before, after in (
        *(("x-ratelimit-", f"-{what}") for what in ("requests", "tokens")),
        *((f"anthropic-ratelimit-{what}-", "") for what in ("requests", "tokens", "input-tokens", "output-tokens")),
    )
)
# What is used of a subscription, and of how much: Claude's as a share, Codex' in percent (as their own CLIs read it).
_USED = {
    "anthropic-ratelimit-unified-5h-utilization": 1.0,
    "anthropic-ratelimit-unified-7d-utilization": 1.0,
    "x-codex-primary-used-percent": 100.0,
    "x-codex-secondary-used-percent": 100.0,
}


def headroom(headers: Mapping[str, str]) -> tuple[float, float] | None:
    """The least share that is left of anything (0 to 1), and for how many seconds that is worth remembering; None where
    nothing is told."""
    shares: list[tuple[float, float]] = []
    for limit_name, remaining_name in _PAIRS:
        limit, remaining = _number(headers.get(limit_name)), _number(headers.get(remaining_name))
        if limit and remaining is not None:
            shares.append((_share(remaining / limit), _SHORT))
    for name, whole in _USED.items():
        used = _number(headers.get(name))
        if used is not None:
            shares.append((_share(1 - used / whole), _LONG))
    return min(shares, default=None)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < 1e15 else None


def _share(value: float) -> float:
    return max(0.0, min(1.0, value))
