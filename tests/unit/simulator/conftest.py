"""A simulator of its own for every test, and a client that hides nothing of HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest
from omni_simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = Simulator("127.0.0.1", 0)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=simulator.url, timeout=5, trust_env=False) as client:
        yield client
