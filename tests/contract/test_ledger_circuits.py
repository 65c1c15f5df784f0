"""Circuits: what opens at once and for how long, who may probe, and what closes them again, for the whole fleet."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from omni_catalogue.snapshot import BreakerPolicy
from omni_ledger import Evidence, Grant, Refusal

from tests.support.ledger import Stage, hold, open_stage, settlement

POLICY = BreakerPolicy(
    failures=3, window=60, open_for=30, limited_for=1, limited_longest=10, refused_for=120, refused_longest=300
)
SEAT, TARGET = "acme/first gpt-x", "target:best acme/gpt-x"


@pytest_asyncio.fixture
async def stage(clean_redis: str) -> AsyncIterator[Stage]:
    async with open_stage(clean_redis) as found:
        yield found


async def ask(stage: Stage, attempt: str, **changes: Any) -> Grant | Refusal:
    fields: dict[str, Any] = {"breaker": POLICY, "circuits": (SEAT, TARGET)}
    return await stage.ledger.admit(hold(attempt, **(fields | changes)))


async def tell(stage: Stage, attempt: str, *evidence: Evidence, **changes: Any) -> None:
    await stage.ledger.settle(settlement(attempt, evidence=evidence, breaker=POLICY, **changes))


async def test_a_rate_limit_closes_one_model_of_an_account_and_nothing_else(stage: Stage) -> None:
    await ask(stage, "a")
    await tell(stage, "a", Evidence(SEAT, "cool", "rate_limit", 42.0))
    assert await ask(stage, "b") == Refusal("breaker_open", 42.0, SEAT, "rate_limit", True)
    assert isinstance(await ask(stage, "c", circuits=("acme/first other",)), Grant)
    assert isinstance(await ask(stage, "d", account_id="acme/second", circuits=("acme/second gpt-x",)), Grant)
    await stage.later(42)
    assert await ask(stage, "e") == Grant(100, 0, True)


@pytest.mark.parametrize(
    ("cause", "waits"), [("rate_limit", (1, 2, 4, 8, 10, 10)), ("refused", (120, 240, 300)), ("quota", (120, 240, 300))]
)
async def test_where_nobody_tells_the_wait_doubles_up_to_a_bound(
    stage: Stage, cause: str, waits: tuple[int, ...]
) -> None:
    for i, wait in enumerate(waits):
        await ask(stage, f"a{i}")
        await tell(stage, f"a{i}", Evidence("acme/first", "cool", cause))
        assert await ask(stage, f"b{i}") == Refusal("breaker_open", wait, "acme/first", cause)
        await stage.later(wait)


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 90.0), (0.5, 120.0), (1.0, 150.0)])
async def test_jitter_spreads_what_nobody_told(stage: Stage, jitter: float, wait: float) -> None:
    await tell(stage, "", Evidence("acme/first", "cool", "refused"), jitter=jitter)
    assert await ask(stage, "b") == Refusal("breaker_open", wait, "acme/first", "refused")


async def test_no_provider_is_believed_for_longer_than_the_configuration_says(stage: Stage) -> None:
    await tell(stage, "", Evidence(SEAT, "cool", "quota", 40 * 86_400.0))
    assert await ask(stage, "b") == Refusal("breaker_open", 86_400.0, SEAT, "quota", True)


async def test_a_herd_of_refusals_is_one_and_a_longer_wait_told_is_heeded(stage: Stage) -> None:
    for name in "abcd":
        await ask(stage, name)
    for name in "abc":
        await tell(stage, name, Evidence(SEAT, "cool", "rate_limit"))
    assert await ask(stage, "e") == Refusal("breaker_open", 1.0, SEAT, "rate_limit")
    await tell(stage, "d", Evidence(SEAT, "cool", "rate_limit", 20.0))
    assert await ask(stage, "f") == Refusal("breaker_open", 20.0, SEAT, "rate_limit", True)


async def test_whoever_waits_for_several_waits_for_the_longest(stage: Stage) -> None:
    await tell(
        stage,
        "",
        Evidence("acme/first", "cool", "quota", 5.0),
        Evidence(SEAT, "cool", "rate_limit", 9.0),
        *[Evidence(TARGET, "failure", "failing")] * 3,
    )
    assert await ask(stage, "a") == Refusal("breaker_open", 30.0, TARGET, "failing")
    assert await ask(stage, "b", circuits=(SEAT,)) == Refusal("breaker_open", 9.0, SEAT, "rate_limit", True)
    assert await ask(stage, "c", circuits=()) == Refusal("breaker_open", 5.0, "acme/first", "quota", True)


async def test_one_probe_speaks_for_each_circuit_that_it_passed(stage: Stage) -> None:
    await tell(stage, "", Evidence("acme/first", "cool", "quota", 5.0), Evidence(SEAT, "cool", "rate_limit", 5.0))
    await stage.later(5)
    assert await ask(stage, "probe") == Grant(100, 0, True)
    assert isinstance(await ask(stage, "other"), Refusal)
    await tell(stage, "probe", Evidence("acme/first", "success"), Evidence(SEAT, "cool", "rate_limit", 7.0))
    assert await ask(stage, "c", circuits=()) == Grant(100, 0, False)
    assert await ask(stage, "d") == Refusal("breaker_open", 7.0, SEAT, "rate_limit", True)


async def test_a_probe_that_answers_lets_the_others_in_before_its_end(stage: Stage) -> None:
    await tell(stage, "", Evidence(SEAT, "cool", "rate_limit", 5.0))
    await stage.later(5)
    await ask(stage, "probe")
    stage.ledger.cleared_soon("another", (SEAT,))
    assert isinstance(await ask(stage, "b"), Refusal)
    stage.ledger.cleared_soon("probe", ("acme/first", SEAT, TARGET))
    assert await ask(stage, "c") == Grant(100, 0, False)


async def test_what_is_only_suspected_may_be_probed_early_by_one_at_a_time_and_less_and_less_often(
    stage: Stage,
) -> None:
    for name in "abc":
        await ask(stage, name)
        await tell(stage, name, Evidence(SEAT, "failure", "failing"))
    for i, pause in enumerate((1, 2, 4, 8)):
        assert await ask(stage, f"x{i}", early=True) == Refusal("breaker_open", pause, SEAT, "failing")
        await stage.later(pause)
        assert isinstance(await ask(stage, f"y{i}"), Refusal)  # not without a need
        assert await ask(stage, f"probe{i}", early=True) == Grant(100, 0, True)
        assert isinstance(await ask(stage, f"z{i}", early=True), Refusal)
        await tell(stage, f"probe{i}", Evidence(SEAT, "failure", "failing"))


async def test_what_its_provider_told_is_not_probed_early(stage: Stage) -> None:
    await tell(stage, "", Evidence(SEAT, "cool", "rate_limit", 50.0))
    await stage.later(49)
    assert await ask(stage, "a", early=True) == Refusal("breaker_open", 1.0, SEAT, "rate_limit", True)


async def test_a_new_secret_has_not_been_refused(stage: Stage) -> None:
    await tell(stage, "", Evidence("acme/first", "cool", "refused"), secret="v1")
    assert isinstance(await ask(stage, "a", secret="v1"), Refusal)
    assert await ask(stage, "b", secret="v2") == Grant(100, 0, False)


async def test_a_new_secret_does_not_bring_a_quota_back(stage: Stage) -> None:
    await tell(stage, "", Evidence("acme/first", "cool", "quota"), secret="v1")
    assert isinstance(await ask(stage, "a", secret="v2"), Refusal)


async def test_open_circuits_are_shown_and_an_account_is_reset_with_its_models(stage: Stage) -> None:
    await tell(stage, "", Evidence("acme/first", "cool", "quota"), Evidence(SEAT, "cool", "rate_limit", 9.0))
    await tell(stage, "", Evidence("acme/first2 gpt-x", "failure", "failing"), Evidence(TARGET, "failure", "failing"))
    shown = {name: (one.state, one.cause, one.told, one.failures) for name, one in await stage.janitor.circuits(10)}
    assert shown == {
        "acme/first": ("open", "quota", False, 0),
        SEAT: ("open", "rate_limit", True, 0),
        "acme/first2 gpt-x": ("closed", "", False, 1),
        TARGET: ("closed", "", False, 1),
    }
    await stage.janitor.reset("acme/first")
    assert [name for name, _ in await stage.janitor.circuits(10)] == ["acme/first2 gpt-x", TARGET]
    assert len(await stage.janitor.circuits(1)) == 1
    assert await ask(stage, "a") == Grant(100, 0, False)


async def test_circuits_of_the_version_before_are_understood(stage: Stage) -> None:
    seconds, micros = (int(part) for part in await stage.redis.mget("test:{omni}:s", "test:{omni}:us"))
    now = seconds * 1000 + micros // 1000
    await stage.redis.set("circuit:{omni}:acme/first", msgspec.msgpack.encode([1, now + 30_000, "", [now], 0]))
    assert await ask(stage, "a") == Refusal("breaker_open", 30.0, "acme/first", "")
    await stage.later(30)
    assert await ask(stage, "probe") == Grant(100, 0, True)
    await tell(stage, "probe", Evidence("acme/first", "failure", "failing"))
    assert await ask(stage, "b") == Refusal("breaker_open", 60.0, "acme/first", "failing")
