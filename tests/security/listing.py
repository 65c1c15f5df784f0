"""What a key is shown of the models it may call, and what it may not call it is not shown: over random catalogues,
scopes and things that are switched off or blocked, at every surface that lists models, in every dialect.
"""

import asyncio
from hashlib import sha256
from typing import Any

import httpx
import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from omni_auth.domain.schema import Config
from omni_auth.domain.toggles import only_on
from omni_catalogue import snapshot as s
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.scopes import Scopes
from omni_core.ports.auth import Identity
from omni_core.telemetry import new_registry
from omni_edge.server.app import EdgeApp
from omni_edge.server.metrics import EdgeMetrics
from omni_edge.server.pages import build_pages
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from omni_router.domain.offers import offers_for
from omni_simulator import Simulator
from omni_wire.errors import GatewayError
from omni_wire.formats import WireFormat
from redis.asyncio import Redis

from tests.support.edge import BEARER, KEY, ScriptedAuth
from tests.support.router import PRICE, Harness, translator

PROVIDERS = ("acme", "beta", "acme-eu", "gamma")
MODELS = ("m", "n", "beta/m", "vendor/x", "*")
COMBOS = ("best", "m", "acme")
ALIASES = ("gpt", "n", "acme/m", "beta/m", "vendor/x")
PATTERNS = ("*", "acme/*", "*/m", "best", "m", "[ab]*", "beta/m", "gpt", "vendor/*", "acme/vendor/x")
PROVIDER_PATTERNS = ("acme", "acme*", "beta", "*", "[!a]*", "nobody")
# How each surface is asked, and where in its answer the ids are.
SURFACES: dict[str, tuple[str, dict[str, str]]] = {
    "openai": ("/v1/models", {}),
    "anthropic": ("/v1/models", {"anthropic-version": "2023-06-01"}),
    "google": ("/v1/models", {"x-goog-api-key": KEY}),
    "google, beta": ("/v1beta/models", {}),
    "ollama": ("/api/tags", {}),
}


@st.composite
def _providers(draw: st.DrawFn) -> tuple[s.Provider, ...]:
    found = []
    for name in draw(st.lists(st.sampled_from(PROVIDERS), unique=True, max_size=4)):
        models = draw(st.lists(st.sampled_from(MODELS), unique=True, min_size=1, max_size=4))
        accounts = draw(st.sampled_from((("first",), ("first", "second"))))
        found.append(
            s.Provider(
                id=name,
                format=draw(st.sampled_from((WireFormat.OPENAI_CHAT, WireFormat.CURSOR_CHAT))),
                base_url="http://127.0.0.1:1/v1",
                accounts=tuple(s.Account(id=f"{name}/{one}", name=one, secret_version="1") for one in accounts),
                models=tuple(s.Model(id=one, price=draw(st.sampled_from((PRICE, None)))) for one in models),
            )
        )
    return tuple(found)


class Case(msgspec.Struct, frozen=True):
    """A configuration as if all of it were on, and as it is published; ``accounts`` and ``combos`` are those that are
    off by themselves or by what they belong to."""

    whole: s.Snapshot
    published: s.Snapshot
    accounts: frozenset[str]
    combos: frozenset[str]

    def named(self) -> set[str]:
        """Every id that stands somewhere in the configuration."""
        models = {f"{one.id}/{model.id}" for one in self.whole.providers for model in one.models if model.id != "*"}
        return {*models, *(combo.name for combo in self.whole.combos)}

    def misrouted(self, model: str) -> bool:
        """Whether an id goes anywhere but to those of its candidates that are on, in their order."""
        if model in self.combos:
            return _accounts(self.published, model) != []
        left = [account for account in _accounts(self.whole, model) if account not in self.accounts]
        return _accounts(self.published, model) != left


def _accounts(snapshot: s.Snapshot, model: str) -> list[str]:
    try:
        return [candidate.account.id for candidate in Catalogue(snapshot).plan(model).candidates]
    except GatewayError:
        return []


@st.composite
def cases(draw: st.DrawFn) -> Case:
    whole = draw(_snapshots())
    switch = st.sampled_from(("on", "on", "on", "off"))
    providers = [
        {
            "id": one.id, "format": one.format.value, "base_url": one.base_url, "enabled": draw(switch),
            "accounts": [{"name": own.name, "api_key": "none", "enabled": draw(switch)} for own in one.accounts],
        }
        for one in whole.providers
    ]  # fmt: skip
    combos = [
        {"name": one.name, "enabled": draw(switch), "targets": list(one.targets)}
        for one in whole.combos
        if "/" not in one.name  # else it was an alias, which has no switch of its own
    ]
    ids = [one["id"] for one in providers]
    blocked = draw(st.lists(st.sampled_from(ids), unique=True, max_size=2)) if ids and draw(st.booleans()) else []
    tree = {"providers": providers, "combos": combos, "routing": {"blocked_providers": blocked}}
    on, left, off = only_on(Config.model_validate(tree), whole.providers, whole.combos)
    return Case(
        whole,
        msgspec.structs.replace(whole, providers=on, combos=left, off=off),
        frozenset(
            f"{one['id']}/{own['name']}"
            for one in providers
            for own in one["accounts"]
            if "off" in (one["enabled"], own["enabled"]) or one["id"] in blocked
        ),
        frozenset(str(one["name"]) for one in combos if one["enabled"] == "off"),
    )


