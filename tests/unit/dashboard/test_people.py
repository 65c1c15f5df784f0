"""Sessions over HTTP: which cookie, which page may call, who is who, and where one is sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_dashboard.domain import browsers
from omni_wire.errors import PermissionDenied, RateLimited

from tests.unit.dashboard.folk import PASSWORD, ROLES, digest, token, who
from tests.unit.dashboard.ports import ADMIN, DEV, House, is_problem

HERE, THERE = "http://127.0.0.1:20128", "https://gateway.example"
OWN = {"sec-fetch-site": "same-origin"}


def cookie(role: str, secure: bool = False) -> dict[str, str]:
    return {"cookie": f"{browsers.SECURE if secure else browsers.PLAIN}={token(role)}"}


def calling(role: str) -> dict[str, str]:
    """As a page of that session's does."""
    return cookie(role) | OWN | {browsers.TOKEN_HEADER: browsers.csrf_token(token(role))}


@asynccontextmanager
async def browser(house: House, base: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=house.component.app)
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        yield client


async def log_in(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    asked = {"name": "owner", "password": PASSWORD} | more.pop("body", {})
    return await client.post("/api/session", json=asked, **more)


async def test_over_https_a_session_is_in_a_cookie_that_no_script_reads_and_no_other_host_sets(house: House) -> None:
    async with browser(house, THERE) as client:
        answer = await log_in(client)
        assert answer.headers["cache-control"] == "no-store"
        name, _, rest = answer.headers["set-cookie"].partition("=")
        assert name == "__Host-omniroute"
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= {part.strip() for part in rest.split(";")[1:]}
        assert "Domain" not in rest
        told = (await client.get("/api/session")).json()
        assert (told["person"]["role"], (await client.get("/api/me")).json()["name"]) == ("owner", "owner")


async def test_behind_a_proxy_it_is_the_browser_who_says_that_it_came_over_https(house: House) -> None:
    async with browser(house, "http://gateway.example") as client:
        answer = await log_in(client, headers={"origin": "https://gateway.example"})
        assert answer.headers["set-cookie"].startswith("__Host-omniroute=")
        is_problem(await log_in(client), 403, "https_needed")
    async with browser(house, HERE) as client:  # behind one that writes its own Host
        is_problem(await log_in(client, headers=OWN | {"origin": "http://gateway.example"}), 403, "https_needed")


async def test_on_this_machine_a_session_needs_no_https(house: House) -> None:
    async with browser(house, HERE) as client:
        name, _, rest = (await log_in(client)).headers["set-cookie"].partition("=")
    assert (name, "HttpOnly" in rest, "Secure" in rest) == ("omniroute", True, False)


async def test_elsewhere_the_name_that_anybody_can_set_is_no_session(house: House) -> None:
    async with browser(house, THERE) as client:
        is_problem(await client.get("/api/me", headers=cookie("owner")), 401)
        assert (await client.get("/api/me", headers=cookie("owner", secure=True))).status_code == 200


async def test_a_log_in_never_goes_on_with_a_session_that_was_there(house: House) -> None:
    async with browser(house, HERE) as client:
        answer = await log_in(client, headers={"cookie": f"{browsers.PLAIN}=ors-planted"})
    assert house.people.asked[0].known == digest("ors-planted")
    assert "ors-planted" not in answer.headers["set-cookie"]


@pytest.mark.parametrize("said", [
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"},
    {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9"},
])  # fmt: skip
async def test_no_page_of_another_site_calls_anything(house: House, said: dict[str, str]) -> None:
    headers = calling("owner")
    del headers["sec-fetch-site"]
    async with browser(house, HERE) as client:
        for method, path, body in (
            ("POST", "/api/keys", {"name": "x"}),
            ("DELETE", "/api/session", None),
            ("POST", "/api/people", {"name": "x"}),
            ("POST", "/api/session", {"name": "owner", "password": PASSWORD}),
            ("POST", "/api/session/redeem", {"token": "orl-good", "password": PASSWORD}),
        ):
            is_problem(await client.request(method, path, headers=headers | said, json=body), 403, "cross_site")
    assert (house.auth.created, house.people.asked, house.people.origins) == ([], [], [])


async def test_every_call_that_changes_something_needs_the_token_of_its_session(house: House) -> None:
    async with browser(house, HERE) as client:
        for csrf in ({}, {browsers.TOKEN_HEADER: browsers.csrf_token(token("admin"))}, {browsers.TOKEN_HEADER: "é"}):
            headers = {**cookie("owner"), **OWN, **csrf}
            sent = {name: value.encode("latin-1") for name, value in headers.items()}
            is_problem(await client.post("/api/keys", headers=sent, json={"name": "x"}), 403, "csrf")
        assert house.auth.created == []
        assert (await client.post("/api/keys", headers=calling("owner"), json={"name": "x"})).status_code == 201
        told = (await client.get("/api/session", headers=cookie("owner"))).json()
        assert told["csrf"] == browsers.csrf_token(token("owner"))


async def test_a_key_in_a_header_needs_no_token_and_stands_before_a_cookie(house: House) -> None:
    async with browser(house, HERE) as client:
        for headers in ({"authorization": f"Bearer {ADMIN}"}, {"x-api-key": ADMIN}):
            answer = await client.post("/api/keys", headers=cookie("viewer") | headers, json={"name": "x"})
            assert answer.status_code == 201
        is_problem(await client.get("/api/me", headers=cookie("owner") | {"x-api-key": "or-wrong"}), 401)
        assert (await client.get("/api/me", headers=cookie("owner") | {"x-api-key": DEV})).json()["name"] == "dora"


async def test_what_is_done_is_done_in_the_persons_name(house: House) -> None:
    async with browser(house, HERE) as client:
        await client.post("/api/keys", headers=calling("owner"), json={"name": "x"})
    assert house.auth.callers[-1].actor == "person:u-owner (owner)"


async def test_logging_out_ends_the_session_here_at_once(house: House) -> None:
    async with browser(house, HERE) as client:
        assert (await client.get("/api/me", headers=cookie("owner"))).status_code == 200
        answer = await client.delete("/api/session", headers=calling("owner"))
        assert answer.status_code == 204
        assert 'omniroute=""' in ", ".join(answer.headers.get_list("set-cookie"))
        is_problem(await client.get("/api/me", headers=cookie("owner")), 401, "session_ended")


async def test_a_session_that_was_ended_elsewhere_ends_here_within_seconds(house: House) -> None:
    now = 100.0
    house.component.service.people._clock = lambda: now
    async with browser(house, HERE) as client:
        for _ in range(3):
            assert (await client.get("/api/me", headers=cookie("owner"))).status_code == 200
        assert house.people.calls == 1
        house.people.sessions.clear()
        now += house.component.service._settings.identity_ttl
        is_problem(await client.get("/api/me", headers=cookie("owner")), 401)


async def test_another_role_counts_at_once(house: House) -> None:
    async with browser(house, HERE) as client:
        assert (await client.get("/api/keys", headers=cookie("admin"))).status_code == 200
        changed = await client.patch("/api/people/u-admin", headers=calling("owner"), json={"role": "viewer"})
        assert (changed.status_code, changed.json()["role"]) == (200, "viewer")
        is_problem(await client.get("/api/keys", headers=cookie("admin")), 401)


async def test_who_is_asked_for_a_second_factor_may_only_set_one_up(house: House) -> None:
    house.people.sessions[digest(token("owner"))] = who("owner", must_enrol=True)
    async with browser(house, HERE) as client:
        is_problem(await client.get("/api/keys", headers=cookie("owner")), 403, "second_factor_needed")
        assert (await client.get("/api/account/sessions", headers=cookie("owner"))).status_code == 200
        assert (await client.post("/api/account/totp", headers=calling("owner"))).status_code == 200


async def test_a_developer_sees_what_the_keys_that_are_theirs_used(house: House) -> None:
    house.auth.list = [msgspec.structs.replace(house.auth.list[0], user="root"), house.auth.list[1]]
    async with browser(house, HERE) as client:
        await client.get("/api/usage", headers=cookie("developer"))
        assert house.analytics.queries == [], "none is theirs"
        house.auth.list[1] = msgspec.structs.replace(house.auth.list[1], user="dora")
        house.component.service.forget()  # whose keys are whose is remembered for some seconds
        await client.get("/api/usage", headers=cookie("developer"))
        assert [query.key_id for query in house.analytics.queries] == ["key_dev"]
        is_problem(await client.get("/api/usage?key=key_admin", headers=cookie("developer")), 403)
        await client.get("/api/analytics", headers=cookie("developer"))
        assert house.analytics.breakdowns[-1].filters == {"key": ("key_dev",)}
        simulated = await client.post("/api/simulate-route", headers=calling("developer"), json={"model": "best"})
        assert (simulated.status_code, house.router.calls[-1].key_id) == (200, "key_dev")


async def test_who_does_not_run_the_gateway_sees_their_own_organisation_though_it_is_the_platforms(
    house: House,
) -> None:
    async with browser(house, HERE) as client:
        for role in ("viewer", "billing"):
            await client.get("/api/analytics", headers=cookie(role))
            assert house.analytics.breakdowns[-1].filters == {"key": ("key_admin", "key_dev")}
            is_problem(await client.get("/api/limit-events?organisation=guests", headers=cookie(role)), 403)
        assert (await client.get("/api/limit-events?organisation=guests", headers=cookie("admin"))).status_code == 200


async def test_what_a_key_used_is_its_organisations_after_it_was_revoked_too(house: House) -> None:
    house.auth.revoked = [msgspec.structs.replace(house.auth.list[1], id="key_old")]
    async with browser(house, HERE) as client:
        await client.get("/api/usage", headers=cookie("viewer"))
        assert {query.key_id for query in house.analytics.queries} == {"key_admin", "key_dev", "key_old"}
        await client.get("/api/requests/abc", headers=cookie("viewer"))
        assert house.analytics.asked[-1] == ("abc", ("key_admin", "key_dev", "key_old"))


async def test_billing_changes_limits_and_nothing_else(house: House) -> None:
    async with browser(house, HERE) as client:
        made = await client.put("/api/limits/team/core/x", headers=calling("billing"), json={"requests_per_minute": 1})
        assert made.status_code == 201
        for method, path in (("PUT", "/api/teams/core"), ("GET", "/api/keys"), ("GET", "/api/people")):
            is_problem(await client.request(method, path, headers=calling("billing"), json={}), 403)


async def test_a_wrong_log_in_says_what_auth_says_and_when_to_come_again(house: House) -> None:
    async with browser(house, HERE) as client:
        is_problem(await log_in(client, body={"password": "no"}), 401, "wrong_login")
        house.people.failure = RateLimited("too many tries", retry_after=7.2)
        answer = await log_in(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert "set-cookie" not in answer.headers


async def test_where_a_client_is_auth_is_told(house: House) -> None:
    async with browser(house, HERE) as client:
        await log_in(client, headers={"user-agent": "tests", "x-forwarded-for": "203.0.113.9"})
    assert (house.people.origins[0].address, house.people.origins[0].agent) == ("127.0.0.1", "tests")


async def test_nothing_of_a_session_may_be_framed(house: House) -> None:
    async with browser(house, HERE) as client:
        for path in ("/", "/login", "/account", "/people", "/api/session"):
            headers = (await client.get(path)).headers
            assert headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_nobody_is_sent_elsewhere_after_a_log_in(house: House) -> None:
    async with browser(house, HERE) as client:
        for wanted, told in (("/people", "/people"), ("//evil.example", "/"), ("https://evil.example", "/")):
            assert (await log_in(client, body={"next": wanted})).json()["next"] == told


@given(st.one_of(st.text(), st.from_regex(r"[/\\]{0,3}[a-z@:.%?#\t\n/\\]{0,12}", fullmatch=True)))
def test_whatever_is_asked_for_as_next_is_a_path_of_ours(path: str) -> None:
    found = browsers.safe_next(path)
    assert found.startswith("/")
    assert httpx.URL(HERE).join(found).host == "127.0.0.1"
    assert not found.startswith(("//", "/\\"))
    assert not set("\\\t\r\n") & set(found)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_token_of_one_session_is_not_anothers(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "ignore").decode() for text in (one, other))
    assert (browsers.csrf_token(one) == browsers.csrf_token(other)) == (one == other)


@pytest.mark.parametrize(("host", "own"), [
    ("localhost", True), ("localhost:20128", True), ("127.0.0.1:1", True), ("[::1]:20128", True),
    ("gateway.localhost", True), ("127.0.0.1.evil.example", False), ("localhost.evil.example", False),
    ("192.168.1.2", False), ("", False),
])  # fmt: skip
def test_this_machine_is_known_by_its_names(host: str, own: bool) -> None:
    assert browsers.is_loopback(host) == own


def test_a_page_says_where_it_is_from_or_is_a_program() -> None:
    browsers.check_page({})
    browsers.check_page({"origin": "http://127.0.0.1:1", "host": "127.0.0.1:1"})
    with pytest.raises(PermissionDenied):
        browsers.check_page({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:1", "host": "127.0.0.1:1"})


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_reaches_what_is_its_own(house: House, role: str) -> None:
    """The rest is in ``tests.security.access_table``."""
    async with browser(house, HERE) as client:
        statuses = {
            path: (await client.get(path, headers=cookie(role))).status_code
            for path in ("/api/usage", "/api/quota", "/api/keys", "/api/people", "/api/audit", "/api/limits")
        }
    rights = {
        "owner": (200, 200, 200, 200, 200, 200),
        "admin": (200, 200, 200, 200, 200, 200),
        "billing": (200, 200, 403, 403, 403, 200),
        "developer": (200, 403, 403, 403, 403, 403),
        "viewer": (200, 200, 403, 403, 403, 200),
    }
    assert tuple(statuses.values()) == rights[role]
