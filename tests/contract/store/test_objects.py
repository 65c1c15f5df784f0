"""The configuration's objects: what is told of them, how they change, and what they make of the snapshot. In process
and over gRPC, on SQLite and on PostgreSQL."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import omni_auth.server
import pytest
import yaml
from omni_auth.adapters.config_file import ConfigFile
from omni_auth.adapters.metrics import PrometheusMetrics
from omni_auth.adapters.own_secrets import OwnSecrets
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.changes import Outbox
from omni_auth.adapters.store.objects import SqlObjects
from omni_auth.adapters.store_secrets import AccountSecrets
from omni_auth.domain.apikeys import presented_digest
from omni_auth.domain.planning import Step
from omni_auth.domain.problems import ConfigErrors
from omni_auth.ports import InBucket
from omni_auth.service import AuthService
from omni_auth.settings import AuthSettings
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.snapshot import KeyPolicy, Snapshot, decode
from omni_core.clients.auth import AuthClient
from omni_core.identity import Caller as Process
from omni_core.ids import new_id
from omni_core.ports.auth import NewKey
from omni_core.ports.configuration import Applied, Caller
from omni_core.ports.context import CallContext
from omni_core.rpc import CALL_TIMEOUT, RpcServer, open_channel
from omni_wire.errors import CredentialUnavailable, InvalidRequest, PermissionDenied
from prometheus_client import CollectorRegistry

from tests.support.logins import logins_of
from tests.support.store import Place

FILE = """\
providers:
  - {id: acme, format: openai.chat, base_url: https://api.example.com/v1,
     accounts: [{name: first, api_key: {env: ACME_KEY}}]}
