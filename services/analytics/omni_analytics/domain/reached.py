"""Soft limits that are used to a percentage which somebody wants to hear of."""

import msgspec


class Reached(msgspec.Struct, frozen=True):
    """``used`` of ``most``, of "requests", "tokens", "input", "output" or "usd" (nano-USD), in this ``window``."""

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


class Told:
    """Which were told lately: a message can come twice."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._ids: dict[str, None] = {}

    def is_news(self, reached: Reached) -> bool:
        if reached.id in self._ids:
            return False
        if len(self._ids) >= self._most:
            del self._ids[next(iter(self._ids))]
        self._ids[reached.id] = None
        return True
