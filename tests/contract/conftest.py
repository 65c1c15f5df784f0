"""What many of these tests begin with."""

from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from tests.support.router import Harness, fleet, harness
from tests.support.servers import RedisServer


@pytest.fixture
async def gw(clean_redis: str) -> AsyncIterator[Harness]:
    """A router, with its ledger, translator and provider."""
    async with harness(clean_redis) as made:
        yield made


@pytest.fixture
async def routers(clean_redis: str) -> AsyncIterator[Sequence[Harness]]:
    """Two of them on one Redis."""
    async with fleet(clean_redis, 2) as made:
        yield made


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of the test's own, which has its data after a restart."""
    server = RedisServer(durable=True).start()
    yield server
    server.close()
