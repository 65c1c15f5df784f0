"""Every route × every caller, and what a developer may see."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from fastapi.routing import APIRoute
from omni_catalogue.scopes import AREAS, Scopes
from omni_catalogue.snapshot import Server
from omni_core.ports.analytics import UsageQuery
from omni_core.ports.auth import Identity
from omni_core.ports.context import CallContext
from omni_dashboard.adapters.installation import PATHS
from omni_dashboard.domain.access import PERSON
from omni_dashboard.domain.kinds import KINDS
from omni_dashboard.server.routes import GuardedRoute

from tests.unit.dashboard.ports import ADMIN, DEV, ODD, House, is_problem

NEW = {"name": "fresh"}
# method, path, body, status for: nobody, wrong key, unknown role, developer, admin
MATRIX = [
    ("GET", "/", None, (200, 200, 200, 200, 200)),
    ("GET", "/static/app.js", None, (200, 200, 200, 200, 200)),
    ("GET", "/healthz", None, (200, 200, 200, 200, 200)),
    ("GET", "/metrics", None, (200, 200, 200, 200, 200)),
    ("GET", "/api/openapi.json", None, (200, 200, 200, 200, 200)),
    ("GET", "/api/about", None, (200, 200, 200, 200, 200)),
    ("GET", "/api/me", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/session", None, (200, 200, 200, 200, 200)),
    ("POST", "/api/session", {}, (422, 422, 422, 422, 422)),
    ("POST", "/api/session/look", {}, (422, 422, 422, 422, 422)),
    ("POST", "/api/session/redeem", {}, (422, 422, 422, 422, 422)),
    ("GET", "/api/session/oidc/corp", None, (302, 302, 302, 302, 302)),
    ("GET", "/api/session/oidc/callback", None, (302, 302, 302, 302, 302)),
    ("DELETE", "/api/session", None, (401, 401, 403, 403, 403)),
    ("GET", "/api/account/sessions", None, (401, 401, 403, 403, 403)),
    ("POST", "/api/account/sessions/end", {}, (401, 401, 403, 403, 403)),
    ("POST", "/api/account/password", {}, (401, 401, 403, 403, 403)),
    ("POST", "/api/account/totp", None, (401, 401, 403, 403, 403)),
    ("POST", "/api/account/totp/confirm", {}, (401, 401, 403, 403, 403)),
    ("POST", "/api/account/totp/remove", {}, (401, 401, 403, 403, 403)),
    ("GET", "/api/people", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/people", {"name": "new"}, (401, 401, 403, 403, 403)),
    ("PATCH", "/api/people/key_dev", {}, (401, 401, 403, 403, 403)),
    ("DELETE", "/api/people/key_dev", None, (401, 401, 403, 403, 403)),
    ("POST", "/api/people/key_dev/reset", {}, (401, 401, 403, 403, 403)),
    ("GET", "/api/usage", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/usage?key=key_dev", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/usage?key=key_admin", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/usage?key=nobody", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/analytics", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/analytics?filter=key:key_admin", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/reports/spend?by=model", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/reports/spend?by=team", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/live", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/logs", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/logs?kind=proxy", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/logs?kind=audit", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/export?kind=attempts", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/analytics/meta", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/requests/mine", None, (401, 401, 403, 200, 200)),
    ("POST", "/api/simulate-route", {"model": "best"}, (401, 401, 403, 200, 200)),
    ("POST", "/api/simulate-route?organisation=default", {"model": "best", "key": "root"}, (401, 401, 403, 403, 200)),
    ("GET", "/api/requests/mine/bodies", None, (401, 401, 403, 403, 200)),
    ("DELETE", "/api/requests/mine/bodies", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/keys", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/keys", NEW, (401, 401, 403, 403, 201)),
    ("POST", "/api/keys/key_dev/rotate", {}, (401, 401, 403, 403, 200)),
    ("DELETE", "/api/keys/key_dev", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/quota", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/limit-events", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/quota/breakers/acme/first/reset", None, (401, 401, 403, 403, 204)),
    ("POST", "/api/quota/rates/acme/first/forget", None, (401, 401, 403, 403, 204)),
    ("POST", "/api/quota/accounts/acme/first/refresh", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/accounts/acme/first/test", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/proxies/office/test", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/audit", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/audit/verify", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/audit/usage", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/price-list", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/usage/statement?provider=acme&from=0&until=86400000", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/usage/reprice", {"from_ms": 0, "until_ms": 86400000}, (401, 401, 403, 403, 200)),
    ("GET", "/api/events/dead", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/events/dead/redrive", {"ids": ["17"]}, (401, 401, 403, 403, 200)),
    ("POST", "/api/events/dead/discard", {"ids": ["17"]}, (401, 401, 403, 403, 200)),
    ("GET", "/api/logins", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/logins", {"login": "codex", "accept_terms": "codex"}, (401, 401, 403, 403, 200)),
    ("POST", "/api/logins/finish", {"callback": "code#state"}, (401, 401, 403, 403, 200)),
    ("POST", "/api/logins/import", {"login": "cursor", "tokens": "{}"}, (401, 401, 403, 403, 200)),
    ("POST", "/api/logins/flows/abc123/poll", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/logins/codex/work/refresh", None, (401, 401, 403, 403, 200)),
    ("DELETE", "/api/logins/codex/work", None, (401, 401, 403, 403, 204)),
    ("GET", "/api/system", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/config/apply?source=a.yaml", {}, (401, 401, 403, 403, 200)),
    ("GET", "/api/config/export", None, (401, 401, 403, 403, 200)),
    *(
        (method, f"{kind.path}{path}", body, (401, 401, 403, 403, status))
        for kind in KINDS
        if kind.name in ("teams", "providers")  # the others are made alike; tests/security has them all
        for method, path, body, status in (
            ("GET", "", None, 200),
            ("GET", "/some/thing", None, 404),
            ("PUT", "/some/thing", {}, 201),
            ("DELETE", "/some/thing", None, 404),
            ("POST", "/some/thing/adopt", None, 404),
        )
    ),
]
CALLERS = {"nobody": None, "wrong": "or-wrong", "unknown-role": ODD, "developer": DEV, "admin": ADMIN}
LOGIN = {f"/api/session{path}" for path in ("", "/look", "/redeem", "/oidc/{id}", "/oidc/callback")}
PUBLIC = {"/api/about", "/healthz", "/readyz", "/metrics", *LOGIN, *PATHS}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path", "body", "expected"), MATRIX, ids=[f"{m} {p}" for m, p, _, _ in MATRIX])
async def test_who_may_call_what(
    house: House, method: str, path: str, body: object, expected: tuple[int, ...], caller: str
) -> None:
    status = expected[list(CALLERS).index(caller)]
    answer = await house.call(method, path, CALLERS[caller], json=body)
    assert answer.status_code == status, answer.text
    if status >= 400:
        codes = {401: "invalid_api_key", 403: "permission_denied", 404: "not_found", 422: "invalid_parameter"}
        own = status == 403 and path.startswith(("/api/account", "/api/session"))
        is_problem(answer, status, "not_a_person" if own else codes[status])
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


MANAGED: dict[tuple[str, ...], set[str]] = {
    ("usage",): {
        "/api/usage",
        "/api/analytics",
        "/api/analytics?filter=key:key_admin",
        "/api/analytics/meta",
        "/api/reports/spend?by=model",
        "/api/reports/spend?by=team",
        "/api/live",
        "/api/logs",
        "/api/logs?kind=proxy",
        "/api/export?kind=attempts",
        "/api/requests/mine",
        "/api/simulate-route",
        "/api/simulate-route?organisation=default",
        "/api/usage/reprice",
        "/api/usage/statement?provider=acme&from=0&until=86400000",
    },
    ("usage:read", "system:read"): {
        "/api/usage",
        "/api/analytics",
        "/api/analytics?filter=key:key_admin",
        "/api/analytics/meta",
        "/api/reports/spend?by=model",
        "/api/reports/spend?by=team",
        "/api/live",
        "/api/logs",
        "/api/logs?kind=proxy",
        "/api/export?kind=attempts",
        "/api/requests/mine",
        "/api/system",
        "/api/usage/statement?provider=acme&from=0&until=86400000",
        "/api/events/dead",
    },
    ("keys:read",): {"/api/keys"},
    ("keys",): {"/api/keys", "POST /api/keys", "/api/keys/key_dev", "/api/keys/key_dev/rotate"},
    ("quota",): {
        "/api/quota",
        "/api/limit-events",
        "/api/quota/breakers/acme/first/reset",
        "/api/quota/rates/acme/first/forget",
        "/api/quota/accounts/acme/first/refresh",
    },
    ("quota:read",): {"/api/quota", "/api/limit-events"},
    ("bodies:read",): {"GET /api/requests/mine/bodies"},
    ("bodies",): {"/api/requests/mine/bodies"},
    ("people",): {"/api/people"},
    ("audit:read",): {"/api/audit", "/api/audit/verify", "/api/audit/usage"},
}


@pytest.mark.parametrize("management", MANAGED, ids=" ".join)
async def test_a_management_key_is_kept_to_its_areas(house: House, management: tuple[str, ...]) -> None:
    keep(house, management=management)
    for method, path, body, expected in MATRIX:
        if "key=" in path or expected[0] in (200, 302, 422) or expected[4] == 403:  # for all, or for no key
            continue
        answer = await house.call(method, path, ADMIN, json=body)
        free = path == "/api/me" or f"{method} {path}" in MANAGED[management]
        if free or (path in MANAGED[management] and (method, path) != ("POST", "/api/keys")):
            assert answer.status_code == expected[4], (method, path, answer.text)
        else:
            is_problem(answer, 403, "area_not_allowed")


async def test_no_key_hands_out_more_than_it_may_itself(house: House) -> None:
    keep(house, management=("keys", "usage:read"))

    async def made(**key: Any) -> int:
        return (await house.call("POST", "/api/keys", ADMIN, json={"name": "fresh"} | key)).status_code

    assert await made() == 201
    assert await made(role="admin", management=["keys:read", "usage:read"]) == 201
    for management in ([], ["usage"], ["keys", "system:read"]):
        assert await made(role="admin", management=management) == 403
    assert (await house.call("POST", "/api/keys/dora/rotate", ADMIN, json={"overlap": 0})).status_code == 200
    is_problem(await house.call("POST", "/api/keys/key_admin/rotate", ADMIN, json={}), 403)
    is_problem(await house.call("POST", "/api/keys/root/rotate", ADMIN, json={}), 403)


async def test_no_key_revokes_one_that_it_may_not_rotate(house: House) -> None:
    keep(house, management=("config", "keys"))
    held, people = list(house.auth.list), dict(house.auth.people)
    for name in ("key_admin", "root"):
        is_problem(await house.call("DELETE", f"/api/keys/{name}", ADMIN), 403)
    assert (house.auth.list, house.auth.people) == (held, people)
    assert (await house.call("DELETE", "/api/keys/dora", ADMIN)).status_code == 200


async def test_no_key_hands_out_one_that_outlives_it_or_is_good_in_more_places(house: House) -> None:
    keep(house, ips=("127.0.0.0/8",), expires=4_000_000_000)

    async def made(**key: Any) -> int:
        return (await house.call("POST", "/api/keys", ADMIN, json={"name": "fresh"} | key)).status_code

    assert await made() == 201, "a developer's is kept to what it is given"
    assert await made(role="admin", ips=["127.0.0.1"], expires=3_999_999_999) == 201
    assert await made(role="admin", ips=["127.0.0.1"]) == 403
    assert await made(role="admin", expires=3_999_999_999) == 403
    assert await made(role="admin", ips=["0.0.0.0/0"], expires=3_999_999_999) == 403
    assert await made(role="admin", ips=["127.0.0.1"], expires=4_000_000_001) == 403


async def test_a_rotated_keys_secret_is_shown_once(house: House) -> None:
    answer = await house.call("POST", "/api/keys/key_dev/rotate", ADMIN, json={"overlap": 60})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (answer.json()["secret"], answer.json()["key"]["older_until"]) == ("or-the-newer-secret", 60)
    is_problem(await house.call("POST", "/api/keys/key_dev/rotate", ADMIN, json={"overlap": -1}), 422)


def keep(house: House, **scopes: Any) -> None:
    """Give everyone's key these scopes."""
    house.component.service.forget()
    known = house.auth.people
    house.auth.people = {d: msgspec.structs.replace(who, scopes=Scopes(**scopes)) for d, who in known.items()}


