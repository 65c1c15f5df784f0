"""Limits that came to a percentage, and the tags of requests, on every kind of database."""

import msgspec
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.notices import nobody
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rollup import DAY_MS
from omni_core.ports.analytics import LimitEvents

from tests.support.usage_store import Usage
from tests.unit.analytics.events import REQUEST, T0

DAY = T0 - T0 % DAY_MS


def reached(number: int, **more: object) -> Reached:
    fields = {"id": f"l1/tokens/day/{number}/80", "at_ms": DAY + number, "percent": 80, "used": 2**40, "limit_id": "l1"}
    fields |= {"name": "tag/batch/soft", "organisation": "default", "of": "tokens", "window": "day", "most": 2**41}
    return Reached(**(fields | more))  # type: ignore[arg-type]


async def test_each_is_kept_once_however_often_it_comes_and_over_a_restart(store: SqlStore, usage: Usage) -> None:
    one, two = reached(1), reached(2)
    assert await store.keep_reached([one, one], nobody) == [one]
    assert await store.keep_reached([two, one], nobody) == [two]
    await store.close()
    again = usage.store()
    await again.open()
    assert await again.keep_reached([one, two, reached(3)], nobody) == [reached(3)]
    listed = await again.limit_events(LimitEvents())
    assert [msgspec.structs.astuple(each) for each in listed] == [
        (*msgspec.structs.astuple(reached(number)), "", 0) for number in (3, 2, 1)
    ]
    await again.close()


async def test_they_are_listed_by_what_is_asked_page_by_page(store: SqlStore) -> None:
    same_time = [reached(number, at_ms=DAY + number // 3) for number in range(9)]
    others = [
        reached(20, organisation="guests", name="all", limit_id="l2", percent=100),
        reached(21, at_ms=DAY + 50, percent=150),
    ]
    await store.keep_reached([*same_time, *others], nobody)
    seen, last = list[str](), LimitEvents(name="tag/batch/soft", until_ms=DAY + 50, most=2)
    while page := await store.limit_events(last):
        seen += [each.id for each in page]
        last = msgspec.structs.replace(last, before_ms=page[-1].at_ms, before_id=page[-1].id)
    assert seen == [one.id for one in sorted(same_time, key=lambda one: (one.at_ms, one.id), reverse=True)]

    async def asked(**question: object) -> list[str]:
        return [each.id for each in await store.limit_events(LimitEvents(**question))]  # type: ignore[arg-type]

    assert await asked(organisation="guests") == await asked(limit_id="l2") == [others[0].id]
    assert await asked(percent=100) == [others[1].id, others[0].id]
    assert await asked(from_ms=DAY + 20) == [others[1].id, others[0].id]
    assert await asked(until_ms=DAY + 1) == ["l1/tokens/day/2/80", "l1/tokens/day/1/80", "l1/tokens/day/0/80"]


async def test_they_are_forgotten_with_the_rows_of_their_time_and_tags_too(store: SqlStore, usage: Usage) -> None:
    tagged = msgspec.structs.replace(REQUEST, started_ms=DAY, tags=("batch", "blue"))
    await store.record([tagged])
    await store.keep_reached([reached(1), reached(2, at_ms=DAY + DAY_MS)], nobody)
    while await store.forget_some(DAY + DAY_MS):
        pass
    assert [each.id for each in await store.limit_events(LimitEvents())] == ["l1/tokens/day/2/80"]
    assert usage.asked("SELECT count(*) FROM request_tag") == [(0,)]


async def test_a_request_is_found_with_its_tags_those_of_its_newest_version(store: SqlStore) -> None:
    first = msgspec.structs.replace(REQUEST, tags=("batch", "blue"))
    await store.record([first])
    found = await store.find_request(REQUEST.id, None)
    assert found is not None
    assert found.tags == ("batch", "blue")
    await store.record([msgspec.structs.replace(first, seq=REQUEST.seq + 1, tags=("green",))])
    await store.record([first])
    found = await store.find_request(REQUEST.id, None)
    assert found is not None
    assert found.tags == ("green",)
