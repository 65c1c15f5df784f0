"""Usage told apart by any of its dimensions: whatever is asked, the answer is what the rows add up to."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_analytics.adapters import asking
from omni_analytics.adapters.retention import horizon
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.rollup import GOOD_OUTCOMES, GRAINS, MEASURES, cell_of, status_class, sums_of
from omni_analytics.domain.rows import AttemptRow, RequestRow
from omni_core.ports.analytics import OF_REQUESTS, ROLLED, TAG, Breakdown, Slice, UsageTotals
from omni_wire.errors import InvalidRequest
from omni_wire.latency import bucket_of

from tests.support.usage_store import Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST, T0

change = msgspec.structs.replace
HOUR = T0 - T0 % GRAINS["hour"]


def tags_of(request_id: str) -> tuple[str, ...]:
    number = int(request_id[1:])
    return tuple(f"t{tag}" for tag in (1, 2, 3) if number % (tag + 1) == 0)


def rows_of(places: list[tuple[int, int, int, str]]) -> list[AttemptRow | RequestRow]:
    """A request and its attempt for each (minutes after the hour, key, model, outcome)."""
    found: list[AttemptRow | RequestRow] = []
    for number, (minute, key, model, outcome) in enumerate(places):
        own: dict[str, Any] = {"started_ms": HOUR + minute * 60_000 + number, "key_id": f"k{key}"}
        status = 200 if outcome == "ok" else 502
        found.append(
            change(
                REQUEST, id=f"r{number}", model_served=f"m{model}", outcome=outcome, status=status,
                combo=f"c{key % 2}", stream=bool(model), duration_ms=100 * number, tags=tags_of(f"r{number}"), **own,
            )
        )  # fmt: skip
        found.append(
            change(
                ATTEMPT, id=f"a{number}", request_id=f"r{number}", model=f"m{model}", provider_status=status,
                cost_nano_usd=1000 + number, **own,
            )
        )  # fmt: skip
    return found


def value_of(row: AttemptRow | RequestRow, dimension: str) -> str:
    cell = cell_of(row)
    rolled = {
        "key": cell.key_id, "provider": cell.provider, "account": cell.account_id, "model": cell.model,
        "status": cell.status,
    }  # fmt: skip
    if dimension in rolled:
        return rolled[dimension]
    assert isinstance(row, RequestRow)
    told = {
        "requested": row.model_requested, "combo": row.combo, "surface": row.client_format, "outcome": row.outcome,
        "error": row.error_kind, "stream": "true" if row.stream else "false", "router": row.router_id,
    }  # fmt: skip
    return told[dimension]


def counted(row: AttemptRow | RequestRow, told: bool) -> tuple[int, ...]:
    if not told:
        return sums_of(row)
    assert isinstance(row, RequestRow)
    own = {"requests": 1, "errors": int(row.outcome not in GOOD_OUTCOMES)}
    own["unpriced_requests"] = int(row.pricing == "unpriced")
    return tuple(own[name] if name in own else getattr(row, name) for name in MEASURES)


def expected(rows: list[AttemptRow | RequestRow], asked: Breakdown) -> tuple[Slice, ...]:
    told = any(name in OF_REQUESTS for name in (*asked.dimensions, *asked.filters))
    sums: dict[tuple[int, tuple[str, ...]], Counter[int]] = {}
    timed: dict[tuple[int, tuple[str, ...]], dict[str, Counter[int]]] = {}
    for row in rows:
        if told and isinstance(row, AttemptRow):
            continue
        if row.started_ms < asked.from_ms or (asked.until_ms and row.started_ms >= asked.until_ms):
            continue
        if any(value_of(row, name) not in wanted for name, wanted in asked.filters.items() if name != TAG):
            continue
        request = row.request_id if isinstance(row, AttemptRow) else row.id
        if TAG in asked.filters and not {*tags_of(request)} & {*asked.filters[TAG]}:
            continue
        unit = GRAINS[asked.grain] if asked.grain else 0
        at = row.started_ms - row.started_ms % unit if unit else 0
        place = (at, tuple(value_of(row, name) for name in asked.dimensions))
        sums.setdefault(place, Counter()).update(dict(enumerate(counted(row, told))))
        if asked.latency and isinstance(row, RequestRow):
            spent = {"total": row.duration_ms, "ttft": row.first_byte_ms, "overhead": row.overhead_us}
            of = timed.setdefault(place, {measure: Counter() for measure in asked.latency})
            for measure in asked.latency:
                of[measure][bucket_of(spent[measure])] += 1
    return tuple(
        Slice(
            *place,
            UsageTotals(*(sums[place][index] for index in range(len(MEASURES)))),
            {measure: dict(counts) for measure, counts in timed.get(place, {}).items()},
        )
        for place in sorted(sums)
    )


PLACES = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 2), st.integers(0, 2), st.sampled_from(["ok", "failed"])), max_size=12
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=PLACES,
    dimensions=st.lists(st.sampled_from([*ROLLED, *OF_REQUESTS]), max_size=3, unique=True),
    filters=st.dictionaries(
        st.sampled_from(["key", "model", "status", "combo", "tag"]),
        st.lists(st.sampled_from(["k0", "k1", "m0", "m1", "2xx", "c0", "t1", "t2", "t3"]), max_size=3, unique=True).map(
            tuple
        ),
        max_size=2,
    ),
    grain=st.sampled_from(["", *GRAINS]),
    latency=st.lists(st.sampled_from(["total", "ttft", "overhead"]), max_size=2, unique=True),
    ends=st.tuples(st.integers(0, 120), st.integers(0, 120)),
)
async def test_a_breakdown_is_what_the_rows_that_it_is_of_add_up_to(
    store: SqlStore,
    usage: Usage,
    places: list[tuple[int, int, int, str]],
    dimensions: list[str],
    filters: dict[str, tuple[str, ...]],
    grain: str,
    latency: list[str],
    ends: tuple[int, int],
) -> None:
    for table in (
        "attempt_row",
        "request_row",
        *(f"{kind}_{grain}" for kind in ("usage", "latency") for grain in GRAINS),
    ):
        usage.change(f"DELETE FROM {table}")
    rows = rows_of(places)
    await store.record(rows)
    start = HOUR + ends[0] * 30_000 if ends[0] else 0
    asked = Breakdown(
        start, (start or HOUR) + ends[1] * 60_000 if ends[1] else 0, tuple(dimensions), filters, grain, tuple(latency)
    )
    assert await store.breakdown(asked) == expected(rows, asked)


async def test_too_many_slices_are_refused_and_what_to_do_is_said(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_POINTS", 2)
    await store.record(rows_of([(0, 0, 0, "ok"), (1, 1, 1, "ok"), (2, 2, 2, "ok")]))
    with pytest.raises(InvalidRequest, match="coarser grain, a shorter span or fewer dimensions"):
        await store.breakdown(Breakdown(dimensions=("key",)))
    assert len(await store.breakdown(Breakdown(dimensions=("status",)))) == 1
    monkeypatch.setattr(asking, "MOST_HISTOGRAMS", 1)
    assert len(await store.breakdown(Breakdown(dimensions=("status",), latency=("total",)))) == 1
    with pytest.raises(InvalidRequest, match="more than 1 histograms: take a coarser grain"):
        await store.breakdown(Breakdown(dimensions=("status",), latency=("total", "ttft")))


async def test_what_has_a_tag_adds_up_as_in_the_rollups_and_a_replaced_request_has_its_newest_tags(
    store: SqlStore,
) -> None:
    rows = [
        change(row, tags=("x", "y")) if isinstance(row, RequestRow) else row for row in rows_of([(1, 1, 1, "ok")] * 5)
    ]
    await store.record(rows)
    asked = Breakdown(dimensions=("model", "status"), latency=("total",), grain="minute")
    for tags in (("x",), ("x", "y", "none")):
        assert await store.breakdown(change(asked, filters={"tag": tags})) == await store.breakdown(asked)
    await store.record(
        [change(row, seq=9, tags=("z",)) for row in rows if isinstance(row, RequestRow) and row.id == "r3"]
    )
    ((one,), (four,)) = [await store.breakdown(Breakdown(filters={"tag": (tag,)})) for tag in "zx"]
    assert [(found.totals.requests, found.totals.attempts, found.totals.cost_nano_usd) for found in (one, four)] == [
        (1, 1, 1003),
        (4, 4, 4007),
    ]
    assert await store.breakdown(Breakdown(filters={"tag": ("y'z",)})) == ()


async def test_what_only_rows_know_is_refused_where_they_are_forgotten(store: SqlStore) -> None:
    await store.record(rows_of([(0, 0, 0, "ok")]))
    day = horizon(T0 + 3 * GRAINS["day"], 1)
    while await store.forget_some(day):
        pass
    with pytest.raises(InvalidRequest, match=f"only key, model, .* are known of what began before {day}"):
        await store.breakdown(Breakdown(dimensions=("combo",)))
    assert await store.breakdown(Breakdown(day, dimensions=("combo",))) == ()
    (kept,) = await store.breakdown(Breakdown(dimensions=("model",)))
    assert (kept.values, kept.totals.requests) == (("m0",), 1)


def test_every_dimension_of_the_rollups_has_its_column_and_every_other_its_place_in_a_request() -> None:
    assert set(asking._COLUMN) == set(ROLLED)
    assert set(asking.OF_REQUEST) == {*ROLLED, *OF_REQUESTS}
    assert status_class(204) == "2xx"
