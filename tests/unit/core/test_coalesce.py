"""Coalescing changes how items are grouped, and nothing else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_core.clients.translator import Feed
from omni_core.coalesce import Gathered, coalesce


async def items(values: list[bytes], pauses: frozenset[int] = frozenset()) -> AsyncGenerator[bytes, None]:
    for place, value in enumerate(values):
        if place in pauses:
            await asyncio.sleep(0)
        yield value


@given(st.lists(st.binary(max_size=8)), st.frozensets(st.integers(0, 20)), st.integers(1, 20))
def test_every_item_comes_once_and_in_order_within_the_limit(
    values: list[bytes], pauses: frozenset[int], limit: int
) -> None:
    async def collect() -> list[list[bytes]]:
        return [batch async for batch in coalesce(items(values, pauses), len, limit)]

    batches = asyncio.run(collect())
    assert [value for batch in batches for value in batch] == values
    assert all(batches)
    assert all(sum(map(len, batch)) <= limit or len([v for v in batch if v]) == 1 for batch in batches)


async def test_what_is_ready_together_goes_together() -> None:
    assert [batch async for batch in coalesce(items([b"x"] * 64), len)] == [[b"x"] * 64]


async def test_a_lone_item_does_not_wait_for_company() -> None:
    never = asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        yield b"first"
        await never.wait()

    async with aclosing(coalesce(source(), len)) as batches, asyncio.timeout(5):
        assert await anext(batches) == [b"first"]


async def test_a_reader_that_stops_reading_stops_the_source() -> None:
    produced = 0

    async def source() -> AsyncGenerator[bytes, None]:
        nonlocal produced
        while True:
            produced += 1
            yield b"x" * 10
            await asyncio.sleep(0)

    async with aclosing(coalesce(source(), len, limit=100)) as batches:
        await anext(batches)
        for _ in range(200):
            await asyncio.sleep(0)
        assert produced <= 25


async def test_an_error_comes_after_the_items_before_it() -> None:
    async def source() -> AsyncGenerator[bytes, None]:
        yield b"a"
        yield b"b"
        raise LookupError("c is missing")

    batches = coalesce(source(), len)
    assert await anext(batches) == [b"a", b"b"]
    with pytest.raises(LookupError):
        await anext(batches)


@pytest.mark.parametrize("how", ["close", "cancel", "cancel twice"])
@pytest.mark.parametrize("where", ["waiting", "yielding"])
async def test_leaving_runs_the_sources_finally_blocks_to_their_end(how: str, where: str) -> None:
    log: list[str] = []
    never = asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            if where == "waiting":
                await never.wait()
            while True:
                yield b"more"
        finally:
            await asyncio.sleep(0.05)
            log.append("cleaned up")

    async def read(batches: AsyncGenerator[list[bytes], None]) -> None:
        async with aclosing(batches):
            await anext(batches)
            if how != "close":
                await never.wait()

    task = asyncio.create_task(read(coalesce(source(), len, limit=8)))
    await asyncio.sleep(0.02)
    if how != "close":
        task.cancel()
        await asyncio.sleep(0.01)
    if how == "cancel twice":
        task.cancel()
    await asyncio.wait([task])
    if how == "cancel twice":
        await asyncio.sleep(0.1)
    assert log == ["cleaned up"]


# ---- gathered for a reader that may be replaced ---------------------------------------------------------------------


async def test_a_reader_that_is_cancelled_leaves_the_source_to_the_next_one() -> None:
    go_on, closed = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await go_on.wait()
            yield b"two"
        finally:
            closed.set()

    gathered = Gathered(source(), len)
    assert await gathered.batch() == [b"one"]
    first = asyncio.create_task(gathered.batch())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert not closed.is_set()
    go_on.set()
    assert [await gathered.batch(), await gathered.batch()] == [[b"two"], []]
    await gathered.close()


async def test_closing_what_is_gathered_ends_the_source_and_waits_for_it() -> None:
    closed = asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.set()

    gathered = Gathered(source(), len)
    await gathered.batch()
    await gathered.close()
    assert closed.is_set()


async def test_what_breaks_a_gathered_source_is_raised_after_what_came_before() -> None:
    async def source() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise RuntimeError("broken")

    gathered = Gathered(source(), len)
    assert await gathered.batch() == [b"one"]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            await gathered.batch()
    await gathered.close()


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=8), st.lists(st.integers(0, 9), max_size=4), st.booleans())
def test_a_kept_feed_plays_from_its_beginning_each_time_until_it_is_forgotten(
    values: list[bytes], stops: list[int], keep: bool
) -> None:
    async def play() -> None:
        feed = Feed(items(values, frozenset(range(len(values)))), keep=keep)
        whole, read = b"".join(values), b""
        for stop in stops:
            so_far = b""
            async with aclosing(feed.play()) as played:
                async for data in played:
                    so_far += data
                    if len(so_far) >= stop:
                        break
            read = so_far if keep else read + so_far
            assert whole.startswith(read)
        feed.forget()
        rest = b"".join([data async for data in feed.play()])
        assert whole.endswith(rest)
        await feed.close()

    asyncio.run(play())
