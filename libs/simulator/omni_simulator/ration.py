"""A provider's rate limits, for scripts that have some: what comes beyond them is refused, as a provider would."""

from collections import Counter, deque
from collections.abc import Hashable

from omni_wire.errors import UpstreamRejected

from omni_simulator.script import Script

_MINUTE = 60.0
_MOST = 4096


class Ration:
    """By whatever shares a limit: a key and a model."""

    def __init__(self) -> None:
        self._times: dict[Hashable, deque[float]] = {}
        self._under_way: Counter[Hashable] = Counter()

    def clear(self) -> None:
        self._times.clear()

    def take(self, script: Script, name: Hashable, now: float) -> None:
        """Count a request at ``now`` (seconds). Raises ``UpstreamRejected`` (429) for one too many."""
        if script.at_once is not None and self._under_way[name] >= script.at_once:
            raise UpstreamRejected(f"too many concurrent requests: {script.at_once} are under way", status=429)
        if script.rpm is None:
            return
        if len(self._times) >= _MOST:
            self._times.clear()
        times = self._times.setdefault(name, deque())
        while times and times[0] <= now - _MINUTE:
            times.popleft()
        if len(times) >= script.rpm:
            raise UpstreamRejected(f"rate limit reached: {script.rpm} requests per minute", status=429)
        times.append(now)

    def enter(self, name: Hashable) -> None:
        self._under_way[name] += 1

    def leave(self, name: Hashable) -> None:
        self._under_way[name] -= 1
