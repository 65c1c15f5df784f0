"""AuditPort, in process and over gRPC, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from omni_core.ports.configuration import Caller
from omni_wire.errors import InvalidRequest, PermissionDenied
from sqlalchemy import text

from tests.contract.store.test_audit import disarm
from tests.contract.store.test_objects import ME, OTHERS, House
from tests.support.store import Place


@pytest.fixture(params=["in process", "gRPC"])
async def house(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "gRPC" and place.kind != "sqlite":
        pytest.skip("the messages are the same whichever database is behind them")
    made = await House(place, tmp_path, request.param == "gRPC").open()
    await made.put("organisations", "guests", {})
    await made.put("teams", "core", {"title": "Core"}, OTHERS)
    await made.put("tags", "eu", {})
    yield made
    await made.close()


async def numbers(house: House, caller: Caller, **more: object) -> list[int]:
    return [entry.number for entry in (await house.port.list_audit(caller, **more)).items]


async def test_entries_come_newest_first_a_page_at_a_time(house: House) -> None:
    page = await house.port.list_audit(ME, limit=2)
    assert [entry.number for entry in page.items] == [3, 2]
    newest = page.items[0]
    assert (newest.actor, newest.action, newest.before) == (ME.actor, "tags.create", "null")
    assert newest.target.startswith("tags/")
    assert newest.previous == page.items[1].hash
    rest = await house.port.list_audit(ME, before=page.next, limit=2)
    assert ([entry.number for entry in rest.items], rest.next) == ([1], 0)


async def test_the_platform_sees_all_and_another_organisation_its_own_whatever_it_asks_for(house: House) -> None:
    assert await numbers(house, ME) == [3, 2, 1]
    assert await numbers(house, ME, organisation="default") == [3]
    assert await numbers(house, ME, organisation="guests") == [2, 1]
    for asked in ("", "guests", "default"):
        assert await numbers(house, OTHERS, organisation=asked) == [2, 1]


async def test_a_changed_entry_is_named_and_still_shown(house: House) -> None:
    good = await house.port.verify_audit(ME)
    assert (good.entries, good.bad, good.why) == (3, 0, "")
    assert await house.port.verify_audit(ME, good.head) == good
    disarm(house.store.database)
    with house.store.database.writing() as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody' WHERE seq = 2"))
    bad = await house.port.verify_audit(ME)
    assert (bad.entries, bad.bad) == (1, 2)
    assert bad.head.startswith("1:")
    assert "its content" in bad.why
    assert [entry.actor for entry in (await house.port.list_audit(ME)).items][1] == "nobody"


async def test_who_does_not_run_the_gateway_verifies_nothing_and_a_head_must_be_one(house: House) -> None:
    with pytest.raises(PermissionDenied):
        await house.port.verify_audit(OTHERS)
    with pytest.raises(InvalidRequest) as caught:
        await house.port.verify_audit(ME, "nonsense")
    assert caught.value.param == "head"


async def test_what_another_service_does_for_somebody_is_in_the_chain_as_all_else_is(house: House) -> None:
    await house.port.record_audit(ME, "usage.reprice", "usage/0-86400000", '{"cost_nano_usd": 7}', "")
    newest = (await house.port.list_audit(ME, limit=1)).items[0]
    assert (newest.actor, newest.action, newest.target) == (ME.actor, "usage.reprice", "usage/0-86400000")
    assert (newest.before, newest.after) == ('{"cost_nano_usd":7}', "null")
    assert (await house.port.verify_audit(ME)).bad == 0
    with pytest.raises(InvalidRequest):
        await house.port.record_audit(ME, "usage.reprice", "usage/x", "{not json")
