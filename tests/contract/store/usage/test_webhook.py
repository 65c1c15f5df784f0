"""The webhook over real HTTP, from every kind of database: at least once, over failures and restarts."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from omni_analytics.adapters.notifier import Notifier
from omni_analytics.adapters.store import SqlStore
from omni_analytics.adapters.webhooks import Webhooks
from omni_analytics.domain.notices import OWN, PAUSES, Webhook, nobody, signature
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rollup import DAY_MS
from omni_analytics.settings import AnalyticsSettings
from omni_catalogue import notify
from omni_catalogue.snapshot import Routing, Server, Snapshot
from omni_core.ports.analytics import LimitEvent, LimitEvents
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.web import HttpWeb
from omni_wire.errors import DependencyUnavailable

from tests.contract.store.usage.test_limit_events import reached
from tests.support.usage_store import KINDS, Usage

KEY = b"k" * 32
NOW = 1_700_000_000_000
Told = tuple[dict[str, str], bytes]


def told(_: Reached) -> tuple[str, ...]:
    """The environment's webhook, of everything."""
    return (OWN,)


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

    async def open(
        self, *, allow_private: bool = True, url: str = "", webhooks: Webhooks | None = None
    ) -> tuple[SqlStore, Notifier]:
        store = self.usage.store()
        await store.open()
        self.exits.push_async_callback(store.close)
        hook = Webhook(url or self.url, KEY, allow_private)
        settings = AnalyticsSettings(notify_timeout=0.3, notices_at_once=3)
        there = webhooks or Webhooks(hook, lambda: None)
        notifier = Notifier(store, HttpWeb(), there, self.meter, settings, lambda: self.now)  # type: ignore[arg-type]
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
    await store.keep_reached([reached(1)], told)
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
    await store.keep_reached([reached(1)], told)
    assert await notifier.notify() == 0, "one that comes again is no news"


async def test_what_failed_is_tried_again_after_its_pause_by_whoever_is_there_then(stage: Stage) -> None:
    stage.receiver.statuses = [503, 0, 302, 204]
    stage.receiver.headers = b"location: /elsewhere\r\n"
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], told)
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
    await store.keep_reached([reached(1)], told)
    for pause in (*PAUSES, 10**6):
        assert await notifier.notify() == 1
        stage.now += pause * 1000
    assert await notifier.notify() == 0
    assert ((await only(store)).webhook, (await only(store)).tries) == ("dead", len(PAUSES) + 1)
    assert stage.meter.results == ["failed"] * len(PAUSES) + ["dead"]


async def test_two_that_look_at_once_do_not_send_the_same(stage: Stage) -> None:
    (store, one), (_, two) = await stage.open(), await stage.open()
    await store.keep_reached([reached(number) for number in range(9)], told)
    sent = 0
    while found := sum(await asyncio.gather(one.notify(), two.notify())):
        sent += found
    ids = [headers["webhook-id"] for headers, _ in stage.receiver.told]
    assert sent == len(ids) == len(set(ids)) == 9


async def test_one_that_died_while_it_sent_is_sent_again_under_its_id(stage: Stage) -> None:
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], told)
    assert len(await store.due_notices(NOW, 5, [OWN])) == 1  # and then it was killed
    stage.now += PAUSES[0] * 1000
    assert await notifier.notify() == 1
    assert (await only(store)).webhook == "delivered"


async def test_a_private_address_is_not_called_unless_it_is_meant(stage: Stage) -> None:
    for url in ("", stage.url.replace("127.0.0.1", "localhost"), stage.url.replace("127.0.0.1", "2130706433")):
        store, notifier = await stage.open(allow_private=False, url=url)
        await store.keep_reached([reached(len(url))], told)
        assert await notifier.notify() == 1
    assert stage.receiver.told == []
    assert set(stage.meter.results) == {"failed"}


async def test_without_a_webhook_nothing_waits_for_one(stage: Stage) -> None:
    store, notifier = await stage.open()
    await store.keep_reached([reached(1)], nobody)
    assert await notifier.notify() == 0
    assert (await only(store)).webhook == ""


# ---- those of the configuration -------------------------------------------------------------------------------------

SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
OTHER = b"o" * 32


class Configured:
    """The configuration in force, and auth, which has the secrets."""

    def __init__(self, *webhooks: notify.Webhook) -> None:
        self.webhooks = webhooks
        self.secrets = {each.id: (SECRET, each.secret_version) for each in webhooks}
        self.asked: list[str] = []
        self.away = False

    def current(self) -> Snapshot:
        return Snapshot(
            revision=1, created=1, server=Server(), providers=(), combos=(), keys=(), routing=Routing(),
            webhooks=self.webhooks,
        )  # fmt: skip

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        self.asked.append(account_id)
        if self.away:
            raise DependencyUnavailable("auth is away")
        return Credential(*self.secrets[account_id])

    def made(self, own: Webhook | None = None) -> Webhooks:
        return Webhooks(own, self.current, self)


def named(name: str, url: str, **more: object) -> notify.Webhook:
    fields = {"name": name, "url": url, "secret_version": "1", "allow_private": True} | more
    return msgspec.convert(fields, notify.Webhook)


def hosts(receiver: Receiver) -> list[str]:
    return sorted(headers[""].split()[1] for headers, _ in receiver.told)


