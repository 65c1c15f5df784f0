"""Members are forgotten by the time they were last heard of, and not while nobody can be heard."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from omni_core import members
from omni_core.bus import KvChange
from omni_core.members import TTL, Member, MemberFeed, overdue
from omni_wire.errors import DependencyUnavailable

ONE = Member(service="router", instance="one", address="a:1")
TWO = Member(service="router", instance="two", address="b:2")


class ScriptedBus:
    """What a feed asks of a bus. ``stored`` is the bucket; None makes it fail."""

    def __init__(self) -> None:
        self.connected = True
        self.stored: dict[str, bytes] | None = {}
        self.changes: asyncio.Queue[KvChange | None] = asyncio.Queue()

    async def kv_get(self, _bucket: str, key: str) -> bytes | None:
        if self.stored is None:
            raise DependencyUnavailable("away")
        return self.stored.get(key)

    async def kv_watch_all(self, _bucket: str, _pattern: str, *, ttl: float) -> AsyncGenerator[KvChange | None, None]:
        assert ttl == TTL
        while True:
            yield await self.changes.get()

    def says(self, *made: Member) -> None:
        for member in made:
            self.changes.put_nowait(KvChange(member.key, msgspec.json.encode(member)))


class Listening:
    """A feed whose clock the test moves."""

    def __init__(self) -> None:
        self.bus = ScriptedBus()
        self.now = 0.0
        self.feed = MemberFeed(self.bus, "router", clock=lambda: self.now)  # type: ignore[arg-type]
        self.heard: list[set[str]] = []
        self.feed.on_change(lambda found: self.heard.append(set(found)))

    async def settle(self) -> None:
        """Let the feed take what was said, and look for who is overdue a few times."""
        for _ in range(20):
            await asyncio.sleep(0.002)


@pytest.fixture
async def listening(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Listening, None]:
    real = asyncio.sleep

    async def quick(seconds: float) -> None:
        await real(0.001 if seconds >= TTL / 10 else seconds)

    monkeypatch.setattr(members.asyncio, "sleep", quick)
    made = Listening()
    await made.feed.start()
    made.bus.changes.put_nowait(None)
    yield made
    await made.feed.stop()


async def test_a_member_comes_changes_and_leaves_and_everybody_is_told_once(listening: Listening) -> None:
    changed = msgspec.structs.replace(ONE, draining=True)
    listening.bus.says(ONE, ONE, TWO, changed, changed)
    await listening.settle()
    assert listening.feed.members == {ONE.key: changed, TWO.key: TWO}
    listening.bus.changes.put_nowait(KvChange(ONE.key, None))
    listening.bus.changes.put_nowait(KvChange(ONE.key, None))
    await listening.settle()
    assert listening.heard == [set(), {ONE.key}, {ONE.key, TWO.key}, {ONE.key, TWO.key}, {TWO.key}]


async def test_one_not_heard_of_for_its_time_is_dropped(listening: Listening) -> None:
    listening.bus.says(ONE, TWO)
    await listening.settle()
    listening.now = TTL - 1
    listening.bus.says(TWO)
    await listening.settle()
    listening.now = TTL + 0.5
    await listening.settle()
    assert set(listening.feed.members) == {TWO.key}


async def test_one_whose_word_was_missed_but_is_stored_is_kept(listening: Listening) -> None:
    listening.bus.says(ONE)
    await listening.settle()
    assert listening.bus.stored is not None
    listening.bus.stored[ONE.key] = msgspec.json.encode(ONE)
    listening.now = TTL + 1
    await listening.settle()
    assert set(listening.feed.members) == {ONE.key}
    listening.bus.stored.clear()
    await listening.settle()
    assert set(listening.feed.members) == {ONE.key}, "it was heard of a moment ago"
    listening.now += TTL + 1
    await listening.settle()
    assert not listening.feed.members


@pytest.mark.parametrize("how", ["disconnected", "cannot be asked"])
async def test_while_nobody_can_be_heard_nobody_is_dropped(listening: Listening, how: str) -> None:
    listening.bus.says(ONE)
    await listening.settle()
    listening.bus.connected = how != "disconnected"
    listening.bus.stored = None if how == "cannot be asked" else {}
    listening.now = 100 * TTL
    await listening.settle()
    assert set(listening.feed.members) == {ONE.key}


async def test_once_nats_is_back_everybody_has_one_whole_time_to_be_heard(listening: Listening) -> None:
    listening.bus.says(ONE, TWO)
    await listening.settle()
    listening.bus.connected = False
    listening.now = 50 * TTL
    await listening.settle()
    listening.bus.connected = True
    listening.bus.changes.put_nowait(None)
    await listening.settle()
    listening.now += TTL - 1
    await listening.settle()
    assert set(listening.feed.members) == {ONE.key, TWO.key}
    listening.bus.says(TWO)
    await listening.settle()
    listening.now += 2
    await listening.settle()
    assert set(listening.feed.members) == {TWO.key}


async def test_what_cannot_be_read_and_a_listener_that_fails_harm_nobody(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: members.Members) -> None:
        raise RuntimeError

    listening.feed.on_change(broken)
    told: list[int] = []
    listening.feed.on_change(lambda found: told.append(len(found)))
    listening.bus.changes.put_nowait(KvChange("router.odd", b"\xff{"))
    listening.bus.changes.put_nowait(KvChange("router.odd", b'{"service": 3}'))
    listening.bus.says(ONE)
    await listening.settle()
    assert told == [0, 1]
    assert "cannot be read" in caplog.text


def test_a_field_of_a_newer_version_is_no_obstacle() -> None:
    newer = msgspec.json.decode(msgspec.json.encode(ONE)) | {"mood": "good"}
    assert msgspec.json.decode(msgspec.json.encode(newer), type=Member) == ONE


@given(some.dictionaries(some.text(max_size=3), some.floats(0, 1000)), some.floats(0, 2000), some.floats(0.1, 100))
def test_overdue_are_exactly_those_last_heard_longer_ago_than_their_time(
    heard: dict[str, float], now: float, ttl: float
) -> None:
    assert set(overdue(heard, now, ttl)) == {key for key, at in heard.items() if now - at > ttl}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("router.evil$1", Member(service="router", instance="evil", address="127.0.0.1:1")),
        ("router.evil$1", Member(service="router", instance="evil$1", address="127.0.0.1:1")),
        ("router.two", Member(service="router", instance="one", address="127.0.0.1:1")),
        ("router.one", Member(service="edge", instance="one", address="127.0.0.1:1")),
        ("router.one", Member(service="router", instance="one", address="unix:/tmp/socket")),
        ("router.one", Member(service="router", instance="one", address="127.0.0.1")),
        ("router.one", Member(service="router", instance="one", address="dns:///elsewhere:1")),
    ],
)
async def test_what_no_member_of_ours_says_is_nobody(listening: Listening, key: str, said: Member) -> None:
    listening.bus.changes.put_nowait(KvChange(key, msgspec.json.encode(said)))
    listening.bus.says(TWO)
    await listening.settle()
    assert listening.feed.members == {TWO.key: TWO}


@pytest.mark.parametrize("address", ["", "router-1:20141", "10.0.0.7:20141", "[fd00::1]:20141"])
async def test_every_address_that_we_announce_is_taken(listening: Listening, address: str) -> None:
    said = msgspec.structs.replace(ONE, address=address)
    listening.bus.says(said)
    await listening.settle()
    assert listening.feed.members == {ONE.key: said}
