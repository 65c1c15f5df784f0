"""What a gateway needs around it, as real processes: Redis, NATS, a provider, and ``omniroute run control``."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
from omni_simulator import Simulator

from tests.support.servers import free_port, nats_server, redis_server
from tests.support.service import Service
from tests.support.stack import simulator

KEY = "or-test-house-0123456789"
HEADERS = {"authorization": f"Bearer {KEY}"}
SHORT = {"model": "acme/gpt-x+say:hello", "messages": [{"role": "user", "content": "hi"}]}

_CONFIG = """
providers:
  - {{id: acme, format: openai.chat, base_url: "{base}/v1", allow_private_address: true,
     accounts: [{{name: first, api_key: {{value: k}}}}],
     models: [{{id: "*", price: {{input: 1, output: 2}}, max_output: 4096}}]}}
keys:
  - {{name: house, secret: {{value: {key}}}, role: admin}}
routing: {{retries: 0, breaker: off, cache: off}}
"""


class Household:
    """``env`` is for whoever joins; ``control`` has auth, quota, analytics and the dashboard."""

    def __init__(self, home: Path, env: dict[str, str], provider: Simulator) -> None:
        self.home = home
        self.env = env
        self.provider = provider
        self.control = Service("control", home, env)

    def usage(self) -> int:
        """Requests that analytics has counted."""
        answer = httpx.get(f"{self.control.url}/api/usage", headers=HEADERS, timeout=10)
        return int(answer.json()["totals"]["requests"])


@contextmanager
def household(home: Path) -> Iterator[Household]:
    """``home`` is an empty folder."""
    with ExitStack() as exits:
        provider = exits.enter_context(simulator())
        (home / "omniroute.yaml").write_text(_CONFIG.format(base=provider.url, key=KEY))
        grpc = str(free_port())
        env = {
            "OMNIROUTE_REDIS_URL": exits.enter_context(redis_server()),
            "OMNIROUTE_NATS_URL": exits.enter_context(nats_server()),
            "OMNIROUTE_SERVICE_TOKEN": secrets.token_hex(16),
            "OMNIROUTE_AUTH_ADDR": f"127.0.0.1:{grpc}",
            "OMNIROUTE_GRPC_PORT": grpc,
        }
        house = Household(home, env, provider)
        exits.callback(house.control.close)
        house.control.ready()
        yield house


class Load:
    """What has become of many requests: ``statuses`` by how often, ``errors`` of those without a status."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.errors: list[str] = []
        self._more = asyncio.Condition()

    @property
    def done(self) -> int:
        return self.statuses.total() + len(self.errors)

    async def more(self, count: int) -> None:
        """Wait until ``count`` more requests have ended."""
        wanted = self.done + count
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: self.done >= wanted)

    async def ask(self, client: httpx.AsyncClient) -> None:
        try:
            answer = await client.post("/v1/chat/completions", json=SHORT)
            self.statuses[answer.status_code] += 1
        except httpx.HTTPError as error:
            self.errors.append(repr(error))
        async with self._more:
            self._more.notify_all()


@asynccontextmanager
async def load(url: str, *, clients: int = 8) -> AsyncIterator[Load]:
    """``clients`` that ask one thing after another, over connections that they keep, until the block ends."""
    found = Load()
    going = True

    async def one(client: httpx.AsyncClient) -> None:
        while going:
            await found.ask(client)

    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=30) as client, asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one(client))
        try:
            yield found
        finally:
            going = False
