import pytest

from tests.unit.dashboard.ports import House


@pytest.fixture
async def house() -> House:
    return House()
