"""The short forms: that the suite finds what it looks for. Its long form is ``make money``."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from omni_analytics.settings import DEAD_SUBJECT
from omni_core.bus import Bus
from omni_launch.cli import cli

from tests.money import breaking, levels, model
from tests.money.breaking import Scene
from tests.money.notes import Noted
from tests.money.reserve import Collector, Observer, reserve, verdicts
from tests.support.fleet import ADMIN
from tests.unit.analytics.events import attempt_event, batch


@pytest.mark.parametrize("leased", [False, True], ids=["each by itself", "from slices"])
async def test_no_cap_is_passed_and_nothing_stays_held_while_routers_and_redis_are_killed(
    tmp_path: Path, leased: bool
) -> None:
    figures = await reserve(tmp_path, 3_000, 1, routers=3, clients=32, kills=2, restarts=1, leased=leased)
    assert figures["pass"], str(figures)
    assert (figures["router_kills"], figures["redis_restarts"]) == (2, 1)
    assert 0 < figures["granted"] < figures["asked"]


def test_books_that_do_not_add_up_are_found() -> None:
    branches = levels.branches(3_000, 1_900_000_000)
    branch = branches[0]

    def found(note: Noted | None, event: tuple[int, int, str] | None, spent: int) -> list[str]:
        collector, observer = Collector.__new__(Collector), Observer.__new__(Observer)
        collector.events = {"a": event} if event is not None else {}
        collector.aborted = {"a"} if event is not None and not event[0] else set()
        observer.spent = dict.fromkeys((owner.name for owner in levels.owners(branches)), 0)
        observer.spent |= dict.fromkeys((owner.name for owner in branch.owners), spent)
        return verdicts({"a": note} if note is not None else {}, collector, observer, branches)

    key = branch.key.name
    assert found(Noted(key, 50, 20, settled=True), (1, 20, key), 20) == []
    assert found(Noted(key, 50, 20), (0, 50, key), 50) == [], "nobody knows what a dead router's attempt came to"
    assert found(Noted(key, 50, 20, settled=True), None, 20), "lost"
    assert found(Noted(key, 50, 20, settled=True), (0, 50, key), 50), "the truth was told and is not there"
    assert found(Noted(key, 50, 20, settled=True), (1, 20, key), 40), "spent twice"
    assert found(None, (1, 20, key), 20), "an attempt that nobody made"
    assert found(Noted(key, 50, branch.key.cap + 1), (1, branch.key.cap + 1, key), branch.key.cap + 1), "overspent"


def test_the_whole_ledger_does_what_its_plain_model_does(redis_url: str) -> None:
    counts = model.whole(redis_url, 12, 30, 1)
    assert counts["steps"] > 100


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with breaking.running(tmp_path_factory.mktemp("money")) as made:
        yield made


def test_nobody_notices_that_nats_is_away_and_what_waited_is_counted_once(scene: Scene) -> None:
    figures = breaking.nats(scene, 1, seconds=2.0)
    assert figures["pass"], str(figures)


def test_without_redis_who_has_a_budget_is_refused_in_time_and_nothing_is_lost(scene: Scene) -> None:
    figures = breaking.redis(scene, 1, seconds=5.0)
    assert figures["pass"], str(figures)


def test_whichever_service_is_killed_every_call_and_every_answer_is_counted_once(scene: Scene) -> None:
    figures = breaking.kill(scene, 1, seconds=6.5, every=1.0)
    assert figures["pass"], str(figures)
    assert figures["kills"] > 4


def test_what_could_not_be_counted_is_counted_by_hand_and_what_cannot_be_read_is_named(scene: Scene) -> None:
    made, key = scene.made, Path(scene.made.home, "admin.key")
    key.write_text(ADMIN)
    asyncio.run(_bury(made.nats.url, batch(attempt_event(id="late", key_id="key-of-a-letter")), b"\xff"))

    def said(*command: str) -> tuple[int, str]:
        told = CliRunner().invoke(cli, ["events", *command, "--url", made.dashboard, "--key-file", str(key)])
        return told.exit_code, told.output

    code, listed = said("dead")
    assert code == 0
    assert "would be counted now" in listed
    assert "stays: not an events.v1.EventBatch" in listed
    assert listed.endswith("2 messages could not be counted\n")
    assert said("redrive")[0] == 2, "which?"
    code, told = said("redrive", "--all")
    assert code == 1
    assert "1 messages are counted now" in told
    assert "2  stays: not an events.v1.EventBatch" in told
    spent = made.get("/api/usage?group_by=key").json()["groups"]
    assert [group["totals"]["attempts"] for group in spent if group["value"] == "key-of-a-letter"] == [1]
    code, told = said("redrive", "1")
    assert (code, "1  is not there" in told) == (0, True)
    code, told = said("discard", "2", "--yes")
    assert (code, told) == (0, "1 messages are gone\n")
    assert said("dead", "--json") == (0, "")


async def _bury(url: str, *messages: bytes) -> None:
    bus = Bus(url, name="somebody")
    try:
        for number, data in enumerate(messages):
            letter = {"data": data, "reason": "of a kind", "deliveries": 5, "at_ms": 1_900_000_000_000}
            await bus.publish(DEAD_SUBJECT, msgspec.json.encode(letter), f"letter-{number}")
    finally:
        await bus.close()
