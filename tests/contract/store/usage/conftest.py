"""The store of usage, on every kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from omni_analytics.adapters.store import SqlStore

from tests.support.usage_store import KINDS, Usage


@pytest.fixture(params=KINDS)
def usage(request: pytest.FixtureRequest, tmp_path: Path) -> Usage:
    return Usage.of(request, request.param, tmp_path)


@pytest.fixture
async def store(usage: Usage) -> AsyncIterator[SqlStore]:
    opened = usage.store()
    await opened.open()
    yield opened
    await opened.close()