@st.composite
def _snapshots(draw: st.DrawFn) -> s.Snapshot:
    providers = draw(_providers())
    targets = [f"{one.id}/{model.id if model.id != '*' else 'any'}" for one in providers for model in one.models]
    names = draw(st.lists(st.sampled_from((*COMBOS, *ALIASES)), unique=True, max_size=5)) if targets else []
    combos = tuple(
        s.Combo(
            name=name,
            strategy="fill-first",
            targets=tuple(draw(st.lists(st.sampled_from(targets), min_size=1, max_size=3, unique=True))),
        )
        for name in names
    )
    budgets = (None, s.Budget(nano_usd=1), s.Budget(nano_usd=1, unpriced="serve"))
    policy = s.KeyPolicy(
        id="key-1",
        name="ci",
        models=tuple(draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3))),
        budget=draw(st.sampled_from(budgets)),
        scopes=Scopes(providers=tuple(draw(st.lists(st.sampled_from(PROVIDER_PATTERNS), max_size=2)))),
    )
    return s.Snapshot(
        revision=1, created=0, server=s.Server(), providers=providers, combos=combos, keys=(policy,),
        routing=s.Routing(),
    )  # fmt: skip


def may_call(snapshot: s.Snapshot, model: str) -> bool:
    """As the router decides it for a request."""
    catalogue, policy = Catalogue(snapshot), snapshot.keys[0]
    try:
        return catalogue.may_ask(policy, model) and bool(
            offers_for(catalogue, catalogue.plan_for(policy, model), policy, "r").offers
        )
    except GatewayError:
        return False


def shown(surface: str, body: dict[str, Any]) -> list[str]:
    if surface.startswith("google"):
        return [str(one["name"]).removeprefix("models/") for one in body["models"]]
    if surface == "ollama":
        return [str(one["name"]) for one in body["models"]]
    return [str(one["id"]) for one in body["data"]]


class Gateway:
    """An edge over a router, both without anything behind them."""

    def __init__(self) -> None:
        self._router = Harness(Redis(port=1), Simulator("127.0.0.1", 0), translator()).service
        auth, registry, chosen = ScriptedAuth(), new_registry(), EdgeSettings()
        auth.known = {sha256(KEY.encode()).digest(): Identity("key-1", "ci", "developer")}
        self._edge = EdgeService(self._router, auth, chosen, registry)
        pages = build_pages(self._edge, registry, self._edge.checks, "0")
        self._app = EdgeApp(self._edge, pages, EdgeMetrics(registry), chosen)

    async def wrong(self, case: Case) -> list[str]:
        snapshot, names = case.published, case.named()
        self._router.configure(snapshot)
        self._edge.configure(snapshot)
        callable_ = {model for model in names if may_call(snapshot, model)}
        found = [f"{model} goes elsewhere: {case}" for model in sorted(names) if case.misrouted(model)]
        transport = httpx.ASGITransport(app=self._app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            for surface, (path, headers) in SURFACES.items():
                told = headers if "x-goog-api-key" in headers else BEARER | headers
                ids = shown(surface, (await client.get(path, headers=told)).raise_for_status().json())
                if sorted(ids) != sorted(callable_):
                    found.append(f"{surface}: shows {sorted(ids)}, may call {sorted(callable_)}: {case}")
            for model in sorted(names):
                for version in ("v1", "v1beta"):
                    answer = await client.get(f"/{version}/models/{model}", headers=BEARER)
                    if (answer.status_code == 200) is not (model in callable_) or answer.status_code not in (200, 404):
                        found.append(f"/{version}/models/{model}: {answer.status_code}: {case}")
        return found


def of_random_catalogues(count: int, chosen: int) -> dict[str, Any]:
    """``count`` catalogues, each with a key."""
    gateway, wrong = Gateway(), list[str]()
    seen = [0, 0, 0, 0]

    with asyncio.Runner() as runner:

        @seed(chosen)
        @settings(
            max_examples=count, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(cases())
        def one(case: Case) -> None:
            names = case.named()
            seen[0] += 1
            seen[1] += len(names)
            seen[2] += sum(may_call(case.published, model) for model in names)
            seen[3] += sum(may_call(case.whole, model) and not may_call(case.published, model) for model in names)
            wrong.extend(runner.run(gateway.wrong(case)))

        one()
    return {
        "catalogues": seen[0], "models": seen[1], "callable": seen[2], "off": seen[3], "surfaces": len(SURFACES) + 2,
        "wrong": len(wrong), "first": wrong[:3], "pass": not wrong,
    }  # fmt: skip
