import asyncio
import logging
from hashlib import sha256

import pytest
from omni_core.ports.context import CallContext
from omni_core.telemetry import new_registry
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from omni_wire.errors import DependencyUnavailable, Internal, ModelNotFound, PermissionDenied, Unauthenticated

from tests.support.edge import KEY, ScriptedAuth, ScriptedRouter, snapshot

CONTEXT = CallContext("r")
GOOD = sha256(KEY.encode()).digest()


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, **tunables: float) -> None:
        self.router, self.auth, self.time, self.feed_alive = ScriptedRouter(), ScriptedAuth(), Time(), True
        self.service = EdgeService(
            self.router, self.auth, EdgeSettings(auth_timeout=0.05, models_timeout=0.05, **tunables), new_registry(),
            clock=self.time, feed_alive=lambda: self.feed_alive,
        )  # fmt: skip


async def test_a_key_is_asked_about_once_in_its_time() -> None:
    bench = Bench()
    assert [(await bench.service.identify(GOOD, CONTEXT)).key_id for _ in range(3)] == ["key-1"] * 3
    assert bench.auth.asked == 1
    bench.time.now = 31
    await bench.service.identify(GOOD, CONTEXT)
    assert bench.auth.asked == 2


async def test_requests_that_miss_together_ask_together() -> None:
    bench = Bench()
    bench.auth.delay = 0.01
    found = await asyncio.gather(*(bench.service.identify(GOOD, CONTEXT) for _ in range(20)))
    assert {who.key_id for who in found} == {"key-1"}
    assert bench.auth.asked == 1


async def test_one_caller_that_gives_up_does_not_spoil_it_for_the_others() -> None:
    bench = Bench()
    bench.auth.delay = 0.02
    first = asyncio.create_task(bench.service.identify(GOOD, CONTEXT))
    second = asyncio.create_task(bench.service.identify(GOOD, CONTEXT))
    await asyncio.sleep(0.005)
    first.cancel()
    assert (await second).key_id == "key-1"


async def test_a_wrong_key_is_told_so_and_remembered() -> None:
    bench = Bench()
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="wrong"):
            await bench.service.identify(b"x" * 32, CONTEXT)
    assert bench.auth.asked == 1


async def test_no_key_is_told_so() -> None:
    with pytest.raises(Unauthenticated, match="No API key was given"):
        await Bench().service.identify(None, CONTEXT)


async def test_anonymous_only_where_no_key_is_needed_and_none_is_presented() -> None:
    bench = Bench()
    bench.service.configure(snapshot(require_api_key=False))
    assert (await bench.service.identify(None, CONTEXT)).key_id == "anonymous"
    with pytest.raises(Unauthenticated):
        await bench.service.identify(b"x" * 32, CONTEXT)


async def test_a_revoked_key_ends_with_the_next_configuration() -> None:
    bench = Bench()
    await bench.service.identify(GOOD, CONTEXT)
    bench.auth.known.clear()
    bench.service.configure(snapshot(2))
    with pytest.raises(Unauthenticated):
        await bench.service.identify(GOOD, CONTEXT)


@pytest.mark.parametrize("failure", [DependencyUnavailable("away"), Internal("broken")])
async def test_while_auth_is_away_known_keys_go_on_and_others_wait(failure: DependencyUnavailable | Internal) -> None:
    bench = Bench()
    await bench.service.identify(GOOD, CONTEXT)
    bench.auth.failure = failure
    bench.time.now = 29
    assert (await bench.service.identify(GOOD, CONTEXT)).key_id == "key-1"
    with pytest.raises(DependencyUnavailable) as caught:
        await bench.service.identify(b"x" * 32, CONTEXT)
    assert caught.value.retry_after == 1


async def test_no_decision_is_older_than_its_time_though_the_configuration_feed_lives() -> None:
    """Of an auth that is away nobody hears of revocations, whoever else is there."""
    bench = Bench()
    await bench.service.identify(GOOD, CONTEXT)
    bench.auth.failure = DependencyUnavailable("away")
    for now in (10, 16, 22, 29.9):
        bench.time.now = now
        assert (await bench.service.identify(GOOD, CONTEXT)).key_id == "key-1"
    bench.time.now = 30
    with pytest.raises(DependencyUnavailable):
        await bench.service.identify(GOOD, CONTEXT)


async def test_a_decision_is_as_old_as_the_question() -> None:
    """What auth knew is from before its answer arrived."""
    bench = Bench()
    bench.auth.delay = 0.01
    asking = asyncio.create_task(bench.service.identify(GOOD, CONTEXT))
    await asyncio.sleep(0.005)
    bench.time.now = 2
    await asking
    bench.auth.failure = DependencyUnavailable("away")
    bench.time.now = 30.5
    with pytest.raises(DependencyUnavailable):
        await bench.service.identify(GOOD, CONTEXT)


