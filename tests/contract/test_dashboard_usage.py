"""GET /api/usage against real JetStream and SQLite, in process and over gRPC: one client's count, told exactly."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from omni_analytics.build import build as build_analytics
from omni_analytics.server import register
from omni_core.clients.analytics import AnalyticsClient
from omni_core.identity import Caller
from omni_core.ports.analytics import AnalyticsPort, UsageQuery, UsageTotals
from omni_core.rpc import RpcServer, open_channel
from omni_core.runtime import close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_dashboard.build import build as build_dashboard
from omni_dashboard.settings import DashboardSettings

from tests.support.servers import NatsServer
from tests.unit.analytics.events import T0, attempt_event, batch, request_event
from tests.unit.dashboard.ports import ADMIN, DEV, Auth, Quota, is_problem

TOKEN = "a-service-token"


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    server = NatsServer()
    try:
        yield server.start()
    finally:
        server.close()


@asynccontextmanager
async def twin_of(port: AnalyticsPort, how: str) -> AsyncIterator[AnalyticsPort]:
    if how == "in process":
        yield port
        return
    server = RpcServer("127.0.0.1", 0, TOKEN)
    register(server, port)
    number = await server.start()
    async with open_channel(f"127.0.0.1:{number}", Caller(("dashboard",), TOKEN)) as channel:
        yield AnalyticsClient(channel)
    await server.stop(0.1)


@pytest.mark.parametrize("how", ["in process", "grpc"])
async def test_usage_over_http_is_what_was_published(nats: NatsServer, tmp_path: Path, how: str) -> None:
    core = CoreSettings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0", nats_url=nats.url, token=TOKEN, peers={})
    runtime = open_runtime(core, instance_id="test")
    analytics = build_analytics(runtime)
    await analytics.start()
    async with twin_of(analytics.service, how) as port:
        dashboard = build_dashboard(
            runtime, auth=Auth(), quota=Quota(), analytics=port, settings=DashboardSettings(probe_interval=60)
        )
        await dashboard.start()
        assert dashboard.checks()["analytics"].ok
        # A stream that outlives the first case delivers nothing to the second: the durable consumer is past it.
        seen = (await port.query(UsageQuery())).totals
        assert seen == UsageTotals()
        tag = how.replace(" ", "-")
        events = [
            event
            for number in range(40)
            for event in (
                attempt_event(id=f"{tag}-a{number}", key_id="key_dev" if number % 4 else "key_admin"),
                request_event(id=f"{tag}-r{number}", key_id="key_dev" if number % 4 else "key_admin"),
            )
        ]
        await runtime.bus.ensure_stream("OMNIROUTE_USAGE", ["omniroute.usage.*"])  # whoever publishes makes sure of it
        await runtime.bus.publish("omniroute.usage.test", batch(*events, batch_id=tag), msg_id=tag)
        transport = httpx.ASGITransport(app=dashboard.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            admin, dev = ({"authorization": f"Bearer {key}"} for key in (ADMIN, DEV))
            for _ in range(500):
                everything = (await client.get("/api/usage?group_by=key", headers=admin)).json()
                if everything["totals"]["requests"] == 40:
                    break
                await asyncio.sleep(0.02)
            assert everything["totals"]["cost_usd"] == "0.024"
            assert everything["totals"]["total_tokens"] == 40 * 150
            assert {group["value"]: group["totals"]["requests"] for group in everything["groups"]} == {
                "key_dev": 30,
                "key_admin": 10,
            }
            asked = "/api/analytics?measures=requests,cost_usd,total_ms&by=key,surface&order=-requests&limit=1"
            analysed = (await client.get(asked, headers=admin)).json()
            assert analysed["lines"][0]["values"] == {"key": "key_dev", "surface": "openai.chat"}
            assert analysed["lines"][0]["measures"]["cost_usd"] == "0.018"
            assert (analysed["other"]["measures"]["requests"], analysed["total"]["measures"]["requests"]) == (10, 40)
            own = (await client.get("/api/usage", headers=dev)).json()
            assert (own["totals"]["requests"], own["totals"]["cost_nano_usd"]) == (30, 30 * 600_000)
            later = (await client.get(f"/api/usage?from={T0 + 1}", headers=admin)).json()
            assert later["totals"]["requests"] == 0
            is_problem(await client.get("/api/usage?key=key_admin", headers=dev), 403)
        await dashboard.stop()
    await analytics.drain()
    await analytics.stop()
    await close_runtime(runtime)
