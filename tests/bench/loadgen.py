"""A small fast load generator: raw HTTP/1.1 over asyncio, one request at a time a connection.

It parses no more than it must (status, end of body, server-sent events counted by their blank lines), so that on one
core it stays far from being what is measured. ``python -m tests.bench.loadgen`` prints one JSON line.
"""

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop


@dataclass
class Tally:
    """What happened in one run. Latencies in seconds."""

    done: int = 0
    failed: int = 0
    events: int = 0
    latencies: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """Sends ``request`` again as soon as its answer has ended, and not before ``pace`` seconds are over, until
    ``stop_at``."""

    def __init__(
        self, request: bytes, tally: Tally, stop_at: float, pace: float, closed: asyncio.Future[None]
    ) -> None:  # fmt: skip
        self._request, self._tally, self._stop_at, self._closed = request, tally, stop_at, closed
        self._pace = pace
        self._due = time.perf_counter() + random.random() * pace  # else all would send at the same moments
        self._transport: asyncio.Transport | None = None
        self._reset()

    def _reset(self) -> None:
        self._head = b""
        self._remaining = -1
        self._chunked = self._in_body = False
        self._tail = b""
        self._first = 0.0
        self._ok = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        now = time.perf_counter()
        if now >= self._stop_at:
            self._transport.close()
            return
        if self._pace:
            if now < self._due:
                asyncio.get_running_loop().call_later(self._due - now, self._send)
                return
            self._due = max(self._due, now - self._pace) + self._pace
        self._reset()
        self._began = now
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self._head[:end].lower(), self._head[end + 4 :]
            self._in_body = True
            self._ok = head[9:12] == b"200"
            self._chunked = b"transfer-encoding: chunked" in head
            if not self._chunked:
                at = head.index(b"content-length:") + 15
                self._remaining = int(head[at:].split(b"\r\n", 1)[0])
        if self._chunked:
            events = data.count(b"data: ")
            if events and not self._first:
                self._first = time.perf_counter()
            self._tally.events += events
            self._tail = (self._tail + data)[-7:]
            if self._tail.endswith(b"0\r\n\r\n"):
                self._finish()
        else:
            self._remaining -= len(data)
            if self._remaining <= 0:
                self._finish()

    def _finish(self) -> None:
        now = time.perf_counter()
        if self._ok:
            self._tally.done += 1
            self._tally.latencies.append(now - self._began)
            if self._first:
                self._tally.first_events.append(self._first - self._began)
        else:
            self._tally.failed += 1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._in_body and self._remaining > 0:
            self._tally.failed += 1
        if not self._closed.done():
            self._closed.set_result(None)


async def run(url: str, body: bytes, key: str, concurrency: int, seconds: float, rate: float = 0.0) -> dict[str, float]:
    """Load ``url`` for ``seconds`` (bounded) and sum up: counts, rates, quantiles in milliseconds. ``rate`` is how many
    requests a second all connections together make at most; 0 for as many as are answered."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    tally = Tally()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    closed = [loop.create_future() for _ in range(concurrency)]
    for future in closed:
        await loop.create_connection(
            partial(Connection, request, tally, began + seconds, concurrency / rate if rate else 0.0, future),
            host,
            port,
        )
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*closed)
    span = time.perf_counter() - began
    return {
        "done": tally.done,
        "failed": tally.failed,
        "per_second": tally.done / span,
        "events_per_second": tally.events / span,
        "p50_ms": quantile(tally.latencies, 0.5) * 1000,
        "p99_ms": quantile(tally.latencies, 0.99) * 1000,
        "ttft_p50_ms": quantile(tally.first_events, 0.5) * 1000,
        "ttft_p99_ms": quantile(tally.first_events, 0.99) * 1000,
    }


def quantile(values: list[float], at: float) -> float:
    """The nearest-rank quantile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(int(at * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("body", type=Path)
    parser.add_argument("--key", default="k")
    parser.add_argument("-c", "--concurrency", type=int, default=16)
    parser.add_argument("-s", "--seconds", type=float, default=5.0)
    parser.add_argument("-r", "--rate", type=float, default=0.0)
    args = parser.parse_args()
    figures = run(args.url, args.body.read_bytes(), args.key, args.concurrency, args.seconds, args.rate)
    print(json.dumps(uvloop.run(figures)))


if __name__ == "__main__":
    main()
