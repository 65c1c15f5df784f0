"""A gateway in this process, its authentication real: auth over SQLite, the router over Redis, edge and dashboard as
ASGI applications. Two organisations live in it, each with keys of every kind.
"""

import contextlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI
from omni_auth.adapters.config_file import ConfigFile
from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.metrics import PrometheusMetrics
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.adapters.passwords import Argon2
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.objects import SqlObjects
from omni_auth.adapters.store.people import SqlPeople
from omni_auth.adapters.store_secrets import AccountSecrets
from omni_auth.people import PeopleService
from omni_auth.ports import InBucket
from omni_auth.service import AuthService
from omni_auth.settings import AuthSettings
from omni_catalogue.keyshape import assembled
from omni_catalogue.scopes import ANY, AREAS, ENDPOINTS, Scopes
from omni_catalogue.snapshot import decode
from omni_core.bus import Bus
from omni_core.ids import new_id
from omni_core.kept_bodies import KeptBody
from omni_core.ports.analytics import (
    Breakdown,
    Charge,
    DeadLetters,
    KeyUse,
    LimitEvent,
    LimitEvents,
    Listed,
    Listing,
    Redriven,
    Repriced,
    RequestFound,
    Slice,
    Standing,
    StatementLine,
    Update,
    UsageQuery,
    UsageReport,
    UsageTotals,
)
from omni_core.ports.auth import NewKey
from omni_core.ports.configuration import Caller
from omni_core.ports.people import Origin
from omni_core.ports.quota import AccountQuota, BreakerState, KeyState, QuotaSnapshot
from omni_core.redis import open_redis
from omni_core.runtime import Runtime
from omni_core.settings import CoreSettings
from omni_core.telemetry import new_registry
from omni_dashboard.build import build
from omni_dashboard.domain.fleet import Fleet
from omni_dashboard.domain.kinds import KINDS
from omni_dashboard.settings import DashboardSettings
from omni_edge.server.app import EdgeApp
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.pages import build_pages
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from tests.support.logins import logins_of
from tests.support.router import Harness, harness
from tests.support.servers import redis_server
from tests.unit.dashboard.ports import FOUND, KEPT

PLATFORM, GUEST = "default", "other"
PERSONS = ("owner", "admin", "billing", "developer", "viewer")
ORGANISATIONS = (PLATFORM, GUEST)
OWN_ADDRESS, ELSEWHERE = ("127.0.0.0/8",), ("192.0.2.0/24",)

FILE = """
server: {{guard: {{failures: off}}}}
providers:
  - {{id: acme, format: openai.chat, base_url: "{base}/v1", allow_private_address: true,
     accounts: [{{name: first, api_key: {{value: provider-secret-acme}}}}],
     models: [{{id: sim, price: {{input: 1.25, output: 10}}}}, {{id: "*", price: {{input: 1.25, output: 10}}}}]}}
proxies: [{{name: office, url: "http://127.0.0.1:9", allow_private_address: true}}]
keys:
  - {{name: ci, secret: {{value: {key}}}}}
"""


class Bucket:
    """The snapshot last published."""

    held = InBucket()

    async def get(self) -> InBucket:
        return self.held

    async def put(self, snapshot: bytes) -> None:
        self.held = InBucket(snapshot)


