"""Every route × every caller, and what a developer may see."""

import logging

import pytest
from fastapi.routing import APIRoute
from omni_core.ports.analytics import UsageQuery
from omni_dashboard.adapters.installation import PATHS
from omni_dashboard.server.app import GuardedRoute

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
    ("GET", "/api/usage", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/usage?key=key_dev", None, (401, 401, 403, 200, 200)),
    ("GET", "/api/usage?key=key_admin", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/usage?key=nobody", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/keys", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/keys", NEW, (401, 401, 403, 403, 201)),
    ("DELETE", "/api/keys/key_dev", None, (401, 401, 403, 403, 200)),
    ("GET", "/api/quota", None, (401, 401, 403, 403, 200)),
    ("POST", "/api/quota/breakers/acme/first/reset", None, (401, 401, 403, 403, 204)),
    ("GET", "/api/system", None, (401, 401, 403, 403, 200)),
]
CALLERS = {"nobody": None, "wrong": "or-wrong", "unknown-role": ODD, "developer": DEV, "admin": ADMIN}
PUBLIC = {"/api/about", "/healthz", "/readyz", "/metrics", *PATHS}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path", "body", "expected"), MATRIX, ids=[f"{m} {p}" for m, p, _, _ in MATRIX])
async def test_who_may_call_what(
    house: House, method: str, path: str, body: object, expected: tuple[int, ...], caller: str
) -> None:
    status = expected[list(CALLERS).index(caller)]
    answer = await house.call(method, path, CALLERS[caller], json=body)
    assert answer.status_code == status, answer.text
    if status >= 400:
        is_problem(answer, status, "invalid_api_key" if status == 401 else "permission_denied")
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_route_of_the_api_is_in_the_matrix_and_says_which_role_it_needs(house: House) -> None:
    tried = {(method, path.partition("?")[0]) for method, path, _, _ in MATRIX}
    for route in house.component.api.routes:
        if not isinstance(route, APIRoute):
            continue
        assert isinstance(route, GuardedRoute) or route.path in PUBLIC, route.path
        if route.path.startswith("/api/"):
            path = route.path.replace("{account:path}", "acme/first").replace("{id}", "key_dev")
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
    assert answer.json() == {"key_id": "key_dev", "name": "dora", "role": "developer"}


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
