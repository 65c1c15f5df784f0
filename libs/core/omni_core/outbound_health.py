"""Which proxies answer. One that failed ``FAILURES`` times in a row is left alone for ``OPEN_FOR`` seconds; then a
single call tries it, and the others go on failing at once until that one is through.

Silence behind an open connection may be the target's, as most proxies wait longer for one than we do: it counts for
calls to that target alone, so that one provider that is away closes no way to the others.

Kept by each process for itself: whether a proxy can be reached is a matter of the place it is reached from.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from omni_catalogue.proxies import Proxy
from omni_wire.errors import ProxyFailed, UpstreamUnreachable

from omni_core import clock
from omni_core.meters import Meter
from omni_core.outbound_handshake import failed

FAILURES = 3
OPEN_FOR = 15.0
TUNNELS = "Tunnels through proxies, by what became of them."
_OF_ONE_TARGET = "proxy_refused"  # its rules may forbid one and let others pass
_SILENT = "proxy_timeout"
_ALL = ""


class Watched:
    """The opening of a tunnel. ``asked`` once the proxy is connected to: what follows it may wait for the target."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = False


class _State:
    __slots__ = ("failures", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0


class ProxyHealth:
    """``tunnels`` counts by proxy and by what became of them: "open", or the code of a failure."""

    def __init__(self, tunnels: Meter | None = None) -> None:
        self._tunnels = tunnels
        self._states: dict[tuple[Proxy, str], _State] = {}  # for one target, or ``_ALL``

    @contextmanager
    def watched(self, proxy: Proxy, target: str = _ALL) -> Iterator[Watched]:
        """Around the opening of one tunnel, which leads to ``target``. Raises ``ProxyFailed`` (code "proxy_left_alone")
        where it is not tried."""
        now, watched = clock.monotonic(), Watched()
        known = [self._states[key] for key in {(proxy, _ALL), (proxy, target)} if key in self._states]
        bad = [state for state in known if state.failures >= FAILURES]
        for state in bad:
            if now < state.until:
                self._count(proxy, "proxy_left_alone")
                raise failed(proxy, f"failed {state.failures} times in a row and is left alone for now", "left_alone")
        for state in bad:
            state.until = now + OPEN_FOR  # for the others, while this one tries
        try:
            yield watched
        except ProxyFailed as error:
            self._count(proxy, error.code)
            if error.code != _OF_ONE_TARGET:
                key = proxy, target if error.code == _SILENT and watched.asked else _ALL
                state = self._states.setdefault(key, _State())
                state.failures += 1
                state.until = clock.monotonic() + OPEN_FOR
            raise
        except UpstreamUnreachable:
            self._well(proxy, target, "target_unreachable")
            raise
        else:
            self._well(proxy, target, "open")

    def broken(self) -> tuple[str, ...]:
        """Names of those that are left alone now."""
        found = {proxy.name for (proxy, _), state in self._states.items() if state.failures >= FAILURES}
        return tuple(sorted(found))

    def forget(self) -> None:
        """Try each again."""
        self._states.clear()

    def _well(self, proxy: Proxy, target: str, outcome: str) -> None:
        self._count(proxy, outcome)
        self._states.pop((proxy, _ALL), None)
        self._states.pop((proxy, target), None)

    def _count(self, proxy: Proxy, outcome: str) -> None:
        if self._tunnels is not None:
            self._tunnels.add((proxy.name, outcome))