class Quotas:
    """QuotaPort: a state for each key that it was told of."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def snapshot(self, key_id: str = "") -> QuotaSnapshot:
        states = (KeyState(key, 1, 60, 1, 0, 10**9, "month", 0) for key in self.keys if key_id in ("", key))
        return QuotaSnapshot(tuple(states), (BreakerState("acme/first", "closed", 0, 0.0),), 0)

    async def refresh_quota(self, account_id: str) -> AccountQuota:
        return AccountQuota(account_id)

    async def reset(self, account_id: str) -> None:
        return

    async def forget_rates(self, account_id: str) -> None:
        return


class Recorded:
    """AnalyticsPort: every key was used once. ``told`` has request ids that all keys of an organisation were told."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.told: dict[str, Sequence[str]] = {}

    async def query(self, query: UsageQuery) -> UsageReport:
        asked = [key for key in self.keys if query.key_id in ("", key)]
        groups = {key: UsageTotals(requests=1) for key in asked} if query.group_by == "key" else {}
        return UsageReport(UsageTotals(requests=len(asked)), groups)

    async def breakdown(self, asked: Breakdown) -> tuple[Slice, ...]:
        wanted = asked.filters.get("key", self.keys)
        values = ("",) * len(asked.dimensions)
        return tuple(Slice(0, values, UsageTotals(requests=1)) for key in self.keys if key in wanted)

    async def live(self, key_ids: tuple[str, ...] | None, after: str = "") -> AsyncGenerator[Update, None]:
        yield Update("k-0")

    async def listed(self, asked: Listing) -> Listed:
        wanted = asked.filters.get("key", self.keys)
        found = tuple(msgspec.structs.replace(FOUND, key_id=key, attempts=()) for key in self.keys if key in wanted)
        return Listed(requests=found if asked.kind == "request" else ())

    async def standing(self) -> Standing:
        return Standing(0, 0)

    async def limit_events(self, asked: LimitEvents) -> tuple[LimitEvent, ...]:
        return ()

    async def charges(self, from_ms: int, until_ms: int = 0) -> list[Charge]:
        return []

    async def statement(self, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
        return []

    async def reprice(self, from_ms: int, until_ms: int, book: bytes, *, apply: bool) -> Repriced:
        return Repriced(())

    async def key_use(self) -> dict[str, KeyUse]:
        return {key: KeyUse(1, 1) for key in self.keys}

    async def dead_letters(self, after: int, limit: int) -> DeadLetters:
        return DeadLetters((), 0, 0)

    async def redrive(self, ids: tuple[int, ...]) -> Redriven:
        return Redriven(ids)

    async def discard(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        return ids

    async def bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> tuple[KeptBody, ...]:
        found = await self.find_request(id_, key_ids)
        return () if found is None else (msgspec.structs.replace(KEPT[0], request_id=id_, key_id=found.key_id),)

    async def forget_bodies(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        return len(await self.bodies(id_, key_ids))

    async def find_request(self, id_: str, key_ids: tuple[str, ...] | None) -> RequestFound | None:
        whose = next((key for key in self.told.get(id_, ()) if key_ids is None or key in key_ids), "")
        return msgspec.structs.replace(FOUND, request_id=id_, key_id=whose) if whose else None


class Nobody:
    """FleetView: no process has announced itself."""

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    def now(self) -> Fleet:
        return Fleet((), True)


class World:
    """``keys`` are by role; where a role can be played in several ways, each is a key of its own."""

    def __init__(self, home: Path, router: Harness) -> None:
        self.now = int(time.time()) - 1_000
        self.store = SqlStore(home)
        file = home / "omniroute.yaml"
        file.write_text(FILE.format(base=router.simulator.url, key=assembled("00000001", bytes(32))))
        vault = Vault(self.store.database, open_keyring(home, {}), os.urandom)
        objects = SqlObjects(self.store.database, vault)
        self.auth = AuthService(
            store=self.store, objects=objects, audit=AuditLog(self.store.database),
            logins=logins_of(self.store.database, vault),
            secrets=AccountSecrets({}, home, vault, OwnSecrets({}, home)), mint=new_id,
            source=ConfigFile(file, {}, objects.held), bucket=Bucket(), metrics=PrometheusMetrics(CollectorRegistry()),
            settings=AuthSettings(poll=3600, republish=3600), now=lambda: self.now, chance=os.urandom,
        )  # fmt: skip
        self.router = router
        self.quota, self.analytics = Quotas(), Recorded()
        people = SqlPeople(self.store.database, vault)
        self.people = PeopleService(
            people, Argon2(kib=64, passes=1), now=lambda: self.now * 1000, chance=os.urandom, mint=new_id
        )
        self.keys: dict[str, tuple[str, ...]] = {}
        self.ids: dict[str, list[str]] = {name: [] for name in ORGANISATIONS}
        core = CoreSettings(
            data_dir=home, redis_url="redis://127.0.0.1:1/0", nats_url="nats://127.0.0.1:1", token="t", peers={}
        )
        runtime = Runtime(core, open_redis(core.redis_url), Bus(core.nats_url, name="t"), new_registry(), "world")
        dashboard = build(
            runtime, auth=self.auth, quota=self.quota, analytics=self.analytics, router=router.service,
            fleet=Nobody(), people=self.people,
            settings=DashboardSettings(call_timeout=30.0, identity_ttl=3600.0),
        )  # fmt: skip
        self.management = dashboard.service
        self.api: FastAPI = dashboard.api
        registry, settings = new_registry(), EdgeSettings()
        self.edge = EdgeService(router.service, self.auth, settings, registry)
        self.pages = build_pages(self.edge, registry, self.edge.checks, "0")
        self.apps: dict[str, ASGIApp] = {
            "dashboard": dashboard.app,
            "edge": EdgeApp(self.edge, self.pages, EdgeMetrics(registry), settings),
        }

    async def open(self) -> None:
        await self.auth.start()
        await self.put("organisations", GUEST, {"name": GUEST})
        everything, readonly = ANY, Scopes(management=tuple(f"{area}:read" for area in AREAS))
        for organisation, prefix in ((PLATFORM, ""), (GUEST, "guest ")):
            for role, rank, scopes in (
                ("developer", "developer", everything),
                ("reader", "admin", readonly),
                ("admin", "admin", everything),
                ("elsewhere", "admin", Scopes(ips=ELSEWHERE)),
                *((f"area {area}", "admin", Scopes(management=(area,))) for area in AREAS),
            ):
                self.keys[prefix + role] = (await self.key(organisation, rank, scopes),)
            for role in PERSONS:
                await self.person(organisation, role, prefix[:1])
        for left_out in ENDPOINTS:
            some = Scopes(endpoints=tuple(word for word in ENDPOINTS if word != left_out))
            self.keys[f"endpoint {left_out}"] = (await self.key(PLATFORM, "developer", some),)
        self.keys["provider"] = (await self.key(PLATFORM, "developer", Scopes(providers=("another",))),)
        self.keys["model"] = (await self.key(PLATFORM, "developer", everything, models=("another/*",)),)
        expired = await self.key(PLATFORM, "admin", Scopes(expires=self.now + 500))
        revoked = await self.key(PLATFORM, "admin", everything)
        await self.auth.revoke_key(self.ids[PLATFORM].pop(), Caller("t", PLATFORM))
        unknown = assembled("0a1b2c3d", bytes(32))
        self.keys["wrong"] = ("or-malformed", f"{expired[:-1]}!", unknown, expired, revoked)
        self.now += 1_000
        self.quota.keys = self.analytics.keys = [*self.ids[PLATFORM], *self.ids[GUEST]]
        found = decode((await self.auth.configuration()).snapshot)
        self.router.service.configure(found)
        self.edge.configure(found)
        await self.edge.probe()
        await self.management.probe()

    async def key(
        self,
        organisation: str,
        role: str,
        scopes: Scopes = ANY,
        models: tuple[str, ...] = ("*",),
    ) -> str:
        """A new key's secret; its id is the last of ``ids``."""
        new = NewKey(name=f"k{new_id()}", role=role, scopes=scopes, models=models)
        made = await self.auth.create_key(new, Caller("t", organisation))
        self.ids[organisation].append(made.key.id)
        return made.secret

    async def person(self, organisation: str, role: str, prefix: str) -> None:
        """Somebody who has logged in, with a key of their own; their session is a key "powner", "gpowner" and so on."""
        caller, name = Caller("t", organisation), f"{role}@{organisation}.example"
        made = await self.people.invite(caller, name, role)
        opened = await self.people.redeem(Origin("127.0.0.1"), made.token, "", "a horse and a staple")
        self.keys[f"{prefix}p{role}"] = (opened.token,)
        key = await self.auth.create_key(NewKey(name=f"k{new_id()}", user=name), caller)
        self.ids[organisation].append(key.key.id)

    async def put(self, kind: str, name: str, document: Mapping[str, Any], organisation: str = PLATFORM) -> None:
        """``kind`` by the word in a path."""
        called = next((one.name for one in KINDS if one.at == kind), kind)
        await self.auth.put_object(Caller("t", organisation), called, name, msgspec.json.encode(document))

    def client(self, app: str) -> httpx.AsyncClient:
        """Of "edge" or "dashboard"."""
        transport = httpx.ASGITransport(app=self.apps[app])  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30)

    def written(self) -> int:
        """How many changes were made."""
        newest = AuditLog(self.store.database).newest(1)
        return newest[0].seq if newest else 0


@contextlib.asynccontextmanager
async def world(home: Path) -> AsyncIterator[World]:
    """``home`` is an empty folder."""
    with redis_server() as url:
        async with harness(url) as router:
            made = World(home, router)
            await made.open()
            try:
                yield made
            finally:
                made.people.close()
                await made.auth.stop()
