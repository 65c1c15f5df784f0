"""Everything starts in any order: alone it waits, says for what and where, and gets ready by itself."""

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.servers import NatsServer, RedisServer, free_port
from tests.support.service import Service, until

# Callers before callees, and what each lacks while there is neither Redis nor NATS nor quota, as its /readyz names it.
LACKING = {
    "edge": {"configuration", "nats", "router"},
    "gateway": {"configuration", "nats", "router.config", "router.redis", "router.nats"},
    "dashboard": {"dashboard.quota"},
    "router": {"router.config", "router.redis", "router.nats"},
    "translator": set[str](),
    "analytics": {"analytics.nats"},
    "auth": {"auth.nats"},
}
# Of these what the log must name, with its place.
NEEDS = {
    "edge": ("nats",), "gateway": ("redis", "nats"), "dashboard": ("quota",), "router": ("redis", "nats"),
    "analytics": ("nats",), "auth": ("nats",),
}  # fmt: skip
PASSWORD = "s3cret-in-a-url"


class Town:
    """All services, each as a process, and the two servers that are not there yet."""

    def __init__(self, home: Path) -> None:
        self.redis, self.nats = RedisServer(), NatsServer()
        self.redis.port, self.nats.port = free_port(), free_port()
        self.places = {
            "redis": f"redis://127.0.0.1:{self.redis.port}",
            "nats": f"nats://127.0.0.1:{self.nats.port}",
            **{name: f"127.0.0.1:{free_port()}" for name in ("auth", "quota", "analytics")},
        }
        self.env = {
            "OMNIROUTE_SERVICE_TOKEN": secrets.token_hex(16),
            "OMNIROUTE_REDIS_URL": f"{self.places['redis']}/0",
            "OMNIROUTE_NATS_URL": self.places["nats"].replace("//", f"//someone:{PASSWORD}@"),
            **{f"OMNIROUTE_{name.upper()}_ADDR": self.places[name] for name in ("auth", "quota", "analytics")},
        }
        self.home = home
        self.services: dict[str, Service] = {}

    def start(self, name: str) -> Service:
        grpc = self.places.get(name, "").rpartition(":")[2] or "0"
        env = self.env | {"OMNIROUTE_GRPC_PORT": grpc, "DATA_DIR": str(self.home / name)}
        self.services[name] = Service(name, self.home, env)
        return self.services[name]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    with ExitStack() as exits:
        exits.callback(made.redis.close)
        exits.callback(made.nats.close)
        yield made
        for service in made.services.values():
            service.process.terminate()
        codes = {name: service.process.wait(30) for name, service in made.services.items()}
        assert set(codes.values()) == {0}, codes


def test_all_wait_say_for_what_and_get_ready_by_themselves(town: Town) -> None:
    for name in LACKING:
        town.start(name)
    running = town.services
    for name, service in running.items():
        until(lambda service=service: service.status("/healthz") == 200, f"{name} lives", 30)
    for name, lacking in LACKING.items():
        until(lambda name=name, lacking=lacking: lacking <= running[name].lacking(), f"{name} names {lacking}", 20)
        assert running[name].status("/readyz") == (503 if lacking else 200)
    for name, needs in NEEDS.items():
        until(lambda name=name: "waiting for" in running[name].log, f"{name} says so", 20)
        told = re.search(r"not ready, waiting for (.*)", running[name].log)
        assert told is not None
        for need in needs:
            assert f"{need} at {town.places[need]} " in told[1], name
    quota = town.start("quota")
    until(lambda: quota.status("/healthz") == 200, "quota lives", 30)
    until(lambda: {"quota.config", "quota.redis", "quota.nats"} <= quota.lacking(), "it has nothing either", 30)
    town.redis.start()
    town.nats.start()
    for name, service in running.items():
        service.ready(within=30)
        if name in NEEDS:
            until(lambda service=service: "ready: what was missing is there" in service.log, f"{name} says so", 5)
            lines = re.findall(r"(..):(..):(..) \S+ +launch: not ready", service.log)
            times = [int(hours) * 3600 + int(minutes) * 60 + int(seconds) for hours, minutes, seconds in lines]
            assert all(later - earlier >= 9 for earlier, later in pairwise(times)), "seldom enough"
        assert "Traceback" not in service.log, service.log
        assert PASSWORD not in service.log
