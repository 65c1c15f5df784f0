"""``/api/usage?tag=``: what requests of a tag have used, of keys that whoever asks may see."""

from omni_core.ports.analytics import Breakdown, UsageTotals

from tests.unit.dashboard.ports import ADMIN, DEV, House, is_problem
from tests.unit.dashboard.test_audit import be_of

SPENT = UsageTotals(3, 1, 4, 100, 10, 5, 50, 7, 2**53 + 1, 1)


async def test_a_tag_is_asked_of_the_rows_and_answered_as_any_usage(house: House) -> None:
    house.analytics.slices = [(5, {"model": "big", "tag": "x"}, SPENT), (9, {"model": "small", "tag": "x"}, SPENT)]
    body = (await house.call("GET", "/api/usage?tag=x&tag=y&from=1&group_by=model&grain=hour", ADMIN)).json()
    assert house.analytics.breakdowns == [Breakdown(1, 0, ("model",), {"tag": ("x", "y")}, "hour")]
    assert house.analytics.queries == []
    assert body["totals"]["cost_nano_usd"] == 2 * (2**53 + 1)
    assert [group["value"] for group in body["groups"]] == ["big", "small"]
    assert [(point["at_ms"], point["value"]) for point in body["points"]] == [(0, "big"), (0, "small")]


async def test_nobody_sees_more_of_a_tag_than_of_their_keys(house: House) -> None:
    await house.call("GET", "/api/usage?tag=x", DEV)
    assert house.analytics.breakdowns == [Breakdown(filters={"tag": ("x",), "key": ("key_dev",)})]
    is_problem(await house.call("GET", "/api/usage?tag=x&key=key_admin", DEV), 403)
    house.analytics.breakdowns.clear()
    be_of(house, "guests")
    house.component.service.forget()
    await house.call("GET", "/api/usage?tag=x", ADMIN)
    assert all(asked.filters["key"] for asked in house.analytics.breakdowns)


async def test_any_question_may_be_of_a_tag_and_none_is_told_apart_by_it(house: House) -> None:
    assert (await house.call("GET", "/api/analytics?filter=tag:x", ADMIN)).status_code == 200
    assert (await house.call("GET", "/api/logs?filter=tag:x", ADMIN)).status_code == 200
    is_problem(await house.call("GET", "/api/analytics?by=tag", ADMIN), 400)
    assert house.analytics.listings[0].filters == {"tag": ("x",)}