async def test_a_key_is_kept_to_its_addresses_and_its_time(house: House) -> None:
    keep(house, ips=("127.0.0.1/32",))  # where the test's client is
    assert (await house.call("GET", "/api/me", DEV)).status_code == 200
    keep(house, ips=("192.0.2.0/24",))
    forged = {"x-forwarded-for": "192.0.2.7"}
    answer = await house.call("GET", "/api/me", DEV, headers=forged)
    assert "127.0.0.1" in is_problem(answer, 403, "address_not_allowed")["detail"]
    house.auth.server = Server(trusted_proxies=("127.0.0.0/8",))
    house.auth.revision = 8
    await house.component.service.probe()
    assert (await house.call("GET", "/api/me", DEV, headers=forged)).status_code == 200
    is_problem(await house.call("GET", "/api/me", DEV), 403)
    keep(house, expires=1)
    is_problem(await house.call("GET", "/api/me", DEV), 401)


def test_every_route_of_the_api_is_in_the_matrix_and_says_which_role_it_needs(house: House) -> None:
    tried = {(method, path.partition("?")[0]) for method, path, _, _ in MATRIX}
    for route in house.component.api.routes:
        if not isinstance(route, APIRoute):
            continue
        assert isinstance(route, GuardedRoute) or route.path in PUBLIC, route.path
        if isinstance(route, GuardedRoute) and route.path != "/api/me" and route.needs != PERSON:
            assert route.area in AREAS, route.path
        if route.path.startswith("/api/"):
            path = (
                route.path.replace("{account:path}", "acme/first")
                .replace("requests/{id}", "requests/mine")
                .replace("oidc/{id}", "oidc/corp")
                .replace("{id}", "key_dev")
            )
            path = path.replace("{name:path}", "some/thing").replace("{login:path}", "codex/work")
            path = path.replace("{flow}", "abc123").replace("{proxy}", "office")
            for kind in KINDS if path != "/api/accounts/acme/first/test" and "office" not in path else ():
                path = path.replace(kind.path, "/api/teams")
            assert all((method, path) in tried for method in route.methods), route.path


