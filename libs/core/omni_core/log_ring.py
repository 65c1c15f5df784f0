"""The last lines of a process' log, kept in memory for whoever looks from outside."""

import logging
from collections import deque

import msgspec

MOST = 1000


class LogLine(msgspec.Struct, frozen=True):
    """``number`` counts from 1 since the process began; ``text`` is one JSON object, as the log file has it."""

    number: int
    text: str


class LogRing(logging.Handler):
    """Formats where it is called, as any handler; its formatter writes JSON."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._lines: deque[LogLine] = deque(maxlen=most)
        self._written = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._written += 1  # within the handler's own lock
        self._lines.append(LogLine(self._written, self.format(record)))

    def newest(self, before: int, limit: int, text: str = "") -> list[LogLine]:
        """Newest first, those before that number (0: all) with ``text`` in them."""
        self.acquire()
        try:
            lines = tuple(self._lines)
        finally:
            self.release()
        found = [line for line in reversed(lines) if (not before or line.number < before) and text in line.text]
        return found[:limit]