combos: [{name: best, targets: [acme/gpt-x]}]
routing: {retries: 2}
"""
BETA = {"format": "openai.chat", "base_url": "https://beta.example.com/v1", "tier": "cheap"}
ME = Caller("key:api-1 (boss)")
OTHERS = Caller("key:api-2 (guest)", "guests")
ENV = {"ACME_KEY": "acme-secret-1", "BETA_KEY": "beta-secret-1"}


class Bucket:
    held = InBucket()

    async def get(self) -> InBucket:
        return self.held

    async def put(self, snapshot: bytes) -> None:
        self.held = InBucket(snapshot)


class House:
    """Auth on a store and a file, and a client of it."""

    def __init__(self, place: Place, folder: Path, remote: bool) -> None:
        self.place, self.file, self.remote = place, folder / "omniroute.yaml", remote
        self.exits = AsyncExitStack()
        self.env, self.now = dict(ENV), 1_700_000_000
        self.file.write_text(FILE)

    async def open(self) -> "House":
        self.bucket = Bucket()
        self.store = self.place.store()
        self.vault = self.place.vault(self.store.database)
        self.objects = objects = SqlObjects(self.store.database, self.vault)
        own = OwnSecrets(self.env, self.place.data_dir, self.file)
        self.service = AuthService(
            store=self.store, objects=objects, audit=AuditLog(self.store.database),
            logins=logins_of(self.store.database, self.vault),
            secrets=AccountSecrets(self.env, self.file.parent, self.vault, own),
            mint=new_id, source=ConfigFile(self.file, self.env, objects.held), bucket=self.bucket,
            now=lambda: self.now,
            metrics=PrometheusMetrics(CollectorRegistry()), chance=os.urandom,
            settings=AuthSettings(poll=0.02, republish=0.05),
        )  # fmt: skip
        await self.service.start()
        self.exits.push_async_callback(self.service.stop)
        self.port: Any = self.service
        if self.remote:
            server = RpcServer("127.0.0.1", 0, "token")
            omni_auth.server.register(server, self.service)
            anybody = Process(("dashboard", "router"), "token")
            channel = await self.exits.enter_async_context(open_channel(f"127.0.0.1:{await server.start()}", anybody))
            self.exits.push_async_callback(server.stop, 0)
            self.port = AuthClient(channel)
        return self

    async def close(self) -> None:
        await self.exits.aclose()

    async def snapshot(self) -> Snapshot:
        return decode((await self.service.configuration()).snapshot)

    async def put(self, kind: str, name: str, document: dict[str, Any], caller: Caller = ME, **more: Any) -> Any:
        return await self.port.put_object(caller, kind, name, msgspec.json.encode(document), **more)

    async def names(self, kind: str, caller: Caller = ME) -> list[str]:
        return [one.name for one in (await self.port.list_objects(caller, kind)).items]

    async def beta(self) -> None:
        await self.put("providers", "beta", BETA)
        await self.put("accounts", "beta/main", {"api_key": {"env": "BETA_KEY"}})

    def audited(self) -> list[str]:
        return [f"{entry.actor} {entry.action}" for entry in AuditLog(self.store.database).newest(limit=1000)]

    async def until(self, question: Any) -> None:
        deadline = time.monotonic() + 10
        while not await question():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


@pytest.fixture(params=["in process", "gRPC"])
async def house(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "gRPC" and place.kind != "sqlite":
        pytest.skip("the messages are the same whichever database is behind them")
    made = await House(place, tmp_path, request.param == "gRPC").open()
    yield made
    await made.close()


@contextmanager
def refused(status: int, code: str = "") -> Iterator[pytest.ExceptionInfo[InvalidRequest]]:
    with pytest.raises(InvalidRequest) as caught:
        yield caught
    assert (caught.value.status, caught.value.code) == (status, code or caught.value.code), caught.value


async def test_what_the_api_makes_is_in_force_beside_the_file(house: House) -> None:
    await house.beta()
    await house.put("combos", "both", {"targets": ["acme/gpt-x", "beta/m"]})
    await house.put("aliases", "fast", {"target": "both"})
    await house.put("prices", "beta/m", {"input": 1.25, "output": 10})
    snapshot = await house.snapshot()
    assert [provider.id for provider in snapshot.providers] == ["acme", "beta"]
    assert {combo.name: combo.targets for combo in snapshot.combos} == {
        "best": ("acme/gpt-x",),
        "both": ("acme/gpt-x", "beta/m"),
        "fast": ("acme/gpt-x", "beta/m"),
        "auto": ("beta/m",),
    }
    (priced,) = [model for model in snapshot.providers[1].models if model.id == "m"]
    assert priced.price is not None
    assert (priced.price.input, priced.price.output) == (1_250_000_000, 10_000_000_000)
    assert (await house.service.credential(CallContext("r"), "beta/main")).secret == "beta-secret-1"


async def test_an_account_may_be_logged_in_to_in_the_place_of_a_key(house: House) -> None:
    await house.put("providers", "beta", BETA)
    with refused(400):
        await house.put("accounts", "beta/main", {"login": "codex/work"})
    document = {"login": "codex/work", "accept_terms": "codex"}
    await house.put("accounts", "beta/main", document)
    found = await house.port.get_object(ME, "accounts", "beta/main")
    assert document.items() <= msgspec.json.decode(found.document).items()
    with pytest.raises(CredentialUnavailable, match="omniroute login codex --account work"):
        await house.port.credential(CallContext("r"), "beta/main")
    assert "login: codex/work" in await house.port.export_configuration(ME)


async def test_a_price_keeps_its_dates_and_whose_it_is_and_the_same_again_changes_nothing(house: House) -> None:
    await house.beta()
    terms = {"account": "beta/main", "input": 1, "output": 1, "cache_write_1h": 0.5}
    price = {
        "model": "m",
        "input": 1.25,
        "output": 10,
        "audio_input": 40,
        "changes": [{"since": "2026-12-01", "input": 1, "output": 8}],
        "overrides": [terms, {"organisation": "lab", "input": 2, "output": 3, "changes": []}],
    }
    assert (await house.put("prices", "beta/m", price)).outcome == "created"
    found = await house.port.get_object(ME, "prices", "beta/m")
    told = msgspec.json.decode(found.document)
    assert told["changes"] == price["changes"]
    assert told["overrides"][0] == terms
    assert (await house.put("prices", "beta/m", told)).outcome == "unchanged"
    assert (await house.put("prices", "beta/m", price | {"input": 1.5})).outcome == "updated"
    with pytest.raises(InvalidRequest, match="account"):
        await house.put("prices", "beta/m", price | {"overrides": [terms | {"account": "beta/other"}]})
    with pytest.raises(InvalidRequest, match="beta/main"):
        await house.port.delete_object(ME, "accounts", "beta/main")


async def test_names_of_all_kinds_are_made_and_kept_by_the_api(house: House) -> None:
    listed = [{"id": "m"}, {"id": "vendor/custom-1"}]
    await house.put("providers", "beta", {**BETA, "aka": ["be"], "models": listed})
    await house.put("accounts", "beta/main", {"api_key": {"value": "beta-secret-1"}})
    await house.put("combos", "inner", {"targets": ["be/*"]})
    await house.put("combos", "outer", {"targets": ["acme/gpt-x", {"model": "inner", "weight": 2}]})
    await house.put("aliases", "claude-*", {"target": "outer"})
    await house.put("aliases", "old/*", {"target": "be/*"})
    catalogue, policy = Catalogue(await house.snapshot()), KeyPolicy(id="k", name="k")

    def served(requested: str) -> list[str]:
        found = catalogue.plan_for(policy, requested).candidates
        return [f"{each.provider.id}/{each.model.id}" for each in found]

    assert served("outer") == served("claude-9") == ["acme/gpt-x", "beta/m", "beta/vendor/custom-1"]
    for name in ("beta/vendor/custom-1", "be/vendor/custom-1", "vendor/custom-1", "old/vendor/custom-1"):
        assert served(name) == ["beta/vendor/custom-1"], name
    text = await house.port.export_configuration(ME)
    before = await house.snapshot()
    await house.port.apply_configuration(ME, text, "", mode="import", take_over=True)
    after = await house.snapshot()
    assert {each.name: each for each in after.combos} == {each.name: each for each in before.combos}
    assert (after.wildcards, after.aka) == (before.wildcards, before.aka)


async def test_a_further_name_that_is_somebody_elses_is_refused_by_its_field(house: House) -> None:
    await house.beta()
    for word, told in (("acme", "is the id of a provider"), ("best", "a combo has this name already")):
        with pytest.raises(InvalidRequest, match=told) as caught:
            await house.put("providers", "beta", {**BETA, "aka": ["be", word]})
        assert caught.value.param == "aka[1]"


async def test_what_a_combo_still_names_is_not_deleted_and_no_circle_is_closed(house: House) -> None:
    await house.beta()
    await house.put("combos", "inner", {"targets": ["beta/m"]})
    await house.put("combos", "outer", {"targets": ["inner"]})
    with pytest.raises(InvalidRequest, match="combos/outer: targets"):
        await house.port.delete_object(ME, "combos", "inner")
    with pytest.raises(InvalidRequest, match="goes round in a circle: inner → outer → inner"):
        await house.put("combos", "inner", {"targets": ["beta/m", "outer"]})


async def test_a_put_that_changes_nothing_leaves_version_outbox_and_audit_as_they_are(house: House) -> None:
    first = await house.put("providers", "beta", BETA)
    assert (first.outcome, first.object.etag) == ("created", "1")
    before = house.audited()
    again = await house.put("providers", "beta", {**BETA, "id": "beta"})
    assert (again.outcome, again.object.etag) == ("unchanged", "1")
    assert house.audited() == before
    changed = await house.put("providers", "beta", {**BETA, "tier": "free"})
    assert (changed.outcome, changed.object.etag) == ("updated", "2")
    assert house.audited()[0].startswith("key:api-1 (boss) ")


async def test_a_document_is_told_with_its_types_and_put_as_it_was_told_changes_nothing(house: House) -> None:
    await house.beta()
    spelt = "prices: [{provider: beta, model: m, input: 1.250, output: 2}]\nrouting: {breaker: on, retries: 3}\n"
    await house.port.apply_configuration(ME, spelt, "", mode="import", take_over=True)
    told = {}
    for kind, name in (
        ("prices", "beta/m"),
        ("settings", "settings"),
        ("providers", "beta"),
        ("accounts", "beta/main"),
    ):
        found = await house.port.get_object(ME, kind, name)
        told[kind] = msgspec.json.decode(found.document)
        again = await house.put(kind, name, told[kind], if_match=found.etag)
        assert (again.outcome, again.object.document) == ("unchanged", found.document)
    assert told["prices"] == {"model": "m", "input": 1.25, "output": 2}
    assert told["settings"]["routing"] == {"breaker": True, "retries": 3}
    assert "input: 1.250" in await house.port.export_configuration(ME)
    live = await house.port.list_objects(ME, "combos")
    assert msgspec.json.decode(live.items[0].document) == {"name": "best", "targets": ["acme/gpt-x"]}


async def test_a_change_leaves_the_outbox_once_it_is_published(house: House) -> None:
    await house.beta()
    outbox = Outbox(house.store.database)

    async def told() -> bool:
        return len(outbox.after(0)) == 1

    await house.until(told)
    (last,) = outbox.after(0)
    assert (last.kind, last.action) == ("accounts", "create")


async def test_a_lost_update_is_refused(house: House) -> None:
    await house.put("providers", "beta", BETA)
    await house.put("providers", "beta", {**BETA, "tier": "free"}, if_match="1")
    with refused(412, "version_mismatch"):
        await house.put("providers", "beta", BETA, if_match="1")
    with refused(412):
        await house.put("providers", "beta", BETA, if_none_match=True)
    with refused(412):
        await house.put("providers", "gamma", BETA, if_match="1")
    with refused(412):
        await house.port.delete_object(ME, "providers", "beta", if_match="1")
    assert (await house.port.get_object(ME, "providers", "beta")).etag == "2"
    await house.port.delete_object(ME, "providers", "beta", if_match="2")
    with refused(404, "not_found"):
        await house.port.get_object(ME, "providers", "beta")


# kind, name, document, and the field that is named
WRONG: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("providers", "beta", {**BETA, "format": "nonsense"}, "format"),
    ("providers", "beta", {**BETA, "base_url": "http://127.0.0.1:1/v1"}, "base_url"),
    ("providers", "beta", {**BETA, "colour": "red"}, "colour"),
    ("providers", "beta", {**BETA, "id": "other"}, "id"),
    ("combos", "lost", {"targets": ["nobody/m"]}, "targets[0]"),
    ("combos", "acme", {"targets": ["acme/m"]}, "name"),
    ("aliases", "fast", {"target": "nobody/m"}, "target"),
    ("aliases", "best", {"target": "acme/m"}, "name"),
    ("aliases", "old-*", {"target": "nobody/*"}, "target"),
    ("combos", "round", {"targets": ["acme/m", "round"]}, "targets[1]"),
    ("combos", "all", {"targets": ["acme/*x"]}, "targets[0]"),
    ("prices", "nobody/m", {"input": 1, "output": 1}, "provider"),
    ("accounts", "nobody/main", {"api_key": {"env": "BETA_KEY"}}, "provider"),
    ("limits", "all", {"title": "nothing"}, "title"),
    ("limits", "all", {}, None),
    ("limits", "all", {"requests_per_minute": 0}, "requests_per_minute"),
    ("limits", "all", {"budget": {"usd": -3}}, "budget.usd"),
    ("limits", "all", {"budget": {"usd": 1, "window": "decade"}}, "budget.window"),
    ("limits", "team/nobodys/all", {"requests_per_minute": 3}, "team"),
    ("limits", "user/nobody@example.org/all", {"requests_per_minute": 3}, "user"),
    ("limits", "key/none/all", {"requests_per_minute": 3}, "key"),
    ("limits", "planet/earth/all", {"requests_per_minute": 3}, None),
]
WRONG_SETTINGS: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("settings", "settings", {"server": {"port": "many"}}, "server.port"),
    ("settings", "settings", {"routing": {"blocked_providers": ["acmee"]}}, "routing.blocked_providers[0]"),
]


@pytest.mark.parametrize("cases", [WRONG, WRONG_SETTINGS], ids=["objects", "settings"])
async def test_what_is_wrong_is_refused_by_its_field_and_nothing_is_written(
    house: House, cases: list[tuple[str, str, dict[str, Any], str | None]]
) -> None:
    if cases is WRONG_SETTINGS:
        await house.port.adopt_object(ME, "settings", "settings")
    before, snapshot = house.audited(), await house.snapshot()
    for kind, name, document, field in cases:
        told: str | None = "it was taken"
        try:
            await house.put(kind, name, document)
        except InvalidRequest as error:
            told = error.param
        assert told == field, (kind, name, document)
        assert house.audited() == before, (kind, name, document)
        assert await house.snapshot() == snapshot, (kind, name, document)


async def test_an_account_whose_secret_cannot_be_had_is_refused(house: House) -> None:
    await house.put("providers", "beta", BETA)
    with refused(400) as check:
        await house.put("accounts", "beta/main", {"api_key": {"env": "NO_SUCH_KEY"}})
    assert check.value.param == "api_key"
    assert "NO_SUCH_KEY is not set" in check.value.message


async def test_what_would_break_something_else_is_refused(house: House) -> None:
    await house.beta()
    await house.put("combos", "b", {"targets": ["beta/m"]})
    with refused(409, "in_use"):
        await house.port.delete_object(ME, "providers", "beta")
    with refused(400) as check:
        await house.port.delete_object(ME, "accounts", "beta/main")
    assert check.value.param == "combos/b: targets[0]"
    await house.port.delete_object(ME, "combos", "b")
    await house.port.delete_object(ME, "accounts", "beta/main")
    await house.port.delete_object(ME, "providers", "beta")
    assert await house.names("providers") == ["acme"]


async def test_dry_runs_check_everything_and_write_nothing(house: House) -> None:
    before = house.audited()
    assert (await house.put("providers", "beta", BETA, dry_run=True)).outcome == "created"
    with refused(400):
        await house.put("combos", "lost", {"targets": ["nobody/m"]}, dry_run=True)
    await house.put("providers", "beta", BETA)
    await house.port.delete_object(ME, "providers", "beta", dry_run=True)
    assert await house.names("providers") == ["acme", "beta"]
    assert len(house.audited()) == len(before) + 1


async def test_the_files_objects_can_be_read_and_not_changed(house: House) -> None:
    assert await house.names("providers") == ["acme"]
    acme = await house.port.get_object(ME, "providers", "acme")
    assert (acme.managed_by, acme.source) == ("file", str(house.file))
    account = await house.port.get_object(ME, "accounts", "acme/first")
    assert msgspec.json.decode(account.document) == {"name": "first", "api_key": {"env": "ACME_KEY"}}
    for kind, name in (("providers", "acme"), ("combos", "best"), ("settings", "settings"), ("accounts", "acme/new")):
        with refused(409, "managed_by_file") as check:
            await house.put(kind, name, {})
        assert str(house.file) in check.value.message
    with refused(409, "managed_by_file"):
        await house.port.delete_object(ME, "providers", "acme")


async def test_an_adopted_object_is_the_apis_and_the_file_is_left_aside(house: House) -> None:
    before = await house.snapshot()
    adopted = await house.port.adopt_object(ME, "providers", "acme")
    assert (adopted.managed_by, adopted.etag) == ("api", "1")
    assert await house.names("accounts") == ["acme/first"]
    assert (await house.snapshot()).providers == before.providers
    await house.put("providers", "acme", {**msgspec.json.decode(adopted.document), "tier": "free"}, if_match="1")
    assert (await house.snapshot()).providers[0].tier == "free"
    house.file.write_text(FILE.replace("api.example.com", "other.example.com").replace("retries: 2", "retries: 3"))

    async def reread() -> bool:
        return (await house.snapshot()).routing.retries == 3

    await house.until(reread)
    assert (await house.snapshot()).providers[0].base_url == "https://api.example.com/v1"


async def test_adopted_settings_stand_before_the_files(house: House) -> None:
    await house.port.adopt_object(ME, "settings", "settings")
    await house.put("settings", "settings", {"routing": {"retries": 5}})
    assert (await house.snapshot()).routing.retries == 5


APPLIED = """\
providers:
  - {id: beta, format: openai.chat, base_url: https://beta.example.com/v1,
     accounts: [{name: main, api_key: {env: BETA_KEY}}]}
