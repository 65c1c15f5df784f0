"""The whole of OmniRoute as real processes, in either shape: one process, or one process a service over gRPC."""

import asyncio
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from omni_simulator import Options, Simulator

from tests.support.servers import free_port, nats_server, redis_server

SERVICES = ("auth", "translator", "analytics", "quota", "router", "dashboard", "edge")
UP_WITHIN = 120.0


class Stack:
    """A running gateway. ``edge`` and ``dashboard`` are base URLs (the same in one process); ``pids`` by service."""

    def __init__(self, shape: str, edge: str, dashboard: str, data_dir: Path) -> None:
        self.shape = shape
        self.edge = edge
        self.dashboard = dashboard
        self.data_dir = data_dir
        self.pids: dict[str, int] = {}
        self.metrics: dict[str, str] = {}
        self.grpc: dict[str, str] = {}
        self.token = ""
        self.logs: list[Path] = []

    @property
    def openai(self) -> str:
        """The base URL an OpenAI SDK takes."""
        return f"{self.edge}/v1"

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in self.logs)

    def get(self, path: str, key: str) -> httpx.Response:
        """A management call."""
        return httpx.get(f"{self.dashboard}{path}", headers={"authorization": f"Bearer {key}"}, timeout=10)

    def open_reservations(self, key: str) -> int:
        return int(self.get("/api/quota", key).json()["open_reservations"])


def omniroute(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "omni_launch", *arguments]


@contextmanager
def running(shape: str, home: Path, config: str, env: dict[str, str]) -> Iterator[Stack]:
    """``shape`` is "all" or "separate"; ``home`` an empty folder; ``config`` becomes ``home``/omniroute.yaml."""
    (home / "omniroute.yaml").write_text(config)
    started = _all(home, env) if shape == "all" else _separate(home, env)
    with started as stack:
        yield stack


@contextmanager
def _process(
    name: str, home: Path, command: list[str], env: dict[str, str], stack: Stack
) -> Iterator[subprocess.Popen[bytes]]:
    log = home / f"{name}.log"
    stack.logs.append(log)
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=home, env={**os.environ, **env})
    stack.pids[name] = child.pid
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        try:
            code = child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(5)
            raise
        assert code == 0, f"{name} ended with {code}:\n{log.read_text()[-3000:]}"


def _ready(url: str, stack: Stack) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} did not become ready:\n{stack.log()}")


@contextmanager
def _all(home: Path, env: dict[str, str]) -> Iterator[Stack]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stack = Stack("all", url, url, home / "data")
    stack.metrics = {"all": url}
    command = omniroute("up", "--no-open", "--port", str(port), "--data-dir", str(home / "data"))
    with _process("all", home, command, env, stack):
        _ready(url, stack)
        yield stack


@contextmanager
def _separate(home: Path, env: dict[str, str]) -> Iterator[Stack]:
    http = {name: free_port() for name in SERVICES}
    grpc = {name: f"127.0.0.1:{free_port()}" for name in SERVICES if name not in ("edge", "dashboard")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in http.items()}
    stack = Stack("separate", urls["edge"], urls["dashboard"], home / "data")
    stack.metrics, stack.grpc, stack.token = urls, grpc, secrets.token_hex(16)
    with ExitStack() as exits:
        shared = {
            **env,
            "OMNIROUTE_REDIS_URL": exits.enter_context(redis_server()),
            "OMNIROUTE_NATS_URL": exits.enter_context(nats_server()),
            "OMNIROUTE_SERVICE_TOKEN": stack.token,
            "DATA_DIR": str(home / "data"),
            **{f"OMNIROUTE_{name.upper()}_ADDR": address for name, address in grpc.items()},
        }
        for name in SERVICES:
            command = omniroute("run", name, "--port", str(http[name]))
            listen = {"OMNIROUTE_GRPC_PORT": grpc[name].rpartition(":")[2]} if name in grpc else {}
            exits.enter_context(_process(name, home, command, shared | listen, stack))
        for url in urls.values():
            _ready(url, stack)
        yield stack


@contextmanager
def simulator(options: Options | None = None) -> Iterator[Simulator]:
    """A simulated provider on a loop of its own; its counters may be read from the test."""
    made = Simulator("127.0.0.1", 0, options=options)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(made.start(), loop).result(10)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def metric_names(url: str) -> set[str]:
    """Names of the families a service shows."""
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
