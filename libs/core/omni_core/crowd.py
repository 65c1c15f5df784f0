"""How many connections each client address has open to this process, and whether it may have one more."""

from collections.abc import Callable


class Crowd:
    """``named`` says under which name an address is counted, "" for one that is not. Nobody is turned away until
    ``bound`` says so."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._most = 0
        self._named: Callable[[str], str] = str

    def bound(self, most: int, named: Callable[[str], str]) -> None:
        """From now on at most ``most`` each, 0 for any number. Those that are open stay."""
        self._most, self._named = most, named

    def enter(self, address: str) -> str | None:
        """The name to ``leave`` under; None for a connection that is one too many. Those that came while nothing was
        counted are not counted later."""
        name = self._named(address) if self._most else ""
        if name:
            count = self._open.get(name, 0)
            if count >= self._most:
                return None
            self._open[name] = count + 1
        return name

    def leave(self, name: str) -> None:
        if name:
            left = self._open[name] - 1
            if left:
                self._open[name] = left
            else:
                del self._open[name]

    def __len__(self) -> int:
        return sum(self._open.values())
