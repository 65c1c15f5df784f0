"""A load over several edges as a load balancer in front of them would spread it.

It asks each /readyz a few times a second and sends new requests to those that say yes, in turn, over connections that
it keeps until an answer says "connection: close". It never repeats a request: whatever fails, failed.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx

LOOK = 0.1  # seconds between two looks at an edge


class Balanced:
    """``done`` by model; ``failures`` in words. ``ready`` are the edges that are sent requests now."""

    def __init__(self, clients: Mapping[str, httpx.AsyncClient]) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.ready: list[str] = list(clients)
        self._clients = clients
        self._turn = count()
        self._changed = asyncio.Condition()

    @property
    def total(self) -> int:
        return self.done.total() + len(self.failures)

    async def more(self, number: int) -> None:
        """Wait until ``number`` more requests have ended."""
        wanted = self.total + number
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: self.total >= wanted)

    async def look_for_ever(self, url: str) -> None:
        async with httpx.AsyncClient(timeout=2) as client:
            while True:
                try:
                    well = (await client.get(f"{url}/readyz")).status_code == 200
                except httpx.HTTPError:
                    well = False
                if well is not (url in self.ready):
                    self.ready = [*self.ready, url] if well else [other for other in self.ready if other != url]
                await asyncio.sleep(LOOK)

    async def ask(self, body: Mapping[str, Any]) -> None:
        failure = await self._failure(body)
        if failure:
            self.failures.append(f"{body['model']}: {failure}")
        else:
            self.done[body["model"]] += 1
        async with self._changed:
            self._changed.notify_all()

    async def _failure(self, body: Mapping[str, Any]) -> str:
        ready = self.ready
        if not ready:
            await asyncio.sleep(LOOK)
            return "no edge was ready"
        client = self._clients[ready[next(self._turn) % len(ready)]]
        try:
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                data = await answer.aread()
        except httpx.HTTPError as error:
            return repr(error)
        if answer.status_code != 200:
            return f"{answer.status_code}: {data[:300]!r}"
        if body.get("stream"):
            return "" if data.endswith(b"data: [DONE]\n\n") and b'"error"' not in data else f"{data[-300:]!r}"
        return "" if json.loads(data)["choices"] else f"{data[:300]!r}"


@asynccontextmanager
async def balanced(urls: Sequence[str], key: str, kinds: Sequence[Mapping[str, Any]]) -> AsyncIterator[Balanced]:
    """One client a kind of request (a body), each asking one after the other until the block ends."""
    headers = {"authorization": f"Bearer {key}"}
    clients = {url: httpx.AsyncClient(base_url=url, headers=headers, timeout=60) for url in urls}
    found = Balanced(clients)
    going = True

    async def ask_on(body: Mapping[str, Any]) -> None:
        while going:
            await found.ask(body)

    looking = [asyncio.create_task(found.look_for_ever(url)) for url in urls]
    try:
        async with asyncio.TaskGroup() as group:
            for body in kinds:
                group.create_task(ask_on(body))
            try:
                yield found
            finally:
                going = False
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        for client in clients.values():
            await client.aclose()
