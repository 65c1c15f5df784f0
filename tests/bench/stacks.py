"""The systems under test: each is a set of processes, an address to load, and who is charged for the CPU."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.servers import free_port, nats_server, redis_server

LOAD_CORE, SUT_CORE = 0, 1
KEY = "bench-" + secrets.token_hex(8)
TOKEN = secrets.token_hex(16)


@dataclass
class Stack:
    """``pids`` are our Python processes, ``stores`` Redis and NATS (their CPU has a column of its own)."""

    name: str
    url: str
    pids: list[int] = field(default_factory=list)
    stores: list[int] = field(default_factory=list)
    routers: list[int] = field(default_factory=list)

    def router_cpu(self) -> float:
        """CPU seconds that its routers have used so far; 0 where they have no process of their own."""
        return _cpu(self.routers)

    def cpu(self) -> tuple[float, float]:
        """CPU seconds used so far: ours, the stores'."""
        return _cpu(self.pids), _cpu(self.stores)

    def rss_mib(self) -> float:
        return sum(psutil.Process(pid).memory_info().rss for pid in self.pids) / 2**20


def _cpu(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(time.user + time.system for time in times))


def configuration(upstream: str) -> str:
    """A key with a rate limit and a USD budget that never run out, and a priced model."""
    return f"""
server: {{host: 127.0.0.1, port: 20128}}
providers:
  - id: acme
    format: openai.chat
    base_url: {upstream}/v1
    allow_private_address: true
    accounts: [{{name: first, api_key: {{value: k}}}}]
    models: [{{id: "*", price: {{input: 0.01, output: 0.02}}, max_output: 4096}}]
keys:
  - name: bench
    secret: {{value: {KEY}}}
    limits: {{requests_per_minute: 100000000}}
    budget: {{usd: 100000, window: month}}
"""


@contextmanager
def process(command: list[str], core: int, log: Path, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run ``command`` on one core; SIGTERM at the end, and SIGKILL for one that does not listen."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        pin(child.pid, core)
        try:
            yield child.pid
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(5)


def pin(pid: int, core: int) -> None:
    """Bind a process, and what it has started, to one core, where there are two."""
    if len(os.sched_getaffinity(0)) < 2:
        return
    for member in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        member.cpu_affinity([core])


def wait_for(url: str, log: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} did not come up; the end of its log:\n{log.read_text()[-2000:]}")


def omniroute(*args: str) -> list[str]:
    return [sys.executable, "-m", "omni_launch", *args]


@contextmanager
def upstream(work: Path) -> Iterator[str]:
    port = free_port()
    log = work / "upstream.log"
    with process(omniroute("simulate", "--port", str(port)), LOAD_CORE, log):
        wait_for(f"http://127.0.0.1:{port}/healthz", log)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def direct(work: Path, target: str) -> Iterator[Stack]:
    yield Stack("direct", f"{target}/v1")


@contextmanager
def passthrough(work: Path, target: str) -> Iterator[Stack]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.passthrough", target, str(port)]
    with process(command, SUT_CORE, work / "passthrough.log") as pid:
        _wait_port(port)
        yield Stack("pass-through", f"http://127.0.0.1:{port}/v1", [pid])


def _wait_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


@contextmanager
def all_in_one(work: Path, target: str) -> Iterator[Stack]:
    config = work / "all.yaml"
    config.write_text(configuration(target))
    port, log = free_port(), work / "all.log"
    command = omniroute(
        "up", "--port", str(port), "--data-dir", str(work / "all"), "--config", str(config), "--no-open"
    )
    with process(command, SUT_CORE, log) as pid:
        wait_for(f"http://127.0.0.1:{port}/readyz", log)
        pin(pid, SUT_CORE)
        children = [child.pid for child in psutil.Process(pid).children(recursive=True)]
        for child in children:
            pin(child, LOAD_CORE)
        yield Stack("all", f"http://127.0.0.1:{port}/v1", [pid], children)


@contextmanager
def separate(work: Path, target: str, routers: int = 1, *, apart: bool = False) -> Iterator[Stack]:
    """Each service a process of its own over gRPC; the same Redis and NATS as `all` uses, started here. With ``apart``
    only the routers are on the core of what is measured."""
    work = Path(tempfile.mkdtemp(prefix="separate-", dir=work))
    config = work / "separate.yaml"
    config.write_text(configuration(target))
    replicas = [f"router-{number}" for number in range(1, routers + 1)]
    services = ["auth", "translator", "analytics", "quota", *replicas, "edge"]
    grpc = {name: free_port() for name in services if name != "edge"}
    http = {name: free_port() for name in services}
    addresses = {name: f"127.0.0.1:{port}" for name, port in grpc.items() if name not in replicas}
    addresses["router"] = ",".join(f"127.0.0.1:{grpc[name]}" for name in replicas)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with ExitStack() as stack:
        env = {
            "OMNIROUTE_REDIS_URL": stack.enter_context(redis_server()),
            "OMNIROUTE_NATS_URL": stack.enter_context(nats_server()),
            "OMNIROUTE_SERVICE_TOKEN": TOKEN,
            "OMNIROUTE_CONFIG": str(config),
            **{f"OMNIROUTE_{name.upper()}_ADDR": address for name, address in addresses.items()},
        }
        stores = [child.pid for child in psutil.Process().children(recursive=True) if child.pid not in before]
        for store in stores:
            pin(store, LOAD_CORE)
        pids = {}
        for name in services:
            log = work / f"{name}.log"
            target_name = "router" if name in replicas else name
            command = omniroute("run", target_name, "--port", str(http[name]), "--data-dir", str(work / name))
            listen = {"OMNIROUTE_GRPC_PORT": str(grpc[name])} if name in grpc else {}
            core = LOAD_CORE if apart and name not in replicas else SUT_CORE
            pids[name] = stack.enter_context(process(command, core, log, env | listen))
        for name in services:
            wait_for(f"http://127.0.0.1:{http[name]}/readyz", work / f"{name}.log")
        url = f"http://127.0.0.1:{http['edge']}/v1"
        yield Stack("edge + router + translator", url, list(pids.values()), stores, [pids[name] for name in replicas])


SYSTEMS: list[Callable[[Path, str], AbstractContextManager[Stack]]] = [all_in_one, separate]
