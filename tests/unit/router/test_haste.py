"""The time that a request gives itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.snapshot import Deadlines, Timeouts
from omni_router.domain import haste, verdict
from omni_router.domain.circuits import Circuits, evidence
from omni_router.domain.haste import Haste
from omni_wire.errors import InvalidRequest, UpstreamTimeout


def test_seconds_are_read_by_name() -> None:
    assert haste.read("first_byte=2, total=30", 100.0) == Haste(Deadlines(first_byte=2.0, total=30.0), 130.0)
    assert haste.read(" idle = 0.5 ", 100.0) == Haste(Deadlines(idle=0.5), math.inf)
    assert haste.read("connect=1,first_byte=.25,idle=3,total=86400", 0.0).said == Deadlines(
        connect=1.0, first_byte=0.25, idle=3.0, total=86_400.0
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "takes connect, first_byte, idle, total, as in first_byte=2, total=30"),
        ("first-byte=2", "takes connect, first_byte, idle, total"),
        ("first_byte", "takes connect, first_byte, idle, total"),
        ("total=3,", "takes connect, first_byte, idle, total"),
        ("total=3; idle=2", "must give total more than 0 and at most 86400 seconds"),
        ("total=0", "must give total more than 0"),
        ("total=-1", "must give total more than 0"),
        ("total=1e3", "must give total more than 0"),
        ("total=nan", "must give total more than 0"),
        ("total=inf", "must give total more than 0"),
        ("total=", "must give total more than 0"),
        ("total=.", "must give total more than 0"),
        ("total=٣", "must give total more than 0"),
        ("total=2s", "must give total more than 0"),
        ("total=86401", "at most 86400"),
        ("total=" + "9" * 400, "at most 86400"),
        ("total=3, total=4", "says total twice"),
        ("first_byte=4, total=3", "gives first_byte more than total"),
    ],
)
def test_what_it_cannot_mean_is_refused_with_what_it_could(value: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match="x-omniroute-timeouts") as caught:
        haste.read(value, 0.0)
    assert told in caught.value.message
    assert (caught.value.status, caught.value.param) == (400, "x-omniroute-timeouts")


@given(st.text(max_size=40))
def test_any_header_is_read_or_refused(value: str) -> None:
    try:
        found = haste.read(value, 0.0)
    except InvalidRequest:
        return
    assert found.said != Deadlines()


SECONDS = st.floats(0.001, 86_400.0)
SAID = st.one_of(st.none(), SECONDS)


@given(
    st.builds(Timeouts, connect=SECONDS, first_byte=SECONDS, idle=SECONDS, total=SECONDS),
    st.builds(Deadlines, connect=SAID, first_byte=SAID, idle=SAID, total=SAID),
    st.floats(0.0, 90_000.0),
)
def test_a_request_only_ever_shortens_what_is_configured(configured: Timeouts, said: Deadlines, now: float) -> None:
    hurry = Haste(said, said.total if said.total is not None else math.inf)
    found = hurry.shortened(configured, now)
    for name in ("connect", "first_byte", "idle", "total"):
        own, limit = getattr(said, name), getattr(configured, name)
        assert getattr(found, name) <= limit
        assert own is None or getattr(found, name) <= own
        assert getattr(found, name) <= max(hurry.ends - now, 0.0)
        if own is None and said.total is None:
            assert getattr(found, name) == limit


def test_what_is_left_goes_down_to_an_end_that_is_told_as_the_requests_own() -> None:
    hurry = haste.read("total=30", 100.0)
    assert hurry.left(129.0) == 1.0
    with pytest.raises(UpstreamTimeout, match=r"the 30 s that the request gave itself as a whole") as caught:
        hurry.left(130.0)
    assert (caught.value.status, caught.value.kind) == (504, "upstream_timeout")
    assert haste.read("idle=1", 100.0).left(1e9) == 0.0


@pytest.mark.parametrize(
    ("said", "lasted", "ended"),
    [
        ("connect=9", 2.0, False),  # the first byte did not come in its two configured seconds
        ("connect=1", 1.0, True),
        ("first_byte=1", 1.0, True),
        ("first_byte=1", 0.3, False),
        ("idle=1", 0.3, False),
        ("idle=1", 1.5, True),
        ("total=5", 2.0, False),
        ("total=5", 5.0, True),
    ],
)
def test_a_timeout_that_it_did_not_shorten_is_the_providers(said: str, lasted: float, ended: bool) -> None:
    configured = Timeouts(connect=10.0, first_byte=2.0, idle=10.0, total=600.0)
    hurry = haste.read(said, 100.0)
    assert hurry.ended(hurry.shortened(configured, 100.0), configured, lasted, 100.0 + lasted) is ended


CIRCUITS = Circuits("acme/first", "acme/first m", "target:best acme/m")


def test_what_ends_by_it_says_nothing_against_the_provider() -> None:
    hurry = haste.read("first_byte=1", 0.0)
    error = hurry.told(UpstreamTimeout("the provider gave no answer in time"), 5.0)
    assert error.message == "the provider gave no answer in time (x-omniroute-timeouts)"
    assert {said.outcome for said in evidence(CIRCUITS, error)} == {"neutral"}
    assert verdict.is_the_clients(error)
    assert verdict.other_candidate_may_help(error)
    assert "failure" in {said.outcome for said in evidence(CIRCUITS, UpstreamTimeout("late"))}
