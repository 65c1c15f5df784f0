"""When a window would be used up, if it went on as it has gone in it so far, or of late. Pure."""

from collections.abc import Sequence

# Of a window so much must have passed before its rate of use says anything, and so many seconds.
_SHARE, _SECONDS = 0.02, 60.0
# Of what never begins anew: over how long its rate of use is taken at least, and how far ahead that says anything.
_LATELY, _HORIZON = 6 * 3_600.0, 366 * 86_400.0


def exhausted_at(used: float, total: float, begins: float, ends: float, now: float) -> float | None:
    """Epoch seconds, never before ``now`` and always before ``ends``; None where it lasts until then, or nothing can be
    said: nothing is used, nobody knows how much there is, it has only just begun, or the times are no window's."""
    if not begins < now < ends or total <= 0 or used <= 0:
        return None
    if used >= total:
        return now
    passed = now - begins
    if passed < max(_SECONDS, _SHARE * (ends - begins)):
        return None
    at = now + (total - used) * passed / used
    return at if at < ends else None


def used_up_at(used: float, total: float, seen: Sequence[tuple[float, float]], now: float) -> float | None:
    """As ``exhausted_at``, of what is given once: by its use since the first that was ``seen``: epoch seconds, used."""
    if total <= 0 or used <= 0:
        return None
    if used >= total:
        return now
    since, before = seen[0] if seen else (now, used)
    if now - since < _LATELY or used <= before:
        return None
    at = now + (total - used) * (now - since) / (used - before)
    return at if at < now + _HORIZON else None
