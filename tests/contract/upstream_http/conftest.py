"""Every test here runs on both event loops: the standard library's, and uvloop, which the services use."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from omni_router.adapters.http import HttpUpstream

from tests.support.provider_calls import started
from tests.support.scripted import Authority


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    async with started() as made:
        yield made
