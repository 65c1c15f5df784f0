"""Everything of the edge that is not a completion."""

from collections.abc import AsyncIterator

import httpx
import pytest
from omni_core.component import Check
from omni_wire.errors import DependencyUnavailable
from starlette.types import Receive, Scope, Send

from tests.support.edge import BEARER, Edge, running_edge


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as edge:
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
        yield client


async def test_models_are_listed_as_openai_lists_them(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    assert answer.json() == {
        "object": "list",
        "data": [
            {"id": "always-on", "object": "model", "created": 0, "owned_by": "combo"},
            {
                "id": "acme/gpt-x", "object": "model", "created": 7, "owned_by": "acme",
                "context_length": 272_000, "max_output_tokens": 128_000,
            },
        ],
    }  # fmt: skip


async def test_one_model_is_found_by_its_whole_id(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/models/acme/gpt-x")).json()["id"] == "acme/gpt-x"
    assert (await client.get("/v1/models/acme%2Fgpt-x")).json()["id"] == "acme/gpt-x"
    missing = await client.get("/v1/models/acme/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert missing.json()["error"]["request_id"] == missing.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/acme/gpt-x"])
async def test_models_need_a_key(edge: Edge, path: str) -> None:
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "No API key" in answer.json()["error"]["message"]


async def test_a_router_that_is_away_is_a_503_with_a_time(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.router.failure = DependencyUnavailable("the router is away", retry_after=0.5)
    answer = await client.get("/v1/models")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_health_says_only_that_the_process_lives(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_readiness_names_each_dependency(edge: Edge, client: httpx.AsyncClient) -> None:
    await edge.service.probe()
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": {
            "configuration": {"ok": True, "detail": "revision 1"},
            "auth": {"ok": True, "detail": ""},
            "router": {"ok": True, "detail": ""},
        },
    }
    edge.checks = lambda: {"router": Check(ok=True), "redis": Check(ok=False, detail="connection refused")}
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert answer.json()["checks"]["redis"] == {"ok": False, "detail": "connection refused"}


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    await client.post("/v1/chat/completions", json={})
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'omniroute_edge_requests_total{status_class="2xx",surface="chat"} 1.0' in answer.text
    assert 'omniroute_edge_key_lookups_total{source="auth"} 1.0' in answer.text


@pytest.mark.parametrize("path", ["/v1", "/healthz", "/metrics", "/openapi.json", "/v1/models"])
async def test_head_is_get_without_its_body(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


async def test_the_index_lists_what_is_here(client: httpx.AsyncClient) -> None:
    endpoints = (await client.get("/v1")).json()["endpoints"]
    assert "POST /v1/chat/completions" in endpoints
    assert "POST /v1/messages" in endpoints
    assert "POST /v1/models/{model}:generateContent" in endpoints
    assert "POST /api/chat" in endpoints


@pytest.mark.parametrize("path", ["/", "/v1/nothing", "/v1/chat/completions/", "/docs"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_a_404_in_openais_words(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.headers["x-request-id"]


async def test_a_wrong_method_on_a_page_is_a_405(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/models", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_a_websocket_is_turned_away_so_that_codex_posts_at_once(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/responses", headers={"connection": "upgrade", "upgrade": "websocket"})
    assert answer.status_code == 426


async def test_the_openapi_document_describes_the_completion(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    post = document["paths"]["/v1/chat/completions"]["post"]
    reference = post["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/ChatCompletionRequest"
    assert set(post["responses"]) >= {"200", "400", "401", "402", "404", "413", "415", "429", "502", "503", "504"}
    assert set(document["paths"]) >= {"/v1/models", "/v1/models/{model_id}", "/v1", "/healthz", "/readyz", "/metrics"}
    assert _dangling(document, document["components"]["schemas"]) == set()


def _dangling(node: object, schemas: dict[str, object]) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        found = {reference for reference in found if reference.removeprefix("#/components/schemas/") not in schemas}
        return found.union(*(_dangling(value, schemas) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_dangling(value, schemas) for value in node))
    return set()


async def test_what_the_edge_does_not_own_is_answered_elsewhere(edge: Edge, client: httpx.AsyncClient) -> None:
    async def dashboard(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"dashboard"})

    edge.app.elsewhere = dashboard
    assert (await client.get("/")).text == "dashboard"
    assert (await client.get("/api/usage")).text == "dashboard"
    assert (await client.get("/v1/nothing")).status_code == 404
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/api/chat")).status_code == 405
