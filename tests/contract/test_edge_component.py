"""The assembled edge on a real bus: configuration comes over JetStream KV, and with it every revocation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from omni_core.component import Check
from omni_core.config_feed import BUCKET, KEY
from omni_core.runtime import Runtime, close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_edge.build import EdgeComponent
from omni_edge.settings import EdgeSettings

from tests.support.edge import BEARER, ScriptedAuth, ScriptedRouter, serving, snapshot
from tests.support.servers import nats_server
from tests.support.signed import signed

CHAT = "/v1/chat/completions"


def core(data_dir: Path, nats_url: str) -> CoreSettings:
    return CoreSettings(
        data_dir=data_dir, redis_url="redis://127.0.0.1:1", nats_url=nats_url, token="t", peers={}
    )  # fmt: skip


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    with nats_server() as url:
        runtime = open_runtime(core(tmp_path, url), instance_id="edge-test")
        await runtime.bus.connect()
        yield runtime
        await close_runtime(runtime)


def component(runtime: Runtime, auth: ScriptedAuth, wait: float = 5.0) -> EdgeComponent:
    settings = EdgeSettings(configuration_wait=wait, probe_interval=0.05)
    return EdgeComponent(runtime, router=ScriptedRouter(), auth=auth, settings=settings)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_new_configuration_takes_hold_and_revokes(runtime: Runtime) -> None:
    await runtime.bus.kv_put(BUCKET, KEY, signed(snapshot(1)))
    auth = ScriptedAuth()
    edge = component(runtime, auth)
    await edge.start()
    async with (
        serving(edge.app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=BEARER, trust_env=False) as client,
    ):
        ready = await client.get("/readyz")
        assert (ready.status_code, sorted(ready.json()["checks"])) == (200, ["auth", "configuration", "nats", "router"])
        assert (await client.post(CHAT, json={})).status_code == 200
        auth.known.clear()
        assert (await client.post(CHAT, json={})).status_code == 200  # cached
        await runtime.bus.kv_put(BUCKET, KEY, signed(snapshot(2, max_body_bytes=10)))
        await until(lambda: edge.service.revision == 2)
        assert (await client.post(CHAT, json={})).status_code == 401
        auth.known = ScriptedAuth().known
        await runtime.bus.kv_put(BUCKET, KEY, signed(snapshot(3, max_body_bytes=10)))
        await until(lambda: edge.service.revision == 3)
        assert (await client.post(CHAT, json={"long": "enough"})).status_code == 413
    await edge.stop()


async def test_without_a_bus_the_copy_on_disk_serves(tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "snapshot.json").write_bytes(signed(snapshot(7)))
    runtime = open_runtime(core(tmp_path, "nats://127.0.0.1:1"), instance_id="edge-test")
    edge = component(runtime, ScriptedAuth(), wait=0.1)
    await edge.start()
    checks = edge.checks()
    assert all(check.ok for check in checks.values())
    assert checks["nats"].detail == "away; revision 7 holds"
    await edge.stop()
    await close_runtime(runtime)


async def test_without_any_configuration_it_starts_closed_and_not_ready(tmp_path: Path) -> None:
    runtime = open_runtime(core(tmp_path, "nats://127.0.0.1:1"), instance_id="edge-test")
    edge = component(runtime, ScriptedAuth(), wait=0.1)
    edge.watch("quota", lambda: {"redis": Check(ok=False, detail="away")})
    await edge.start()
    assert not edge.checks()["configuration"].ok
    async with (
        serving(edge.app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["quota.redis"] == {"ok": False, "detail": "away"}
        assert (await client.post(CHAT, json={})).status_code == 401
    await edge.drain()
    await edge.stop()
    await close_runtime(runtime)
