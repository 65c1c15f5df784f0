"""The configuration feed over a real NATS, and without one."""

import asyncio
import logging
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from omni_catalogue.snapshot import Routing, Server, Snapshot, encode
from omni_core.bus import Bus
from omni_core.config_feed import BUCKET, KEY, ConfigFeed
from omni_wire.errors import DependencyUnavailable

from tests.support.servers import NatsServer, free_port


def snapshot(revision: int) -> Snapshot:
    return Snapshot(
        revision=revision, created=1, server=Server(port=revision), providers=(), combos=(), keys=(), routing=Routing()
    )


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

    async def start(url: str, file: Path | None = None, timeout: float = 5.0) -> ConfigFeed:
        bus = Bus(url, name="router")
        feed = ConfigFeed(bus, file)
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
    await publish(auth, encode(snapshot(1)))
    await publish(auth, encode(snapshot(2)))
    feed = await follow(nats.url)
    assert feed.revision == 2
    assert await feed.wait(0.1) == snapshot(2)
    seen: list[int] = []
    feed.on_change(lambda found: seen.append(found.revision))
    await publish(auth, encode(snapshot(3)))
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
    await publish(auth, encode(snapshot(1)))
    assert await waiting == snapshot(1)


BAD = [b"", b"not json", b"{}", b'{"revision": "seven"}', b"\xff\xfe", encode(snapshot(7))[:-1], b"[" * 100_000]


@pytest.mark.parametrize("bad", BAD)
async def test_a_value_that_is_no_snapshot_is_refused_and_the_old_one_kept(
    bad: bytes, nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "snapshot.json"
    await publish(auth, encode(snapshot(5)))
    feed = await follow(nats.url, file)
    await until(file.exists)
    with caplog.at_level(logging.ERROR, logger="omniroute.config"):
        await publish(auth, bad)
        await until(lambda: "keeping revision 5" in caplog.text)
    assert feed.current == snapshot(5)
    assert file.read_bytes() == encode(snapshot(5))
    await publish(auth, encode(snapshot(6)))
    await until(lambda: feed.revision == 6)


async def test_a_lower_revision_is_ignored(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "snapshot.json"
    await publish(auth, encode(snapshot(5)))
    feed = await follow(nats.url, file)
    with caplog.at_level(logging.WARNING, logger="omniroute.config"):
        await publish(auth, encode(snapshot(4)))
        await until(lambda: "ignored configuration 4, 5 is in force" in caplog.text)
    assert feed.revision == 5
    assert file.read_bytes() == encode(snapshot(5))


async def test_the_last_good_copy_is_private_and_replaced_whole(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file = tmp_path / "router" / "snapshot.json"
    await publish(auth, encode(snapshot(1)))
    feed = await follow(nats.url, file)
    for revision in range(2, 12):
        await publish(auth, encode(snapshot(revision)))
    await until(lambda: feed.revision == 11 and file.read_bytes() == encode(snapshot(11)))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


async def test_a_process_starts_from_disk_while_nats_is_away(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    file = tmp_path / "snapshot.json"
    file.write_bytes(encode(snapshot(5)))
    await publish(auth, encode(snapshot(6)))
    nats.stop()
    began = time.monotonic()
    feed = await follow(nats.url, file)
    assert feed.current == snapshot(5)
    assert time.monotonic() - began < 3.0
    nats.start()
    await until(lambda: feed.revision == 6)
    await until(lambda: file.read_bytes() == encode(snapshot(6)))


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
    file.write_bytes(encode(snapshot(9)))
    await publish(auth, encode(snapshot(8)))
    feed = await follow(nats.url, file)
    assert feed.revision == 9
    await publish(auth, encode(snapshot(10)))
    await until(lambda: feed.revision == 10)


async def test_a_disk_that_cannot_be_written_does_not_stop_the_feed(
    nats: NatsServer, auth: Bus, follow: Follow, tmp_path: Path
) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    await publish(auth, encode(snapshot(1)))
    feed = await follow(nats.url, tmp_path / "blocked" / "snapshot.json")
    await publish(auth, encode(snapshot(2)))
    await until(lambda: feed.revision == 2)


async def test_a_restart_of_nats_on_the_same_port_is_survived(nats: NatsServer, auth: Bus, follow: Follow) -> None:
    await publish(auth, encode(snapshot(1)))
    feed = await follow(nats.url)
    nats.kill()
    assert feed.current == snapshot(1)
    nats.start()
    await publish(auth, encode(snapshot(2)))
    await until(lambda: feed.revision == 2)


async def test_one_listener_that_fails_keeps_neither_the_others_nor_the_next_revision_away(
    nats: NatsServer, auth: Bus, follow: Follow
) -> None:
    seen: list[int] = []
    feed = await follow(nats.url, timeout=0.1)

    def fail(_: Snapshot) -> None:
        raise RuntimeError("a listener's own mistake")

    feed.on_change(fail)
    feed.on_change(lambda found: seen.append(found.revision))
    await publish(auth, encode(snapshot(1)))
    await until(lambda: seen == [1])
    await publish(auth, encode(snapshot(2)))
    await until(lambda: seen == [1, 2])