async def test_who_may_not_call_changes_nothing_and_is_told_before_the_body_is_judged(house: House) -> None:
    for key, status in ((None, 401), (DEV, 403)):
        is_problem(await house.call("POST", "/api/keys", key, content=b"{not json"), status)
        is_problem(await house.call("DELETE", "/api/keys/key_admin", key), status)
        is_problem(await house.call("POST", "/api/quota/breakers/acme/first/reset", key), status)
    assert house.auth.created == []
    assert house.quota.resets == []
    assert house.analytics.queries == []


async def test_a_developer_asks_for_their_own_usage_whatever_they_say(house: House) -> None:
    body = (await house.call("GET", "/api/usage?group_by=model", DEV)).json()
    assert house.analytics.queries == [UsageQuery(0, 0, "key_dev", "model")]
    assert body["key"] == "key_dev"


async def test_an_admin_asks_for_all_or_for_one(house: House) -> None:
    assert (await house.call("GET", "/api/usage", ADMIN)).json()["key"] is None
    await house.call("GET", "/api/usage?key=key_dev", ADMIN)
    assert [query.key_id for query in house.analytics.queries] == ["", "key_dev"]


async def test_x_api_key_works_as_well(house: House) -> None:
    answer = await house.call("GET", "/api/me", headers={"x-api-key": DEV})
    assert answer.json() == {
        "key_id": "key_dev", "name": "dora", "role": "developer", "organisation": "default",
    }  # fmt: skip


