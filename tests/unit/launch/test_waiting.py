"""What a process lacks is told once, with where it is looked for, and again only after a while."""

import logging
from pathlib import Path

import pytest
from omni_core.component import Check, Spare
from omni_core.settings import CoreSettings
from omni_launch.waiting import AGAIN, PATIENCE, Waiting, missing, places

AWAY = {
    "process": {"accepting": Check(False, "starting")},
    "router": {"redis": Check(False, "not reachable"), "config": Check(False, "none yet"), "nats": Check(True)},
    "quota": {"redis": Check(False, "no connection")},
}
WELL = {"router": {"redis": Check(True)}}
PLACES = {"redis": "at redis://cache:6379"}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_thing_that_is_missing_is_named_once_with_its_place() -> None:
    assert missing(AWAY, PLACES) == ["redis at redis://cache:6379 (not reachable)", "router's config (none yet)"]
    assert missing(WELL, PLACES) == []
    assert missing({"workers": {"workers": Check(False, "none")}}, {}) == ["workers (none)"]
    assert missing({"workers": {"workers": Check(True), "worker 1": Spare(False, "away")}}, {}) == []


def test_places_hold_no_password() -> None:
    settings = CoreSettings(
        data_dir=Path("/data"), redis_url="redis://:s3cret@cache:6379/0", token="t",
        nats_url="nats://u:s3cret@a:4222,nats://u:s3cret@b:4222",
        peers={"auth": "auth:20144", "router": "discover"},
    )  # fmt: skip
    assert places(settings) == {
        "auth": "at auth:20144",
        "router": "announced at nats://a:4222,nats://b:4222",
        "redis": "at redis://cache:6379",
        "nats": "at nats://a:4222,nats://b:4222",
    }


def test_it_is_told_after_a_moment_then_seldom_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock, state = Clock(), dict(AWAY)
    waiting = Waiting(lambda: state, PLACES, clock=clock)

    def told() -> int:
        waiting.look()
        return sum("waiting for" in record.message for record in caplog.records)

    with caplog.at_level(logging.INFO, "omniroute.launch"):
        assert told() == 0
        clock.now += PATIENCE
        assert told() == 1
        assert "redis at redis://cache:6379 (not reachable); router's config (none yet)" in caplog.text
        clock.now += AGAIN - 0.1
        assert told() == 1
        clock.now += 0.2
        assert told() == 2
        state.clear()
        assert told() == 2
        assert "ready: what was missing is there, after 13 s" in caplog.text


def test_what_comes_at_once_is_worth_no_line(caplog: pytest.LogCaptureFixture) -> None:
    clock, state = Clock(), dict(AWAY)
    waiting = Waiting(lambda: state, PLACES, clock=clock)
    with caplog.at_level(logging.INFO, "omniroute.launch"):
        waiting.look()
        clock.now += PATIENCE - 0.1
        state.clear()
        waiting.look()
        state.update(AWAY)
        clock.now += PATIENCE
        waiting.look()
    assert caplog.records == []
