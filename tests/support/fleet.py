"""OmniRoute as many real processes, with as many replicas of each service as a test wants.

    with simulator() as provider, fleet(tmp_path, config(provider.url), routers=2) as made:
        made.ask("acme/sim")                      one request, through the first edge
        third = made.start("router")              one more replica, found by itself
        made["router"][0].kill()                  as a crash does it: SIGKILL
        made["router"][1].terminate()             as an orchestrator does it: SIGTERM; ``wait`` gives its exit code

Redis (with its data on disk) and NATS are the fleet's own: ``made.redis`` and ``made.nats`` can be killed, started,
paused. Routers and translators are found over NATS, so ports of replicas are any that are free. Every replica has a
data folder of its own, as containers have, and starts as soon as it is made: in any order.
"""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers import NatsServer, RedisServer, free_port
from tests.support.stack import omniroute

KEY, ADMIN = "or-test-fleet-0123456789", "or-test-fleet-admin-0123456789"
HELLO = [{"role": "user", "content": "Hello there"}]

UP_WITHIN = 120.0
END_WITHIN = 30.0
OVER_GRPC = ("auth", "translator", "analytics", "quota", "router")
ALONE = ("auth", "analytics", "quota")  # called at one address

CONFIG = """
server: {{host: 127.0.0.1, port: 20128, require_api_key: true}}
providers:
  - {{id: acme, format: openai.chat, base_url: "{base}/v1", allow_private_address: true,
     accounts: [{{name: first, api_key: {{value: provider-secret-acme}}}}],
     models: [{{id: "*", price: {{input: 1.25, output: 10}}, context: 272000, max_output: 128000}}]}}
  - {{id: claude, format: anthropic.messages, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*", price: {{input: 3, output: 15}}}}]}}
keys:
  - {{name: ci, secret: {{value: {key}}}, models: ["*"]}}
  - {{name: boss, secret: {{value: {admin}}}, role: admin}}
{keys}
routing:
  retries: 0
  breaker: {breaker}
  cache: off
  timeouts: {{connect: 2, first_byte: {wait:g}, idle: {wait:g}, total: {wait:g}}}
"""


def config(base: str, *, keys: str = "", breaker: str = "off", wait: float = 10.0) -> str:
    """A configuration whose providers, "acme" and "claude", are the simulator at ``base``. ``keys`` are more lines of
    the list of keys; ``wait`` is what a provider is given for each thing, in seconds."""
    return CONFIG.format(base=base, key=KEY, admin=ADMIN, keys=keys, breaker=breaker, wait=wait)


