"""What a process shares: it opens without its neighbours, keeps deadlines, and closes cleanly."""

import time
from collections.abc import Iterator

import pytest
from omni_core.redis import open_redis
from omni_core.runtime import close_runtime, open_runtime
from omni_core.settings import CoreSettings
from redis.exceptions import RedisError

from tests.support.servers import RedisServer, free_port


@pytest.fixture
def redis_that_may_stop() -> Iterator[RedisServer]:
    server = RedisServer().start()
    yield server
    server.close()


def settings(redis_url: str, nats_url: str) -> CoreSettings:
    return CoreSettings.from_env({}, redis_url=redis_url, nats_url=nats_url, token="hush-token")


async def test_a_runtime_opens_and_closes_with_nobody_there() -> None:
    runtime = open_runtime(
        settings(f"redis://127.0.0.1:{free_port()}/0", f"nats://127.0.0.1:{free_port()}"), instance_id="i1"
    )
    assert not runtime.bus.connected
    assert "hush" not in repr(runtime)
    await close_runtime(runtime)


async def test_a_runtime_reaches_its_servers(clean_redis: str, nats_url: str) -> None:
    runtime = open_runtime(settings(clean_redis, nats_url), instance_id="i1")
    assert await runtime.redis.ping()
    await runtime.redis.set("a", b"\xff")
    assert await runtime.redis.get("a") == b"\xff"
    await runtime.bus.connect()
    assert runtime.bus.connected
    await close_runtime(runtime)


async def test_a_redis_that_hangs_costs_two_seconds_and_one_that_comes_back_is_used_again(
    redis_that_may_stop: RedisServer,
) -> None:
    client = open_redis(redis_that_may_stop.url)
    assert await client.ping()
    redis_that_may_stop.pause()
    began = time.monotonic()
    with pytest.raises(RedisError):
        await client.ping()
    assert 1.5 < time.monotonic() - began < 10
    redis_that_may_stop.resume()
    assert await client.ping()
    redis_that_may_stop.kill()
    began = time.monotonic()
    with pytest.raises(RedisError):
        await client.ping()
    assert time.monotonic() - began < 10
    redis_that_may_stop.start()
    assert await client.ping()
    await client.aclose()
