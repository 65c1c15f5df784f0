"""A log file that turns itself: bounded in size, private, and never waited for.

A thread writes what a bounded queue holds. Several processes may share the file: lines are appended whole, and whoever
finds it full takes a lock to turn it, so that it is turned once.
"""

import fcntl
import logging
import os
import queue
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

MAX_BYTES, KEEP = 50 * 1024 * 1024, 5
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
        return cls(
            path=Path(path).expanduser().absolute(),
            max_bytes=_count(env, "OMNIROUTE_LOG_FILE_MAX_BYTES", MAX_BYTES, 4096),
            keep=_count(env, "OMNIROUTE_LOG_FILE_KEEP", KEEP, 0),
        )


def _count(env: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ValueError(f"{name} is '{text}': give a whole number, {least} at least")
    return int(text)


class LogFile(logging.Handler):
    """Formats where it is called and writes elsewhere. Lines for which the queue has no room are dropped and counted.

    Raises ``OSError`` when the file cannot be opened at all; later failures are told once on stderr.
    """

    def __init__(self, settings: LogFileSettings) -> None:
        super().__init__()
        self._settings = settings
        self._file = settings.path
        self._lock_file = settings.path.with_name(settings.path.name + ".lock")
        self._lines: queue.Queue[str | None] = queue.Queue(_QUEUED)
        self._failed = False
        self.dropped = 0
        settings.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = self._open()
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
                self._write(lines)
                self._failed = False
            except OSError as error:
                self.dropped += len(lines)
                if not self._failed:
                    self._failed = True
                    sys.stderr.write(f"cannot write the log file {self._file}: {error.strerror}\n")
            if ended:
                break
        os.close(self._fd)

    def _write(self, lines: list[str]) -> None:
        self._follow()
        room = self._settings.max_bytes - os.fstat(self._fd).st_size
        part: list[bytes] = []
        for line in lines:
            data = line.encode("utf-8", "replace")
            if len(data) > room:
                self._put(part)
                part = []
                self._turn(len(data))
                room = self._settings.max_bytes - os.fstat(self._fd).st_size
            part.append(data)
            room -= len(data)
        self._put(part)

    def _put(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        while data:  # in one piece, but for a disk that fills up
            data = data[os.write(self._fd, data) :]

    def _follow(self) -> None:
        """Go on in the file of this name: another process may have turned it, or somebody removed it."""
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            found = None
        here = os.fstat(self._fd)
        if found is None or (found.st_dev, found.st_ino) != (here.st_dev, here.st_ino):
            os.close(self._fd)
            self._fd = self._open()

    def _turn(self, wanted: int) -> None:
        lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._follow()
            size = os.fstat(self._fd).st_size
            if size and size + wanted > self._settings.max_bytes:  # nobody turned it while we waited
                self._shift()
                self._follow()
        finally:
            os.close(lock)

    def _shift(self) -> None:
        keep = self._settings.keep
        if keep == 0:
            self._file.unlink(missing_ok=True)
            return
        for number in range(keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._file.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.name}.{number}")

    def _open(self) -> int:
        fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.fchmod(fd, 0o600)  # one that was there may have been open to others
        return fd
