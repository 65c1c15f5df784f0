"""Logging in at a real OpenID provider, and what becomes of one that does not do as it should."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pytest
from omni_auth.adapters.keyring import open_keyring
from omni_auth.adapters.oidc import OidcLogins
from omni_auth.adapters.passwords import Argon2
from omni_auth.adapters.store import people as stored_people
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.credentials import Vault
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.store.people import SqlPeople
from omni_auth.adapters.store.tables import people as persons
from omni_auth.adapters.store.tables import sessions
from omni_auth.domain import people
from omni_auth.domain.configuration import load
from omni_auth.people import PeopleService
from omni_core.bus import Bus
from omni_core.ids import new_id
from omni_core.ports.configuration import Caller
from omni_core.ports.people import LogIn, Opened, Origin
from omni_core.redis import open_redis
from omni_core.runtime import Runtime
from omni_core.settings import CoreSettings
from omni_core.telemetry import new_registry
from omni_core.web import HttpWeb
from omni_dashboard.build import build
from omni_dashboard.settings import DashboardSettings
from omni_wire.errors import Unauthenticated
from sqlalchemy import func, select

from tests.support.openid import CLIENT, SECRET, Provider, browse, openid_provider
from tests.unit.dashboard.ports import Analytics, Auth, Processes, Quota

FILE = """
logins:
  oidc:
    - id: corp
      title: Corp
      issuer: {issuer}
      client_id: {client}
      client_secret: {{env: CORP_SECRET}}
      allow_private_address: true
      allowed_domains: [example.org]
      provision: true
      roles: [{{group: money, role: billing}}, {{group: builders, role: developer}}]
