"""Which requests may ask a second candidate besides one that is slow to begin. Pure."""

from collections.abc import Mapping
from typing import Final

from omni_wire.errors import ClientGone, InvalidRequest

HEADER: Final = "x-omniroute-hedge"
SHARE: Final = 0.95  # of streams that begin sooner than it takes to ask a second
BURST: Final = 5  # second attempts that are saved up at most


class Outrun(ClientGone):
    """What an attempt ends in that was let go as another began first: it says nothing of its provider. Recorded, never
    rendered."""

    kind = "outrun"


class Extra:
    """Second attempts of requests that may have ``percent`` of them: of any number no more than that share of it, and
    ``BURST``."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._left = BURST * 100

    def came(self) -> None:
        """A request that may have one."""
        self._left = min(BURST * 100, self._left + self._percent)

    def takes(self) -> bool:
        """Whether one more may be made, which it then is."""
        if self._left < 100:
            return False
        self._left -= 100
        return True


def is_wanted(headers: Mapping[str, str]) -> bool:
    """Raises ``InvalidRequest``."""
    said = headers.get(HEADER, "").strip().lower()
    if said not in ("", "off"):
        raise InvalidRequest(f"{HEADER} must be off, or left out", param=HEADER)
    return not said
