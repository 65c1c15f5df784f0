"""An edge in a process of its own, on the listener that it has in production, and what good traffic notices of others.

python -m tests.security.besieged SETTINGS          serves until its stdin ends; prints its port
python -m tests.security.besieged PORT SECONDS      is a good client; prints how long its requests took

The good client is a process too: what it measures must not be how busy the attackers are.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from omni_catalogue.guard import Guard
from omni_core.http_protocol import BoundedHttpProtocol
from omni_edge.settings import EdgeSettings
from omni_launch.listener import HttpListener

from tests.support.edge import Edge, post_head, read_answer, snapshot

BODY = b'{"model":"a/b","messages":[]}'
GOOD = post_head("Content-Type: application/json", f"Content-Length: {len(BODY)}") + BODY
ELSEWHERE = ("127.0.0.2", 0)  # where attackers come from: another address of this machine


async def serve(settings: dict[str, Any]) -> None:
    BoundedHttpProtocol.head_time = settings["head_time"]
    BoundedHttpProtocol.silence = settings["head_time"]
    edge = Edge(EdgeSettings(), None)
    found = snapshot(2, max_body_bytes=20 * 1024 * 1024)
    server = msgspec.structs.replace(found.server, guard=Guard(**settings["guard"]))
    edge.service.configure(msgspec.structs.replace(found, server=server))
    listener = HttpListener("edge", "127.0.0.1", 0)
    port = listener.bind()
    await listener.serve(edge.app, edge.service.crowd)
    listener.open()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await listener.stop()


async def ask(port: int, seconds: float) -> None:
    """A request every few milliseconds."""
    times: list[float] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        writer.write(GOOD)
        answer = await read_answer(reader)
        if answer.status != 200:
            raise AssertionError(f"good traffic was answered {answer.status}")
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)
    writer.close()
    print(json.dumps(times))


class Besieged:
    """``port`` is where it listens."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid, self.port = pid, port

    def rss(self) -> float:
        """MB that it holds now."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    async def good(self, seconds: float) -> list[float]:
        """Milliseconds that each of a good client's requests takes."""
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.security.besieged",
            str(self.port),
            str(seconds),
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await client.communicate()
        times: list[float] = json.loads(told)
        return times


@contextlib.asynccontextmanager
async def besieged(*, head_time: float = 15.0, **guard: int) -> AsyncIterator[Besieged]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.security.besieged", json.dumps({"head_time": head_time, "guard": guard}),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            port = int(await process.stdout.readline())
        yield Besieged(process.pid, port)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def compared(quiet: list[list[float]], during: list[float]) -> dict[str, Any]:
    """p99 of good traffic beside an attack, against the slower of what it is before and after."""
    if not all(quiet):
        return {"good_requests": len(during)}
    base, beside = max(map(p99, quiet)), p99(during)
    return {
        "good_requests": len(during), "p99_ms_quiet": round(base, 2), "p99_ms_beside": round(beside, 2),
        "p99_ratio": round(beside / base, 2),
    }  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 2:
        uvloop.run(ask(int(sys.argv[1]), float(sys.argv[2])))
    else:
        uvloop.run(serve(json.loads(sys.argv[1])))
