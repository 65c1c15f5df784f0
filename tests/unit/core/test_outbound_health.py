"""A proxy that fails again and again is left alone, and tried again by one call."""

import pytest
from omni_catalogue.proxies import Proxy
from omni_core import outbound_health
from omni_core.outbound_handshake import failed
from omni_core.outbound_health import FAILURES, OPEN_FOR, ProxyHealth
from omni_wire.errors import ProxyFailed, UpstreamUnreachable

OFFICE = Proxy(name="office", kind="http", host="p", port=1)


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(outbound_health, "clock", made)
    return made


def tried(health: ProxyHealth, code: str = "", target: str = "", asked: bool = False) -> str:
    """What becomes of a tunnel that fails with ``code``, "" for one that opens."""
    try:
        with health.watched(OFFICE, target) as watched:
            watched.asked = asked
            if code == "target":
                raise UpstreamUnreachable("no way")
            if code:
                raise failed(OFFICE, "failed", code)
    except (ProxyFailed, UpstreamUnreachable) as error:
        return error.code
    return ""


def test_it_is_left_alone_for_a_while_and_one_call_tries_it(clock: Clock) -> None:
    health = ProxyHealth()
    for _ in range(FAILURES):
        assert tried(health, "cut") == "proxy_cut"
    assert tried(health) == "proxy_left_alone"
    assert health.broken() == ("office",)
    clock.now += OPEN_FOR
    with health.watched(OFFICE):
        assert tried(health) == "proxy_left_alone", "one tries it, and the others wait for what comes of that"
    assert health.broken() == ()
    assert tried(health) == ""


def test_a_probe_that_fails_leaves_it_alone_again(clock: Clock) -> None:
    health = ProxyHealth()
    for _ in range(FAILURES):
        tried(health, "timeout")
    clock.now += OPEN_FOR
    assert tried(health, "timeout") == "proxy_timeout"
    assert tried(health) == "proxy_left_alone"


@pytest.mark.parametrize("told", ["refused", "target"])
def test_what_it_says_of_one_target_is_nothing_against_it(clock: Clock, told: str) -> None:
    health = ProxyHealth()
    for _ in range(FAILURES + 1):
        assert tried(health, told) != "proxy_left_alone"
    assert health.broken() == ()


def test_failures_in_a_row_are_counted_and_no_others(clock: Clock) -> None:
    health = ProxyHealth()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            tried(health, "cut")
        assert tried(health) == ""
    assert health.broken() == ()


def test_a_target_that_lets_it_wait_is_left_alone_behind_it_and_no_other_one(clock: Clock) -> None:
    health = ProxyHealth()
    for _ in range(FAILURES):
        assert tried(health, "timeout", "away.example", asked=True) == "proxy_timeout"
        assert tried(health, "", "well.example") == ""
    assert tried(health, "", "away.example") == "proxy_left_alone"
    assert tried(health, "", "well.example") == ""
    clock.now += OPEN_FOR
    assert tried(health, "", "away.example") == ""
    assert health.broken() == ()


def test_one_that_cannot_be_connected_to_is_left_alone_whomever_it_leads_to(clock: Clock) -> None:
    health = ProxyHealth()
    for target in ("one.example", "two.example", "three.example"):
        assert tried(health, "timeout", target) == "proxy_timeout"
    assert tried(health, "", "four.example") == "proxy_left_alone"
