"""The requests that were stored last, numbered in the order in which they were, for those who watch. Pure.

A number names a place in that order, and together with who keeps it where somebody stopped reading. Only so many are
kept: who reads slower than they come misses some, is told how many, and costs nobody else anything.
"""

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from omni_analytics.domain.rows import RequestRow


class Recent:
    """``keeper`` is of this process and its life: another's places mean nothing here."""

    def __init__(self, keeper: str, most: int = 2000) -> None:
        self._keeper = keeper
        self._rows: deque[RequestRow] = deque(maxlen=most)
        self.stored = 0  # so many ever were

    def new(self, rows: Sequence[RequestRow]) -> list[RequestRow]:
        """Those that are not among the last already."""
        known = {(row.id, row.seq) for row in self._rows}
        return [row for row in rows if (row.id, row.seq) not in known]

    def add(self, rows: Sequence[RequestRow]) -> None:
        """Without their decisions, which may be large and are told nobody here."""
        self._rows.extend([replace(row, decision=b"") if row.decision else row for row in rows])
        self.stored += len(rows)

    def place(self, after: str) -> int:
        """The number that ``after`` names; the newest where it names none of ours."""
        keeper, _, number = after.partition("-")
        if keeper != self._keeper or not (number.isascii() and number.isdigit() and len(number) < 20):
            return self.stored
        return min(int(number), self.stored)

    def name(self, place: int) -> str:
        return f"{self._keeper}-{place}"

    def since(self, place: int) -> tuple[tuple[RequestRow, ...], int]:
        """What came after a place, and how much of that is not kept any more."""
        first = self.stored - len(self._rows)
        rows = tuple(self._rows)[max(0, place - first) :] if place < self.stored else ()
        return rows, max(0, first - place)
