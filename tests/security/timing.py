"""Nobody learns by the clock whether a key's public id exists: a wrong secret takes as long as an unknown key."""

import asyncio
import gc
import hmac
import random
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from omni_catalogue.guard import Guard
from omni_catalogue.snapshot import Routing, Server, Snapshot
from omni_core.ports.context import CallContext
from omni_core.telemetry import new_registry
from omni_edge.server.app import EdgeApp
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.pages import build_pages
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from omni_wire.errors import Unauthenticated

from tests.security.auth import serving_keys, unknown, wrong
from tests.security.welch import THRESHOLD, cropped, welch
from tests.support.edge import ScriptedRouter, post_head, read_answer, serving

KEYS = 200
CONTEXT = CallContext("r")
BODY = b'{"model":"a/b","messages":[]}'

Ask = Callable[[str], Awaitable[None]]


async def measure(ask: Ask, keys: list[str], count: int, chance: random.Random) -> dict[str, Any]:
    """Ask with ``count`` keys of each kind in a random order; seconds go into Welch's t."""
    presented = [(0, wrong(chance.choice(keys), chance)) for _ in range(count)]
    presented += [(1, unknown(chance)) for _ in range(count)]
    chance.shuffle(presented)
    for _, key in presented[: count // 20]:
        await ask(key[:-1])
    times: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    try:
        for kind, key in presented:
            began = time.perf_counter_ns()
            await ask(key)
            times[kind].append(time.perf_counter_ns() - began)
    finally:
        gc.enable()
    means = [round(sorted(kind)[count // 2] / 1000, 2) for kind in times]
    return {
        "samples": count, "t": round(cropped(*times), 2), "t_uncropped": round(welch(*times), 2),
        "median_us_wrong": means[0], "median_us_unknown": means[1],
    }  # fmt: skip


async def in_auth(home: Path, count: int, seed: int) -> dict[str, Any]:
    """What auth itself takes, and beside it a look-up that is wrong on purpose: it must be seen through."""
    chance = random.Random(seed)
    async with serving_keys(home, KEYS, chance) as (service, keys):

        async def ask(key: str) -> None:
            try:
                await service.authenticate(CONTEXT, sha256(key.encode()).digest())
            except Unauthenticated:
                return
            raise AssertionError("a key that is none was taken")

        known = {key.split("-")[1]: sha256(key.encode()).digest() for key in keys}

        async def leaky(key: str) -> None:
            """Compares secrets only where there is one to compare with."""
            digest = known.get(key.split("-")[1])
            if digest is not None:
                hmac.compare_digest(hmac.digest(b"pepper", key.encode(), "sha256"), digest)

        figures = await measure(ask, keys, count, chance)
        control = await measure(leaky, keys, count, chance)
    figures["t_of_a_leaky_lookup"] = control["t"]
    figures["pass"] = abs(figures["t"]) < THRESHOLD < abs(control["t"])
    return figures


async def at_the_edge(home: Path, count: int, seed: int) -> dict[str, Any]:
    """The same over HTTP, through an edge that has seen none of them before."""
    chance = random.Random(seed)
    async with serving_keys(home, KEYS, chance) as (auth, keys):
        registry, settings = new_registry(), EdgeSettings()
        edge = EdgeService(ScriptedRouter(), auth, settings, registry)
        edge.configure(
            Snapshot(
                revision=1, created=0, server=Server(guard=Guard(failures=0)), providers=(), combos=(), keys=(),
                routing=Routing(), checked_keys=True,
            )
        )  # fmt: skip
        app = EdgeApp(edge, build_pages(edge, registry, edge.checks, "0"), EdgeMetrics(registry), settings)
        async with serving(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            kind = ("Content-Type: application/json", f"Content-Length: {len(BODY)}")

            async def ask(key: str) -> None:
                writer.write(post_head(*kind, key=key) + BODY)
                answer = await read_answer(reader)
                if answer.status != 401:
                    raise AssertionError(f"a key that is none was answered {answer.status}")

            figures = await measure(ask, keys, count, chance)
            writer.close()
            await writer.wait_closed()
    figures["pass"] = abs(figures["t"]) < THRESHOLD
    return figures
