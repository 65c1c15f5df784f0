"""A fleet behind every lock there is: certificates for gRPC and NATS, a user of its own for each service in Redis and
NATS, with the files of ``deploy``. (Redis in plaintext: the redis-server of the wheel has no TLS.)"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from omni_launch.cert_folder import CertFolder

from tests.support.certificates import certificates, files_of, variables
from tests.support.fleet import Fleet, Replica
from tests.support.servers import NatsServer, RedisServer, nats_binary, redis_binary
from tools.permissions import ADMIN, ROOT, USERS, redis_users


class GuardedRedis(RedisServer):
    """Started by deploy/redis/start.sh with the configuration of compose. ``folder`` holds the secret files."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._secrets = folder
        self.programs = self.dir / "bin"
        self.programs.mkdir()
        (self.programs / "redis-server").symlink_to(redis_binary())

    def _command(self) -> list[str]:
        config = self.dir / "redis.conf"
        text = (ROOT / "deploy/docker/redis.conf").read_text()
        text = text.replace("0.0.0.0", "127.0.0.1").replace("6379", str(self.port)).replace("/data", str(self.dir))
        config.write_text(text)
        start = ROOT / "deploy/redis/start.sh"
        path = f"PATH={self.programs}:{os.environ['PATH']}"
        return ["env", path, "sh", str(start), str(config), str(self._secrets), str(self.dir)]

    def _answers(self) -> bool:
        return b"+PONG" in self._talk(b"AUTH health health\r\nPING\r\nQUIT\r\n", b"+PONG")


class GuardedNats(NatsServer):
    """With the configuration of compose, and TLS where there are certificates."""

    scheme = "tls"

    def __init__(self, folder: Path, tls: CertFolder | None) -> None:
        super().__init__()
        self._secrets = folder
        self._tls = tls

    @property
    def url(self) -> str:
        return f"{'tls' if self._tls else 'nats'}://localhost:{self.port}"

    @property
    def log(self) -> str:
        return (self.dir / "server.log").read_text(errors="replace")

    def _command(self) -> list[str]:
        text = (ROOT / "deploy/docker/nats.conf").read_text()
        text = text.replace("0.0.0.0", "127.0.0.1").replace("port: 4222", f"port: {self.port}")
        text = text.replace("server_name: omniroute", f"server_name: {json.dumps(self._name)}")
        text = re.sub(r"^http:.*$", "", text, flags=re.MULTILINE).replace("/data", str(self.dir))
        if self._tls is not None:
            files = files_of(self._tls, "nats")
            said = f'cert_file: "{files.certificate}", key_file: "{files.key}", ca_file: "{files.ca}", verify: true'
            text += f"\ntls {{ {said} }}\n"
        (self.dir / "nats.conf").write_text(text)
        (self.dir / "users").mkdir(exist_ok=True)
        (self.dir / "users/permissions.conf").write_text((ROOT / "deploy/nats/permissions.conf").read_text())
        start = str(ROOT / "deploy/nats/start.sh")
        path = f"PATH={Path(nats_binary()).parent}:{os.environ['PATH']}"
        return ["env", path, "sh", start, str(self._secrets), str(self.dir / "nats.conf")]

    def _answers(self) -> bool:
        said = self._talk(b"", b"\r\n")
        info = json.loads(said.removeprefix(b"INFO ").split(b"\r\n")[0])
        return info.get("server_name") == self._name and info.get("jetstream") is True


def make_secrets(folder: Path) -> Path:
    """The passwords of all users, in files called as deploy/docker/make-secrets.sh calls them."""
    folder.mkdir()
    names = ["redis_password", "nats_password"]
    names += [f"nats_{user}_password" for user in USERS] + [f"redis_{user}_password" for user in redis_users()]
    for name in names:
        (folder / name).write_text(f"p{secrets.token_hex(16)}\n")
    return folder


class GuardedFleet(Fleet):
    """See the module."""

    redis: GuardedRedis
    nats: GuardedNats

    def __init__(self, home: Path, text: str) -> None:
        super().__init__(home, text, {})
        self.secrets = make_secrets(home / "secrets")
        self.tls = certificates(home / "tls")
        self.redis.close()
        self.nats.close()
        self.redis = GuardedRedis(self.secrets)
        self.nats = GuardedNats(self.secrets, self.tls)

    def start(self, service: str, env: Mapping[str, str] | None = None) -> Replica:
        return super().start(service, {**given_to(service, self.secrets, self.tls), **(env or {})})


def given_to(user: str, folder: Path, tls: CertFolder) -> dict[str, str]:
    """Certificate, users and passwords of a process that runs ``user``."""
    given = variables(tls, user)
    given |= {
        "OMNIROUTE_NATS_USER": user,
        "OMNIROUTE_NATS_PASSWORD_FILE": str(folder / f"nats_{user}_password"),
    }
    if user in redis_users():
        given |= {
            "OMNIROUTE_REDIS_USER": user,
            "OMNIROUTE_REDIS_PASSWORD_FILE": str(folder / f"redis_{user}_password"),
        }
    return given


def password(folder: Path, store: str, user: str) -> str:
    name = f"{store}_password" if user == ADMIN else f"{store}_{user}_password"
    return (folder / name).read_text().strip()


@contextmanager
def guarded_fleet(home: Path, text: str) -> Iterator[GuardedFleet]:
    """One process a service, ready, ended with the block."""
    made = GuardedFleet(home, text)
    try:
        made.begin(dict.fromkeys(("auth", "translator", "analytics", "quota", "router", "dashboard", "edge"), 1))
        yield made
    finally:
        made.end()
