"""Windows of the calendar in zones and from anchors: they follow one another, and hold the time that is asked for."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.windows import CALENDAR, is_known, window_at

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/Nuuk",
    "",
)
times = st.integers(
    int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
)
anchors = st.one_of(
    st.just(""),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.isoformat(timespec="minutes")),
)


def borders(name: str, zone: str, anchor: str, now: float) -> tuple[int, ...]:
    named, *found = window_at(name, zone, anchor, now)
    assert named == name
    return tuple(map(int, found))


def moment(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


@given(st.sampled_from(CALENDAR), st.sampled_from(ZONES), anchors, times)
def test_each_time_is_in_a_window_and_the_next_says_the_same_borders(
    name: str, zone: str, anchor: str, now: int
) -> None:
    zone = zone or ("" if anchor else "UTC")
    found = borders(name, zone, anchor, now)
    assert list(found) == sorted(set(found))
    assert found[0] <= now < found[3]
    assert found[1] <= now + 900
    for at in found[1:3]:  # by who stands in the middle of the window before, or in the next
        others = borders(name, zone, anchor, at)
        assert set(pairwise(others)) & set(pairwise(found))
    longest = {"day": 49, "week": 8 * 24, "month": 32 * 24}[name]  # Apia has left out a day
    assert all(0 < end - start <= longest * 3600 for start, end in pairwise(found))


@given(st.sampled_from(CALENDAR), times)
def test_in_utc_they_are_the_calendars_own(name: str, now: int) -> None:
    day = datetime.fromtimestamp(now // 900 * 900, UTC).date()
    start = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[name]
    assert borders(name, "UTC", "", now)[1] == (start - date(1970, 1, 1)).days * 86400


@pytest.mark.parametrize(
    ("name", "zone", "anchor", "at", "begins", "ends"),
    [
        ("day", "Europe/Berlin", "", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),
        ("day", "Europe/Berlin", "2026-01-01T02:30", "2026-03-29T12:00", "2026-03-29T02:30", "2026-03-30T02:30"),
        ("day", "Asia/Kathmandu", "2026-01-01T10:00", "2026-05-05T09:30", "2026-05-04T10:00", "2026-05-05T10:00"),
        ("week", "America/New_York", "2026-01-15T00:00", "2026-11-04T23:00", "2026-10-29T00:00", "2026-11-05T00:00"),
        ("month", "Europe/Berlin", "", "2026-01-31T23:59", "2026-01-01T00:00", "2026-02-01T00:00"),
        ("month", "", "2026-01-31T00:00", "2026-02-28T12:00", "2026-02-28T00:00", "2026-03-31T00:00"),
        ("month", "Europe/Berlin", "2026-01-15T10:00", "2026-02-15T09:30", "2026-01-15T10:00", "2026-02-15T10:00"),
        ("month", "Europe/Berlin", "2026-01-15T10:00", "2027-01-15T10:00", "2027-01-15T10:00", "2027-02-15T10:00"),
    ],
)
def test_a_window_begins_by_its_zones_clock(name: str, zone: str, anchor: str, at: str, begins: str, ends: str) -> None:
    found = borders(name, zone, anchor, moment(at, zone or "UTC"))
    assert found[1:3] == (moment(begins, zone or "UTC"), moment(ends, zone or "UTC"))


def test_what_rolls_is_for_ever_or_is_utcs_own_needs_no_borders() -> None:
    assert window_at("5h", "Europe/Berlin", "", 1.0) == "5h"
    assert window_at("total", "Europe/Berlin", "", 1.0) == "total"
    assert window_at("day", "", "", 1.0) == "day"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_a_zone_of_this_world_is_known(zone: str) -> None:
    assert is_known(zone)


@pytest.mark.parametrize("zone", ["Europe/Berlim", "../etc/passwd", "Europe", "", "\0"])
def test_one_that_is_none_is_not(zone: str) -> None:
    assert not is_known(zone)
