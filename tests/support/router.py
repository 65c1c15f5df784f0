"""A router with a real ledger on real Redis in front of simulated providers over real HTTP."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from omni_catalogue import snapshot as s
from omni_catalogue.networks import networks
from omni_core.addresses import Resolver
from omni_core.ids import new_id
from omni_core.outbound import Outbound
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Head
from omni_core.ports.translator import TranslatorPort
from omni_core.telemetry import new_registry
from omni_ledger import Ledger
from omni_ledger.batcher import DEADLINE
from omni_router.adapters.bells import TURNS, Bells
from omni_router.adapters.events import ProtobufEvents
from omni_router.adapters.http import HttpUpstream
from omni_router.adapters.probing import OutboundProbe
from omni_router.service.credentials import Credentials, ProxySecrets
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.router import RouterService
from omni_router.service.turns import Turns
from omni_router.settings import RouterSettings
from omni_simulator import Simulator
from omni_translator.adapters.metrics import TranslatorMetrics
from omni_translator.service import TranslatorService
from omni_translator.settings import TranslatorSettings
from omni_wire.formats import WireFormat
from omniroute_proto.events.v1 import events_pb2
from redis.asyncio import Redis

from tests.support.leasing import leasing_of

PRICE = s.Price(input=1_250_000_000, output=10_000_000_000, cached_input=125_000_000, cache_write=1_250_000_000)
# For tests that wait for a deadline, and for all others, which no busy machine may bring to one.
QUICK = s.Timeouts(connect=5.0, first_byte=0.7, idle=0.7, total=1.5)
PATIENT = s.Timeouts(connect=5.0, first_byte=10.0, idle=10.0, total=20.0)


def patience(fault: str) -> s.Timeouts:
    return QUICK if fault.startswith(("hang", "stall")) else PATIENT


class FixedCredentials:
    """AuthPort, as far as a router needs it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        self.asked.append(account_id)
        return Credential(f"secret-of-{account_id}", "1")


def provider(name: str, base_url: str, wire_format: WireFormat = WireFormat.OPENAI_CHAT, **changes: Any) -> s.Provider:
    """One account "first"; any model, priced; loopback allowed."""
    fields: dict[str, Any] = {
        "accounts": (s.Account(id=f"{name}/first", name="first", secret_version="1"),),
        "models": (s.Model(id="*", price=PRICE), s.Model(id="free"), s.Model(id="small", price=PRICE, max_output=50)),
        "allow_private_address": True,
    }
    return s.Provider(id=name, format=wire_format, base_url=base_url, **(fields | changes))


def translator() -> TranslatorPort:
    settings = TranslatorSettings()
    return TranslatorService(TranslatorMetrics(new_registry(), settings), settings)


