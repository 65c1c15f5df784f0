"""What a key is kept to, through all processes: providers, endpoints, addresses, and an end."""

import time
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ADMIN, Gateway
from tests.e2e.test_operation import cli, within

SCOPED, ELSEWHERE, OVER = "or-test-scoped-0123456789", "or-test-elsewhere-0123456789", "or-test-over-0123456789"
HI = [{"role": "user", "content": "hi"}]


def ask(gateway: Gateway, path: str, key: str, model: str = "claude/sim", **headers: str) -> httpx.Response:
    body: dict[str, Any] = {"model": model, "messages": HI, "max_tokens": 20}
    return httpx.post(gateway.stack.edge + path, json=body, headers={"authorization": f"Bearer {key}"} | headers)


def test_a_combo_takes_only_the_providers_of_the_key(gateway: Gateway) -> None:
    answer = ask(gateway, "/v1/chat/completions", SCOPED, "always-on")
    assert (answer.status_code, answer.headers["x-omniroute-provider"]) == (200, "claude")


@pytest.mark.parametrize("model", ["acme/gpt-x", "gpt-x", "falls-back-not"])
def test_another_providers_model_is_refused_as_not_allowed_or_not_there(gateway: Gateway, model: str) -> None:
    answer = ask(gateway, "/v1/chat/completions", SCOPED, model)
    code = "model_not_found" if model == "falls-back-not" else "provider_not_allowed"
    assert (answer.status_code, answer.json()["error"]["code"]) == (404 if code == "model_not_found" else 403, code)


def test_another_endpoint_is_refused_in_its_own_dialect(gateway: Gateway) -> None:
    answer = ask(gateway, "/v1/messages", SCOPED)
    assert (answer.status_code, answer.json()["type"]) == (403, "error")
    assert answer.json()["error"]["type"] == "permission_error"
    assert "'messages'" in answer.json()["error"]["message"]


def test_every_list_shows_only_what_the_key_may_use(gateway: Gateway) -> None:
    bearer = {"authorization": f"Bearer {SCOPED}"}
    listed = httpx.get(f"{gateway.stack.edge}/v1/models", headers=bearer).json()["data"]
    assert {model["id"] for model in listed} == {"always-on", "falls-back"}
    google = httpx.get(f"{gateway.stack.edge}/v1beta/models", headers=bearer).json()["models"]
    assert {model["name"] for model in google} == {"models/always-on", "models/falls-back"}
    anthropic = httpx.get(
        f"{gateway.stack.edge}/v1/models", headers=bearer | {"anthropic-version": "2023-06-01"}
    ).json()["data"]
    assert {model["id"] for model in anthropic} == {"always-on", "falls-back"}
    tags = httpx.get(f"{gateway.stack.edge}/api/tags", headers=bearer).json()["models"]
    assert {model["name"] for model in tags} == {"always-on", "falls-back"}


def test_a_key_works_from_its_addresses_only_also_behind_a_trusted_proxy(gateway: Gateway) -> None:
    for path in ("/v1/chat/completions", "/v1/messages"):
        assert ask(gateway, path, ELSEWHERE).status_code == 403
        assert ask(gateway, path, ELSEWHERE, **{"x-forwarded-for": "192.0.2.9"}).status_code == 200
        assert ask(gateway, path, ELSEWHERE, **{"x-forwarded-for": "192.0.2.9, 198.51.100.1"}).status_code == 403
    me = {"authorization": f"Bearer {ELSEWHERE}"}
    assert httpx.get(f"{gateway.stack.dashboard}/api/me", headers=me).status_code == 403


def test_a_key_whose_time_is_over_is_no_key(gateway: Gateway) -> None:
    answer = ask(gateway, "/v1/chat/completions", OVER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    me = {"authorization": f"Bearer {OVER}"}
    assert httpx.get(f"{gateway.stack.dashboard}/api/me", headers=me).status_code == 401


def test_a_key_made_on_the_side_has_its_scopes_from_the_first_request(gateway: Gateway) -> None:
    scopes = ("--provider", "acme", "--endpoint", "responses", "--ip", "127.0.0.0/8", "--expires", "1h")
    name = f"scoped-{gateway.stack.shape}"
    key = cli(gateway, "keys", "create", name, *scopes).strip()

    def answered() -> None:
        refused = ask(gateway, "/v1/chat/completions", key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "endpoint_not_allowed")

    within(3, answered)
    body = {"model": "claude/sim", "input": "hi"}
    bearer = {"authorization": f"Bearer {key}"}
    other = httpx.post(f"{gateway.stack.edge}/v1/responses", json=body, headers=bearer)
    assert (other.status_code, other.json()["error"]["code"]) == (403, "provider_not_allowed")
    own = httpx.post(f"{gateway.stack.edge}/v1/responses", json=body | {"model": "acme/sim"}, headers=bearer)
    assert own.status_code == 200
    shown = gateway.stack.get("/api/keys", ADMIN).json()["keys"]
    mine = next(shown_key for shown_key in shown if shown_key["name"] == name)
    assert (mine["providers"], mine["endpoints"], mine["ips"]) == (["acme"], ["responses"], ["127.0.0.0/8"])
    cli(gateway, "keys", "revoke", name)


def test_a_rotated_key_has_two_secrets_until_the_overlap_ends(gateway: Gateway) -> None:
    name = f"turned-{gateway.stack.shape}"
    first = cli(gateway, "keys", "create", name).strip()

    def works(secret: str, status: int = 200) -> None:
        assert ask(gateway, "/v1/chat/completions", secret).status_code == status

    within(3, lambda: works(first))
    bearer = {"authorization": f"Bearer {ADMIN}"}
    turned = httpx.post(f"{gateway.stack.dashboard}/api/keys/{name}/rotate", json={"overlap": 600}, headers=bearer)
    second = turned.json()["secret"]
    within(3, lambda: works(second))
    works(first)
    third = cli(gateway, "keys", "rotate", name, "--overlap", "0").strip()
    within(3, lambda: works(third))
    within(3, lambda: works(first, 401))
    within(3, lambda: works(second, 401))
    cli(gateway, "keys", "revoke", name)
    within(3, lambda: works(third, 401))


def test_a_management_key_is_kept_to_its_areas(gateway: Gateway) -> None:
    name = f"auditor-{gateway.stack.shape}"
    key = cli(gateway, "keys", "create", name, "--role", "admin", "--manage", "usage:read").strip()

    def known() -> None:
        assert gateway.stack.get("/api/usage", key).status_code == 200

    within(3, known)
    for path in ("/api/keys", "/api/system", "/api/quota"):
        refused = gateway.stack.get(path, key)
        assert (refused.status_code, refused.json()["code"]) == (403, "area_not_allowed")
    cli(gateway, "keys", "revoke", name)


def test_how_often_and_when_a_key_was_used_is_told(gateway: Gateway) -> None:
    name = f"busy-{gateway.stack.shape}"
    key = cli(gateway, "keys", "create", name).strip()

    def works() -> None:
        assert ask(gateway, "/v1/chat/completions", key).status_code == 200

    within(3, works)
    works()

    def told() -> None:
        shown = gateway.stack.get("/api/keys", ADMIN).json()["keys"]
        mine = next(one for one in shown if one["name"] == name)
        assert mine["requests"] >= 2
        assert abs(mine["last_used"] - time.time()) < 60

    within(10, told)
    cli(gateway, "keys", "revoke", name)