"""
REDIRECT = "http://127.0.0.1:20128/api/session/oidc/callback"
HERE = Origin("192.0.2.7", "a browser")
CALLER = Caller("t", "default")


class House:
    def __init__(self, home: Path, provider: Provider) -> None:
        self.provider, self.ahead = provider, 0
        self.store = SqlStore(home)
        self.store.open()
        self.configured = load(
            FILE.format(issuer=provider.url, client=CLIENT), "omniroute.yaml", {"CORP_SECRET": SECRET}, str
        )
        self.changed: dict[str, Any] = {}
        vault = Vault(self.store.database, open_keyring(home, {}), os.urandom)
        self.service = PeopleService(
            SqlPeople(self.store.database, vault), Argon2(kib=64, passes=1),
            OidcLogins(self.providers, HttpWeb(), self.now), now=self.now, chance=os.urandom, mint=new_id,
        )  # fmt: skip

    def providers(self) -> Any:
        section = self.configured.config.logins.oidc[0].model_copy(update=self.changed)
        return ((section, self.configured.secrets["logins", "oidc", 0, "client_secret"]),)

    def now(self) -> int:
        return int(time.time() * 1000) + self.ahead

    async def log_in(self, **changed: str) -> Opened:
        begun = await self.service.begin_oidc("corp", REDIRECT, "/people")
        back = browse(begun.url) | changed
        return (await self.service.finish_oidc(HERE, back["state"], back["code"])).opened

    async def refused(self, told: str, **changed: str) -> None:
        """Nothing is left of it: no login, no session, no log-in that is under way."""
        before = self.kept()
        with pytest.raises(Unauthenticated, match=told) as caught:
            await self.log_in(**changed)
        assert caught.value.code == "oidc_refused"
        assert SECRET not in caught.value.message
        assert self.kept() == before

    def kept(self) -> list[int]:
        with self.store.database.reading() as connection:
            tables = (persons, sessions)
            return [connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


@pytest.fixture(scope="module")
def listening() -> Iterator[Provider]:
    with openid_provider() as made:
        yield made


@pytest.fixture
def provider(listening: Provider) -> Provider:
    listening.person = {"sub": "248", "email": "ada@example.org", "email_verified": True}
    listening.claims, listening.signs, listening.calls_itself = {}, "RS256", ""
    listening.asked.clear()
    return listening


@pytest.fixture
def house(tmp_path: Path, provider: Provider) -> Iterator[House]:
    made = House(tmp_path, provider)
    yield made
    made.service.close()
    made.store.close()


async def test_who_a_provider_names_is_let_in_and_known_again(house: House) -> None:
    assert [(one.id, one.title) for one in (await house.service.options()).providers] == [("corp", "Corp")]
    first = await house.log_in()
    assert (first.who.person.name, first.who.person.role, first.who.person.has_password) == (
        "ada@example.org", "viewer", False,
    )  # fmt: skip
    house.provider.person["email"] = "ada.lovelace@example.org"
    again = await house.log_in()
    assert again.who.person.id == first.who.person.id, "by their subject, whatever their address is now"
    asked = house.provider.asked[0]
    assert asked["code_challenge_method"] == "S256"
    assert len({one["state"] + one["nonce"] + one["code_challenge"] for one in house.provider.asked}) == 2
    actions = [entry.action for entry in AuditLog(house.store.database).newest()]
    assert actions.count("people.login") == 2


async def test_who_was_invited_comes_in_by_a_verified_address_and_keeps_the_role(house: House) -> None:
    house.changed = {"provision": False}
    await house.refused("nobody has invited 'ada@example.org'")
    made = await house.service.invite(CALLER, "ada@example.org", "admin")
    house.provider.person["email_verified"] = False
    await house.refused("verified")
    house.provider.person["email_verified"] = True
    opened = await house.log_in()
    assert (opened.who.person.id, opened.who.person.role) == (made.person.id, "admin")
    house.provider.person["sub"] = "another who has that address now"
    await house.refused("nobody has invited")


async def test_groups_give_roles_and_never_that_of_an_owner(house: House) -> None:
    house.provider.person["groups"] = ["builders", "others"]
    assert (await house.log_in()).who.person.role == "developer"
    house.provider.person["groups"] = ["builders", "money"]
    opened = await house.log_in()
    assert opened.who.person.role == "billing"
    await house.service.change_person(CALLER, opened.who.person.id, role="owner")
    assert (await house.log_in()).who.person.role == "owner"


async def test_who_leaves_a_group_leaves_its_role_and_what_an_owner_gave_stays(house: House) -> None:
    house.provider.person["groups"] = ["money"]
    person = (await house.log_in()).who.person
    assert person.role == "billing"
    house.provider.person["groups"] = []
    assert (await house.log_in()).who.person.role == "viewer"
    house.provider.person["groups"] = ["money"]
    assert (await house.log_in()).who.person.role == "billing"
    await house.service.change_person(CALLER, person.id, role="billing")
    house.provider.person["groups"] = []
    assert (await house.log_in()).who.person.role == "billing"


async def test_a_provider_of_one_organisation_gives_nothing_in_another(house: House) -> None:
    person = (await house.log_in()).who.person
    house.changed = {"organisation": "elsewhere"}
    house.provider.person["groups"] = ["money"]
    await house.refused("not of elsewhere")
    assert [(one.id, one.role) for one in await house.service.list_people(CALLER)] == [(person.id, "viewer")]


async def test_who_is_disabled_stays_out(house: House) -> None:
    person = (await house.log_in()).who.person
    await house.service.change_person(CALLER, person.id, disabled=True)
    await house.refused("disabled")
    with pytest.raises(Unauthenticated):
        await house.service.log_in(HERE, LogIn("default", person.name, ""))


@pytest.mark.parametrize(("claims", "told"), [
    ({"iss": "https://evil.example"}, "another issuer"),
    ({"iss": None}, "another issuer"),
    ({"nonce": "of another log-in"}, "not of this log-in"),
    ({"nonce": None}, "not of this log-in"),
    ({"aud": "another client"}, "another client"),
    ({"aud": [CLIENT, "another"]}, "another client"),
    ({"exp": 1_000_000_000}, "expired"),
    ({"exp": None}, "expired"),
    ({"iat": 4_000_000_000}, "future"),
    ({"sub": None}, "who somebody is"),
    ({"sub": ""}, "who somebody is"),
    ({"email": "eve@evil.example"}, "only addresses of example.org"),
    ({"email": "ada@example.org.evil.example"}, "only addresses of example.org"),
    ({"email_verified": "no"}, "only addresses of example.org"),
])  # fmt: skip
async def test_a_token_that_says_something_else_lets_nobody_in(house: House, claims: dict[str, Any], told: str) -> None:
    house.provider.claims = claims
    await house.refused(told)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_token_that_anybody_could_have_signed_lets_nobody_in(house: House, algorithm: str) -> None:
    house.provider.signs = algorithm
    await house.refused("signed by nobody known")


async def test_keys_are_fetched_again_when_a_provider_changes_them(house: House) -> None:
    await house.log_in()
    house.ahead += 11_000
    house.provider.rotate("two")
    assert await house.log_in()
    house.provider.rotate("three")
    await house.refused("signed by nobody known")  # not for each token that comes along
    house.ahead += 11_000
    assert await house.log_in()


async def test_a_state_is_good_once_and_not_for_long(house: House) -> None:
    begun = await house.service.begin_oidc("corp", REDIRECT, "/")
    back = browse(begun.url)
    await house.service.finish_oidc(HERE, back["state"], back["code"])
    with pytest.raises(Unauthenticated, match="done already"):
        await house.service.finish_oidc(HERE, back["state"], back["code"])
    await house.refused("done already", state="oro-made-up")
    begun = await house.service.begin_oidc("corp", REDIRECT, "/")
    back = browse(begun.url)
    house.ahead += 601_000
    with pytest.raises(Unauthenticated, match="too long"):
        await house.service.finish_oidc(HERE, back["state"], back["code"])


async def test_who_begins_thousands_of_log_ins_keeps_nobody_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_people, "MOST_FLOWS", 20)
    for _ in range(30):
        await house.service.begin_oidc("corp", REDIRECT, "/")
    assert (await house.log_in()).who.person.name == "ada@example.org"


async def test_a_code_of_another_log_in_is_of_no_use(house: House) -> None:
    others = browse((await house.service.begin_oidc("corp", REDIRECT, "/")).url)
    await house.refused("check client_id and client_secret", code=others["code"])


async def test_what_is_configured_wrong_is_told_with_what_to_do(house: House) -> None:
    house.changed = {"issuer": house.provider.url + "/"}
    await house.refused("make them the same")
    house.changed = {"issuer": "http://127.0.0.1:1"}
    await house.refused("cannot be reached")
    house.changed = {"issuer": house.provider.url + "/nowhere"}
    await house.refused("answered 404")
    house.changed = {"allow_private_address": False}
    house.ahead += 4_000_000
    await house.refused("private|loopback|not public|address")
    house.changed = {"id": "another"}
    await house.refused("no such provider")
    house.changed = {}
    house.configured = msgspec.structs.replace(
        house.configured, secrets={("logins", "oidc", 0, "client_secret"): "wrong"}
    )
    await house.refused("check client_id and client_secret")


async def test_a_browser_goes_there_and_back_and_is_logged_in(house: House, tmp_path: Path) -> None:
    core = CoreSettings(
        data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0", nats_url="nats://127.0.0.1:1", token="t", peers={}
    )
    runtime = Runtime(core, open_redis(core.redis_url), Bus(core.nats_url, name="t"), new_registry(), "d")
    dashboard = build(
        runtime, auth=Auth(), quota=Quota(), analytics=Analytics(), fleet=Processes(), people=house.service,
        settings=DashboardSettings(endpoint="https://gateway.example/v1"),
    )  # fmt: skip
    transport = httpx.ASGITransport(app=dashboard.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://gateway.example") as client:
        begun = await client.get("/api/session/oidc/corp?next=//evil.example")
        assert begun.status_code == 302
        name, _, rest = begun.headers["set-cookie"].partition("=")
        assert (name, "HttpOnly" in rest, "Secure" in rest) == ("__Host-omniroute-flow", True, True)
        assert parse_qs(urlsplit(begun.headers["location"]).query)["redirect_uri"] == [
            "https://gateway.example/api/session/oidc/callback"
        ]
        back = browse(begun.headers["location"])

        async with httpx.AsyncClient(transport=transport, base_url="https://gateway.example") as victim:
            answer = await victim.get("/api/session/oidc/callback", params=back)
            assert answer.headers["location"].startswith("/login?problem=this+log-in+was+not+begun+in+this+browser")
            assert "__Host-omniroute=" not in str(answer.headers)

        answer = await client.get("/api/session/oidc/callback", params=back)
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        assert (await client.get("/api/me")).json()["name"] == "ada@example.org"
        begun = await client.get("/api/session/oidc/corp")
        denied = {"state": browse(begun.headers["location"])["state"], "error": "access_denied"}
        answer = await client.get("/api/session/oidc/callback", params=denied)
        assert "access_denied" in answer.headers["location"]
        answer = await client.get("/api/session/oidc/nobody")
        assert answer.headers["location"].startswith("/login?problem=")
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:20128") as client:
        assert (await client.get("/login")).status_code == 200


def test_a_session_of_a_provider_asks_for_no_second_factor_here() -> None:
    assert people.Login(id="u", organisation="o", name="n", role="viewer", subject="s").status == "active"


def test_an_issuer_is_taken_to_the_letter_and_owners_are_not_a_providers_to_name() -> None:
    text = FILE.format(issuer="https://tenant.auth0.example/", client="c")
    found = load(text, "f", {"CORP_SECRET": "s"}, str)
    assert found.config.logins.oidc[0].issuer == "https://tenant.auth0.example/"
    with pytest.raises(Exception, match=r"roles\[0\].role: must be one of"):
        load(text.replace("role: billing", "role: owner"), "f", {"CORP_SECRET": "s"}, str)
    with pytest.raises(Exception, match="CORP_SECRET is not set"):
        load(text, "f", {}, str)
