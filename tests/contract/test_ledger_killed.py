"""Processes that hold slices are killed: what they settled is settled once, what they had under way is charged in full,
and nothing is lost or told twice."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from omni_core.redis import open_redis
from omni_ledger import Janitor, Settlement, journal
from redis.asyncio import Redis

from tests.support.killed_ledger import COST, OPEN, SETTLED
from tests.support.leasing import events_of, heard, leaser, told
from tests.support.ledger import CLOCKED_LUA, budget, hold, set_clock, settlement, until
from tests.support.servers import RedisServer

FULL = 100  # what an attempt takes that nobody settles


def left_in(folder: Path) -> Path:
    (left,) = folder.glob("*.journal")
    return left


def written(data: bytes) -> int:
    """How many bytes of a journal are records."""
    return sum(len(journal.framed(tuple(record))) for record in journal.read(data).records)


async def money(redis: Redis) -> tuple[int, int]:
    janitor = Janitor(redis)
    (standing,) = (await janitor.look([("key", "month")], [])).keys
    await janitor.close()
    return standing.spent_nano_usd, standing.held_nano_usd


async def all_events(redis: Redis) -> tuple[Counter[str], dict[str, tuple[int, str]]]:
    seen: Counter[str] = Counter()
    last: dict[str, tuple[int, str]] = {}
    for name in sorted([key.decode() async for key in redis.scan_iter("quota:{omni}:outbox:*")]):
        for event in await events_of(redis, name.rsplit(":", 1)[1]):
            attempt = event.attempt
            seen[attempt.id] += 1
            last[attempt.id] = attempt.cost_nano_usd, attempt.outcome
    return seen, last


def settled(name: str, router: str) -> Settlement:
    return settlement(name, COST, evidence=(), router_id=router, events=(told(name, COST),))


async def killed(url: str, folder: Path | None, name: str) -> int:
    """How many of its attempts were leased."""
    given = ("-m", "tests.support.killed_ledger", url, str(folder or ""), name)
    process = await asyncio.create_subprocess_exec(sys.executable, *given, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("leased "), line
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    return int(line.split()[1])


async def test_a_killed_router_is_settled_for_from_its_journal(clean_redis: str, tmp_path: Path) -> None:
    leased = await killed(clean_redis, tmp_path, "dead")
    assert leased > (SETTLED + OPEN) * 0.8
    async with leaser(clean_redis, "next", tmp_path) as heir:
        await until(lambda: len(list(tmp_path.glob("*.journal"))) == 1)
        assert heir.metric("recovered_attempts_total", outcome="aborted") == OPEN
        assert await money(heir.redis) == (SETTLED * COST + OPEN * FULL, 0)
        seen, last = await all_events(heir.redis)
        names = {f"dead-{i}" for i in range(SETTLED)} | {f"dead-open-{i}" for i in range(OPEN)}
        assert seen == Counter(dict.fromkeys(names, 1))
        assert {last[f"dead-{i}"] for i in range(SETTLED)} == {(COST, "ok")}
        assert {last[f"dead-open-{i}"] for i in range(OPEN)} == {(FULL, "aborted")}
        assert await heir.redis.zcard("quota:{omni}:leases") == 0


async def test_two_heirs_settle_once(clean_redis: str, tmp_path: Path) -> None:
    await killed(clean_redis, tmp_path, "dead")
    async with leaser(clean_redis, "one", tmp_path) as one, leaser(clean_redis, "two", tmp_path):
        await until(lambda: len(list(tmp_path.glob("*.journal"))) == 2)
        assert await money(one.redis) == (SETTLED * COST + OPEN * FULL, 0)


async def test_without_its_journal_what_a_slice_had_is_charged_in_one_event_and_corrected_if_it_comes_back(
    clean_redis: str, tmp_path: Path
) -> None:
    await set_clock(redis := open_redis(clean_redis), 1_900_000_000_000)
    async with leaser(clean_redis, "dead", tmp_path, script=CLOCKED_LUA) as one:
        for i in range(30):
            await one.ledger.admit(
                hold(f"a{i}", budget=budget(10**6), abort_events=(told(f"a{i}", outcome="aborted"),))
            )
            await asyncio.sleep(0.002)
        assert one.leased > 20
        for i in range(10):
            one.ledger.settle_soon(
                settlement(f"a{i}", COST, evidence=(), router_id="dead", events=(told(f"a{i}", COST),))
            )
        await heard(one.ledger)
        one.ledger.settle_soon(settled("a29", "dead"))
        await one.kill()
    left = left_in(tmp_path)
    hidden = left.rename(left.with_suffix(".hidden"))

    await set_clock(redis, 1_900_000_070_000)
    janitor = Janitor(redis, script=CLOCKED_LUA)
    before = (await janitor.look([("key", "month")], [])).keys[0]
    assert before.held_nano_usd > 20 * FULL
    reaped = await janitor.reap()
    after = (await janitor.look([("key", "month")], [])).keys[0]
    assert after.held_nano_usd == 0
    assert after.spent_nano_usd == before.spent_nano_usd + before.held_nano_usd
    assert reaped.charged_nano_usd == before.held_nano_usd
    seen, last = await all_events(redis)
    (gap,) = [name for name in seen if not name.startswith("a")]
    direct = sum(cost for name, (cost, _) in last.items() if last[name][1] == "aborted" and name != gap)
    lump = next(event.attempt for event in await events_of(redis, "dead") if event.attempt.id == gap)
    assert (lump.key_id, lump.charged, lump.provider, lump.router_id) == ("key", "key", "", "dead")
    assert last[gap] == (before.held_nano_usd - direct, "aborted")
    assert sum(cost for cost, _ in last.values()) == after.spent_nano_usd, "the books add up"

    hidden.rename(left)
    async with leaser(clean_redis, "back", tmp_path, script=CLOCKED_LUA):
        await until(lambda: not left.exists())
    corrected = (await janitor.look([("key", "month")], [])).keys[0]
    await janitor.close()
    assert (corrected.spent_nano_usd, corrected.held_nano_usd) == (11 * COST + 19 * FULL, 0)
    seen, last = await all_events(redis)
    events = [event.attempt for name in ("dead", "back") for event in await events_of(redis, name)]
    gaps = sorted((event.seq, event.cost_nano_usd) for event in events if event.id == gap)
    assert gaps[0] == (0, before.held_nano_usd - direct)
    assert gaps[-1][0] > 0
    assert gaps[-1][1] == 0, "nothing of it is unknown any more"
    assert last["a29"] == (COST, "ok")
    await redis.aclose()


async def test_a_torn_end_is_cut(clean_redis: str, tmp_path: Path) -> None:
    await killed(clean_redis, tmp_path, "dead")
    left = left_in(tmp_path)
    with left.open("r+b") as file:
        file.truncate(written(left.read_bytes()))
        file.seek(0, 2)
        file.write(b"\x99\x00\x00\x00torn")
    async with leaser(clean_redis, "next", tmp_path) as heir:
        await until(lambda: heir.metric("recovered_attempts_total", outcome="aborted") == OPEN)
        assert heir.metric("journal_bad_records_total") == 0
        assert await money(heir.redis) == (SETTLED * COST + OPEN * FULL, 0)


@pytest.mark.parametrize("what", ["a damaged record", "another life of the machine"])
async def test_where_something_may_be_missing_what_is_left_of_the_slice_is_charged(
    clean_redis: str, tmp_path: Path, what: str
) -> None:
    await killed(clean_redis, tmp_path, "dead")
    left = left_in(tmp_path)
    data = bytearray(left.read_bytes())
    records = [tuple(record) for record in journal.read(bytes(data)).records]
    lost = 0
    if what == "a damaged record":
        noted = max(number for number, record in enumerate(records) if record[0] == "n")
        at = sum(len(journal.framed(record)) for record in records[:noted])
        lost, end = 1, at + len(journal.framed(records[noted]))
        data[at + 20] ^= 0xFF
        left.write_bytes(bytes(data))
    else:
        left.write_bytes(b"".join(map(journal.framed, [("b", "an earlier one"), *records[1:]])))
    async with leaser(clean_redis, "next", tmp_path) as heir:
        await until(lambda: not left.exists())
        assert heir.metric("journal_bad_records_total") == lost
        assert heir.metric("recovered_attempts_total", outcome="aborted") == OPEN - lost
        spent, held = await money(heir.redis)
        assert spent == SETTLED * COST + (OPEN - lost) * FULL
        assert held >= lost * FULL
        janitor, charged = Janitor(heir.redis), 0
        async with asyncio.timeout(20):
            while charged < held:
                charged += (await janitor.reap()).charged_nano_usd
                await asyncio.sleep(0.05)
        assert charged == held
        await janitor.close()
        assert await money(heir.redis) == (spent + held, 0)
        _, last = await all_events(heir.redis)
        assert sum(cost for cost, _ in last.values()) == spent + held
    if lost:
        assert left.with_suffix(".bad").read_bytes() == bytes(data[at:end])


async def test_redis_restarts_with_its_data_in_the_middle(server: RedisServer, tmp_path: Path) -> None:
    async with leaser(server.url, "one", tmp_path) as one, leaser(server.url, "two", tmp_path) as two:
        taken: list[str] = []
        for turn in range(120):
            for router in (one, two):
                name = f"{router.name}-{turn}"
                await router.ledger.admit(hold(name, budget=budget(10**6)))
                taken.append(name)
                if turn % 3:
                    router.ledger.settle_soon(settled(name, router.name))
            if turn == 60:
                server.kill()
                restarted = asyncio.create_task(asyncio.to_thread(server.start))
            await asyncio.sleep(0.004)
        await restarted
        for router in (one, two):
            for turn in range(0, 120, 3):
                name = f"{router.name}-{turn}"
                router.ledger.settle_soon(settled(name, router.name))
            assert await router.ledger.flush(10.0)
        assert await money(one.redis) == (240 * COST, 0)
        seen, _ = await all_events(one.redis)
        assert seen == Counter(dict.fromkeys(taken, 1))
        assert one.leased + two.leased > 150
