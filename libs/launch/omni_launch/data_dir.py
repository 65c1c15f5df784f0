"""The data directory: made private, locked against a second omniroute, with secrets that only its owner can read."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from omni_launch.problems import CannotStart


def data_dir_of(env: Mapping[str, str]) -> Path:
    """``DATA_DIR``, else ~/.omniroute."""
    return Path(env.get("DATA_DIR") or Path.home() / ".omniroute").expanduser().absolute()


def prepare(data_dir: Path) -> None:
    """Make the directory, readable by its owner only, and prove that it can be written. Raises ``CannotStart``."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = data_dir / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unusable("write to", data_dir, error) from error


def unusable(what: str, data_dir: Path, error: OSError) -> CannotStart:
    """The error to raise when the system does not let us ``what`` ("read", "write to") the data directory."""
    reason = error.strerror or type(error).__name__
    return CannotStart(
        f"cannot {what} the data directory {data_dir}: {reason}",
        "Choose another with --data-dir (or DATA_DIR), or change its owner",
    )


class DataDirLock:
    """``flock`` on a file of the data directory; the kernel lets go of it when the process ends, however it ends.

    ``up`` holds ``lock`` exclusively; separate targets share it, and those that own a database hold one of their own
    besides, so that two processes never write the same file.
    """

    def __init__(self, data_dir: Path, *, name: str = "lock", shared: bool = False) -> None:
        self._data_dir = data_dir
        self._path = data_dir / name
        self._mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._shared = shared
        self._fd: int | None = None

    def acquire(self) -> Self:
        """Raises ``CannotStart`` naming the process that holds it."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable("write to", self._data_dir, error) from error
        try:
            fcntl.flock(fd, self._mode | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            who = f"another omniroute (pid {holder})" if holder else "another omniroute"
            raise CannotStart(
                f"{who} already uses the data directory {self._data_dir}",
                "Stop it first, or give this one a directory of its own with --data-dir",
            ) from error
        os.ftruncate(fd, 0)
        if not self._shared:
            os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd
        return self

    def release(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.ftruncate(fd, 0)
            os.close(fd)

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` in one step with a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = _scratch(path, text)
    scratch.replace(path)


def kept_secret(path: Path) -> str:
    """The secret kept in ``path``; 256 random bits (hex) the first time.

    Created whole or not at all: of several processes that ask at once, one wins and all read the same.
    Raises ``CannotStart`` for one that is there and cannot be read.
    """
    with contextlib.suppress(FileNotFoundError):
        return _read_secret(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = _scratch(path, secrets.token_hex(32) + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)  # unlike a rename, a link never replaces what another process has just made
    finally:
        scratch.unlink()
    return _read_secret(path)


def _read_secret(path: Path) -> str:
    try:
        secret = path.read_text().strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CannotStart(f"cannot read {path}: {error.strerror}", "It must be readable by this user") from error
    if not secret:
        raise CannotStart(f"{path} is empty", "Remove it and start again, and a new secret is made")
    return secret


def _scratch(path: Path, text: str) -> Path:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    return scratch
