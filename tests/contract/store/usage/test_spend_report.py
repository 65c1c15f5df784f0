"""A month's report is what the rollups say, to the nano-USD, whomever it is told apart by."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_analytics.adapters.store import SqlStore
from omni_core.ports.analytics import UsageQuery
from omni_core.ports.auth import KeyInfo
from omni_core.ports.configuration import ConfigObject
from omni_dashboard.usage.spending import OF, month, month_before, month_of

from tests.support.usage_store import Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST
from tests.unit.dashboard.ports import ADMIN, DEV, House, is_problem

change = msgspec.structs.replace
BEGIN, END = month("2026-11")
EDGES = (BEGIN - 1, BEGIN, END - 1, END)


def house_of(store: SqlStore) -> House:
    """Keys of two teams, of which one was revoked, and one that is on no record."""
    house = House(query_timeout=30.0)
    house.component.service._analytics = store  # type: ignore[assignment]
    plain = KeyInfo("k1", "one", "developer", ("*",), 0, 0, "", "api", 1, team="core", user="ann")
    house.auth.list = [plain, change(plain, id="k2", name="two", team="web", user="")]
    house.auth.revoked = [change(plain, id="k3", name="three")]
    house.auth.objects["default", "organisations", "default"] = ConfigObject(
        "organisations", "default", b"{}", "1", "api", "", 1, 2
    )
    return house


async def spent(house: House, query: str) -> dict[str, Any]:
    answer = await house.call("GET", f"/api/reports/spend?{query}", ADMIN)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    used=st.lists(
        st.tuples(
            st.one_of(st.integers(BEGIN - 9_000_000, END + 9_000_000), st.sampled_from(EDGES)),
            st.integers(1, 4), st.integers(0, 2), st.integers(0, 10**13),
        ),
        max_size=12,
    )
)  # fmt: skip
async def test_the_lines_of_a_report_are_the_rollups_of_its_month(
    store: SqlStore, usage: Usage, used: list[tuple[int, int, int, int]]
) -> None:
    for grain in ("minute", "hour", "day"):
        usage.change(f"DELETE FROM usage_{grain}")
    usage.change("DELETE FROM attempt_row")
    usage.change("DELETE FROM request_row")
    await store.record(
        [
            row
            for number, (at, key, model, cost) in enumerate(used)
            for row in (
                change(
                    ATTEMPT, id=f"a{number}", started_ms=at, key_id=f"k{key}", model=f"m{model}", cost_nano_usd=cost
                ),
                change(REQUEST, id=f"r{number}", started_ms=at, key_id=f"k{key}", model_served=f"m{model}"),
            )
        ]
    )
    whole = (await store.query(UsageQuery(BEGIN, END))).totals
    house = house_of(store)
    for by in (*OF, "team,model", ""):
        found = await spent(house, f"month=2026-11&by={by}")
        assert found["total"]["cost_nano_usd"] == whole.cost_nano_usd
        for name in ("requests", "cost_nano_usd", "input_tokens"):
            assert sum(line["totals"][name] for line in found["lines"]) == (getattr(whole, name) if by else 0)
        costs = [line["totals"]["cost_nano_usd"] for line in found["lines"]]
        assert costs == sorted(costs, reverse=True)
    (before,) = [(await store.query(UsageQuery(*month("2026-10")))).totals]
    assert found["before"]["cost_nano_usd"] == before.cost_nano_usd


async def test_what_a_revoked_key_used_stays_its_teams_and_what_nobody_knows_has_no_name(store: SqlStore) -> None:
    await store.record(
        [change(ATTEMPT, id=f"a{key}", started_ms=BEGIN, key_id=f"k{key}", cost_nano_usd=key) for key in (1, 2, 3, 4)]
    )
    found = await spent(house_of(store), "month=2026-11&by=team")
    told = [(line["values"]["team"], line["totals"]["cost_nano_usd"], line["share"]) for line in found["lines"]]
    assert sorted(told) == [("", 4, 0.4), ("core", 4, 0.4), ("web", 2, 0.2)]


async def test_what_is_no_month_or_no_name_is_refused_and_owners_are_not_shown_to_developers(store: SqlStore) -> None:
    house = house_of(store)
    for query, param in (("month=2026-13", "month"), ("month=26-1", "month"), ("by=moon", "by"), ("by=status", "by")):
        assert is_problem(await house.call("GET", f"/api/reports/spend?{query}", ADMIN), 400)["param"] == param
    is_problem(await house.call("GET", "/api/reports/spend", DEV), 403)
    assert (await house.call("GET", "/api/reports/spend?by=key", DEV)).status_code == 200


@given(st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)))
def test_every_moment_is_in_its_month_and_months_follow_one_another(at: datetime) -> None:
    now = int(at.replace(tzinfo=UTC).timestamp() * 1000)
    begin, end = month(month_of(now))
    assert begin <= now < end
    assert month(month_before(month_of(now)))[1] == begin
