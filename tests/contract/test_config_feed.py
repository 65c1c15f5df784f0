"""The configuration feed over a real NATS, and without one."""

import asyncio
import logging
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from omni_catalogue.snapshot import Combo, Routing, Server, Snapshot, encode
from omni_core.bus import Bus
from omni_core.component import ConfigState
from omni_core.config_feed import BUCKET, KEY, ConfigFeed, ConfigMetrics, Listener, Refused
from omni_core.signatures import PublicKeys, SigningKey
from omni_core.telemetry import new_registry
from omni_wire.errors import DependencyUnavailable
from prometheus_client import CollectorRegistry

from tests.support.servers import NatsServer, free_port
from tests.support.signed import believed, signed


def snapshot(revision: int, *combos: Combo) -> Snapshot:
    server, routing = Server(port=revision), Routing()
    return Snapshot(
        revision=revision, created=1, server=server, providers=(), combos=combos, keys=(), routing=routing
    )  # fmt: skip


def into(seen: list[int]) -> Listener:
    """Notes the revisions that came into force."""
    return lambda found: partial(seen.append, found.revision)


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    """One for each test: the feed's bucket has one name, and some tests stop the server."""
    server = NatsServer().start()
    yield server
    server.close()


@pytest.fixture
async def auth(nats: NatsServer) -> AsyncIterator[Bus]:
    """The publisher's side."""
    bus = Bus(nats.url, name="auth")
    yield bus
    await bus.close()


Follow = Callable[..., Awaitable[ConfigFeed]]


@pytest.fixture
async def follow() -> AsyncIterator[Follow]:
    """Starts feeds, and stops them in the end."""
    started: list[tuple[Bus, ConfigFeed]] = []

    async def start(
        url: str,
        file: Path | None = None,
        timeout: float = 5.0,
        registry: CollectorRegistry | None = None,
        keys: PublicKeys | None = None,
    ) -> ConfigFeed:
        bus = Bus(url, name="router")
        feed = ConfigFeed(bus, file, keys or believed(), ConfigMetrics("test", registry) if registry else None)
        started.append((bus, feed))
        await feed.start(timeout)
        return feed

    yield start
    for bus, feed in started:
        await feed.stop()
        await bus.close()


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 — what is awaited has no event, a log line for instance
            await asyncio.sleep(0.02)


async def publish(bus: Bus, value: bytes) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await bus.kv_put(BUCKET, KEY, value)
            except DependencyUnavailable:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_late_joiner_gets_the_current_snapshot_and_then_each_new_one(
    nats: NatsServer, auth: Bus, follow: Follow
) -> None:
    await publish(auth, signed(snapshot(1)))
    await publish(auth, signed(snapshot(2)))
    feed = await follow(nats.url)
    assert feed.revision == 2
    assert await feed.wait(0.1) == snapshot(2)
    seen: list[int] = []
    feed.on_change(into(seen))
    await publish(auth, signed(snapshot(3)))
    await until(lambda: feed.revision == 3)
    assert seen == [2, 3]
    assert feed.current == snapshot(3)


async def test_whoever_starts_first_waits_for_the_first_snapshot(nats: NatsServer, auth: Bus, follow: Follow) -> None:
    feed = await follow(nats.url, timeout=0.1)
    assert feed.current is None
    assert feed.revision == 0
    with pytest.raises(DependencyUnavailable, match="no configuration"):
        await feed.wait(0.1)
    waiting = asyncio.create_task(feed.wait(10.0))
    await publish(auth, signed(snapshot(1)))
    assert await waiting == snapshot(1)


BAD = [b"", b"not json", b"{}", b'{"revision": "seven"}', b"\xff\xfe", encode(snapshot(7))[:-1], b"[" * 100_000]


