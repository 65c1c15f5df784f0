"""Clients of a fleet: plain and streamed requests to every edge, relayed and translated, until told to stop; what came
of each, by a name that the provider sees as well."""

import asyncio
import random
import re
import time
from typing import Any

import httpx
import msgspec

KEY = "or-test-money-0123456789"
KEYS = f"\n  - {{name: payer, secret: {{value: {KEY}}}, budget: {{usd: 1000, window: month}}}}"
NAME = re.compile(rb"\[(m-\d+)\]")
MODELS = ("acme/sim+tokens:12", "claude/sim+tokens:12", "acme/sim+tokens:20+tps:40", "claude/sim+tokens:8+latency:60")
PATIENCE = 40.0


class Answer(msgspec.Struct, frozen=True):
    """``status`` 0: none came. ``complete``: it was 200, and came to the end that its dialect has. Times in seconds, of
    a monotonic clock."""

    status: int
    complete: bool
    edge: int
    began: float
    seconds: float


class Load:
    """``answers`` by name, of which so many were given before the ``first``. ``edges`` are base URLs."""

    def __init__(self, edges: list[str], seed: int, *, first: int = 0, pause: float = 0.1) -> None:
        self.answers: dict[str, Answer] = {}
        self._edges, self._chance, self._pause = edges, random.Random(seed), pause
        self._stopped = asyncio.Event()
        self._made = first

    async def run(self, clients: int) -> None:
        limits = httpx.Limits(max_connections=4 * clients)
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:
            await asyncio.gather(*(self._ask_on(client, number) for number in range(clients)))

    def stop(self) -> None:
        """What is under way comes to its end."""
        self._stopped.set()

    def since(self, began: float, until: float = float("inf")) -> list[Answer]:
        """Of requests that began then."""
        return [answer for answer in self.answers.values() if began <= answer.began < until]

    async def _ask_on(self, client: httpx.AsyncClient, number: int) -> None:
        while not self._stopped.is_set():
            self._made += 1
            name, edge = f"m-{self._made}", (number + self._made) % len(self._edges)
            began = time.monotonic()
            status, complete = await self._ask(client, self._edges[edge], name)
            self.answers[name] = Answer(status, complete, edge, began, time.monotonic() - began)
            await asyncio.sleep(self._chance.uniform(0.2, 1.8) * self._pause)

    async def _ask(self, client: httpx.AsyncClient, edge: str, name: str) -> tuple[int, bool]:
        stream = self._chance.random() < 0.5
        body: dict[str, Any] = {
            "model": self._chance.choice(MODELS),
            "messages": [{"role": "user", "content": f"What is this called? [{name}]"}],
            "stream": stream,
        }
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": name}
        try:
            async with client.stream("POST", f"{edge}/v1/chat/completions", json=body, headers=headers) as answer:
                try:
                    data = await answer.aread()
                except httpx.HTTPError:
                    return answer.status_code, False
        except httpx.HTTPError:
            return 0, False
        whole = data.rstrip().endswith(b"data: [DONE]") and b'"error"' not in data if stream else b'"choices"' in data
        return answer.status_code, answer.status_code == 200 and whole
