"""A log file that turns itself and is never waited for: a thread writes what a bounded queue holds. Several processes
may share it."""

import logging
import queue
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from omni_core.turning_file import KEEP, MAX_BYTES, Turning, TurningFile

_QUEUED = 10_000
STOP_WITHIN = 3.0


class LogFileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``keep`` older files stay beside it, as "<name>.1" (the newest) and up."""

    path: Path
    max_bytes: int = MAX_BYTES
    keep: int = KEEP

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "LogFileSettings | None":
        """``OMNIROUTE_LOG_FILE``, None without it, ``OMNIROUTE_LOG_FILE_MAX_BYTES`` and ``OMNIROUTE_LOG_FILE_KEEP``.

        Raises ``ValueError`` naming the variable that is wrong.
        """
        path = env.get("OMNIROUTE_LOG_FILE", "").strip()
        if not path:
            return None
        turning = Turning.from_env(env, "OMNIROUTE_LOG_FILE")
        return cls(path=Path(path).expanduser().absolute(), max_bytes=turning.max_bytes, keep=turning.keep)


class LogFile(logging.Handler):
    """Formats where it is called and writes elsewhere. Lines for which the queue has no room are dropped and counted.

    Raises ``OSError`` when the file cannot be opened at all; later failures are told once on stderr.
    """

    def __init__(self, settings: LogFileSettings) -> None:
        super().__init__()
        self._path = settings.path
        self._lines: queue.Queue[str | None] = queue.Queue(_QUEUED)
        self._failed = False
        self.dropped = 0
        self._file = TurningFile(settings.path, Turning(max_bytes=settings.max_bytes, keep=settings.keep))
        self._thread = threading.Thread(target=self._run, name="log-file", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self.dropped += 1

    def flush(self) -> None:
        """The thread does."""

    def close(self) -> None:
        """Write what is queued, for up to three seconds."""
        if self._thread.is_alive():
            try:
                self._lines.put(None, timeout=STOP_WITHIN)
            except queue.Full:
                self.dropped += 1
            self._thread.join(STOP_WITHIN)
        super().close()

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            lines = [line]
            ended = False
            while len(lines) < 1000 and not self._lines.empty():
                more = self._lines.get()
                if more is None:
                    ended = True
                    break
                lines.append(more)
            try:
                self._file.write([each.encode("utf-8", "replace") for each in lines])
                self._failed = False
            except OSError as error:
                self.dropped += len(lines)
                if not self._failed:
                    self._failed = True
                    sys.stderr.write(f"cannot write the log file {self._path}: {error.strerror}\n")
            if ended:
                break
        self._file.close()