@pytest.mark.parametrize("bad", BAD)
async def test_a_value_that_is_no_snapshot_is_refused_and_the_old_one_kept(
    bad: bytes, nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "snapshot.json"
    await publish(auth, signed(snapshot(5)))
    feed = await follow(nats.url, file)
    await until(file.exists)
    with caplog.at_level(logging.ERROR, logger="omniroute.config"):
        await publish(auth, signed(bad))
        await until(lambda: "keeping revision 5" in caplog.text)
    assert feed.refused is not None
    assert feed.refused.revision == 2  # its number in the bucket: it does not tell its own
    assert feed.current == snapshot(5)
    assert file.read_bytes() == signed(snapshot(5))
    await publish(auth, signed(snapshot(6)))
    await until(lambda: feed.revision == 6)
    assert feed.refused is None


def forged(revision: int) -> dict[str, bytes]:
    """What somebody may put in place who can write, and cannot sign."""
    good = signed(snapshot(revision))
    head, _, rest = good.partition(b"\n")
    return {
        "never signed": encode(snapshot(revision)),
        "signed by another": signed(snapshot(revision), token="another"),
        "another key named": signed(snapshot(revision), token="another").replace(ANOTHER, OURS, 1),
        "the signature of an older one": signed(snapshot(1)).partition(b"\n")[0] + b"\n" + rest,
        "a byte of the snapshot": good.replace(b'"created":1,', b'"created":2,'),
        "a byte of the signature": head[:-20] + (b"A" if head[-20:-19] != b"A" else b"B") + head[-19:] + b"\n" + rest,
        "a byte of the header": good.replace(b"config-1", b"config-2", 1),
        "a byte more": good + b"\n",
    }


OURS, ANOTHER = SigningKey.from_token("t").id.encode(), SigningKey.from_token("another").id.encode()


@pytest.mark.parametrize("how", list(forged(6)))
async def test_what_auth_has_not_signed_is_refused_with_its_place_and_what_to_do(
    how: str, nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file, registry, seen = tmp_path / "snapshot.json", new_registry(), []
    await publish(auth, signed(snapshot(5)))
    feed = await follow(nats.url, file, registry=registry)
    feed.on_change(into(seen))
    await until(file.exists)
    await publish(auth, forged(6)[how])
    await until(lambda: feed.refused is not None)
    revision, refused, reason = feed.state.revision, feed.state.refused_revision, feed.state.refused_reason
    assert (revision, refused) == (5, 2), "its number in the bucket: what it says of itself is not believed"
    assert reason.startswith("omniroute_config/snapshot in NATS: it")
    assert "auth puts its own in place again" in reason
    assert (gauge(registry, "refused_revision"), gauge(registry, "not_signed_total")) == (2, 1)
    assert file.read_bytes() == signed(snapshot(5))
    await publish(auth, signed(snapshot(6)))
    await until(lambda: feed.revision == 6)
    assert (feed.refused, gauge(registry, "refused_revision"), seen) == (None, 0, [5, 6])


@pytest.mark.parametrize("how", list(forged(6)))
async def test_a_copy_on_disk_that_auth_has_not_signed_is_not_used_and_named_by_its_path(
    how: str, nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file, registry = tmp_path / "snapshot.json", new_registry()
    file.write_bytes(forged(6)[how])
    nats.stop()
    feed = await follow(nats.url, file, timeout=0.1, registry=registry)
    assert feed.current is None
    assert feed.refused is not None
    assert feed.refused.reason.startswith(f"{file}: it")
    assert "Remove the file" in feed.refused.reason
    assert gauge(registry, "not_signed_total") == 1
    nats.start()
    await publish(auth, signed(snapshot(3)))
    await until(lambda: feed.revision == 3 and file.read_bytes() == signed(snapshot(3)))
    assert feed.refused is None


async def test_the_key_is_changed_while_all_goes_on(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    """First all are told of the newer key, then auth signs with it, then the older one is taken away."""
    older, newer, public = SigningKey.new(), SigningKey.new(), tmp_path / "public.pem"
    file, seen = tmp_path / "snapshot.json", []
    public.write_bytes(older.public_pem())
    await publish(auth, older.seal(encode(snapshot(1))))
    feed = await follow(nats.url, file, keys=PublicKeys([older.public], str(public)))
    feed.on_change(into(seen))
    public.write_bytes(older.public_pem() + newer.public_pem())
    await publish(auth, newer.seal(encode(snapshot(1))))
    await until(lambda: file.exists() and file.read_bytes() == newer.seal(encode(snapshot(1))))
    public.write_bytes(newer.public_pem())
    await publish(auth, older.seal(encode(snapshot(2))))
    await until(lambda: feed.refused is not None)
    assert older.id in feed.state.refused_reason
    await publish(auth, newer.seal(encode(snapshot(2))))
    await until(lambda: feed.revision == 2)
    assert seen == [1, 2]


async def test_ten_members_keep_what_they_have_under_a_rain_of_forgeries(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    await publish(auth, signed(snapshot(5)))
    feeds = [await follow(nats.url, tmp_path / str(number) / "snapshot.json") for number in range(10)]
    for value in forged(1 << 52).values():
        await publish(auth, value)
    await until(lambda: all(feed.refused is not None for feed in feeds))
    assert {feed.revision for feed in feeds} == {5}
    await publish(auth, signed(snapshot(6)))
    await until(lambda: all(feed.revision == 6 and feed.refused is None for feed in feeds))


NOWHERE = Combo(name="best", strategy="fill-first", targets=("acme/gpt-x",))


async def test_a_snapshot_that_contradicts_itself_is_refused_and_named_by_its_own_number(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file, registry, seen = tmp_path / "snapshot.json", new_registry(), []
    await publish(auth, signed(snapshot(5)))
    feed = await follow(nats.url, file, registry=registry)
    feed.on_change(into(seen))
    await until(file.exists)
    await publish(auth, signed(snapshot(6, NOWHERE)))
    await until(lambda: feed.refused is not None)
    assert feed.state == ConfigState(5, 6, "the combo 'best' has a target that is not there: 'acme/gpt-x'")
    assert (gauge(registry, "revision"), gauge(registry, "refused_revision")) == (5, 6)
    assert feed.current == snapshot(5)
    assert file.read_bytes() == signed(snapshot(5))
    before = gauge(registry, "applied_timestamp_seconds")
    await publish(auth, signed(snapshot(7)))
    await until(lambda: feed.revision == 7)
    assert feed.state == ConfigState(7)
    assert (gauge(registry, "revision"), gauge(registry, "refused_revision")) == (7, 0)
    assert before < gauge(registry, "applied_timestamp_seconds") <= time.time()
    assert seen == [5, 7]


def gauge(registry: CollectorRegistry, name: str) -> float:
    value = registry.get_sample_value(f"omniroute_test_config_{name}")
    assert value is not None
    return value


async def test_when_one_listener_cannot_use_a_snapshot_none_of_them_switches_to_it(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file, first, last = tmp_path / "snapshot.json", [], []
    feed = await follow(nats.url, file, timeout=0.1)

    def picky(found: Snapshot) -> Callable[[], None]:
        if found.revision == 2:
            raise RuntimeError("what is in here must not be told to everybody")
        return lambda: None

    for listener in (into(first), picky, into(last)):
        feed.on_change(listener)
    await publish(auth, signed(snapshot(1)))
    await until(lambda: last == [1] and file.exists())
    await publish(auth, signed(snapshot(2)))
    await until(lambda: feed.refused is not None)
    assert feed.refused == Refused(2, "it cannot be put into force (RuntimeError)")
    assert (feed.revision, first, last) == (1, [1], [1])
    assert file.read_bytes() == signed(snapshot(1))
    await publish(auth, signed(snapshot(3)))
    await until(lambda: last == [1, 3])
    assert (first, feed.refused) == ([1, 3], None)


async def test_a_listener_that_breaks_its_promise_leaves_the_others_in_step(
    nats: NatsServer, auth: Bus, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    feed = await follow(nats.url, timeout=0.1)

    def fail() -> None:
        raise RuntimeError("it had agreed to it")

    feed.on_change(lambda _: fail)
    feed.on_change(into(seen))
    await publish(auth, signed(snapshot(1)))
    await publish(auth, signed(snapshot(2)))
    await until(lambda: seen[-1:] == [2])
    assert "failed to switch" in caplog.text


async def test_what_was_refused_is_forgotten_when_the_snapshot_in_force_is_published_again(
    nats: NatsServer, auth: Bus, follow: Follow
) -> None:
    await publish(auth, signed(snapshot(5)))
    feed = await follow(nats.url)
    await publish(auth, b"garbage")
    await until(lambda: feed.refused is not None)
    await publish(auth, signed(snapshot(5)))  # as auth does within two seconds
    await until(lambda: feed.refused is None)
    assert feed.revision == 5


async def test_a_lower_revision_is_refused(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "snapshot.json"
    await publish(auth, signed(snapshot(5)))
    feed = await follow(nats.url, file)
    with caplog.at_level(logging.WARNING, logger="omniroute.config"):
        await publish(auth, signed(snapshot(4)))
        await until(lambda: "refused configuration 4" in caplog.text)
    assert feed.state == ConfigState(5, 4, "it is older than 5, which is in force")
    assert feed.revision == 5
    assert file.read_bytes() == signed(snapshot(5))


async def test_the_last_good_copy_is_private_and_replaced_whole(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file = tmp_path / "router" / "snapshot.json"
    await publish(auth, signed(snapshot(1)))
    feed = await follow(nats.url, file)
    for revision in range(2, 12):
        await publish(auth, signed(snapshot(revision)))
    await until(lambda: feed.revision == 11 and file.read_bytes() == signed(snapshot(11)))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


async def test_a_process_starts_from_disk_while_nats_is_away(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file = tmp_path / "snapshot.json"
    file.write_bytes(signed(snapshot(5)))
    await publish(auth, signed(snapshot(6)))
    nats.stop()
    began = time.monotonic()
    feed = await follow(nats.url, file)
    assert feed.current == snapshot(5)
    assert time.monotonic() - began < 10
    nats.start()
    await until(lambda: feed.revision == 6)
    await until(lambda: file.read_bytes() == signed(snapshot(6)))


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 100])
async def test_a_broken_copy_on_disk_is_no_reason_not_to_start(content: bytes, follow: Follow, tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json"
    file.write_bytes(content)
    feed = await follow(f"nats://127.0.0.1:{free_port()}", file, timeout=0.1)
    assert feed.current is None


async def test_a_newer_copy_on_disk_is_not_overruled_by_an_older_published_one(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file = tmp_path / "snapshot.json"
    file.write_bytes(signed(snapshot(9)))
    await publish(auth, signed(snapshot(8)))
    feed = await follow(nats.url, file)
    assert feed.revision == 9
    await publish(auth, signed(snapshot(10)))
    await until(lambda: feed.revision == 10)


async def test_a_disk_that_cannot_be_written_does_not_stop_the_feed(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    await publish(auth, signed(snapshot(1)))
    feed = await follow(nats.url, tmp_path / "blocked" / "snapshot.json")
    await publish(auth, signed(snapshot(2)))
    await until(lambda: feed.revision == 2)


async def test_a_restart_of_nats_on_the_same_port_is_survived(nats: NatsServer, auth: Bus, follow: Follow) -> None:
    await publish(auth, signed(snapshot(1)))
    feed = await follow(nats.url)
    nats.kill()
    assert feed.current == snapshot(1)
    nats.start()
    await publish(auth, signed(snapshot(2)))
    await until(lambda: feed.revision == 2)
