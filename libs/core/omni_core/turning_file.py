"""A file of lines that turns itself: bounded in size, private, shared by processes that may all write to it.

Lines are appended whole, and whoever finds it full takes a lock to turn it, so that it is turned once.
"""

import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

MAX_BYTES, KEEP = 50 * 1024 * 1024, 5
LEAST_BYTES = 4096


class Turning(msgspec.Struct, frozen=True, kw_only=True):
    """``keep`` older files stay beside it, as "<name>.1" (the newest) and up."""

    max_bytes: int = MAX_BYTES
    keep: int = KEEP

    @classmethod
    def from_env(cls, env: Mapping[str, str], prefix: str) -> "Turning":
        """``<prefix>_MAX_BYTES`` and ``<prefix>_KEEP``. Raises ``ValueError`` naming the variable that is wrong."""
        return cls(
            max_bytes=_count(env, f"{prefix}_MAX_BYTES", MAX_BYTES, LEAST_BYTES),
            keep=_count(env, f"{prefix}_KEEP", KEEP, 0),
        )


def _count(env: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise ValueError(f"{name} is '{text}': give a whole number, {least} at least")
    return int(text)


class TurningFile:
    """Opened at once. Its methods raise ``OSError``, and may be called again after it."""

    def __init__(self, path: Path, turning: Turning) -> None:
        self._file = path
        self._turning = turning
        self._lock_file = path.with_name(path.name + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = self._open()
        self._mend()

    def write(self, lines: Iterable[bytes], *, sync: bool = False) -> None:
        """Each with its line end. With ``sync`` they survive a power cut once this returns."""
        self._follow()
        room = self._turning.max_bytes - os.fstat(self._fd).st_size
        part: list[bytes] = []
        for data in lines:
            if len(data) > room:
                self._put(part, sync=sync)
                part = []
                self._turn(len(data))
                room = self._turning.max_bytes - os.fstat(self._fd).st_size
            part.append(data)
            room -= len(data)
        self._put(part, sync=sync)

    def files(self) -> list[Path]:
        """Those that there are, the oldest first."""
        found = [self._numbered(number) for number in range(self._turning.keep, 0, -1)]
        return [path for path in (*found, self._file) if path.exists()]

    def close(self) -> None:
        os.close(self._fd)

    def _mend(self) -> None:
        """End a line that a power cut has cut short, so that the next one stands alone."""
        with self._file.open("rb") as there:
            if there.seek(0, os.SEEK_END) and there.seek(-1, os.SEEK_END) >= 0 and there.read() != b"\n":
                os.write(self._fd, b"\n")

    def _put(self, lines: list[bytes], *, sync: bool) -> None:
        data = b"".join(lines)
        while data:  # in one piece, but for a disk that fills up
            data = data[os.write(self._fd, data) :]
        if sync and lines:
            os.fdatasync(self._fd)

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
            if size and size + wanted > self._turning.max_bytes:  # nobody turned it while we waited
                self._shift()
                self._follow()
        finally:
            os.close(lock)

    def _shift(self) -> None:
        keep = self._turning.keep
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
