"""What ``make bench-analytics`` asks its questions of is what recording the same rows would have made."""

from pathlib import Path

from omni_core.ports.analytics import UsageQuery, UsageReport

from tests.bench import analytics
from tests.support.usage_store import Usage


async def test_the_rollups_that_the_bench_fills_are_those_of_its_rows(tmp_path: Path) -> None:
    usage = Usage("sqlite", tmp_path, None)
    store = usage.store()
    await store.open()
    analytics.fill(usage.path, 6_000, seed=3)
    whole = (await store.query(UsageQuery())).totals
    assert (whole.requests, whole.attempts) == (3_000, 3_000)
    assert 0 < whole.errors < 300
    await store.close()
    assert usage.rebuilt(check=True).wrong == 0


async def test_every_question_of_the_bench_is_answered_and_events_are_taken_in(tmp_path: Path) -> None:
    usage = Usage("sqlite", tmp_path, None)
    store = usage.store()
    await store.open()
    analytics.fill(usage.path, 2_000, seed=3)
    for question in analytics.questions(store).values():
        found = await question(analytics.END - 1)
        assert found.totals.requests if isinstance(found, UsageReport) else len(found)
    before = (await store.query(UsageQuery())).totals.requests
    await analytics.taken_in(store, 1, events=200)
    assert (await store.query(UsageQuery())).totals.requests == before + 100
    await store.close()
