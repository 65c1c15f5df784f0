"""Where the management API of a data directory answers, left there for the commands of the same machine.

The file is locked by who wrote it for as long as it answers, so one that was left behind is not believed: whoever has
the port by now would be sent an admin's key.
"""

import fcntl
import os
import time
from pathlib import Path

NAME = "management.url"
_TRIES = 5


class Notice:
    """Use ``put`` once everything answers, ``take_down`` before that ends."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NAME
        self._fd: int | None = None

    def put(self, url: str) -> None:
        """Where another process of this data directory answers already, its notice stays. Raises ``OSError``."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(fd):
            os.close(fd)
            return
        os.ftruncate(fd, 0)
        os.write(fd, f"{url}\n".encode())
        self._fd = fd

    def take_down(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.ftruncate(fd, 0)
            os.close(fd)


def _locked(fd: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)  # somebody may be looking
        else:
            return True
    return False


def answering(data_dir: Path) -> str:
    """The URL of the management API that runs on this data directory; "" where none does."""
    try:
        fd = os.open(data_dir / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(fd, 1024).decode("ascii", "replace").strip()
    else:
        return ""
    finally:
        os.close(fd)