async def test_each_is_told_of_what_it_wants_beside_that_of_the_environment(stage: Stage) -> None:
    base = stage.url.partition("/hook")[0]
    configured = Configured(
        named("all", f"{base}/all"),
        named("acme", f"{base}/acme", organisation="acme"),
        named("full", f"{base}/full", percents=[100]),
    )
    webhooks = configured.made(Webhook(f"{base}/own", KEY, True))
    store, notifier = await stage.open(webhooks=webhooks)
    await store.keep_reached([reached(1), reached(2, organisation="acme", percent=100)], webhooks.recipients)
    while await notifier.notify():
        """At most three at once."""
    assert hosts(stage.receiver) == ["/acme", "/all", "/all", "/full", "/own", "/own"]
    assert sorted(set(configured.asked)) == ["notify:acme", "notify:all", "notify:full"]
    for headers, body in stage.receiver.told:
        stamp = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signature(KEY, headers["webhook-id"], stamp, body)
    assert {(one.webhook, one.tries) for one in await store.limit_events(LimitEvents())} == {("delivered", 1)}


async def test_one_that_fails_is_tried_again_by_itself_over_a_restart_where_it_is_then(stage: Stage) -> None:
    base = stage.url.partition("/hook")[0]
    stage.receiver.statuses = [503, 204]
    configured = Configured(named("pager", f"{base}/old"))
    store, notifier = await stage.open(webhooks=configured.made())
    await store.keep_reached([reached(1)], configured.made().recipients)
    assert await notifier.notify() == 1
    assert ((await only(store)).webhook, (await only(store)).tries) == ("waiting", 1)
    await store.close()
    configured.webhooks = (named("pager", f"{base}/new", secret_version="2"),)
    configured.secrets["notify:pager"] = (f"whsec_{base64.b64encode(OTHER).decode()}", "2")
    store, notifier = await stage.open(webhooks=configured.made())
    assert await notifier.notify() == 0, "not before its time"
    stage.now += PAUSES[0] * 1000
    assert await notifier.notify() == 1
    assert hosts(stage.receiver) == ["/new", "/old"]
    headers, body = stage.receiver.told[-1]
    assert headers["webhook-signature"] == signature(OTHER, headers["webhook-id"], stage.now // 1000, body)
    assert ((await only(store)).webhook, (await only(store)).tries) == ("delivered", 2)


async def test_what_is_for_one_that_is_taken_out_waits_and_keeps_nobody_up(stage: Stage) -> None:
    base = stage.url.partition("/hook")[0]
    configured = Configured(named("gone", f"{base}/gone"), named("pager", f"{base}/pager"))
    webhooks = configured.made()
    store, notifier = await stage.open(webhooks=webhooks)
    await store.keep_reached([reached(number) for number in range(5)], webhooks.recipients)
    gone, configured.webhooks = configured.webhooks[:1], configured.webhooks[1:]
    while await notifier.notify():
        """At most three at once."""
    assert hosts(stage.receiver) == ["/pager"] * 5
    assert {one.webhook for one in await store.limit_events(LimitEvents())} == {"waiting"}
    configured.webhooks = gone
    while await notifier.notify():
        """Those that waited."""
    assert hosts(stage.receiver)[:5] == ["/gone"] * 5
    assert {one.webhook for one in await store.limit_events(LimitEvents())} == {"delivered"}


async def test_a_secret_is_asked_for_once_a_version_and_again_while_auth_is_away(stage: Stage) -> None:
    configured = Configured(named("pager", stage.url))
    configured.away = True
    webhooks = configured.made()
    store, notifier = await stage.open(webhooks=webhooks)
    await store.keep_reached([reached(1), reached(2)], webhooks.recipients)
    assert await notifier.notify() == 2
    assert stage.meter.results == ["failed"] * 2
    configured.away = False
    configured.asked.clear()
    for number in range(3, 6):
        await store.keep_reached([reached(number)], webhooks.recipients)
        assert await notifier.notify() == 1
    assert configured.asked == ["notify:pager"]
    configured.secrets["notify:pager"] = ("no secret of a webhook", "2")
    configured.webhooks = (named("pager", stage.url, secret_version="2"),)
    await store.keep_reached([reached(9)], webhooks.recipients)
    assert await notifier.notify() == 1
    assert stage.meter.results[-1] == "failed"


async def test_two_that_look_at_once_do_not_send_the_same_to_one_of_the_configuration(stage: Stage) -> None:
    webhooks = Configured(named("pager", stage.url)).made()
    (store, one), (_, two) = await stage.open(webhooks=webhooks), await stage.open(webhooks=webhooks)
    await store.keep_reached([reached(number) for number in range(9)], webhooks.recipients)
    sent = 0
    while found := sum(await asyncio.gather(one.notify(), two.notify())):
        sent += found
    ids = [headers["webhook-id"] for headers, _ in stage.receiver.told]
    assert sent == len(ids) == len(set(ids)) == 9


async def test_notices_go_with_the_event_that_is_forgotten(stage: Stage) -> None:
    configured = Configured(named("pager", stage.url))
    store, notifier = await stage.open(webhooks=configured.made())
    await store.keep_reached([reached(1)], configured.made().recipients)
    await store.forget_some(reached(1).at_ms + 10 * DAY_MS)
    assert await notifier.notify() == 0
    await store.keep_reached([reached(1)], lambda _: ())
    assert (await only(store)).webhook == ""
