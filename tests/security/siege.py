"""Those who come in numbers: with heads that never end, connections without end, keys without end. They are closed or
refused in time, cost little memory, and good traffic hardly notices. ``quiet`` is for how many seconds that is looked
at before and after; 0 where it is not compared.
"""

import asyncio
import contextlib
import time
from typing import Any

from tests.security.besieged import ELSEWHERE, GOOD, Besieged, besieged, compared
from tests.support.edge import read_answer

_MOST_RATIO = 2.0
_MOST_MB = 100.0


async def of_slow_heads(sockets: int, head_time: float, *, quiet: float) -> dict[str, Any]:
    """``sockets`` connections that send a line of a head each second and never the last (slowloris)."""
    async with besieged(head_time=head_time) as edge:
        before = await edge.good(quiet) if quiet else []
        rss = edge.rss()
        good = asyncio.create_task(edge.good(head_time + 4))
        attack = [asyncio.create_task(_drip(edge.port, 3.0 * number / sockets, head_time)) for number in range(sockets)]
        peak = rss
        while not good.done():
            await asyncio.sleep(0.25)
            peak = max(peak, edge.rss())
        beside = await good
        lasted = await asyncio.gather(*attack)
        after = await edge.good(quiet) if quiet else []
    closed = [seconds for seconds in lasted if seconds is not None]
    figures: dict[str, Any] = {
        "sockets": sockets, "closed": len(closed), "head_time_s": head_time,
        "longest_s": round(max(closed, default=0), 2), "grown_mb": round(peak - rss, 1),
        **compared([before, after], beside),
    }  # fmt: skip
    figures["in_time"] = len(closed) == sockets and peak - rss < _MOST_MB
    figures["pass"] = figures["in_time"] and figures.get("p99_ratio", 0) <= _MOST_RATIO
    return figures


async def _drip(port: int, wait: float, head_time: float) -> float | None:
    """Seconds until the connection was closed; None when it was not."""
    await asyncio.sleep(wait)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    answer = asyncio.create_task(reader.read())
    try:
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n")
        while not answer.done() and time.monotonic() - began < head_time + 20:
            writer.write(b"X: y\r\n")
            await asyncio.wait([answer], timeout=1.0)
        if not answer.done():
            return None
        with contextlib.suppress(ConnectionError):
            if b" 408 " not in await answer:
                return None
        return time.monotonic() - began
    finally:
        answer.cancel()
        writer.close()


async def of_connections(count: int, most: int, *, quiet: float) -> dict[str, Any]:
    """``count`` connections from one address that may have ``most``, opened as fast as they are refused."""
    async with besieged(connections=most) as edge:
        before = await edge.good(quiet) if quiet else []
        rss = edge.rss()
        good = asyncio.create_task(edge.good(4.0))
        held: list[asyncio.StreamWriter] = []
        refused = 0
        for number in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, local_addr=ELSEWHERE)
            if number < most:
                held.append(writer)
                continue
            try:
                async with asyncio.timeout(20):
                    refused += await reader.read() == b""
            except ConnectionError:
                refused += 1
            writer.close()
        grown = edge.rss() - rss
        beside = await good
        for writer in held:
            writer.close()
        after = await edge.good(quiet) if quiet else []
    figures: dict[str, Any] = {
        "connections": count, "most": most, "refused": refused, "grown_mb": round(grown, 1),
        **compared([before, after], beside),
    }  # fmt: skip
    figures["in_time"] = refused == count - most and grown < _MOST_MB
    figures["pass"] = figures["in_time"] and figures.get("p99_ratio", 0) <= _MOST_RATIO
    return figures


async def of_requests(senders: int, most: int, *, seconds: float, quiet: float) -> dict[str, Any]:
    """``senders`` that ask from one address as often as they are answered, where ``most`` a minute are let in."""
    async with besieged(requests=100_000, failures=most) as edge:
        before = await edge.good(quiet) if quiet else []
        rss = edge.rss()
        statuses: dict[int, int] = {}
        end = time.monotonic() + seconds
        good = asyncio.create_task(edge.good(seconds))
        await asyncio.gather(*(_ask(edge, number, end, statuses) for number in range(senders)))
        beside = await good
        grown = edge.rss() - rss
        after = await edge.good(quiet) if quiet else []
    figures: dict[str, Any] = {
        "answered_401": statuses.get(401, 0), "answered_429": statuses.get(429, 0), "most": most,
        "grown_mb": round(grown, 1), **compared([before, after], beside),
    }  # fmt: skip
    # A minute may turn meanwhile, and with it some of the wrong keys are looked at again.
    figures["in_time"] = set(statuses) == {401, 429} and statuses[401] <= 2 * most and grown < _MOST_MB
    figures["pass"] = figures["in_time"] and figures.get("p99_ratio", 0) <= _MOST_RATIO
    return figures


async def _ask(edge: Besieged, sender: int, end: float, statuses: dict[int, int]) -> None:
    """Wrong keys, each another, a hundred in a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, local_addr=ELSEWHERE)
    number = 0
    while time.monotonic() < end:
        number += 1
        writer.write(GOOD.replace(b"or-test-key", b"or-%d-%d" % (sender, number)))
        status = (await read_answer(reader)).status
        statuses[status] = statuses.get(status, 0) + 1
        await asyncio.sleep(0.01)
    writer.close()
