"""The webhook over real HTTP, from every kind of database: at least once, over failures and restarts."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from omni_analytics.adapters.notifier import Notifier
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.notices import PAUSES, Webhook, signature
from omni_analytics.settings import AnalyticsSettings
from omni_core.ports.analytics import LimitEvent, LimitEvents
from omni_core.web import HttpWeb

from tests.contract.store.usage.test_limit_events import reached
from tests.support.usage_store import KINDS, Usage

KEY = b"k" * 32
NOW = 1_700_000_000_000
Told = tuple[dict[str, str], bytes]


class Receiver:
    """Answers with ``statuses`` in turn, the last one for good; 0 is no answer at all."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.told: list[Told] = []
        self.headers = b""
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook?x=1"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.told.append((headers | {"": lines[0]}, body))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status:
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n%s\r\n" % (status, self.headers))
        else:
            await reader.read()  # until who asked gives up
        writer.close()


class Meter:
    def __init__(self) -> None:
        self.results: list[str] = []

    def notified(self, result: str) -> None:
        self.results.append(result)


class Stage:
    """A store, a receiver, and notifiers that share a clock."""

    def __init__(self, usage: Usage, exits: AsyncExitStack) -> None:
        self.usage, self.exits, self.now = usage, exits, NOW
        self.receiver, self.meter = Receiver(), Meter()

    async def open(self, *, allow_private: bool = True, url: str = "") -> tuple[SqlStore, Notifier]:
        store = self.usage.store()
        await store.open()
        self.exits.push_async_callback(store.close)
        hook = Webhook(url or self.url, KEY, allow_private)
        settings = AnalyticsSettings(notify_timeout=0.3, notices_at_once=3)
        notifier = Notifier(store, HttpWeb(), hook, self.meter, settings, lambda: self.now)  # type: ignore[arg-type]
        return store, notifier

    async def begin(self) -> None:
        self.url = await self.receiver.start()
        self.exits.push_async_callback(self.receiver.stop)


@pytest.fixture(params=KINDS)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    usage = Usage.of(request, request.param, tmp_path)
    async with AsyncExitStack() as exits:
        made = Stage(usage, exits)
        await made.begin()
        yield made


async def only(store: SqlStore) -> LimitEvent:
    (found,) = await store.limit_events(LimitEvents())
    return found


async def test_it_is_told_once_signed_with_all_of_the_event(stage: Stage) -> None:
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], notify=True)
    assert (await only(store)).webhook == "waiting"
    assert await notifier.notify() == 1
    assert await notifier.notify() == 0
    ((headers, body),) = stage.receiver.told
    assert headers[""] == "POST /hook?x=1 HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["data"]["name"] == "tag/batch/soft"
    stamp = int(headers["webhook-timestamp"])
    assert stamp == NOW // 1000
    assert headers["webhook-signature"] == signature(KEY, headers["webhook-id"], stamp, body)
    assert ((await only(store)).webhook, (await only(store)).tries) == ("delivered", 1)
    assert stage.meter.results == ["delivered"]
    await store.keep_reached([reached(1)], notify=True)
    assert await notifier.notify() == 0, "one that comes again is no news"


async def test_what_failed_is_tried_again_after_its_pause_by_whoever_is_there_then(stage: Stage) -> None:
    stage.receiver.statuses = [503, 0, 302, 204]
    stage.receiver.headers = b"location: /elsewhere\r\n"
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], notify=True)
    assert await notifier.notify() == 1
    assert await notifier.notify() == 0, "not before its time"
    await store.close()
    for pause in PAUSES[:3]:
        stage.now += pause * 1000 - 1
        store, notifier = await stage.open()
        assert await notifier.notify() == 0
        stage.now += 1
        assert await notifier.notify() == 1
    assert len({headers["webhook-id"] for headers, _ in stage.receiver.told}) == 1
    assert [headers[""].split()[1] for headers, _ in stage.receiver.told] == ["/hook?x=1"] * 4, (
        "no redirect is followed"
    )
    assert stage.meter.results == ["failed"] * 3 + ["delivered"]
    assert ((await only(store)).webhook, (await only(store)).tries) == ("delivered", 4)


async def test_after_so_many_tries_it_is_dead_counted_and_shown(stage: Stage) -> None:
    stage.receiver.statuses = [500]
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], notify=True)
    for pause in (*PAUSES, 10**6):
        assert await notifier.notify() == 1
        stage.now += pause * 1000
    assert await notifier.notify() == 0
    assert ((await only(store)).webhook, (await only(store)).tries) == ("dead", len(PAUSES) + 1)
    assert stage.meter.results == ["failed"] * len(PAUSES) + ["dead"]


async def test_two_that_look_at_once_do_not_send_the_same(stage: Stage) -> None:
    (store, one), (_, two) = await stage.open(), await stage.open()
    await store.keep_reached([reached(number) for number in range(9)], notify=True)
    sent = 0
    while found := sum(await asyncio.gather(one.notify(), two.notify())):
        sent += found
    ids = [headers["webhook-id"] for headers, _ in stage.receiver.told]
    assert sent == len(ids) == len(set(ids)) == 9


async def test_one_that_died_while_it_sent_is_sent_again_under_its_id(stage: Stage) -> None:
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], notify=True)
    assert len(await store.due_notices(NOW, 5)) == 1  # and then it was killed
    stage.now += PAUSES[0] * 1000
    assert await notifier.notify() == 1
    assert (await only(store)).webhook == "delivered"


async def test_a_private_address_is_not_called_unless_it_is_meant(stage: Stage) -> None:
    for url in ("", stage.url.replace("127.0.0.1", "localhost"), stage.url.replace("127.0.0.1", "2130706433")):
        store, notifier = await stage.open(allow_private=False, url=url)
        await store.keep_reached([reached(len(url))], notify=True)
        assert await notifier.notify() == 1
    assert stage.receiver.told == []
    assert set(stage.meter.results) == {"failed"}


async def test_without_a_webhook_nothing_waits_for_one(stage: Stage) -> None:
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], notify=False)
    assert await notifier.notify() == 0
    assert (await only(store)).webhook == ""
