"""The embedded Redis and NATS: real servers, private, kept across starts, brought back, never left behind."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from omni_launch.embedded import EmbeddedServers
from omni_launch.problems import CannotStart
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ConnectionError, RedisError

ENV = {"PATH": os.defpath}


async def quiet(_error: Exception) -> None:
    """Expected errors come as exceptions too."""


async def until(condition: Callable[[], bool], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    """A zombie is dead: nobody here can reap what a killed process left to init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[EmbeddedServers]:
    both = EmbeddedServers(tmp_path, redis=True, nats=True, env=ENV)
    await both.start()
    yield both
    await both.stop()


async def test_both_answer_and_are_set_up_to_keep_what_they_acknowledge(servers: EmbeddedServers) -> None:
    async with Redis.from_url(servers.redis_url) as redis:
        config = await redis.config_get("*")
        assert {name: config[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "bind", "save")} == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "bind": "127.0.0.1",
            "save": "",
        }
    connection = await nats.connect(servers.nats_url)
    try:
        assert connection.max_payload == 8 * 1024 * 1024
        await connection.jetstream().add_stream(name="s", subjects=["s"])
        assert (await connection.jetstream().publish("s", b"x")).seq == 1
    finally:
        await connection.close()
    assert all(check.ok for check in servers.checks().values())


async def test_nobody_talks_to_them_without_the_password(servers: EmbeddedServers, tmp_path: Path) -> None:
    bare = "redis://" + servers.redis_url.split("@")[1]
    async with Redis.from_url(bare) as redis:
        with pytest.raises(AuthenticationError):
            await redis.ping()
    stranger = Client()
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        await stranger.connect("nats://" + servers.nats_url.split("@")[1], allow_reconnect=False, error_cb=quiet)
    await stranger.close()
    for name in ("redis/password", "redis/redis.conf", "nats/password", "nats/nats.conf", "logs/redis.log"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700


async def test_the_next_start_finds_the_same_data(tmp_path: Path) -> None:
    first = EmbeddedServers(tmp_path, redis=True, nats=True, env=ENV)
    await first.start()
    async with Redis.from_url(first.redis_url) as redis:
        await redis.set("spent", 7)
    connection = await nats.connect(first.nats_url)
    await connection.jetstream().add_stream(name="s", subjects=["s"])
    await connection.jetstream().publish("s", b"event")
    await connection.close()
    await first.stop()

    second = EmbeddedServers(tmp_path, redis=True, nats=True, env=ENV)
    await second.start()
    try:
        async with Redis.from_url(second.redis_url) as redis:
            assert await redis.get("spent") == b"7"
        connection = await nats.connect(second.nats_url)
        assert (await connection.jetstream().get_msg("s", 1)).data == b"event"
        await connection.close()
    finally:
        await second.stop()


async def test_a_server_that_dies_is_brought_back_on_the_same_address_with_its_data(servers: EmbeddedServers) -> None:
    pids = servers.pids()
    redis = Redis.from_url(servers.redis_url)
    await redis.set("k", "v")
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not any(check.ok for check in servers.checks().values()))
    await until(lambda: all(check.ok for check in servers.checks().values()))
    assert set(servers.pids().values()).isdisjoint(pids.values())
    try:
        assert await redis.get("k") == b"v"
    except ConnectionError:  # the pooled connection was the dead server's
        assert await redis.get("k") == b"v"
    await redis.aclose()
    await (await nats.connect(servers.nats_url)).close()


async def test_stop_ends_the_children_and_their_pid_files(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, redis=True, nats=True, env=ENV)
    await servers.start()
    pids = servers.pids()
    assert set(pids) == {"redis", "nats"}
    await servers.stop()
    assert not any(alive(pid) for pid in pids.values())
    assert not [name for name in pids if (tmp_path / name / "pid").exists()]
    await servers.stop()  # twice does no harm


async def test_only_what_is_asked_for_is_started(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, redis=True, nats=False, env=ENV)
    await servers.start()
    try:
        assert set(servers.pids()) == {"redis"}
        assert servers.nats_url == ""
    finally:
        await servers.stop()


async def test_one_that_cannot_start_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(b"*3\r\nthis is no append-only file\r\n" * 10)
    servers = EmbeddedServers(tmp_path, redis=True, nats=True, env=ENV)
    with pytest.raises(CannotStart, match=r"redis ended at once: .*(?i:append).*Its log: .*redis\.log"):
        await servers.start()
    assert servers.pids() == {}


async def test_a_layout_of_a_newer_redis_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    servers = EmbeddedServers(tmp_path, redis=True, nats=False, env={"PATH": str(tmp_path)})
    with pytest.raises(CannotStart, match="written by Redis 7"):
        await servers.start()


PARENT = """
import asyncio, json, sys
from pathlib import Path
from omni_launch.embedded import EmbeddedServers

async def main():
    servers = EmbeddedServers(Path(sys.argv[1]), redis=True, nats=True, env={})
    await servers.start()
    print(json.dumps(list(servers.pids().values())), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux'; elsewhere the next start cleans up")
async def test_children_end_when_the_parent_is_killed_outright(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    pids = [
        int(pid) for pid in (await asyncio.wait_for(parent.stdout.readline(), 30)).decode().strip(" []\n").split(",")
    ]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    parent.kill()
    await parent.wait()
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_left_over_of_an_earlier_run_is_ended_by_the_next(tmp_path: Path) -> None:
    first = EmbeddedServers(tmp_path, redis=True, nats=False, env=ENV)
    await first.start()
    pid_file = tmp_path / "redis" / "pid"
    conf = str(tmp_path / "redis" / "redis.conf")
    stray = await asyncio.create_subprocess_exec(str(first.found["redis"].path), conf, "--port", "0", cwd=tmp_path)
    await first.stop()
    pid_file.write_text(f"{stray.pid}\n")

    second = EmbeddedServers(tmp_path, redis=True, nats=False, env=ENV)
    await second.start()
    try:
        assert not alive(stray.pid)
    finally:
        await second.stop()
        await stray.wait()


async def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "redis" / "pid").write_text(f"{bystander.pid}\n")
    servers = EmbeddedServers(tmp_path, redis=True, nats=False, env=ENV)
    await servers.start()
    await servers.stop()
    assert alive(bystander.pid)
    bystander.kill()
    await bystander.wait()


async def test_redis_urls_do_not_reach_error_messages(tmp_path: Path) -> None:
    from omni_launch.probes import probe_nats, probe_redis

    for probe, url in ((probe_redis, "redis://:hunter2@127.0.0.1:1/0"), (probe_nats, "nats://u:hunter2@127.0.0.1:1")):
        with pytest.raises(CannotStart, match="does not answer") as caught:
            await probe(url, timeout=1.0)
        assert "hunter2" not in str(caught.value)
        assert not isinstance(caught.value, RedisError)