async def test_a_key_is_looked_up_once_in_five_seconds(house: House) -> None:
    now = 100.0
    house.component.service._clock = lambda: now
    for _ in range(3):
        await house.call("GET", "/api/me", DEV)
    assert house.auth.calls == 1
    now += 5.0
    await house.call("GET", "/api/me", DEV)
    assert house.auth.calls == 2


async def test_a_wrong_key_is_never_remembered(house: House) -> None:
    for _ in range(2):
        is_problem(await house.call("GET", "/api/me", "or-wrong"), 401)
    assert house.auth.calls == 2


async def test_a_key_revoked_here_ends_at_once(house: House) -> None:
    assert (await house.call("GET", "/api/me", DEV)).status_code == 200
    assert (await house.call("DELETE", "/api/keys/key_dev", ADMIN)).json()["name"] == "dora"
    is_problem(await house.call("GET", "/api/me", DEV), 401)


async def test_a_key_that_ends_while_it_is_asked_about_is_not_remembered(house: House) -> None:
    asked, go_on, ask = asyncio.Event(), asyncio.Event(), house.auth.authenticate

    async def held(context: CallContext, key_digest: bytes) -> Identity:
        found = await ask(context, key_digest)
        if found.key_id == "key_dev":
            asked.set()
            await go_on.wait()
        return found

    house.auth.authenticate = held  # type: ignore[method-assign]
    under_way = asyncio.create_task(house.call("GET", "/api/me", DEV))
    await asked.wait()
    assert (await house.call("DELETE", "/api/keys/key_dev", ADMIN)).status_code == 200
    go_on.set()
    assert (await under_way).status_code == 200
    is_problem(await house.call("GET", "/api/me", DEV), 401)


async def test_remembered_identities_are_bounded() -> None:
    house = House(identity_entries=1)
    for key in (DEV, ADMIN, DEV):
        await house.call("GET", "/api/me", key)
    assert house.auth.calls == 3
    assert len(house.component.service._identities) == 1


async def test_no_key_is_ever_logged_or_shown(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="omniroute")
    house.analytics.failure = RuntimeError("boom")
    answers = [
        await house.call("GET", "/api/usage", ADMIN),
        await house.call("GET", "/api/me", "or-wrong-0123456789"),
        await house.call("GET", f"/api/usage?from={DEV}", ADMIN),
        await house.call("POST", "/api/keys", ADMIN, json={"name": "x", "secret": DEV}),
    ]
    said = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    assert not any(key in said for key in (ADMIN, DEV, "or-wrong-0123456789"))


async def test_auth_hears_the_request_id_and_the_trace(house: House) -> None:
    await house.call("GET", "/api/me", DEV, headers={"x-request-id": "from-the-client-1", "traceparent": "00-ab-cd-01"})
    context = house.auth.contexts[0]
    assert (context.request_id, context.traceparent) == ("from-the-client-1", "00-ab-cd-01")