class Replica:
    """One process. ``url`` answers /healthz, /readyz and /metrics, and is where an edge or dashboard is called."""

    def __init__(self, fleet: "Fleet", service: str, name: str, env: Mapping[str, str]) -> None:
        self.service = service
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.grpc = f"127.0.0.1:{free_port()}" if service in OVER_GRPC else ""
        self.data_dir = fleet.home / name
        self.log_file = fleet.home / f"{name}.log"
        self.killed = False
        self._fleet = fleet
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, env: Mapping[str, str] | None = None) -> "Replica":
        """Start it, or start it again on its own ports and data, with ``env`` added. See ``ready``."""
        assert not self.running, f"{self.name} runs already"
        self._env |= env or {}
        listen = {"OMNIROUTE_GRPC_PORT": self.grpc.rpartition(":")[2]} if self.grpc else {}
        own = {**os.environ, **self._fleet.env, **listen, "DATA_DIR": str(self.data_dir), **self._env}
        command = omniroute("run", self.service, "--port", str(self.port))
        with self.log_file.open("ab") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=self._fleet.home, env=own, start_new_session=True
            )
        self.killed = False
        return self

    def ready(self, within: float = UP_WITHIN) -> "Replica":
        """Wait until /readyz says yes."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            assert self.running, f"{self.name} ended by itself:\n{self.log()}"
            if self.is_ready():
                return self
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not become ready:\n{self.readyz()}\n{self.log()}")

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def readyz(self) -> str:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).text
        except httpx.HTTPError as error:
            return type(error).__name__

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self.killed = True
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """SIGTERM. It drains; ``wait`` for its end."""
        self.signal(signal.SIGTERM)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def wait(self, within: float = END_WITHIN) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(within)

    def restart(self, env: Mapping[str, str] | None = None) -> "Replica":
        """End it in order (its exit code must be 0), start it again where it was, and wait until it is ready."""
        self.terminate()
        code = self.wait()
        assert code == 0, f"{self.name} ended with {code}:\n{self.log()}"
        return self.start(env).ready()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry ``labels``; 0 when there is none."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics", timeout=5).text.splitlines():
            sample, _, value = line.rpartition(" ")
            found, _, rest = sample.partition("{")
            if found == name and all(f'{key}="{wanted}"' in rest for key, wanted in labels.items()):
                total += float(value)
        return total

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-4000:] if self.log_file.exists() else ""


class Fleet:
    """Use ``fleet``. ``fleet[service]`` are its replicas in the order they were made; ``env`` is what all are given."""

    def __init__(self, home: Path, text: str, env: Mapping[str, str]) -> None:
        self.home = home
        self.redis = RedisServer(durable=True)
        self.nats = NatsServer()
        self.token = secrets.token_hex(16)
        self.file = home / "omniroute.yaml"
        self.file.write_text(text)
        self.env: dict[str, str] = {"OMNIROUTE_SERVICE_TOKEN": self.token, **env}
        self._replicas: dict[str, list[Replica]] = {}

    def __getitem__(self, service: str) -> list[Replica]:
        return self._replicas.get(service, [])

    def __iter__(self) -> Iterator[Replica]:
        return (replica for replicas in self._replicas.values() for replica in replicas)

    def start(self, service: str, env: Mapping[str, str] | None = None) -> Replica:
        """One more replica of ``service``, with ``env`` of its own. See ``Replica.ready``."""
        replicas = self._replicas.setdefault(service, [])
        number = len(replicas) + 1
        assert service not in ALONE or number == 1, f"there is one {service}"
        replica = Replica(self, service, f"{service}-{number}", env or {})
        if service in ALONE:
            self.env[f"OMNIROUTE_{service.upper()}_ADDR"] = replica.grpc
        replicas.append(replica)
        return replica.start()

    # ---- asking it --------------------------------------------------------------------------------------------------

    @property
    def edge(self) -> str:
        """The base URL of the first edge."""
        return self["edge"][0].url

    @property
    def dashboard(self) -> str:
        return self["dashboard"][0].url

    @property
    def openai(self) -> str:
        """The base URL that an OpenAI SDK takes."""
        return f"{self.edge}/v1"

    def ask(self, model: str, *, key: str = KEY, edge: int = 0, **more: Any) -> httpx.Response:
        """One chat completion through an edge, read to its end; ``more`` goes into its body."""
        url = f"{self['edge'][edge].url}/v1/chat/completions"
        body = {"model": model, "messages": HELLO, **more}
        return httpx.post(url, json=body, headers={"authorization": f"Bearer {key}"}, timeout=60)

    def get(self, path: str, key: str = ADMIN) -> httpx.Response:
        """A management call."""
        return httpx.get(f"{self.dashboard}{path}", headers={"authorization": f"Bearer {key}"}, timeout=10)

    def totals(self, key: str = KEY) -> dict[str, Any]:
        """What analytics has counted for ``key``."""
        found: dict[str, Any] = self.get("/api/usage", key).json()["totals"]
        return found

    def open_reservations(self) -> int:
        return int(self.get("/api/quota").json()["open_reservations"])

    # ---- its life ---------------------------------------------------------------------------------------------------

    def begin(self, counts: Mapping[str, int]) -> None:
        self.env["OMNIROUTE_REDIS_URL"] = self.redis.start().url
        self.env["OMNIROUTE_NATS_URL"] = self.nats.start().url
        # Addresses of those that are called at one must be known to whoever starts before them.
        for service in sorted(counts, key=lambda name: name not in ALONE):
            for _ in range(counts[service]):
                self.start(service)
        for replica in self:
            replica.ready()

    def end(self) -> None:
        """Callers first. Whatever was not killed must end in order."""
        wrong: list[str] = []
        try:
            for replica in reversed(list(self)):
                if replica.running:
                    replica.resume()
                    replica.terminate()
            for replica in self:
                try:
                    code = replica.wait()
                except subprocess.TimeoutExpired:
                    replica.kill()
                    wrong.append(f"{replica.name} did not end:\n{replica.log()}")
                else:
                    if code != 0 and not replica.killed:
                        wrong.append(f"{replica.name} ended with {code}:\n{replica.log()}")
        finally:
            self.redis.close()
            self.nats.close()
        assert not wrong, "\n".join(wrong)


@contextmanager
def fleet(
    home: Path,
    text: str,
    *,
    edges: int = 1,
    routers: int = 1,
    translators: int = 1,
    dashboards: int = 1,
    env: Mapping[str, str] | None = None,
) -> Iterator[Fleet]:
    """A fleet that is ready, ended with the block. ``home`` is an empty folder, ``text`` the configuration file."""
    made = Fleet(home, text, env or {})
    counts = {
        "auth": 1, "translator": translators, "analytics": 1, "quota": 1, "router": routers, "dashboard": dashboards,
        "edge": edges,
    }  # fmt: skip
    try:
        made.begin(counts)
        yield made
    finally:
        made.end()


def eventually(holds: Callable[[], bool], within: float, what: Callable[[], object] = lambda: "") -> None:
    """Wait until ``holds``; ``what`` says more when it does not."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within} s: {what()}"
        time.sleep(0.05)
