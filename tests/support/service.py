"""``omniroute`` as processes of their own, one at a time: started, asked, signalled, ended by their own pids."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.support.servers import free_port

UP_WITHIN = 120.0


def until(true: Callable[[], object], what: str, within: float = UP_WITHIN, log: Callable[[], str] = str) -> None:
    """Wait for a fact, as seldom as it costs anything, and say ``what`` did not come about, with what was logged."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"{what}\n{log()}"
        time.sleep(0.02)


@contextmanager
def _hangups_heard() -> Iterator[None]:
    """Tests under nohup ignore SIGHUP, and so would what they start."""
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, ours)


class Service:
    """``omniroute run <target>``. ``url`` is its HTTP, ``admin`` a supervisor's own; both are free ports."""

    def __init__(self, target: str, home: Path, env: dict[str, str], *arguments: str, port: int = 0) -> None:
        self.target = target
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_port = free_port()
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self.home = home
        self.env = {"OMNIROUTE_ADMIN_PORT": str(self.admin_port), "DATA_DIR": str(home / "data"), **env}
        self.arguments = arguments
        self.log_file = home / f"{target}-{self.port}.log"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start, or start again where it was."""
        command = [sys.executable, "-m", "omni_launch", "run", self.target, "--port", str(self.port), *self.arguments]
        with self.log_file.open("ab") as out, _hangups_heard():
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.home, start_new_session=True,
                env={**os.environ, **self.env},
            )  # fmt: skip
        return self.process

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def get(self, path: str, *, admin: bool = False) -> httpx.Response:
        return httpx.get(f"{self.admin if admin else self.url}{path}", timeout=10)

    def status(self, path: str, *, admin: bool = False) -> int:
        """0 when nobody answers."""
        try:
            return self.get(path, admin=admin).status_code
        except httpx.HTTPError:
            return 0

    def ready(self, *, admin: bool = False, within: float = UP_WITHIN) -> "Service":
        def answers() -> bool:
            assert self.process.poll() is None, f"{self.target} ended:\n{self.log[-3000:]}"
            return self.status("/readyz", admin=admin) == 200

        until(answers, f"{self.target} did not get ready", within)
        return self

    def lacking(self) -> set[str]:
        """What /readyz says is not well: "part.dependency", or the dependency alone where there is one part."""
        found = json.loads(self.get("/readyz").content)
        named = found.get("checks") or {
            f"{part}.{name}": check for part, checks in found["components"].items() for name, check in checks.items()
        }
        return {name for name, check in named.items() if not check["ok"]}

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, how: signal.Signals = signal.SIGTERM, within: float = 40) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(within)

    def close(self) -> None:
        """At once, if it is still there, with whatever it has started."""
        if self.process.poll() is None:
            left = self.children()
            self.process.kill()
            self.process.wait(10)
            for child in left:
                try:
                    child.kill()
                except psutil.NoSuchProcess:
                    continue
