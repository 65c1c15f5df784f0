"""What edges tell each other of keys through a real Redis, and what somebody with that Redis can make of it."""

from collections.abc import AsyncIterator
from hashlib import sha256

import msgspec
import pytest
from omni_catalogue.scopes import Scopes
from omni_core.ports.auth import Identity
from omni_core.ports.context import CallContext
from omni_core.telemetry import new_registry
from omni_edge.adapters.shared_keys import PREFIX, RedisDecisions
from omni_edge.domain.shared import Decision, name_of, sealed, secret_of
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from omni_wire.errors import DependencyUnavailable, PermissionDenied, Unauthenticated
from redis.asyncio import Redis

from tests.support.edge import KEY, ScriptedAuth, ScriptedRouter, snapshot
from tests.support.servers import free_port

CONTEXT = CallContext("r")
GOOD = sha256(KEY.encode()).digest()
SECRET = secret_of("token")
EPOCH = 1_700_000_000


class Bench:
    """Edges that share one Redis and one auth; ``now`` is every clock of theirs."""

    def __init__(self, redis: Redis) -> None:
        self.redis, self.auth, self.now = redis, ScriptedAuth(), 0

    def edge(self, revision: int = 1, secret: bytes = SECRET) -> EdgeService:
        made = EdgeService(
            ScriptedRouter(), self.auth, EdgeSettings(auth_timeout=0.5), new_registry(), clock=lambda: float(self.now),
            wall=lambda: EPOCH + self.now, feed_alive=lambda: False,
            shared=RedisDecisions(self.redis, secret, 30, lambda: float(self.now), patience=5.0),
        )  # fmt: skip
        made.configure(snapshot(revision))
        return made

    async def entry(self) -> tuple[str, bytes]:
        (name,) = [name async for name in self.redis.scan_iter(PREFIX + "*")]
        return name.decode(), bytes(await self.redis.get(name) or b"")


@pytest.fixture
async def bench(clean_redis: str) -> AsyncIterator[Bench]:
    redis = Redis.from_url(clean_redis)
    yield Bench(redis)
    await redis.aclose()


async def test_one_edge_asks_for_all_with_the_keys_scopes(bench: Bench) -> None:
    bench.auth.known[GOOD] = Identity("key-1", "ci", "developer", Scopes(endpoints=("chat",)))
    await bench.edge().identify(GOOD, CONTEXT)
    bench.auth.failure = DependencyUnavailable("away")
    other = bench.edge()
    who = await other.identify(GOOD, CONTEXT)
    assert (who.key_id, bench.auth.asked) == ("key-1", 1)
    with pytest.raises(PermissionDenied):
        other.admit(who, "messages", "127.0.0.1", ())


async def test_nothing_is_believed_for_longer_than_its_time_however_often_it_was_told_on(bench: Bench) -> None:
    await bench.edge().identify(GOOD, CONTEXT)
    bench.auth.failure = DependencyUnavailable("away")
    bench.now = 20
    second = bench.edge()
    await second.identify(GOOD, CONTEXT)
    bench.now = 29
    await second.identify(GOOD, CONTEXT)
    await bench.edge().identify(GOOD, CONTEXT)
    bench.now = 30
    for edge in (second, bench.edge()):
        with pytest.raises(DependencyUnavailable):
            await edge.identify(GOOD, CONTEXT)


async def test_what_was_told_under_another_configuration_is_not_believed(bench: Bench) -> None:
    await bench.edge(1).identify(GOOD, CONTEXT)
    bench.auth.known.clear()  # revoked, which makes revision 2
    with pytest.raises(Unauthenticated):
        await bench.edge(2).identify(GOOD, CONTEXT)


async def test_a_revoked_keys_entry_put_back_is_not_believed(bench: Bench) -> None:
    edge = bench.edge(1)
    await edge.identify(GOOD, CONTEXT)
    name, held = await bench.entry()
    bench.auth.known.clear()
    edge.configure(snapshot(2))
    await bench.redis.set(name, held)  # for ever
    with pytest.raises(Unauthenticated):
        await edge.identify(GOOD, CONTEXT)
    bench.now = 31
    late = bench.edge(1)
    with pytest.raises(Unauthenticated):
        await late.identify(GOOD, CONTEXT)


async def test_nobody_with_redis_makes_a_key_good(bench: Bench) -> None:
    mine = sha256(b"or-mine").digest()
    await bench.edge().identify(GOOD, CONTEXT)
    _, held = await bench.entry()
    wanted = Decision(1, EPOCH, "key-1", Scopes())
    later = Decision(1, EPOCH + 3600, "key-1", Scopes())
    forged = [
        held,  # another key's
        held[:32] + msgspec.json.encode(wanted),
        sealed(b"guessed", mine, wanted),
        sealed(SECRET, mine, later),  # right but for its time: a clock that is wrong
        held[:20],
        b"",
        b"x" * 100,
    ]
    for data in forged:
        await bench.redis.set(PREFIX + name_of(SECRET, mine), data)
        with pytest.raises(Unauthenticated):
            await bench.edge().identify(mine, CONTEXT)
    for place in range(len(held)):
        flipped = held[:place] + bytes([held[place] ^ 1]) + held[place + 1 :]
        await bench.redis.set(PREFIX + name_of(SECRET, GOOD), flipped)
        before = bench.auth.asked
        await bench.edge().identify(GOOD, CONTEXT)
        assert bench.auth.asked == before + 1, place


async def test_redis_learns_no_key_and_no_digest_and_keeps_nothing_of_wrong_ones(bench: Bench) -> None:
    edge = bench.edge()
    await edge.identify(GOOD, CONTEXT)
    with pytest.raises(Unauthenticated):
        await edge.identify(b"x" * 32, CONTEXT)
    name, held = await bench.entry()
    for secret in (KEY, GOOD.hex()):
        assert secret not in name
        assert secret.encode() not in held
    assert GOOD not in held
    assert 0 < await bench.redis.ttl(name) <= 30


async def test_an_edge_of_another_deployment_believes_nothing(bench: Bench) -> None:
    await bench.edge().identify(GOOD, CONTEXT)
    await bench.edge(secret=secret_of("another")).identify(GOOD, CONTEXT)
    assert bench.auth.asked == 2


async def test_redis_away_costs_a_question_to_auth_and_is_let_alone_for_a_while() -> None:
    redis = Redis.from_url(f"redis://127.0.0.1:{free_port()}")
    bench = Bench(redis)
    edge = bench.edge()
    for number in range(20):
        digest = number.to_bytes(32, "big")
        bench.auth.known[digest] = Identity(f"key-{number}", "ci", "developer")
        assert (await edge.identify(digest, CONTEXT)).key_id == f"key-{number}"
    assert bench.auth.asked == 20
    await redis.aclose()
