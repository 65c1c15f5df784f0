"""One child process of ours: started, watched, brought back when it dies, stopped by its own pid, never orphaned."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from omni_launch.data_dir import write_private
from omni_launch.problems import CannotStart

READY_WITHIN = 60.0  # a large append-only file takes its time to load
STOP_WITHIN = 20.0
_BACKOFF_FIRST, _BACKOFF_MAX, _STEADY_AFTER = 0.2, 10.0, 60.0
_MAX_LOG_BYTES = 16 * 1024 * 1024

_log = logging.getLogger("omniroute.launch")

# Linux ends the child with SIGTERM when we die, even by kill -9 (prctl PR_SET_PDEATHSIG = 1, kept by exec). This tiny
# launcher asks for it in the child itself: a preexec_fn would run Python between fork and exec in a process that has
# gRPC's threads. Between fork and prctl we may be gone already: then the parent is no longer the one it knows.
_LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """``command`` is run again by every (re)start. ``ready`` raises ``CannotStart`` until the server answers.

    Elsewhere than on Linux a child outlives a killed parent; the pid file lets the next start end it.
    """

    def __init__(
        self, name: str, command: list[str], *, folder: Path, log_file: Path, ready: Callable[[], Awaitable[object]]
    ) -> None:
        self.name = name
        self.restarts = 0
        self._command = command
        self._folder = folder
        self._log_file = log_file
        self._pid_file = folder / "pid"
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._up = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def up(self) -> bool:
        """Whether it runs and has answered."""
        return self._up

    async def start(self) -> None:
        """Returns once it answers. Raises ``CannotStart`` with the last line of its log."""
        process = await self._launch()
        self._watcher = asyncio.create_task(self._watch(process), name=f"watch {self.name}")

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not heard within 20 s. Safe to call at any time."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
        await self._end()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """At once, without waiting: the process is about to end."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    async def _launch(self) -> asyncio.subprocess.Process:
        self._log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._log_file.exists() and self._log_file.stat().st_size > _MAX_LOG_BYTES:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        command = self._command
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
        fd = os.open(self._log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # A session of its own: Ctrl-C in the terminal is for us, who stop the children last.
            process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, cwd=self._folder, start_new_session=True
            )
        finally:
            os.close(fd)
        self._process = process
        write_private(self._pid_file, f"{process.pid}\n")
        try:
            await self._wait_ready(process)
        except BaseException:
            await self._end()
            raise
        self._up = True
        return process

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while True:
            try:
                await self._ready()
            except CannotStart as error:
                if process.returncode is not None:
                    raise CannotStart(
                        f"{self.name} ended at once: {last_line(self._log_file)}", f"Its log: {self._log_file}"
                    ) from error
                if time.monotonic() > deadline:
                    raise CannotStart(
                        f"{self.name} was not ready within {READY_WITHIN:.0f} s: {error}", f"Its log: {self._log_file}"
                    ) from error
                await asyncio.sleep(0.05)
            else:
                return

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        backoff = _BACKOFF_FIRST
        while True:
            born = time.monotonic()
            code = await process.wait()
            self._up = False
            ended = f"{self.name} ended unexpectedly ({f'signal {-code}' if code < 0 else f'exit code {code}'})"
            if time.monotonic() - born > _STEADY_AFTER:
                backoff = _BACKOFF_FIRST
            while not self._up:
                _log.error(
                    "%s; starting it again in %.1f s", ended, backoff, extra={"fields": {"log": str(self._log_file)}}
                )
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _BACKOFF_MAX)
                try:
                    process = await self._launch()
                except (CannotStart, OSError) as error:
                    ended = str(error)
            self.restarts += 1
            _log.warning("%s is back", self.name)

    async def _end(self) -> None:
        self._up = False
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN)
        except TimeoutError:
            _log.error("%s did not stop within %.0f s and was killed", self.name, STOP_WITHIN)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def end_stale(pid_file: Path, marker: str) -> bool:
    """End a child that an earlier, killed run left behind: the pid is in ``pid_file`` and ``marker`` (its own
    configuration file) in its command line, so a pid that now belongs to somebody else is left alone.

    Call only under the lock of the data directory. Whether there was one.
    """
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return False
    found = marker in _command_line(pid)
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_WITHIN
            while marker in _command_line(pid):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)
    pid_file.unlink(missing_ok=True)
    return found


def _command_line(pid: int) -> str:
    proc = Path(f"/proc/{pid}/cmdline")
    if proc.parent.parent.joinpath("self").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def last_line(path: Path) -> str:
    """The last line with something in it."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing in its log")
