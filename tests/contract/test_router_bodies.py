"""What a router gathers of calls, and how it loses it: simulated providers over real HTTP, real Redis and NATS."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue import snapshot as s
from omni_catalogue.bodies import Bodies
from omni_core import kept_bodies
from omni_core.bus import Bus
from omni_core.kept_bodies import KeptBody, pack, unpack
from omni_core.ports.router import Head
from omni_core.telemetry import new_registry
from omni_router.adapters.bodies import BusBodies
from omni_router.service.keeping import KeepingRouter
from omni_wire.errors import UpstreamError, WireError

from tests.support.router import PATIENT, Harness, provider
from tests.support.servers import nats_server


class Kept:
    """Satisfies ``BodyKeeper``."""

    def __init__(self) -> None:
        self.calls: list[list[KeptBody]] = []

    def keep(self, bodies: Sequence[KeptBody], most: int) -> None:
        self.calls.append([*bodies])

    async def stop(self) -> None: ...


class Keeping:
    """A router that keeps, and what it has kept."""

    def __init__(self, gw: Harness) -> None:
        self.gw, self.kept = gw, Kept()
        self.router = KeepingRouter(gw.service, gw.service, self.kept)  # type: ignore[arg-type]

    def configure(self, bodies: Bodies | None, **changes: Any) -> None:
        base = f"{self.gw.simulator.url}/v1"
        snapshot = s.Snapshot(
            revision=1, created=0, server=s.Server(), providers=(provider("a", base), provider("b", base)),
            combos=(s.Combo(name="best", strategy="fill-first", targets=("a/sim+status:503", "b/sim")),),
            keys=(s.KeyPolicy(id="key-all", name="all"), s.KeyPolicy(id="shy", name="shy", no_bodies=True)),
            routing=s.Routing(breaker=None, timeouts=PATIENT), bodies=bodies,
        )  # fmt: skip
        self.router.prepare(msgspec.structs.replace(snapshot, **changes))()

    async def ask(self, model: str, *, most: int = 1000, **options: Any) -> bytes:
        """The first ``most`` frames of the answer."""
        call, parts = self.gw.call(model, **options), []
        async with contextlib.aclosing(self.router.complete(call)) as frames:
            async for frame in frames:
                if not isinstance(frame, Head):
                    parts.append(frame)
                    if len(parts) >= most:
                        break
        return b"".join(parts)

    def places(self) -> list[tuple[str, int, str]]:
        (call,) = self.kept.calls
        return [(body.stage, body.attempt, body.provider) for body in call]


@pytest.fixture
def keeping(gw: Harness) -> Keeping:
    return Keeping(gw)


CLIENT, ASKED, ANSWERED, TOLD = kept_bodies.STAGES


async def test_nothing_is_gathered_where_nobody_asked_for_it(keeping: Keeping) -> None:
    keeping.configure(None)
    await keeping.ask("a/sim")
    assert keeping.kept.calls == []
    assert keeping.gw.service.gatherings is None


async def test_all_stages_are_what_went_by(keeping: Keeping) -> None:
    keeping.configure(Bodies(everything=True))
    answer = await keeping.ask("best")
    assert keeping.places() == [
        (CLIENT, 0, ""), (ASKED, 1, "a"), (ANSWERED, 1, "a"), (ASKED, 2, "b"), (ANSWERED, 2, "b"), (TOLD, 0, ""),
    ]  # fmt: skip
    (call,) = keeping.kept.calls
    assert b'"model": "best"' in call[0].content
    assert b'"sim+status:503"' in call[1].content
    assert call[5].content == answer
    assert all(b"secret-of-" not in body.content for body in call), "credentials are in headers"
    assert keeping.gw.service.gatherings == {}


@pytest.mark.parametrize(
    ("bodies", "wanted"),
    [
        (Bodies(keys=("key-all",)), 6),
        (Bodies(keys=("another",)), 0),
        (Bodies(combos=("best",)), 6),
        (Bodies(providers=("b",)), 4),  # the client's two, and that attempt's
        (Bodies(providers=("c",), combos=("worst",)), 0),
    ],
)
async def test_what_is_named_is_kept_and_no_other(keeping: Keeping, bodies: Bodies, wanted: int) -> None:
    keeping.configure(bodies)
    await keeping.ask("best")
    assert sum(map(len, keeping.kept.calls)) == wanted


async def test_a_key_s_no_stands_above_all(keeping: Keeping) -> None:
    keeping.configure(Bodies(everything=True, keys=("shy",), combos=("best",), providers=("a", "b")))
    await keeping.ask("best", key="shy")
    assert keeping.kept.calls == []


async def test_a_stream_is_kept_as_far_as_it_went_when_its_client_leaves(keeping: Keeping) -> None:
    keeping.configure(Bodies(everything=True))
    part = await keeping.ask("a/sim+tps:50", most=2, stream=True)
    (call,) = keeping.kept.calls
    assert call[-1].stage == TOLD
    assert call[-1].content == part
    assert call[-2].stage == ANSWERED
    assert call[-2].size >= len(b"data: ")


async def test_of_a_failure_the_client_s_error_is_kept(keeping: Keeping) -> None:
    keeping.configure(Bodies(everything=True))
    with pytest.raises(UpstreamError):
        await keeping.ask("a/sim+status:503")
    (call,) = keeping.kept.calls
    assert call[-1].stage == TOLD
    assert b'"error"' in call[-1].content


async def test_a_long_body_is_cut_and_says_so(keeping: Keeping) -> None:
    keeping.configure(Bodies(everything=True, most_bytes=256))
    await keeping.ask("a/sim", filler="x" * 10_000)
    (call,) = keeping.kept.calls
    assert call[0].cut
    assert call[0].size > 10_000
    assert len(call[0].content) < 2_000, "and no more is remembered"


async def test_it_can_be_switched_off_while_a_call_is_under_way(keeping: Keeping) -> None:
    keeping.configure(Bodies(everything=True))
    stream = keeping.router.complete(keeping.gw.call("a/sim", stream=True))
    await anext(stream)
    keeping.configure(None)
    async for _ in stream:
        pass
    await keeping.ask("a/sim")
    assert len(keeping.kept.calls) == 1


@given(st.integers(1, 100))
def test_a_share_is_about_so_many_in_a_hundred_and_the_same_for_each_who_asks(share: int) -> None:
    bodies = Bodies(share=share)
    drawn = [bodies.draws(f"request-{number}") for number in range(2_000)]
    assert abs(sum(drawn) / 20 - share) < 6
    assert drawn == [bodies.draws(f"request-{number}") for number in range(2_000)]
    assert share < 100 or all(drawn)


# ---- on the way ------------------------------------------------------------------------------------------------------


def body(number: int = 0, content: bytes = b"ann@example.com") -> KeptBody:
    return KeptBody(
        request_id=f"r{number}", told_id="t", key_id="k", stage=CLIENT, attempt=0, provider="", model="m",
        wire_format="openai.chat", at_ms=1, until_ms=2, size=len(content), content=content, redacted=True,
    )  # fmt: skip


def counts(registry: Any) -> dict[str, float]:
    found = {result: registry.get_sample_value("omniroute_router_bodies_total", {"result": result})
             for result in ("kept", "away", "full", "failed")}  # fmt: skip
    return {result: count for result, count in found.items() if count}


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - nobody tells of a count
            await asyncio.sleep(0.02)


async def test_while_nats_is_away_bodies_are_dropped_at_once_and_counted() -> None:
    registry, bus = new_registry(), Bus("nats://127.0.0.1:1", name="test")
    bodies = BusBodies(bus, "r", registry)
    bodies.keep([body(), body(1)], 100)
    assert counts(registry) == {"away": 2}
    await bodies.stop()


@pytest.fixture
def own_nats() -> Iterator[str]:
    """With streams that nobody else has made: the name of ours is everybody's."""
    with nats_server() as url:
        yield url


