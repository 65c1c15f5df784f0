"""Who watches is told each request, in the order of storing, or how many were missed; and no one waits for them."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_analytics import watching
from omni_analytics.adapters.finding import row_found
from omni_analytics.domain.recent import Recent
from omni_analytics.domain.rows import RequestRow
from omni_analytics.watching import Watchers
from omni_core.ports.analytics import Update
from omni_wire.errors import DependencyUnavailable

from tests.unit.analytics.events import ATTEMPT, REQUEST

change = msgspec.structs.replace


def request(number: int, key: str = "k1") -> RequestRow:
    return change(REQUEST, id=f"r{number}", key_id=key)


def made(most: int = 100, *, apart: float = 0.0, silence: float = 5.0) -> Watchers:
    return Watchers(Recent("here", most), row_found, apart=apart, silence=silence)


def ids(update: Update) -> list[str]:
    return [found.id for found in update.requests]


async def after(watchers: AsyncIterator[Update]) -> Update:
    return await asyncio.wait_for(anext(watchers), 5)


async def test_what_is_stored_from_now_on_is_told_as_it_comes() -> None:
    watchers = made()
    watchers.stored([request(0)])
    live = watchers.live(None, "")
    assert ids(await after(live)) == []
    watchers.stored([request(1), ATTEMPT])
    watchers.stored([request(2)])
    update = await after(live)
    assert (ids(update), update.missed) == (["r1", "r2"], 0)
    assert update.requests[0].attempts == ()
    await live.aclose()


async def test_what_comes_while_the_reader_is_busy_is_told_the_next_time() -> None:
    watchers = made()
    live = watchers.live(None, "")
    await after(live)
    for number in range(3):
        watchers.stored([request(number)])
        assert ids(await after(live)) == [f"r{number}"]
    watchers.stored([request(3)])
    await live.aclose()
    assert watchers.watching == 0


async def test_one_goes_on_where_one_stopped_and_hears_how_many_are_gone() -> None:
    watchers = made(3)
    live = watchers.live(None, "")
    stopped = (await after(live)).id
    await live.aclose()
    watchers.stored([request(number) for number in range(2)])
    update = await after(watchers.live(None, stopped))
    assert (ids(update), update.missed) == (["r0", "r1"], 0)
    watchers.stored([request(number) for number in range(2, 7)])
    update = await after(watchers.live(None, stopped))
    assert (ids(update), update.missed) == (["r4", "r5", "r6"], 4)
    again = await after(watchers.live(None, update.id))
    assert (again.id, ids(again), again.missed) == (update.id, [], 0)


@pytest.mark.parametrize("strange", ["there-1", "here", "here-x", "here--1", "here-99999999999999999999", "nonsense"])
async def test_a_place_of_another_life_is_none_of_ours(strange: str) -> None:
    watchers = made()
    watchers.stored([request(0)])
    update = await after(watchers.live(None, strange))
    assert (update.requests, update.missed) == ((), 0)


async def test_only_their_own_keys_requests_are_told() -> None:
    watchers = made()
    live, nobodys = watchers.live(("k2", "k3"), ""), watchers.live((), "")
    await after(live), await after(nobodys)
    watchers.stored([request(0, "k1"), request(1, "k2"), request(2, "k3")])
    assert ids(await after(live)) == ["r1", "r2"]
    assert ids(await after(nobodys)) == []


async def test_updates_are_so_far_apart_and_silence_is_told() -> None:
    watchers = made(apart=0.1, silence=0.05)
    live = watchers.live(None, "")
    await after(live)
    loop = asyncio.get_running_loop()
    began, told = loop.time(), 0
    while loop.time() - began < 0.5:
        watchers.stored([request(told)])
        await after(live)
        told += 1
    assert told <= 6
    assert ids(await after(live)) == [], "with nothing new it says so"


async def test_too_many_are_refused_and_who_leaves_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_WATCHERS", 1)
    watchers = made()
    first = watchers.live(None, "")
    await after(first)
    with pytest.raises(DependencyUnavailable):
        await after(watchers.live(None, ""))
    await first.aclose()
    assert ids(await after(watchers.live(None, ""))) == []


@given(batches=st.lists(st.integers(0, 5), max_size=12), most=st.integers(1, 8), stop=st.integers(0, 40))
def test_what_is_told_and_what_is_missed_are_all_that_came(batches: list[int], most: int, stop: int) -> None:
    recent, number = Recent("here", most), 0
    for size in batches:
        recent.add([request(number + place) for place in range(size)])
        number += size
    place = recent.place(f"here-{stop}")
    rows, missed = recent.since(place)
    assert place == min(stop, number)
    assert missed + len(rows) == number - place
    assert [row.id for row in rows] == [f"r{at}" for at in range(number - len(rows), number)]
