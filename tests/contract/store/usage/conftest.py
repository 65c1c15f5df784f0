"""The store of usage, on every kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from omni_analytics.adapters.store import SqlStore

from tests.support.store import KINDS
from tests.support.usage_store import Usage


@pytest.fixture(params=KINDS)
def usage(request: pytest.FixtureRequest, tmp_path: Path) -> Usage:
    kind = request.param
    return Usage(kind, tmp_path, request.getfixturevalue("postgres") if kind == "postgresql" else None)


@pytest.fixture
async def store(usage: Usage) -> AsyncIterator[SqlStore]:
    opened = usage.store()
    await opened.open()
    yield opened
    await opened.close()
