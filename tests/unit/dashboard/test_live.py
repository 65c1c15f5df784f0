"""/api/live: server-sent events, for those who may see them, that end with a reason."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from omni_core.ports.analytics import Update
from omni_dashboard.server import live
from omni_wire.errors import DependencyUnavailable

from tests.unit.dashboard.ports import ADMIN, DEV, FOUND, House, is_problem
from tests.unit.dashboard.test_access import keep


def events(text: str) -> list[tuple[str, str, Any]]:
    """Name, id and data of each; "" and None of a comment."""
    found = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "null"))))
    return found


async def test_requests_come_as_events_with_ids_and_silence_as_a_comment(house: House) -> None:
    house.analytics.updates = [Update("k-0"), Update("k-2", (FOUND,)), Update("k-2"), Update("k-3", (FOUND,))]
    answer = await house.call("GET", "/api/live", ADMIN, headers={"Last-Event-ID": "k-0"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    told = events(answer.text)
    assert [(name, id_) for name, id_, _ in told] == [
        ("ready", "k-0"), ("requests", "k-2"), ("", ""), ("requests", "k-3"), ("end", ""),
    ]  # fmt: skip
    (line,) = told[1][2]["requests"]
    assert (line["id"], line["cost_usd"]) == ("0190", "0.00125")
    assert house.analytics.watched == [(None, "k-0")]


async def test_a_developer_watches_their_own_key(house: House) -> None:
    await house.call("GET", "/api/live", DEV)
    assert house.analytics.watched == [(("key_dev",), "")]
    keep(house, management=("keys",))
    is_problem(await house.call("GET", "/api/live", ADMIN), 403)


async def test_who_missed_some_before_coming_is_told_and_who_reads_too_slowly_is_let_go(house: House) -> None:
    house.analytics.updates = [Update("k-9", (FOUND,), 4), Update("k-99", (FOUND,), 7), Update("k-100", (FOUND,))]
    told = events((await house.call("GET", "/api/live", ADMIN)).text)
    assert (told[0][0], told[0][2]["missed"]) == ("ready", 4)
    assert told[1:] == [("end", "k-99", {"reason": "you read too slowly", "missed": 7})]


async def test_one_who_watches_often_leaves_room_for_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_EACH", 2)
    opened = asyncio.Semaphore(0)

    async def silent(*_: object) -> AsyncGenerator[Update, None]:
        opened.release()
        yield Update("k-0")
        await asyncio.sleep(60)

    monkeypatch.setattr(house.analytics, "live", silent)
    watching = [asyncio.ensure_future(house.call("GET", "/api/live", DEV)) for _ in range(2)]
    async with asyncio.timeout(20):
        for _ in watching:
            await opened.acquire()
    is_problem(await house.call("GET", "/api/live", DEV), 429)
    watching.append(asyncio.ensure_future(house.call("GET", "/api/live", ADMIN)))
    async with asyncio.timeout(20):
        await opened.acquire()
    await house.component.drain()
    assert [answer.status_code for answer in await asyncio.gather(*watching)] == [200] * 3
    assert not house.component.service.watching


async def test_why_it_ends_is_said(house: House) -> None:
    house.analytics.failure = DependencyUnavailable("200 watch already")
    assert events((await house.call("GET", "/api/live", ADMIN)).text) == [("end", "", {"reason": "200 watch already"})]


async def test_a_key_that_ends_meanwhile_watches_no_longer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ASKED_AGAIN", 0.0)
    people = dict(house.auth.people)

    async def updates(*_: object) -> AsyncGenerator[Update, None]:
        yield Update("k-0")
        house.auth.people = {}
        house.component.service.forget()
        yield Update("k-1", (FOUND,))
        yield Update("k-2", (FOUND,))

    monkeypatch.setattr(house.analytics, "live", updates)
    told = events((await house.call("GET", "/api/live", ADMIN)).text)
    house.auth.people = people
    assert [name for name, _, _ in told] == ["ready", "requests", "end"]
    assert told[-1][2] == {"reason": "this API key is not known"}


async def test_a_gateway_that_ends_sends_those_away_who_watch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object) -> AsyncGenerator[Update, None]:
        yield Update("k-0")
        await asyncio.sleep(60)

    monkeypatch.setattr(house.analytics, "live", silent)
    asking = asyncio.ensure_future(house.call("GET", "/api/live", ADMIN))
    await asyncio.sleep(0.1)
    await house.component.drain()
    told = events((await asyncio.wait_for(asking, 5)).text)
    assert told[-1] == ("end", "", {"reason": "this gateway is shutting down"})


async def test_a_client_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STALLED", 0.05)

    async def parts() -> AsyncGenerator[bytes, None]:
        yield b"x"

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(live.EventStream(parts()).stream_response(send), 5)


async def test_a_key_that_may_see_something_else_from_now_on_has_to_come_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ASKED_AGAIN", 0.0)
    people = dict(house.auth.people)

    async def updates(*_: object) -> AsyncGenerator[Update, None]:
        yield Update("k-0")
        house.auth.people = {d: msgspec.structs.replace(who, role="developer") for d, who in people.items()}
        house.component.service.forget()
        yield Update("k-1", (FOUND,))
        yield Update("k-2", (FOUND,))

    monkeypatch.setattr(house.analytics, "live", updates)
    told = events((await house.call("GET", "/api/live", ADMIN)).text)
    assert [name for name, _, _ in told] == ["ready", "requests", "end"]
    assert told[-1][2] == {"reason": "what you may see is not the same any more"}
