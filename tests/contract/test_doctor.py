"""``omniroute doctor`` with servers behind every lock: certificates of a CA of ours, and users with the least rights,
by the files of ``deploy``."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from omni_launch.cert_folder import CertFolder
from omni_launch.doctor import Finding, examine
from omni_launch.environment import Flags
from omni_launch.probes import probe_nats
from omni_launch.problems import CannotStart

from tests.support.certificates import certificates, files_of
from tests.support.guarded import GuardedNats, GuardedRedis, given_to, make_secrets
from tests.support.servers import NatsServer
from tests.support.tls_proxy import TlsProxy, server_context, tls_proxy
from tools.permissions import USERS, redis_users


class Locked:
    """The servers, and what is needed to come in."""

    def __init__(self, home: Path) -> None:
        self.secrets = make_secrets(home / "secrets")
        self.tls = certificates(home / "tls")
        self.redis = GuardedRedis(self.secrets)
        self.nats = GuardedNats(self.secrets, self.tls)

    def given(self, user: str, redis: TlsProxy | None = None, tls: CertFolder | None = None) -> dict[str, str]:
        env = {**given_to(user, self.secrets, tls or self.tls), "OMNIROUTE_NATS_URL": self.nats.url}
        return {**env, "OMNIROUTE_REDIS_URL": f"rediss://localhost:{redis.port}/0"} if redis is not None else env


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    made = Locked(tmp_path_factory.mktemp("locked"))
    try:
        made.redis.start()
        made.nats.start()
        yield made
    finally:
        made.nats.close()
        made.redis.close()


@pytest.fixture
async def redis(locked: Locked) -> AsyncIterator[TlsProxy]:
    async with tls_proxy(locked.redis.port, server_context(files_of(locked.tls, "redis"))) as made:
        yield made


async def found(home: Path, env: dict[str, str]) -> dict[str, Finding]:
    """The last finding of each subject."""
    flags = Flags(port=0, data_dir=home / "data")
    return {finding.subject: finding for finding in await asyncio.to_thread(examine, flags, env)}


@pytest.mark.parametrize("user", USERS)
async def test_each_service_finds_its_servers_with_no_more_than_its_own_rights(
    locked: Locked, redis: TlsProxy, tmp_path: Path, user: str
) -> None:
    env = locked.given(user, redis if user in redis_users() else None)
    findings = await found(tmp_path, env)
    subjects = ("Certificate", "NATS", *(("Redis",) if user in redis_users() else ()))
    for subject in subjects:
        assert findings[subject].mark == "ok", findings[subject]
    assert "yours (OMNIROUTE_NATS_URL)" in findings["NATS"].detail


async def test_of_several_nats_servers_one_that_answers_is_enough(locked: Locked, tmp_path: Path) -> None:
    env = locked.given("router")
    env["OMNIROUTE_NATS_URL"] = f"tls://localhost:1, {locked.nats.url}"
    assert (await found(tmp_path, env))["NATS"].mark == "ok"


async def test_who_trusts_another_ca_is_told_so(locked: Locked, redis: TlsProxy, tmp_path: Path) -> None:
    other = certificates(tmp_path / "other")
    findings = await found(tmp_path, locked.given("router", redis, other))
    for subject in ("Redis", "NATS"):
        assert findings[subject].mark == "missing"
        assert "certificate verify failed" in findings[subject].detail.lower(), findings[subject]


async def test_a_wrong_password_is_told_without_it(locked: Locked, redis: TlsProxy, tmp_path: Path) -> None:
    env = locked.given("router", redis)
    (tmp_path / "wrong").write_text("hunter2\n")
    env |= dict.fromkeys(("OMNIROUTE_REDIS_PASSWORD_FILE", "OMNIROUTE_NATS_PASSWORD_FILE"), str(tmp_path / "wrong"))
    findings = await found(tmp_path, env)
    for subject in ("Redis", "NATS"):
        assert findings[subject].mark == "missing"
        assert "hunter2" not in findings[subject].detail
    assert "invalid username-password pair" in findings["Redis"].detail
    assert "authorization" in findings["NATS"].detail.lower()


class Limited(NatsServer):
    """Its user may ask for nothing."""

    def _command(self) -> list[str]:
        config = self.dir / "limited.conf"
        config.write_text(
            "authorization { users: ["
            '{ user: "few", password: "few", permissions: { publish: "none", subscribe: "_INBOX_few.>" } }, '
            '{ user: "all", password: "all" } ] }'
        )
        return [*super()._command(), "--config", str(config)]


async def test_a_user_that_may_not_ask_jetstream_is_told_what_it_may_not() -> None:
    server = Limited()
    try:
        server.start()
        few = server.url.replace("://", "://few:few@")
        with pytest.raises(CannotStart, match=r"(?i)JetStream does not: .*permissions violation.*KV_omniroute_members"):
            await probe_nats(few, timeout=0.5)
        assert await probe_nats(few.replace("few", "all"))
    finally:
        server.close()


async def test_half_a_certificate_is_told(locked: Locked, tmp_path: Path) -> None:
    env = locked.given("router")
    del env["OMNIROUTE_TLS_KEY"]
    findings = await found(tmp_path, env)
    assert "OMNIROUTE_TLS_KEY must be set, too" in findings["Certificate"].detail
    env["OMNIROUTE_TLS_KEY"] = str(tmp_path / "not-there")
    findings = await found(tmp_path, env)
    assert (findings["Certificate"].mark, findings["NATS"].mark) == ("missing", "missing")
    assert "not-there" in findings["Certificate"].detail