async def test_bodies_arrive_masked_and_cut_and_without_a_stream_they_are_dropped(own_nats: str) -> None:
    registry, bus = new_registry(), Bus(own_nats, name="test")
    await bus.connect()
    bodies = BusBodies(bus, "r", registry)
    bodies.keep([body()], 100)
    await until(lambda: counts(registry).get("away"))  # there is no stream yet
    await bus.ensure_stream(kept_bodies.STREAM, [kept_bodies.SUBJECTS], max_bytes=1 << 20)
    source = await bus.pull(kept_bodies.STREAM, "test", kept_bodies.SUBJECTS)
    bodies.keep([body(2, b"ann@example.com " + b"y" * 200)], 20)
    (message,) = await source.fetch(1, 20)
    await message.ack()
    assert unpack(message.data).content == b"[e-mail] " + b"y" * 11
    await until(lambda: counts(registry) == {"away": 1, "kept": 1})
    await bodies.stop()
    await bus.close()


async def test_what_is_cut_in_two_at_the_end_is_not_kept_though_masks_before_it_are_shorter(own_nats: str) -> None:
    registry, bus = new_registry(), Bus(own_nats, name="test")
    await bus.connect()
    await bus.ensure_stream(kept_bodies.STREAM, [kept_bodies.SUBJECTS], max_bytes=1 << 20)
    source = await bus.pull(kept_bodies.STREAM, "test", kept_bodies.SUBJECTS)
    bodies = BusBodies(bus, "r", registry)
    gathered = b"a-very-long-address-of-somebody@mail.example.com " * 300 + b"ada.lovelace@exa"
    long = msgspec.structs.replace(body(content=gathered), size=len(gathered) + 100)
    bodies.keep([long], len(gathered) - 1024)
    (message,) = await source.fetch(1, 20)
    content = unpack(message.data).content
    assert content.startswith(b"[e-mail] [e-mail]")
    assert b"lovelace" not in content
    await bodies.stop()
    await bus.close()


async def test_what_finds_no_room_is_dropped_and_the_stream_holds_so_much_and_no_more(own_nats: str) -> None:
    registry, bus = new_registry(), Bus(own_nats, name="test")
    await bus.connect()
    await bus.ensure_stream(kept_bodies.STREAM, [kept_bodies.SUBJECTS], max_bytes=20_000)
    bodies = BusBodies(bus, "r", registry, redactor=lambda content: content)
    bodies.keep([body(0, bytes(40 * 1024 * 1024))], 100)
    assert counts(registry) == {"full": 1}
    bodies.keep([body(number, os.urandom(1000)) for number in range(100)], 10_000)
    await until(lambda: counts(registry).get("kept") == 100)
    assert 0 < await bus.count(kept_bodies.STREAM) < 100, "the oldest went"
    await bodies.stop()
    await bus.close()


@given(st.binary(max_size=200), st.text(max_size=20))
def test_a_body_is_unpacked_as_it_was_packed(content: bytes, model: str) -> None:
    made = msgspec.structs.replace(body(0, content), model=model.replace("\0", ""))
    try:
        assert unpack(pack(made)) == made
    except UnicodeEncodeError:
        return  # half a character is none


@given(st.binary(max_size=100))
def test_what_is_none_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with contextlib.suppress(WireError):
        unpack(data)