combos: [{name: both, targets: [acme/gpt-x, beta/m]}]
prices: [{provider: beta, model: m, input: 1, output: 2}]
aliases: [{name: quick, target: both}]
"""


async def apply(house: House, text: str, source: str = "beta.yaml", **more: Any) -> list[str]:
    done = await house.port.apply_configuration(ME, text, source, **more)
    return [f"{change.action} {change.kind}/{change.name}" for change in done.changes]


async def test_applying_a_file_makes_the_store_what_it_says(house: House) -> None:
    made = ["create providers/beta", "create accounts/beta/main", "create combos/both", "create aliases/quick",
            "create prices/beta/m"]  # fmt: skip
    assert await apply(house, APPLIED, dry_run=True) == made
    assert await house.names("providers") == ["acme"]
    assert await apply(house, APPLIED) == made
    assert await apply(house, APPLIED) == []
    assert (await house.port.get_object(ME, "providers", "beta")).source == "beta.yaml"
    with refused(409, "managed_by_file") as check:
        await house.put("providers", "beta", BETA)
    assert "beta.yaml" in check.value.message
    less = "\n".join(line for line in APPLIED.splitlines() if not line.startswith(("aliases", "prices")))
    assert await apply(house, less) == ["delete prices/beta/m", "delete aliases/quick"]
    assert await apply(house, APPLIED.replace("input: 1", "input: 3")) == [
        "create aliases/quick", "create prices/beta/m",
    ]  # fmt: skip
    assert await apply(house, "{}", "elsewhere.yaml") == []
    gone = await apply(house, "{}")
    assert sorted(gone) == sorted(word.replace("create", "delete") for word in made)
    assert await house.names("providers") == ["acme"]


async def test_a_large_file_is_waited_for(tmp_path: Path) -> None:
    house = await House(Place("sqlite", tmp_path, None), tmp_path, remote=True).open()
    applied = house.service.apply_configuration

    async def slowly(*asked: Any, **more: Any) -> Applied:
        await asyncio.sleep(CALL_TIMEOUT + 1)
        return await applied(*asked, **more)

    house.service.apply_configuration = slowly  # type: ignore[method-assign]
    try:
        assert await apply(house, "combos: [{name: more, targets: [acme/m]}]") == ["create combos/more"]
    finally:
        await house.close()


@pytest.mark.parametrize("mode", ["apply", "import"])
async def test_a_file_with_nothing_in_it_is_refused_and_takes_nothing_away(house: House, mode: str) -> None:
    await apply(house, APPLIED)
    before = house.audited()
    for text in ("", "\n\n", "# a comment\n# alone\n", "---\n", "--- # nothing\n...\n", "~"):
        for dry_run in (True, False):
            with refused(400) as check:
                await apply(house, text, mode=mode, dry_run=dry_run)
            told = "beta.yaml: the file is empty; to take away all that it has made, say {}"
            assert check.value.message == told
    assert house.audited() == before
    assert len(await house.names("providers")) == 2


async def test_a_free_only_combo_stays_free_whoever_changes_what(house: House) -> None:
    await house.beta()
    combo = {
        "free_only": True,
        "strategy": {"name": "round-robin", "sticky": 2},
        "targets": [{"model": "beta/m", "weight": 2}],
    }
    with refused(400) as check:
        await house.put("combos", "gifts", combo)
    assert check.value.message.startswith("targets[0]: costs: the tier of 'beta' is cheap, and this combo is free_only")
    assert check.value.param == "targets[0]"
    await house.put("providers", "beta", BETA | {"tier": "free"})
    await house.put("combos", "gifts", combo)
    shown = await house.port.get_object(ME, "combos", "gifts")
    assert msgspec.json.decode(shown.document) == combo | {"name": "gifts"}
    (made,) = [each for each in (await house.snapshot()).combos if each.name == "gifts"]
    assert (made.strategy, made.sticky, made.targets, made.weights) == ("round-robin", 2, ("beta/m",), {"beta/m": 2})
    for kind, name, document in (
        ("prices", "beta/m", {"input": 1, "output": 1}),
        ("prices", "*/*", {"input": 1, "output": 1}),
        ("providers", "beta", BETA),
    ):
        with refused(400) as check:
            await house.put(kind, name, document)
        assert "combos/gifts: targets[0]: costs: " in check.value.message
    assert [each.name for each in (await house.snapshot()).combos] == ["best", "gifts"]


async def test_an_apply_that_is_refused_changes_nothing(house: House) -> None:
    before = house.audited()
    with refused(400) as check:
        await apply(house, APPLIED.replace("acme/gpt-x, ", "nobody/m, "))
    assert check.value.message.startswith("beta.yaml:4: combos[0].targets[0]: there is no provider 'nobody'")
    assert check.value.param == "combos[0].targets[0]"
    with refused(400) as check:
        await apply(house, APPLIED.replace("format: openai.chat", "format: nonsense"))
    assert check.value.message.startswith("beta.yaml:2: providers[0].format: must be one of")
    with refused(400):
        await apply(house, "providers: [")
    twice = "combos: [{name: a, targets: [acme/gpt-x]}, {name: a, targets: [acme/gpt-y]}]\n"
    twice += "prices: [{model: m, input: 1, output: 1}, {model: m, input: 2, output: 1}]"
    with refused(400) as check:
        await apply(house, twice)
    assert check.value.message == (
        "beta.yaml:1: combos[1].name: another combo is called 'a' already (combos[0])\n"
        "beta.yaml:2: prices[1].model: another price of 'm' is here already"
    )
    assert house.audited() == before
    assert await house.names("combos") == ["best"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("https://beta.example.com", "http://127.0.0.1:9", "beta.yaml:2: providers[0].base_url: is a loopback or"),
        ("{env: BETA_KEY}", "{vault: keep}", "beta.yaml:3: providers[0].accounts[0].api_key: nothing is sealed"),
        ("{env: BETA_KEY}", "{env: NO_KEY}", "beta.yaml:3: providers[0].accounts[0].api_key: the environment variable"),
    ],
)
async def test_what_is_wrong_with_one_object_of_a_file_is_told_by_its_line(
    house: House, old: str, new: str, told: str
) -> None:
    with refused(400) as check:
        await apply(house, APPLIED.replace(old, new))
    assert check.value.message.startswith(told)
    assert check.value.param == told.split(": ")[1]


async def test_what_stays_as_it_is_is_counted_and_only_taken_over_where_another_managed_it(house: House) -> None:
    await apply(house, APPLIED)
    done = await house.port.apply_configuration(ME, APPLIED.replace("input: 1", "input: 3"), "beta.yaml")
    assert ([change.action for change in done.changes], done.unchanged) == (["update"], 4)
    moved = await house.port.apply_configuration(ME, APPLIED, "other.yaml", take_over=True, dry_run=True)
    assert [(change.action, change.kind) for change in moved.changes] == [
        ("adopt", "providers"), ("adopt", "accounts"), ("adopt", "combos"), ("adopt", "aliases"), ("update", "prices"),
    ]  # fmt: skip
    assert moved.unchanged == 0


async def test_what_a_file_does_is_told_by_what_is_in_force_with_the_live_file(house: House) -> None:
    async def told(text: str) -> list[tuple[str, Any, Any]]:
        done = await house.port.apply_configuration(ME, text, "mine.yaml", take_over=True)
        return [(one.action, *map(msgspec.json.decode, (one.before, one.after))) for one in done.changes]

    live, more = {"routing": {"retries": 2}}, {"routing": {"retries": 2}, "server": {"port": 9999}}
    assert await told("server: {port: 9999}") == [("update", live, more)]
    assert await told("{server: {port: 9999}, routing: {retries: 2}}") == [("adopt", more, more)]
    assert await told("{}") == [("update", more, live)]
    best, other = ({"name": "best", "targets": [f"acme/{model}"]} for model in ("gpt-x", "gpt-y"))
    assert await told("combos: [{name: best, targets: [acme/gpt-y]}]") == [("update", best, other)]
    assert await told("{}") == [("update", other, best)]


async def test_an_export_applied_as_it_is_changes_nothing_but_who_manages_it(house: House) -> None:
    house.file.write_text(FILE.replace("{env: ACME_KEY}", "{value: in-the-file-1}"))
    await house.until(lambda: was_read(house))
    await house.beta()
    await house.put("accounts", "beta/sealed", {"api_key": {"value": "sealed-secret-1"}})
    await apply(house, "prices: [{model: m, input: 1, output: 2}]")
    text = await house.port.export_configuration(ME)
    assert text.count("vault: keep") == 2
    before = await house.snapshot()
    for dry_run in (True, False):
        done = await house.port.apply_configuration(ME, text, "x.yaml", take_over=True, dry_run=dry_run)
        assert {change.action for change in done.changes} == {"adopt"}
        assert "in-the-file-1" not in str(done)
    assert unordered(await house.port.export_configuration(ME)) == unordered(text)
    assert {one.id: one for one in (await house.snapshot()).providers} == {one.id: one for one in before.providers}
    assert (await house.service.credential(CallContext("r"), "acme/first")).secret == "in-the-file-1"
    assert await apply(house, text, "x.yaml") == []


async def was_read(house: House) -> bool:
    return (await house.service.credential(CallContext("r"), "acme/first")).secret == "in-the-file-1"


async def test_what_another_manages_is_a_conflict_until_it_is_taken_over(house: House) -> None:
    await house.beta()
    with refused(409, "conflict") as check:
        await apply(house, APPLIED)
    assert "providers/beta is managed by the API" in check.value.message
    await apply(house, APPLIED, take_over=True)
    done = await house.port.apply_configuration(ME, FILE, "mine.yaml", dry_run=True, take_over=True)
    assert f"{house.file}: providers/acme: is managed by the API now and left aside here" in done.warnings[0]
    assert (await house.port.get_object(ME, "providers", "beta")).managed_by == "file"
    with refused(409, "conflict") as check:
        await apply(house, FILE, "mine.yaml")
    assert f"providers/acme is managed by {house.file}" in check.value.message
    adopted = await house.port.adopt_object(ME, "providers", "beta")
    assert (adopted.managed_by, adopted.source) == ("api", "")
    assert (await house.port.get_object(ME, "accounts", "beta/main")).managed_by == "api"


async def test_an_export_that_is_imported_is_the_same_configuration_without_its_file(
    house: House, place: Place, tmp_path: Path
) -> None:
    await apply(house, APPLIED)
    text = await house.port.export_configuration(ME)
    assert "secret-1" not in text
    before = await house.snapshot()

    async def imported(dry_run: bool) -> Applied:
        return await house.port.apply_configuration(ME, text, "", mode="import", take_over=True, dry_run=dry_run)

    done = await imported(dry_run=False)
    assert {change.action for change in done.changes} == {"adopt"}
    assert any("left aside here" in line for line in done.warnings)
    house.file.write_text("{}")

    async def alone() -> bool:
        return not (await imported(dry_run=True)).warnings

    await house.until(alone)
    after = await house.snapshot()
    assert {one.id: one for one in after.providers} == {one.id: one for one in before.providers}
    assert {one.name: one for one in after.combos} == {one.name: one for one in before.combos}
    assert after.routing == before.routing
    assert (await house.port.get_object(ME, "providers", "beta")).managed_by == "api"
    assert unordered(await house.port.export_configuration(ME)) == unordered(text)


def unordered(text: str) -> Any:
    said = yaml.safe_load(text)
    return {key: sorted(map(str, value)) if isinstance(value, list) else value for key, value in said.items()}


async def test_a_file_may_refer_to_what_the_store_has(house: House) -> None:
    await house.beta()
    house.file.write_text(FILE + "aliases: [{name: second, target: beta/m}]\n")

    async def there() -> bool:
        return "second" in [combo.name for combo in (await house.snapshot()).combos]

    await house.until(there)
    with refused(400) as check:
        await house.port.delete_object(ME, "accounts", "beta/main")
    assert "omniroute.yaml: aliases[0].target" in check.value.message


async def test_what_does_not_fit_any_more_at_a_start_is_left_out_and_told(house: House) -> None:
    await house.beta()
    await house.put("combos", "b", {"targets": ["beta/m"]})
    await house.close()
    del house.env["BETA_KEY"]
    await house.open()
    snapshot = await house.snapshot()
    assert [provider.id for provider in snapshot.providers] == ["acme"]
    assert [combo.name for combo in snapshot.combos] == ["best"]
    assert (snapshot.off.models, snapshot.off.idle) == (("beta/*",), ("b",)), "names that nobody else is served for"
    told = (await house.service.configuration()).rejected
    assert "left out: accounts/beta/main: api_key: the environment variable BETA_KEY is not set" in told
    assert "left out: combos/b: targets[0]" in told
    assert await house.names("providers") == ["acme", "beta"]


async def test_a_file_that_is_bad_at_the_start_is_told_and_the_store_is_closed(house: House) -> None:
    await house.close()
    house.file.write_text("providers: 3")
    with pytest.raises(ConfigErrors):
        await house.open()
    house.file.write_text(FILE)
    await house.open()


async def test_another_organisation_has_its_own_and_sees_nothing_of_the_platforms(house: House) -> None:
    await house.put("organisations", "guests", {"title": "Guests"})
    await house.put("teams", "core", {"title": "Core"}, OTHERS)
    await house.put("teams", "ours", {})
    assert await house.names("teams", OTHERS) == ["core"]
    assert await house.names("teams") == ["ours"]
    assert await house.names("providers", OTHERS) == []
    assert await house.names("organisations", OTHERS) == ["guests"]
    with refused(404):
        await house.port.get_object(OTHERS, "providers", "acme")
    for kind, name in (("providers", "beta"), ("settings", "settings"), ("organisations", "more")):
        with pytest.raises(PermissionDenied):
            await house.put(kind, name, {}, OTHERS)
    with pytest.raises(PermissionDenied):
        await house.port.apply_configuration(OTHERS, APPLIED, "x")


async def test_keys_of_another_organisation_are_its_own(house: House) -> None:
    with refused(400) as check:
        await house.port.create_key(NewKey("lost"), Caller("key:api-1 (boss)", "nobody"))
    assert check.value.param == "organisation"
    await house.put("organisations", "guests", {})
    mine = await house.port.create_key(NewKey("mine"), ME)
    theirs = await house.port.create_key(NewKey("theirs", role="admin"), OTHERS)
    assert [key.name for key in await house.port.list_keys(ME)] == ["mine"]
    assert [key.name for key in await house.port.list_keys(OTHERS)] == ["theirs"]
    with refused(400) as check:
        await house.port.create_key(NewKey("mine"), ME)
    assert check.value.param == "name"
    same = await house.port.create_key(NewKey("mine"), OTHERS)
    await house.port.revoke_key("mine", OTHERS)
    assert same.key.id != mine.key.id
    for word in (mine.key.id, "mine"):
        with refused(404):
            await house.port.revoke_key(word, OTHERS)
        with refused(404):
            await house.port.rotate_key(word, 0, OTHERS)
    with refused(404):
        await house.port.revoke_key(theirs.key.id, ME)
    for made, organisation in ((mine, "default"), (theirs, "guests")):
        known = await house.port.authenticate(CallContext("r"), presented_digest(made.secret))
        assert known.organisation == organisation
    await house.port.rotate_key("theirs", 0, OTHERS)
    await house.port.revoke_key("theirs", OTHERS)
    assert await house.port.list_keys(OTHERS) == []
    with pytest.raises(PermissionDenied):
        await house.port.export_configuration(OTHERS)


async def test_pages_follow_each_other_without_a_gap(house: House) -> None:
    for number in range(7):
        await house.put("tags", f"t{number}", {})
    found, after = [], ""
    while True:
        page = await house.port.list_objects(ME, "tags", after=after, limit=3)
        found += [one.name for one in page.items]
        after = page.next
        if not after:
            break
    assert found == [f"t{number}" for number in range(7)]


async def test_what_another_process_changes_is_taken_over(house: House) -> None:
    await house.beta()
    beta = SqlObjects(house.store.database, house.vault).held().get("providers", "beta")
    assert beta is not None
    stolen = house.place.store()
    stolen.open()
    try:
        renamed = msgspec.structs.replace(beta, document={**beta.document, "tier": "subscription"})
        SqlObjects(stolen.database, house.vault).change(
            "default", lambda _: [Step(beta, renamed)], now=1, actor="cli:uid-0"
        )
    finally:
        stolen.close()

    async def seen() -> bool:
        return (await house.snapshot()).providers[1].tier == "subscription"

    await house.until(seen)


@pytest.mark.parametrize(
    ("kind", "name", "document"),
    [
        ("providers", "beta", {**BETA, "enabled": False}),
        ("accounts", "beta/main", {"api_key": {"env": "BETA_KEY"}, "enabled": "off"}),
        ("settings", "settings", {"routing": {"blocked_providers": ["beta"]}}),
    ],
)
async def test_what_is_switched_off_is_out_of_the_snapshot_until_it_is_on(
    house: House, kind: str, name: str, document: dict[str, Any]
) -> None:
    await house.beta()
    await house.put("combos", "both", {"targets": ["acme/m", "beta/m"]})
    if kind == "settings":
        await house.port.adopt_object(ME, kind, name)
    on = {"settings": {}, "providers": BETA, "accounts": {"api_key": {"env": "BETA_KEY"}}}[kind]
    await house.put(kind, name, document)
    snapshot = await house.snapshot()
    assert [provider.id for provider in snapshot.providers] == ["acme"]
    assert [combo.targets for combo in snapshot.combos if combo.name == "both"] == [("acme/m",)]
    assert snapshot.off.models == ("beta/*",)
    text = await house.port.export_configuration(ME)
    assert {change.action for change in (await differences(house, text))} == {"adopt"}
    await house.put(kind, name, on)
    assert [provider.id for provider in (await house.snapshot()).providers] == ["acme", "beta"]
    told = [one for one in await differences(house, text) if one.action != "adopt"]
    assert [(one.action, one.kind) for one in told] == [("update", kind)]
    assert any(word in told[0].after for word in (b'"enabled":false', b'"blocked_providers":["beta"]'))


async def differences(house: House, text: str) -> Any:
    done = await house.port.apply_configuration(ME, text, "other.yaml", take_over=True, dry_run=True)
    return done.changes


async def test_a_combo_that_is_switched_off_stays_as_an_object(house: House) -> None:
    await house.put("combos", "both", {"targets": ["acme/m"], "enabled": "off"})
    assert [combo.name for combo in (await house.snapshot()).combos] == ["best"]
    assert msgspec.json.decode((await house.port.get_object(ME, "combos", "both")).document)["enabled"] is False
    await house.put("combos", "both", {"targets": ["acme/m"], "enabled": True})
    assert [combo.name for combo in (await house.snapshot()).combos] == ["best", "both"]


async def test_a_provider_that_is_blocked_is_not_deleted_unnoticed(house: House) -> None:
    await house.put("providers", "gamma", BETA)
    await house.put("accounts", "gamma/main", {"api_key": "none"})
    await house.port.adopt_object(ME, "settings", "settings")
    await house.put("settings", "settings", {"routing": {"blocked_providers": ["acme", "gamma"]}})
    with refused(400) as check:
        await house.port.delete_object(ME, "accounts", "gamma/main")
    assert "settings/settings: routing.blocked_providers[1]: there is no provider 'gamma'" in check.value.message


async def test_a_blocked_provider_that_the_file_drops_is_left_out_and_the_other_settings_hold(house: House) -> None:
    await house.beta()
    await house.port.adopt_object(ME, "settings", "settings")
    settings = {"server": {"require_api_key": True}, "routing": {"blocked_providers": ["acme", "beta"], "retries": 4}}
    await house.put("settings", "settings", settings)
    house.file.write_text("server: {require_api_key: off}\n")

    async def dropped() -> bool:
        return not any(combo.name == "best" for combo in (await house.snapshot()).combos) and bool(
            (await house.service.configuration()).rejected
        )

    await house.until(dropped)
    snapshot = await house.snapshot()
    assert (snapshot.routing.retries, snapshot.server.require_api_key, snapshot.providers) == (4, True, ())
    told = (await house.service.configuration()).rejected
    assert "left out: settings/settings: routing.blocked_providers[0]: there is no provider 'acme'" in told


async def test_what_a_file_lists_comes_in_its_order(house: House) -> None:
    """fill-first goes by it: a subscription before what is paid by the token."""
    names = ["subscription", "backup", "costly", "another", "last"]
    many = [
        {"id": f"p{number}", **BETA, "accounts": [{"name": name, "api_key": {"env": "BETA_KEY"}} for name in names]}
        for number in (3, 1, 2, 0)
    ]
    await apply(house, yaml.safe_dump({"providers": many}), "many.yaml")
    (_, *found) = (await house.snapshot()).providers
    assert [provider.id for provider in found] == ["p3", "p1", "p2", "p0"]
    for provider in found:
        assert [account.name for account in provider.accounts] == names
    (_, *exported) = yaml.safe_load(await house.port.export_configuration(ME))["providers"]
    assert [[account["name"] for account in one["accounts"]] for one in exported] == [names] * 4


async def test_who_opened_the_gateway_is_told_in_the_difference_and_in_the_audit_log(house: House) -> None:
    text = "server: {require_api_key: off}\n"
    done = await house.port.apply_configuration(ME, text, "open.yaml", take_over=True)
    (change,) = done.changes
    assert msgspec.json.decode(change.after)["server"] == {"require_api_key": False}
    entry = AuditLog(house.store.database).newest(limit=1)[0]
    assert msgspec.json.decode(entry.after)["server"] == {"require_api_key": "off"}


async def test_accounts_that_are_moved_within_a_file_stay_where_they_are_and_a_warning_says_how_to_move_them(
    house: House,
) -> None:
    def text(*names: str) -> str:
        accounts = [{"name": name, "api_key": {"env": "BETA_KEY"}} for name in names]
        return yaml.safe_dump({"providers": [{"id": "beta", **BETA, "accounts": accounts}]})

    async def warned(*names: str) -> tuple[str, ...]:
        found: tuple[str, ...] = (await house.port.apply_configuration(ME, text(*names), "beta.yaml")).warnings
        return found

    async def order() -> list[str]:
        (_, beta) = (await house.snapshot()).providers
        return [account.name for account in beta.accounts]

    assert await warned("one", "two") == ()
    (told,) = await warned("new", "two", "one")
    assert told.startswith("beta.yaml:2: providers[0].accounts: warning: they stay in the order")
    assert "(one, two, new)" in told
    assert await order() == ["one", "two", "new"]
    assert await warned("new") == ()
    assert await warned("new", "two", "one") == ()
    assert await order() == ["new", "two", "one"]
