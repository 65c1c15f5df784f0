"""The users of Redis and NATS in ``deploy``, in the real servers: each may do what is its own, and nothing else.

That what they may do is enough is proved by tests/e2e/test_guarded.py, and for compose and Kubernetes by their tests.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omni_launch.targets import PARTS
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from tests.support.guarded import GuardedNats, GuardedRedis, make_secrets, password
from tools.permissions import ADMIN, ROOT, USERS, commands, files, publishes, redis_users, subscribes

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_secrets(tmp_path_factory.mktemp("permissions") / "secrets")


def test_the_files_are_what_the_table_says() -> None:
    for path, text in files().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)}: run `make permissions`"


def test_whoever_needs_a_store_has_a_user_there() -> None:
    assert set(USERS) == {*PARTS, "gateway"}
    assert set(redis_users()) - {"gateway"} == {name for name, part in PARTS.items() if part.redis}
    assert all(part.nats for part in PARTS.values())


def test_the_commands_are_read_out_of_the_scripts() -> None:
    found = commands(*(ROOT / "libs/ledger/omni_ledger/lua").glob("*.lua"))
    assert {"get", "set", "zadd", "rpush", "time"} <= found
    assert not found & {"keys", "flushall", "flushdb", "config", "scan"}


# ---- Redis ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis(secrets: Path) -> Iterator[GuardedRedis]:
    server = GuardedRedis(secrets)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
async def login(redis: GuardedRedis, secrets: Path) -> AsyncIterator[Callable[[str], Redis]]:
    async with contextlib.AsyncExitStack() as exits:

        def connect(user: str) -> Redis:
            word = "health" if user == "health" else password(secrets, "redis", user)
            client = Redis(
                host="127.0.0.1", port=redis.port, username=user, password=word, protocol=3, decode_responses=True
            )
            exits.push_async_callback(client.aclose)
            return client

        yield connect


OWN = {
    "router": ("quota:", "circuit:", "choice:", "idem:", "cache:"),
    "quota": ("quota:", "circuit:"),
    "translator": ("vault:",),
}
OWN["gateway"] = ("quota:", "circuit:", "choice:", "idem:", "cache:", "vault:", "edgerl:")
PREFIXES = ("quota:", "circuit:", "choice:", "vault:", "idem:", "cache:", "edgerl:", "")


@pytest.mark.parametrize("user", OWN)
async def test_a_user_of_redis_writes_under_its_own_prefixes_only(login: Callable[[str], Redis], user: str) -> None:
    client = login(user)
    for prefix in PREFIXES:
        if prefix in OWN[user]:
            assert await client.set(f"{prefix}x", "1")
            assert await client.delete(f"{prefix}x") == 1
        else:
            with pytest.raises(NoPermissionError):
                await client.set(f"{prefix}x", "1")
            script = "return redis.call('SET', ARGV[1], '1')"
            with pytest.raises(ResponseError, match=r"(?i)permission|NOPERM|can't access"):
                await client.eval(script, 0, f"{prefix}x")  # a script is no way around


@pytest.mark.parametrize("user", OWN)
@pytest.mark.parametrize(
    "command",
    [
        ("KEYS", "*"), ("SCAN", "0"), ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("ACL", "LIST"),
        ("SHUTDOWN",), ("DEBUG", "SLEEP", "0"), ("MONITOR",), ("CLIENT", "LIST"), ("SUBSCRIBE", "x"),
        ("PUBLISH", "x", "y"),
        ("REPLICAOF", "NO", "ONE"), ("SCRIPT", "FLUSH"), ("BGREWRITEAOF",), ("MIGRATE", "h", "1", "k", "0", "1"),
    ],
    ids=lambda command: "_".join(command[:2]),
)  # fmt: skip
async def test_no_service_administers_redis(login: Callable[[str], Redis], user: str, command: tuple[str, ...]) -> None:
    client: Any = login(user)
    with pytest.raises(NoPermissionError):
        await client.execute_command(*command)


@pytest.mark.parametrize("user", ["router", "gateway"])
async def test_a_router_rings_and_hears_its_own_bells_only(login: Callable[[str], Redis], user: str) -> None:
    client = login(user)
    assert await client.publish("idem:bell:x", "y") == 0
    async with client.pubsub() as heard:
        await heard.subscribe("idem:bell:x")
        assert (await heard.get_message(timeout=5))["type"] == "subscribe"
    with pytest.raises(NoPermissionError):
        await client.publish("idem:x", "y")


async def test_a_health_check_may_ping_and_a_stranger_nothing(
    redis: GuardedRedis, login: Callable[[str], Redis]
) -> None:
    health = login("health")
    assert await health.ping()
    with pytest.raises(NoPermissionError):
        await health.get("quota:x")
    for username, word in ((None, None), ("default", "x"), ("router", "wrong"), ("nobody", "x")):
        stranger = Redis(host="127.0.0.1", port=redis.port, username=username, password=word)
        with pytest.raises((AuthenticationError, NoPermissionError)):
            await stranger.get("quota:x")
        await stranger.aclose()


async def test_the_admin_may_do_everything(login: Callable[[str], Redis]) -> None:
    admin = login(ADMIN)
    assert await admin.config_get("appendonly")
    users = [str(line) for line in await admin.acl_list()]
    assert [line.split()[1] for line in users if " on " in line and "nopass" in line] == ["health"]


@pytest.mark.parametrize(("store", "user"), [("redis", "router"), ("redis", ""), ("nats", "router")])
@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_missing_or_empty_password_is_an_error_and_not_an_open_door(
    tmp_path: Path, secrets: Path, store: str, user: str, content: str | None
) -> None:
    for path in secrets.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    server = tmp_path / f"{store}-server"
    server.write_text("#!/bin/sh\necho started\n")
    server.chmod(0o755)
    start = [
        ROOT / f"deploy/{store}/start.sh",
        *(["unused.conf", tmp_path, tmp_path] if store == "redis" else [tmp_path, "c"]),
    ]

    def run() -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.run(
            ["sh", *map(str, start)], capture_output=True, text=True, timeout=30, check=False, env=env
        )

    assert run().stdout == "started\n"
    file = tmp_path / (f"{store}_{user}_password" if user else f"{store}_password")
    file.unlink()
    if content is None:
        file.mkdir()  # there, and not to be read, by root either
    else:
        file.write_text(content)
    ended = run()
    assert (ended.returncode != 0, ended.stdout) == (True, "")
    assert file.name in ended.stderr


def test_shellcheck_finds_nothing() -> None:
    ended = subprocess.run(
        [BIN / "shellcheck", ROOT / "deploy/redis/start.sh"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


# ---- NATS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bus(secrets: Path) -> Iterator[GuardedNats]:
    server = GuardedNats(secrets, None)
    try:
        yield server.start()
    finally:
        server.close()


class Line:
    """A connection in the protocol's own words, in which the server's refusal comes before its next PONG."""

    def __init__(self, port: int, user: str | None, word: str | None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._until(b"\r\n")
        given = {"verbose": False, "pedantic": False, "protocol": 1, "lang": "x", "version": "1"}
        given |= {"user": user, "pass": word} if user is not None else {}
        self._socket.sendall(b"CONNECT " + json.dumps(given).encode() + b"\r\n")

    def refused(self, said: str) -> bool:
        """Whether the server refuses what is said. Raises ``ConnectionError`` when it hangs up."""
        self._socket.sendall(f"{said}\r\nPING\r\n".encode())
        return b"Permissions Violation" in self._until(b"PONG\r\n")

    def close(self) -> None:
        self._socket.close()

    def _until(self, end: bytes) -> bytes:
        heard = b""
        while end not in heard:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError(heard.decode())
            heard += more
        return heard


@pytest.fixture
def line(bus: GuardedNats, secrets: Path) -> Iterator[Callable[[str], Line]]:
    with contextlib.ExitStack() as exits:

        def connect(user: str) -> Line:
            return exits.enter_context(contextlib.closing(Line(bus.port, user, password(secrets, "nats", user))))

        yield connect


# Who writes what, in words of its own: the table must not say more.
WRITES = {
    "$KV.omniroute_config.snapshot": {"auth"},
    "omniroute.usage.router-1": {"router", "quota", "gateway"},
    "omniroute.dead.usage": {"analytics"},
    "omniroute.bodies.router-1": {"router", "gateway"},
    "omniroute.logs.router.router-1": {"dashboard"},
    "$JS.API.CONSUMER.MSG.NEXT.OMNIROUTE_BODIES.bodies": {"analytics"},
    "$JS.API.STREAM.DELETE.OMNIROUTE_BODIES": set(),
    "_INBOX_dashboard.x": set(),
    "$JS.API.CONSUMER.MSG.NEXT.OMNIROUTE_USAGE.analytics": {"analytics"},
    "$JS.API.STREAM.UPDATE.OMNIROUTE_USAGE": {"analytics"},
    "$JS.API.STREAM.DELETE.OMNIROUTE_USAGE": set(),
    "$JS.API.STREAM.PURGE.OMNIROUTE_USAGE": set(),
    "$JS.API.STREAM.UPDATE.KV_omniroute_config": set(),
    "$JS.API.STREAM.CREATE.OTHER": set(),
    "$JS.API.CONSUMER.CREATE.OMNIROUTE_USAGE": set(),
    "$JS.API.CONSUMER.DELETE.OMNIROUTE_USAGE.analytics": set(),
    "$JS.API.STREAM.LIST": set(),
    "$JS.API.ACCOUNT.PURGE.x": set(),
    "$SYS.REQ.SERVER.PING": set(),
    "_INBOX_edge.x": set(),
    "anything": set(),
    **{f"$KV.omniroute_members.{name}.one": {name} for name in PARTS},
    "$JS.API.STREAM.MSG.GET.KV_omniroute_config": {"auth", "edge", "router", "quota", "analytics", "gateway"},
}
for _name in ("edge", "router", "translator"):
    WRITES[f"$KV.omniroute_members.{_name}.one"] = {_name, "gateway"}
HEARS: dict[str, set[str]] = {
    "$KV.omniroute_members.router.>": {"edge", "dashboard", "gateway"},
    "$KV.omniroute_members.translator.>": {"router", "dashboard", "gateway"},
    "$KV.omniroute_members.>": {"dashboard"},
    "$KV.omniroute_config.snapshot": set(),
    "omniroute.usage.*": set(),
    "_INBOX.>": set(),
    ">": set(),
    "$SYS.>": set(),
    "omniroute.bodies.*": set(),
    **{f"_INBOX_{user}.>": {user} for user in USERS},
    **{f"omniroute.logs.{user}.*": {user} for user in USERS},
}


@pytest.mark.parametrize("user", USERS)
def test_a_user_of_nats_writes_and_hears_its_own_only(line: Callable[[str], Line], user: str) -> None:
    connection = line(user)
    written = {subject: connection.refused(f"PUB {subject} 0\r\n") for subject in WRITES}
    assert written == {subject: user not in users for subject, users in WRITES.items()}
    heard = {subject: connection.refused(f"SUB {subject} {number}") for number, subject in enumerate(HEARS)}
    assert heard == {subject: user not in users for subject, users in HEARS.items()}


# What was put aside is removed when it is counted after all.
MAY_DELETE = {("analytics", "$JS.API.STREAM.MSG.DELETE.OMNIROUTE_DEAD")}


@pytest.mark.parametrize("user", USERS)
def test_no_user_has_a_wildcard_over_others(user: str) -> None:
    own = {"analytics": {"$JS.API.STREAM.MSG.DELETE.OMNIROUTE_DEAD"}}  # letters that were counted after all
    for subject in set(publishes(user)) - own.get(user, set()):
        assert not subject.startswith((">", "*")), subject
        assert subject.startswith(("$JS.API.", "$JS.ACK.", "$KV.", "omniroute.")), subject
        if (user, subject) in MAY_DELETE:
            continue
        assert not any(verb in subject for verb in ("DELETE", "PURGE", "LIST", "NAMES", "RESTORE", "SNAPSHOT")), subject
    assert set(subscribes(user)) <= {f"_INBOX_{user}.>", *HEARS}


def test_strangers_are_not_let_in_and_the_admin_may_do_everything(
    bus: GuardedNats, line: Callable[[str], Line]
) -> None:
    for user, word in ((None, None), ("router", "wrong"), ("nobody", "x"), ("router", "")):
        with contextlib.closing(Line(bus.port, user, word)) as stranger, pytest.raises(OSError):
            stranger.refused("PUB omniroute.usage.router-1 0\r\n")
    assert not any(line(ADMIN).refused(f"PUB {subject} 0\r\n") for subject in ("anything", "$JS.API.STREAM.NAMES"))
