"""An outage says the same thing for every request. Ten times in ten seconds will do; how often more is one line."""

from collections.abc import Callable, Hashable

MOST, PER = 10, 10.0
# Kinds are templates and configured names, so this is never reached; should it be, the rest shares one account.
_KINDS = 2000


class Limiter:
    """``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], most: int = MOST, per: float = PER) -> None:
        self._clock = clock
        self._most = most
        self._per = per
        self._seen: dict[Hashable, list[float]] = {}  # when its window began, how many came

    def take(self, kind: Hashable) -> bool:
        """Whether one more of ``kind`` may be written now."""
        seen = self._seen.get(kind)
        if seen is None:
            if len(self._seen) >= _KINDS:
                kind = None
            seen = self._seen.setdefault(kind, [self._clock(), 0])
        seen[1] += 1
        return seen[1] <= self._most

    def due(self) -> list[tuple[Hashable, int]]:
        """The kinds whose window is over, with how many were not written; each once. Call it now and then, and before
        ``take``: windows begin anew here."""
        now = self._clock()
        over = [kind for kind, (began, _) in self._seen.items() if now - began >= self._per]
        ended = [(kind, int(self._seen.pop(kind)[1]) - self._most) for kind in over]
        return [(kind, count) for kind, count in ended if count > 0]