class Harness:
    """``ask`` and see; ``events`` are what the router wrote down."""

    def __init__(
        self,
        redis: Redis,
        simulator: Simulator,
        translator: TranslatorPort,
        draw: Callable[[], float] = random.random,
        journals: Path | None = None,
    ) -> None:
        self.redis = redis
        self.simulator = simulator
        self.router_id = f"router-{new_id()}"
        self.auth = FixedCredentials()
        credentials = Credentials(self.auth, 60.0)  # type: ignore[arg-type]
        secrets = ProxySecrets(credentials)
        self.upstream = HttpUpstream(outbound=Outbound(secrets=secrets))
        here = Resolver(networks(["127.0.0.0/8"]))  # where a test's echo is
        self.registry = registry = new_registry()
        leasing = leasing_of(self.router_id, journals, hot=1) if journals is not None else None
        within = RouterSettings().redis_refused_for if journals is not None else DEADLINE
        self.ledger = Ledger(redis, registry, leasing=leasing, recovers=journals, refused_within=within)
        self.bells = Bells(redis, TURNS + self.router_id)
        self.tools = tools = Tools(
            ledger=self.ledger,
            translator=translator,
            upstream=self.upstream,
            credentials=credentials,
            probe=OutboundProbe(Outbound(resolver=here, secrets=secrets)),
            events=ProtobufEvents(),
            settings=RouterSettings(retry_pause=0.01, new_key_wait=0.1),
            router_id=self.router_id,
            turns=Turns(self.ledger, self.router_id, self.bells),
        )
        self.metrics = RouterMetrics(registry)
        self.service = RouterService(tools, self.metrics, draw)
        self.revision = 0

    def configure(
        self,
        *providers: s.Provider,
        combos: tuple[s.Combo, ...] = (),
        keys: tuple[s.KeyPolicy, ...] = (s.KeyPolicy(id="key-all", name="all"),),
        routing: s.Routing | None = None,
        timeouts: s.Timeouts = PATIENT,
        limits: tuple[s.Limit, ...] = (),
    ) -> None:
        self.revision += 1
        base = self.simulator.url
        defaults = (provider("acme", f"{base}/v1"), provider("claude", base, WireFormat.ANTHROPIC_MESSAGES))
        self.use(
            s.Snapshot(
                revision=self.revision,
                created=0,
                server=s.Server(),
                providers=providers or defaults,
                combos=combos,
                keys=keys,
                routing=routing or s.Routing(breaker=None, timeouts=timeouts),
                limits=limits,
            )
        )

    def use(self, snapshot: s.Snapshot) -> None:
        self.service.configure(snapshot)

    def call(
        self, model: str, *, key: str = "key-all", headers: dict[str, str] | None = None, **fields: Any
    ) -> CompleteCall:
        body = {"model": model, "messages": [{"role": "user", "content": "Say something"}]} | fields
        return CompleteCall(
            CallContext("the-clients-own"),
            key,
            WireFormat.OPENAI_CHAT,
            json.dumps(body).encode(),
            new_id(),
            headers or {},
        )

    async def ask(self, model: str, **options: Any) -> tuple[Head, bytes]:
        """The head and all bytes of the answer."""
        head, parts = None, []
        async for frame in self.service.complete(self.call(model, **options)):
            if isinstance(frame, Head):
                head = frame
            else:
                parts.append(frame)
        assert head is not None
        return head, b"".join(parts)

    async def events(self) -> tuple[list[events_pb2.AttemptEvent], list[events_pb2.RequestEvent]]:
        """What has been written so far."""
        assert await self.ledger.flush(5.0)
        raw = await self.redis.lrange(f"quota:{{omni}}:outbox:{self.router_id}", 0, -1)
        attempts, requests = [], []
        for item in raw:
            event = events_pb2.Event.FromString(bytes(item))  # type: ignore[arg-type]
            if event.HasField("attempt"):
                attempts.append(event.attempt)
            elif event.HasField("request"):
                requests.append(event.request)
        return attempts, requests

    async def open_holds(self) -> int:
        assert await self.ledger.flush(5.0)
        return int(await self.redis.zcard("quota:{omni}:holds"))

    async def money(self, key_id: str) -> tuple[int, int]:
        """(spent, held) of a key, or of a limit ("limit:" and its id), in nano-USD, over all its windows."""
        assert await self.ledger.flush(5.0)
        spent = held = 0
        async for name in self.redis.scan_iter(f"quota:{{omni}}:budget:{key_id}:*"):
            values = await self.redis.hgetall(name)
            spent += int(values.get(b"s", 0))
            held += int(values.get(b"h", 0))
        return spent, held


@contextlib.asynccontextmanager
async def harness(redis_url: str, port: TranslatorPort | None = None) -> AsyncIterator[Harness]:
    async with fleet(redis_url, 1, port) as (made,):
        yield made


@contextlib.asynccontextmanager
async def fleet(
    redis_url: str,
    routers: int,
    port: TranslatorPort | None = None,
    draw: Callable[[], float] = random.random,
    journals: Path | None = None,
) -> AsyncIterator[Sequence[Harness]]:
    """Routers that share a Redis and the simulated providers, each with a connection and a ledger of its own. With
    ``journals`` each leases from the first attempt on."""
    simulator = Simulator("127.0.0.1", 0)
    await simulator.start()
    made = [Harness(Redis.from_url(redis_url), simulator, port or translator(), draw, journals) for _ in range(routers)]
    for each in made:
        await each.upstream.start()
        await each.ledger.start()
        each.configure()
    try:
        yield made
    finally:
        for each in made:
            await each.bells.close()
            await each.ledger.stop()
            await each.upstream.stop()
        await simulator.stop()
        for each in made:
            await each.redis.aclose()


async def until(condition: Any, seconds: float = 20.0) -> bool:
    """Whether ``condition()`` comes true within ``seconds``."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True
