"""How long a revoked key lives on, on each of several edges that are processes of their own."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import httpx
from omni_auth.adapters.offline import open_keys
from omni_core.clients.auth import AuthClient
from omni_core.identity import Caller
from omni_core.ports.auth import NewKey
from omni_core.rpc import open_channel

from tests.support.fleet import config, fleet

# Milliseconds that are promised, and seconds after which something hangs.
TARGET_MS, HANG = 1000.0, 30.0
_PAUSE = 0.002


async def _asked(client: httpx.AsyncClient, url: str, key: str) -> int:
    """401 for a key that is none; 415 for one that is: the body is looked at only after it."""
    headers = {"authorization": f"Bearer {key}", "content-type": "text/plain"}
    return (await client.post(f"{url}/v1/chat/completions", headers=headers, content=b"x")).status_code


async def _until(client: httpx.AsyncClient, url: str, key: str, status: int) -> float:
    """When (by the clock) an edge first answers ``status``."""
    deadline = time.monotonic() + HANG
    while True:
        answered = await _asked(client, url, key)
        now = time.monotonic()
        if answered == status:
            return now
        assert answered in (401, 415), answered
        assert now < deadline, f"{url} does not answer {status} within {HANG:g} s"
        await asyncio.sleep(_PAUSE)


async def _rounds(urls: list[str], auth: AuthClient, data_dir: Path, rounds: int, chance: random.Random) -> list[float]:
    delays: list[float] = []
    async with httpx.AsyncClient(trust_env=False, timeout=HANG) as client:
        for number in range(rounds):
            offline = bool(number % 2)  # the command line writes to the store; auth sees it there
            name = f"r{number}"
            secret = (await auth.create_key(NewKey(name=name))).secret
            await asyncio.gather(*(_until(client, url, secret, 415) for url in urls))
            await asyncio.sleep(chance.uniform(0, 0.2))
            began = time.monotonic()
            ends = [asyncio.create_task(_until(client, url, secret, 401)) for url in urls]
            if offline:
                with open_keys(data_dir) as keys:
                    keys.revoke(name)
            else:
                await auth.revoke_key(name)
            delays += [(ended - began) * 1000 for ended in await asyncio.gather(*ends)]
    return delays


def on_every_edge(home: Path, edges: int, rounds: int, seed: int) -> dict[str, Any]:
    """From just before a revocation, by gRPC and by the command line in turn, to an edge's first refusal."""
    with fleet(home, config("http://127.0.0.1:9"), edges=edges, translators=0, dashboards=0) as made:

        async def run() -> list[float]:
            channel = open_channel(made["auth"][0].grpc, Caller(("dashboard",), made.token))
            try:
                return await _rounds(
                    [edge.url for edge in made["edge"]], AuthClient(channel), made["auth"][0].data_dir, rounds,
                    random.Random(seed),
                )  # fmt: skip
            finally:
                await channel.close()

        delays = sorted(asyncio.run(run()))
    p99 = delays[min(len(delays) - 1, int(len(delays) * 0.99))]
    return {
        "edges": edges, "revocations": rounds, "samples": len(delays), "p50_ms": round(delays[len(delays) // 2], 1),
        "p99_ms": round(p99, 1), "worst_ms": round(delays[-1], 1), "target_ms": TARGET_MS, "pass": p99 <= TARGET_MS,
    }  # fmt: skip