async def test_a_key_in_use_is_asked_about_beside_its_requests_so_that_a_restart_of_auth_is_not_noticed() -> None:
    bench = Bench()
    await bench.service.identify(GOOD, CONTEXT)
    bench.time.now = 20
    bench.auth.delay = 0.01
    for _ in range(5):
        assert (await bench.service.identify(GOOD, CONTEXT)).key_id == "key-1"  # at once, from memory
    await asyncio.sleep(0.03)
    assert bench.auth.asked == 2
    bench.auth.failure = DependencyUnavailable("restarting")
    bench.time.now = 49
    assert (await bench.service.identify(GOOD, CONTEXT)).key_id == "key-1"


async def test_a_key_that_was_revoked_unheard_ends_when_it_is_asked_about_again() -> None:
    bench = Bench()
    await bench.service.identify(GOOD, CONTEXT)
    bench.auth.known.clear()
    bench.time.now = 15
    assert (await bench.service.identify(GOOD, CONTEXT)).key_id == "key-1"
    await asyncio.sleep(0.01)
    with pytest.raises(Unauthenticated):
        await bench.service.identify(GOOD, CONTEXT)


async def test_who_prefers_answers_to_certainty_may_have_known_keys_go_on() -> None:
    bench = Bench(key_stale=600.0)
    await bench.service.identify(GOOD, CONTEXT)
    bench.auth.failure = DependencyUnavailable("away")
    bench.time.now = 100
    assert (await bench.service.identify(GOOD, CONTEXT)).key_id == "key-1"
    bench.feed_alive = False
    bench.time.now = 106
    with pytest.raises(DependencyUnavailable):
        await bench.service.identify(GOOD, CONTEXT)


async def test_auth_that_hangs_is_auth_that_is_away() -> None:
    bench = Bench()
    bench.auth.hang = True
    with pytest.raises(DependencyUnavailable):
        await bench.service.identify(GOOD, CONTEXT)


async def test_with_the_configuration_feed_dead_too_a_key_lives_its_time_and_no_longer() -> None:
    bench = Bench()
    await bench.service.identify(GOOD, CONTEXT)
    bench.auth.failure = DependencyUnavailable("away")
    bench.feed_alive = False
    bench.time.now = 29
    assert (await bench.service.identify(GOOD, CONTEXT)).key_id == "key-1"
    bench.time.now = 31
    with pytest.raises(DependencyUnavailable):
        await bench.service.identify(GOOD, CONTEXT)


async def test_auths_other_refusals_pass_through() -> None:
    bench = Bench()
    bench.auth.failure = PermissionDenied("this key is suspended")
    with pytest.raises(PermissionDenied):
        await bench.service.identify(GOOD, CONTEXT)


async def test_draining_takes_nothing_new() -> None:
    bench = Bench()
    bench.service.draining = True
    with pytest.raises(DependencyUnavailable):
        await bench.service.identify(GOOD, CONTEXT)


async def test_a_model_that_the_key_may_not_use_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        await Bench().service.model(CONTEXT, "key-1", "acme/other")


async def test_checks_know_who_answers() -> None:
    bench = Bench()
    assert not any(check.ok for check in bench.service.checks().values())
    bench.service.configure(snapshot(3))
    await bench.service.probe()
    assert all(check.ok for check in bench.service.checks().values())
    bench.router.failure = DependencyUnavailable("connection refused")
    await bench.service.probe()
    checks = bench.service.checks()
    assert (checks["router"].ok, checks["router"].detail) == (False, "connection refused")
    assert checks["configuration"].detail == "revision 3"
    bench.router.failure = PermissionDenied("no")  # it answered
    await bench.service.probe()
    assert bench.service.checks()["router"].ok


async def test_who_went_away_and_came_back_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    for failure in (None, DependencyUnavailable("connection refused"), None):
        bench.router.failure = failure
        await bench.service.probe()
    said = [(record.levelname, record.message, getattr(record, "fields", None)) for record in caplog.records]
    assert said == [
        ("WARNING", "router is away", {"detail": "connection refused"}),
        ("INFO", "router is back", None),
    ]


def test_settings_come_from_the_environment_and_name_what_is_wrong() -> None:
    assert EdgeSettings.from_env({"OMNIROUTE_EDGE_KEEP_ALIVE": "2.5"}).keep_alive == 2.5
    with pytest.raises(ValueError, match="keep_alive"):
        EdgeSettings.from_env({"OMNIROUTE_EDGE_KEEP_ALIVE": "soon"})
