"""The wall: one gateway with real Redis and NATS before one simulated provider; every cell asked over HTTP, then what
the client has, what the provider saw, what the books say and what is left in Redis, held against the table."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import httpx
import msgspec
import nats
from nats.errors import TimeoutError as NatsTimeout
from omni_ledger import Janitor
from omni_simulator import Options, Simulator
from omniroute_proto.events.v1 import events_pb2
from redis.asyncio import Redis

from tests.chaos.cells import Cell, configuration, secret
from tests.chaos.judge import Answer, Books, judge, money_is_right
from tests.chaos.sdks import Replay
from tests.support.servers import free_port, nats_server, redis_server
from tests.support.stack import Stack, running, simulator

AT_ONCE = 24
BOOKED_WITHIN = 60.0


class Found(msgspec.Struct):
    """What is wrong with each cell, and the seconds that its request took, both by its id; and with the whole."""

    wrong: dict[str, list[str]]
    seconds: dict[str, float]
    money: list[str]


def run(home: Path, chosen: list[Cell]) -> Found:
    """``home`` is an empty folder."""
    with (
        redis_server() as redis_url,
        nats_server() as nats_url,
        simulator(Options(keep_requests=8 * len(chosen))) as provider,
    ):
        closed = f"http://127.0.0.1:{free_port()}"
        config = json.dumps(configuration(chosen, provider.url, closed))
        env = {"OMNIROUTE_REDIS_URL": redis_url, "OMNIROUTE_NATS_URL": nats_url}
        with running("all", home, config, env) as stack:
            answers = asyncio.run(_ask_all(stack, chosen))
            books = asyncio.run(_books(chosen, redis_url, nats_url, answers))
        books.seen = _seen(provider)
    replay = Replay()
    try:
        return Found(
            {cell.id: judge(cell, answers[cell.id], books, replay) for cell in chosen},
            {name: answer.seconds for name, answer in answers.items()},
            money_is_right(chosen, books),
        )
    finally:
        replay.close()


async def _ask_all(stack: Stack, chosen: list[Cell]) -> dict[str, Answer]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=stack.edge, timeout=120, limits=httpx.Limits(max_connections=None)) as client:

        async def one(cell: Cell) -> Answer:
            async with gate:
                return await _ask(client, cell)

        # Those that wait for a deadline first, so that the others fill the time.
        order = sorted(chosen, key=lambda cell: not cell.fault.hasty)
        found = await asyncio.gather(*(one(cell) for cell in order))
    return {cell.id: answer for cell, answer in zip(order, found, strict=True)}


async def _ask(client: httpx.AsyncClient, cell: Cell) -> Answer:
    headers = {"authorization": f"Bearer {secret(cell)}", "x-request-id": cell.id}
    path, body = cell.path, cell.body
    began, data, broke = time.monotonic(), b"", ""
    async with client.stream("POST", path, json=body, headers=headers) as response:
        try:
            async for piece in response.aiter_bytes():
                data += piece
        except httpx.HTTPError as error:
            broke = f"{type(error).__name__}: {error}"
    return Answer(
        response.status_code, response.headers.get("content-type", ""), response.headers.get("retry-after", ""), data,
        broke, time.monotonic() - began,
    )  # fmt: skip


def _seen(provider: Simulator) -> Counter[str]:
    """How many requests the provider had for each model."""
    seen: Counter[str] = Counter()
    for request in provider.recent:
        if request.method == "POST":
            found = request.json().get("model") or _in_path(request.target)
            seen[found] += 1
    return seen


def _in_path(target: str) -> str:
    return unquote(target.partition("/models/")[2].partition("?")[0].rpartition(":")[0])


async def _books(chosen: list[Cell], redis_url: str, nats_url: str, answers: dict[str, Answer]) -> Books:
    books = Books()
    await _read_events(books, nats_url, {cell.id for cell in chosen})
    redis = Redis.from_url(redis_url)
    texts = Redis.from_url(redis_url, decode_responses=True)
    janitor = Janitor(redis)
    try:
        books.holds = [str(name) for name in await texts.zrange("quota:{omni}:holds", 0, -1)]
        books.circuits = {
            name: (one.cause, one.told) for name, one in await janitor.circuits(100_000) if one.state != "closed"
        }
        async for name in texts.scan_iter("quota:{omni}:budget:*", count=1000):
            values = await texts.hgetall(name)
            key = str(name).split(":")[3]
            spent, held = books.money.get(key, (0, 0))
            books.money[key] = spent + int(values.get("s", 0)), held + int(values.get("h", 0))
    finally:
        await janitor.close()
        await texts.aclose()
        await redis.aclose()
    return books


async def _read_events(books: Books, url: str, wanted: set[str]) -> None:
    """All that was written of these requests; and for a while longer, as there must be no more."""
    connection = await nats.connect(url)
    try:
        stream = connection.jetstream()
        taken = await stream.pull_subscribe("omniroute.usage.*", durable="chaos", stream="OMNIROUTE_USAGE")
        deadline, quiet = time.monotonic() + BOOKED_WITHIN, 0
        while time.monotonic() < deadline and quiet < 2:
            try:
                messages = await taken.fetch(100, timeout=0.5)
            except (NatsTimeout, TimeoutError):
                quiet += wanted <= books.requests.keys()
                continue
            for message in messages:
                for event in events_pb2.EventBatch.FromString(message.data).events:
                    books.add(event)
                await message.ack()
    finally:
        await connection.close()
