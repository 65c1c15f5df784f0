"""What an answer's headers tell of its account's quota, by windows. Header names are lower case.

Claude's and Codex' as their own CLIs read them; Copilot's as its editors do (``x-quota-snapshot-*``: ``ent`` is how
many there are, ``rem`` the percent left, ``rst`` when all is back).
"""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

import msgspec

from omni_router.domain import waits

_PERCENT = 100.0
_BY_MINUTES = {300: "5h", 1_440: "day", 10_080: "week", 43_200: "month"}
_SNAPSHOTS = {
    "x-quota-snapshot-premium_interactions": "month:premium",
    "x-quota-snapshot-premium_models": "month:premium",
    "x-quota-snapshot-chat": "month:chat",
    "x-usage-ratelimit-session": "5h",
    "x-usage-ratelimit-weekly": "week",
}
_NAMES = frozenset((*(name for _, name, *_ in waits.USED), *_SNAPSHOTS))
# What a provider says beyond this is no figure of a quota.
_MOST_USED = 10.0


class Share(msgspec.Struct, frozen=True):
    """Of a window the share that is ``used`` (0 to 1), and in how many seconds all is back, 0 where that is not
    told."""

    window: str
    used: float
    ends_in: float


def told(headers: Mapping[str, str], now: float) -> tuple[Share, ...]:
    """Each window once, in no particular order; empty where nothing is told. ``now`` is in epoch seconds; an answer's
    own ``date`` is preferred."""
    if _NAMES.isdisjoint(headers):
        return ()
    now = waits.date(headers, now)
    return tuple({share.window: share for share in (*_used(headers, now), *_left(headers, now))}.values())


def _used(headers: Mapping[str, str], now: float) -> Iterator[Share]:
    for window, name, whole, reset, minutes in waits.USED:
        used = waits.seconds(headers.get(name))
        if used is None or used > whole * _MOST_USED:
            continue
        lasts = waits.seconds(headers.get(minutes)) if minutes else None
        if lasts:
            window = _BY_MINUTES.get(round(lasts), f"{lasts:g}m")
        yield Share(window, min(1.0, used / whole), _ends_in(headers.get(reset), now))


def _left(headers: Mapping[str, str], now: float) -> Iterator[Share]:
    for name, window in _SNAPSHOTS.items():
        said = headers.get(name)
        if said is None:
            continue
        fields = dict(parse_qsl(said))
        left, there = waits.seconds(fields.get("rem")), waits.seconds(fields.get("ent"))
        if left is not None and there and fields.get("ovPerm") != "true":  # -1 is "as many as you like"
            yield Share(window, max(0.0, 1 - left / _PERCENT), _ends_in(fields.get("rst"), now))


def _ends_in(reset: str | None, now: float) -> float:
    return waits.until(reset, now) or 0.0 if reset is not None else 0.0
