"""Every service is restarted, one replica after the other, while requests go on: none fails, none is lost."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.balancer import Balanced, balanced
from tests.support.fleet import HELLO, KEY, Fleet, Replica, config, eventually, fleet
from tests.support.stack import simulator

# Short ones over both ways, with and without translation, and streams that are longer than a replica's drain delay.
KINDS = [
    {"model": "acme/sim+latency:80", "messages": HELLO},
    {"model": "acme/sim+latency:80", "messages": HELLO},
    {"model": "acme/sim+tokens:20+tps:10", "messages": HELLO, "stream": True},
    {"model": "claude/sim+latency:80", "messages": HELLO},
    {"model": "claude/sim+tokens:20+tps:10", "messages": HELLO, "stream": True},
    {"model": "claude/sim+tokens:20+tps:10", "messages": HELLO, "stream": True},
]
SERVICES = ("router", "edge", "translator", "auth", "quota", "analytics", "dashboard")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Fleet]:
    env = {"OMNIROUTE_DRAIN_DELAY": "1"}
    with (
        simulator() as provider,
        fleet(tmp_path, config(provider.url), edges=2, routers=2, translators=2, env=env) as running,
    ):
        yield running


async def roll(replica: Replica, load: Balanced) -> None:
    """Restart it, and see that requests go on before the next."""
    await asyncio.to_thread(replica.restart)
    if replica.service == "edge":
        async with asyncio.timeout(10):
            while replica.url not in load.ready:  # noqa: ASYNC110 - a handful of looks
                await asyncio.sleep(0.05)
    await load.more(10)


async def test_no_request_fails_while_every_service_is_restarted(made: Fleet) -> None:
    counted = made.totals()["requests"]
    async with balanced([edge.url for edge in made["edge"]], KEY, KINDS) as load:
        await load.more(20)
        for service in SERVICES:
            for replica in made[service]:
                await roll(replica, load)
                assert load.failures == [], f"while {replica.name} was restarted"
    assert load.failures == []
    assert set(load.done) == {str(kind["model"]) for kind in KINDS}
    await asyncio.to_thread(
        eventually, lambda: made.totals()["requests"] - counted == load.total, 15, lambda: (made.totals(), load.total)
    )
    await asyncio.to_thread(eventually, lambda: made.open_reservations() == 0, 10)
