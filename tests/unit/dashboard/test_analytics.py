"""/api/analytics: any measures by any dimensions, in an order, compared, and for those who may see it."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_core.ports.analytics import OF_REQUESTS, ROLLED, Breakdown, Slice, UsageTotals
from omni_core.ports.configuration import ConfigObject
from omni_dashboard.usage.analysis import Analysis, answer
from omni_dashboard.usage.measures import ALL, DIMENSIONS, MEASURES, OWNERS, named
from omni_dashboard.usage.owners import Owner, of_keys

from tests.unit.dashboard.ports import ADMIN, DEV, House, is_problem

DAY = 86_400_000


def used(house: House, at: int, requests: int, cost: int, *, key: str = "key_dev", model: str = "m") -> None:
    of = dict.fromkeys([*ROLLED, *OF_REQUESTS], "") | {"key": key, "model": model}
    totals = UsageTotals(requests=requests, errors=requests // 2, attempts=requests, cost_nano_usd=cost)
    house.analytics.slices.append((at, of, totals))


async def asked(house: House, query: str, who: str = ADMIN) -> dict[str, Any]:
    answer = await house.call("GET", f"/api/analytics?{query}", who)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_lines_come_in_the_order_asked_for_and_what_is_behind_the_last_is_one(house: House) -> None:
    for number in range(6):
        used(house, DAY, number + 1, 100 - number, model=f"m{number}")
    body = await asked(house, "measures=requests,cost_usd,error_ratio&by=model&order=-requests&limit=2")
    assert [line["values"] for line in body["lines"]] == [{"model": "m5"}, {"model": "m4"}]
    assert body["lines"][0]["measures"] == {"requests": 6, "cost_usd": "0.000000095", "error_ratio": 0.5}
    assert body["others"] == 4
    assert body["other"]["values"] is None
    assert body["other"]["measures"]["requests"] == 1 + 2 + 3 + 4
    assert body["total"]["measures"]["requests"] == 21
    cheapest = await asked(house, "measures=requests&by=model&order=cost_usd&limit=1")
    assert cheapest["lines"][0]["values"] == {"model": "m5"}


async def test_a_period_is_compared_with_the_one_of_the_same_length_before(house: House) -> None:
    used(house, 10 * DAY, 4, 8, model="now")
    used(house, 9 * DAY, 3, 5, model="gone")
    used(house, 8 * DAY - 1, 100, 100, model="too early")
    body = await asked(house, f"measures=requests&by=model&from={10 * DAY}&until={12 * DAY}&compare=true")
    assert body["before"] == {"from_ms": 8 * DAY, "until_ms": 10 * DAY}
    assert (body["total"]["measures"], body["total"]["before"]) == ({"requests": 4}, {"requests": 3})
    told = [
        (line["values"]["model"], line["measures"]["requests"], line["before"]["requests"]) for line in body["lines"]
    ]
    assert told == [("now", 4, 0), ("gone", 0, 3)]


async def test_points_are_of_the_lines_shown_and_of_the_others_as_one(house: House) -> None:
    for day in (1, 2):
        for number in range(3):
            used(house, day * DAY + 5, 10 - number, 0, model=f"m{number}")
    body = await asked(house, "measures=requests,total_ms&by=model&grain=day&order=-requests&limit=1")
    told = [(point["at_ms"], point["values"], point["measures"]["requests"]) for point in body["points"]]
    assert told == [
        (DAY, {"model": "m0"}, 10), (DAY, None, 17), (2 * DAY, {"model": "m0"}, 10), (2 * DAY, None, 17),
    ]  # fmt: skip
    assert set(body["points"][0]["measures"]["total_ms"]) == {"p50", "p95", "p99"}
    whole = await asked(house, "measures=requests&grain=day")
    assert [(point["values"], point["measures"]["requests"]) for point in whole["points"]] == [({}, 27), ({}, 27)]


async def test_usage_is_told_apart_by_whose_its_keys_are(house: House) -> None:
    house.auth.list = [
        msgspec.structs.replace(key, team=team, user=user)
        for key, team, user in zip(house.auth.list, ("core", "web"), ("ann", ""), strict=True)
    ]
    house.auth.objects["default", "organisations", "default"] = ConfigObject(
        "organisations", "default", b"{}", "1", "api", "", 1, 2
    )
    used(house, DAY, 5, 0, key="key_admin", model="a")
    used(house, DAY, 7, 0, key="key_dev", model="a")
    used(house, DAY, 1, 0, key="key_gone", model="b")
    body = await asked(house, "measures=requests&by=team,model")
    assert [(line["values"], line["measures"]["requests"]) for line in body["lines"]] == [
        ({"team": "web", "model": "a"}, 7), ({"team": "core", "model": "a"}, 5), ({"team": "", "model": "b"}, 1),
    ]  # fmt: skip
    only = await asked(house, "measures=requests&by=model&filter=team:core&filter=user:ann")
    assert [line["measures"]["requests"] for line in only["lines"]] == [5]
    assert house.analytics.breakdowns[-1].filters == {"key": ("key_admin",)}
    assert (await asked(house, "measures=requests&filter=team:nobody"))["total"]["measures"] == {"requests": 0}


async def test_filters_of_one_dimension_are_any_and_of_several_all(house: House) -> None:
    for model, key in (("a", "k1"), ("b", "k1"), ("c", "k1"), ("a", "k2")):
        used(house, DAY, 1, 0, key=key, model=model)
    body = await asked(house, "measures=requests&by=model,key&filter=model:a&filter=model:b&filter=key:k1")
    assert [line["values"] for line in body["lines"]] == [{"model": "a", "key": "k1"}, {"model": "b", "key": "k1"}]


async def test_a_developer_sees_their_own_key_and_cannot_ask_beyond_it(house: House) -> None:
    used(house, DAY, 5, 0, key="key_admin")
    used(house, DAY, 7, 0, key="key_dev")
    assert (await asked(house, "measures=requests&by=key", DEV))["total"]["measures"] == {"requests": 7}
    assert (await asked(house, "measures=requests&filter=key:key_dev", DEV))["total"]["measures"] == {"requests": 7}
    for query in ("filter=key:key_admin", "filter=key:key_dev&filter=key:key_admin", "by=team", "filter=user:x"):
        is_problem(await house.call("GET", f"/api/analytics?{query}", DEV), 403)


async def test_everything_that_the_meta_endpoint_lists_can_be_had(house: House) -> None:
    used(house, DAY, 5, 7)
    meta = (await house.call("GET", "/api/analytics/meta", ADMIN)).json()
    measures = ",".join(one["name"] for one in meta["measures"])
    for dimension in (one["name"] for one in meta["dimensions"]):
        for grain in meta["grains"]:
            body = await asked(house, f"measures={measures}&by={dimension}&grain={grain}&filter={dimension}:")
            assert (body["by"], body["grain"]) == ([dimension], grain)
            assert [*body["total"]["measures"]] == measures.split(",")
    assert {one["name"] for one in meta["dimensions"] if one["kept"] == "rows"} == set(OF_REQUESTS)


@pytest.mark.parametrize(
    ("query", "param", "told"),
    [
        ("measures=colour", "measures", "requests, errors, attempts"),
        ("by=moon", "by", "key, provider, account, model, status"),
        ("by=key,key", "by", "twice"),
        ("filter=moon:1", "filter", "key, provider"),
        ("filter=moon", "filter", "dimension:value"),
        ("&".join(f"filter=key:{number}" for number in range(201)), "filter", "more than 200"),
        ("grain=year", "grain", "minute, hour, day"),
        ("order=-weight", "order", "requests"),
        ("compare=true", "from", "compare needs a from"),
        ("from=2000&until=1000", "from", "after until"),
        ("limit=0", "limit", "greater"),
        ("limit=1001", "limit", "less"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_and_what_is_allowed_is_named(
    house: House, query: str, param: str, told: str
) -> None:
    body = is_problem(await house.call("GET", f"/api/analytics?{query}", ADMIN), 422 if "limit" in query else 400)
    assert body["param"] == param
    assert told in body["detail"]


SLICES = st.lists(
    st.builds(
        Slice,
        st.integers(0, 3),
        st.tuples(st.sampled_from("abc"), st.sampled_from("xy")),
        st.builds(
            UsageTotals, requests=st.integers(0, 9), attempts=st.integers(0, 9), cost_nano_usd=st.integers(0, 99)
        ),
        st.just({"total": {3: 1}}),
    ),
    max_size=20,
)


@given(
    now=SLICES,
    before=SLICES | st.none(),
    limit=st.integers(1, 7),
    order=st.sampled_from([*ALL, *map("-".__add__, ALL)]),
)
def test_nothing_is_lost_or_counted_twice_by_order_limit_or_points(
    now: list[Slice], before: list[Slice] | None, limit: int, order: str
) -> None:
    question = Analysis(dimensions=named(DIMENSIONS, ["key", "model"], "by"), grain="day", order=order, limit=limit)
    found = answer(question, now, before, lambda one: one.values)
    lines = [*found.lines, *([found.other] if found.other else [])]
    for name in ("requests", "attempts", "cost_nano_usd"):
        whole = sum(getattr(one.totals, name) for one in now)
        assert sum(getattr(line.now.totals, name) for line in lines) == whole
        assert getattr(found.total.now.totals, name) == whole
        assert sum(getattr(point.counted.totals, name) for point in found.points) == whole
    if before is not None:
        assert sum(line.before.totals.requests for line in lines if line.before) == sum(
            one.totals.requests for one in before
        )
    counted = sum((Counter(line.now.latency.get("total", {})) for line in lines), Counter[int]())
    assert counted == (Counter({3: len(now)}) if now else Counter())
    assert len(found.lines) + found.others == len({one.values for one in (*now, *(before or ()))})
    assert len(found.lines) <= limit


@given(
    st.dictionaries(
        st.sampled_from("klm"), st.builds(Owner, st.just("o"), st.sampled_from("tu"), st.sampled_from("vw"))
    )
)
def test_filters_of_owners_become_the_keys_that_they_own(owners: dict[str, Owner]) -> None:
    filters = {"team": ("t",), "user": ("v", "w"), "key": ("k", "l"), "model": ("m",)}
    found = of_keys(filters, owners)
    assert set(found["key"]) == {key for key, owner in owners.items() if owner.team == "t" and key in ("k", "l")}
    assert found["model"] == ("m",)
    assert not set(found) & set(OWNERS)


def test_owners_are_asked_for_as_their_keys() -> None:
    question = Analysis(dimensions=named(DIMENSIONS, ["team", "model"], "by"), measures=(MEASURES["requests"],))
    assert question.breakdown() == Breakdown(dimensions=("model", "key"))
