"""``GET /api/limit-events``: filters, paging, and whose they are."""

import pytest
from omni_core.ports.analytics import LimitEvent, LimitEvents

from tests.unit.dashboard.ports import ADMIN, House, is_problem


def event(number: int) -> LimitEvent:
    return LimitEvent(
        f"l1/tokens/day/{number}/80", 1_000 - number, 80, 800, "l1", "tag/batch/soft", "default", "tokens", "day", 1000
    )


async def test_pages_are_followed_by_what_each_tells(house: House) -> None:
    house.analytics.limit_events_there = tuple(map(event, range(3)))
    answer = await house.call(
        "GET", "/api/limit-events?limit=2&name=tag/batch/soft&percent=80&from=5&until=2000", ADMIN
    )
    body = answer.json()
    assert [one["at_ms"] for one in body["items"]] == [1000, 999]
    assert body["items"][0] == {
        "id": "l1/tokens/day/0/80", "at_ms": 1000, "percent": 80, "used": 800, "limit_id": "l1",
        "name": "tag/batch/soft", "organisation": "default", "of": "tokens", "window": "day", "most": 1000,
        "webhook": "", "tries": 0,
    }  # fmt: skip
    assert body["next"] == "999.l1/tokens/day/1/80"
    assert 'rel="next"' in answer.headers["link"]
    asked = {"name": "tag/batch/soft", "percent": 80, "from_ms": 5, "until_ms": 2000, "most": 3}
    assert house.analytics.limits_asked == [LimitEvents(**asked)]  # type: ignore[arg-type]
    house.analytics.limit_events_there = (event(2),)
    following = await house.call("GET", f"/api/limit-events?after={body['next']}", ADMIN)
    assert (following.json()["next"], "link" in following.headers) == (None, False)
    assert house.analytics.limits_asked[-1] == LimitEvents(before_ms=999, before_id="l1/tokens/day/1/80", most=101)


@pytest.mark.parametrize("asked", ["after=nonsense", "after=5", "limit=0", "percent=-1", "from=yesterday"])
async def test_what_is_no_question_is_told(house: House, asked: str) -> None:
    answer = await house.call("GET", f"/api/limit-events?{asked}", ADMIN)
    assert answer.status_code in (400, 422)
    assert house.analytics.limits_asked == []


async def test_one_organisation_is_asked_for_by_name(house: House) -> None:
    await house.call("GET", "/api/limit-events?organisation=guests", ADMIN)
    assert house.analytics.limits_asked[0].organisation == "guests"
    is_problem(await house.call("GET", "/api/limit-events", None), 401)
