"""The list of models in every dialect's shape: who gets which, in pages, one of it, and Ollama's."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from omni_core.ports.router import ModelEntry

from tests.support.edge import BEARER, KEY, Edge, running_edge, snapshot

VERSION = {"anthropic-version": "2023-06-01"}
OPENAI_LIST, ANTHROPIC_LIST, GOOGLE_LIST = "openai", "anthropic", "google"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as edge:
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        yield client


def shape(body: dict[str, Any]) -> str:
    """Whose list it is; of an error, whose error."""
    if "models" in body or "status" in body.get("error", {}):
        return GOOGLE_LIST
    if "has_more" in body or body.get("type") == "error":
        return ANTHROPIC_LIST
    assert body.get("object") == "list" or "code" in body["error"]
    return OPENAI_LIST


WHO = [
    (BEARER, {}, OPENAI_LIST),
    (BEARER | VERSION, {}, ANTHROPIC_LIST),
    ({"x-api-key": KEY} | VERSION, {}, ANTHROPIC_LIST),
    ({"x-api-key": KEY}, {}, ANTHROPIC_LIST),
    ({"x-api-key": KEY} | BEARER, {}, OPENAI_LIST),
    ({"x-goog-api-key": KEY}, {}, GOOGLE_LIST),
    (BEARER | {"user-agent": "google-genai-sdk/3.4.0 gl-python/3.11"}, {}, GOOGLE_LIST),
    (BEARER | {"x-goog-api-client": "google-genai-sdk/3.4.0"}, {}, GOOGLE_LIST),
    ({}, {"key": KEY}, GOOGLE_LIST),
]


@pytest.mark.parametrize(("headers", "query", "whose"), WHO)
async def test_who_asks_gets_their_own_shape(
    client: httpx.AsyncClient, headers: dict[str, str], query: dict[str, str], whose: str
) -> None:
    answer = await client.get("/v1/models", headers=headers, params=query)
    assert (answer.status_code, shape(answer.json())) == (200, whose)
    missing = await client.get("/v1/models/acme/none", headers=headers, params=query)
    assert (missing.status_code, shape(missing.json())) == (404, whose)


@pytest.mark.parametrize(
    ("headers", "whose"),
    [
        ({}, OPENAI_LIST),
        (VERSION, ANTHROPIC_LIST),
        ({"x-goog-api-key": "or-wrong"}, GOOGLE_LIST),
        ({"x-api-key": "or-wrong"}, ANTHROPIC_LIST),
    ],
)
async def test_a_refusal_has_it_too(client: httpx.AsyncClient, headers: dict[str, str], whose: str) -> None:
    for path in ("/v1/models", "/v1/models/acme/gpt-x"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, shape(answer.json())) == (401, whose)
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_without_keys_required_none_is_needed(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.service.configure(snapshot(2, require_api_key=False))
    assert shape((await client.get("/v1/models")).json()) == OPENAI_LIST
    assert shape((await client.get("/v1/models", headers=VERSION)).json()) == ANTHROPIC_LIST
    assert len((await client.get("/v1beta/models")).json()["models"]) == 2


async def test_anthropics_list(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers=BEARER | VERSION | {"x-request-id": "mine"})
    assert (answer.headers["request-id"], answer.headers["x-request-id"]) == ("mine", "mine")
    assert answer.json() == {
        "data": [
            {
                "type": "model", "id": "always-on", "display_name": "always-on", "lifecycle": "active",
                "created_at": "1970-01-01T00:00:00Z", "max_input_tokens": None, "max_tokens": None,
            },
            {
                "type": "model", "id": "acme/gpt-x", "display_name": "acme/gpt-x", "lifecycle": "active",
                "created_at": "1970-01-01T00:00:07Z", "max_input_tokens": 272_000, "max_tokens": 128_000,
            },
        ],
        "has_more": False, "first_id": "always-on", "last_id": "acme/gpt-x",
    }  # fmt: skip


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_googles_list(client: httpx.AsyncClient, version: str) -> None:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    assert (await client.get(f"/{version}/models", headers={"x-goog-api-key": KEY})).json() == {
        "models": [
            {
                "name": "models/always-on", "version": "", "displayName": "always-on",
                "description": "always-on of combo", "supportedGenerationMethods": methods,
            },
            {
                "name": "models/acme/gpt-x", "version": "", "displayName": "acme/gpt-x",
                "description": "acme/gpt-x of acme", "supportedGenerationMethods": methods,
                "inputTokenLimit": 272_000, "outputTokenLimit": 128_000,
            },
        ]
    }  # fmt: skip


async def test_v1beta_is_googles_whoever_asks(client: httpx.AsyncClient) -> None:
    assert shape((await client.get("/v1beta/models", headers=BEARER)).json()) == GOOGLE_LIST
    assert (await client.get("/v1beta/models", headers=VERSION)).json()["error"]["status"] == "UNAUTHENTICATED"
    assert (await client.get("/v1beta/models/acme%2Fgpt-x", headers=BEARER)).json()["name"] == "models/acme/gpt-x"


@pytest.mark.parametrize(
    ("headers", "field", "value"),
    [
        (BEARER, "object", "model"),
        (BEARER | VERSION, "type", "model"),
        ({"x-goog-api-key": KEY}, "name", "models/acme/gpt-x"),
    ],
)
async def test_one_model_has_the_shape_too(
    client: httpx.AsyncClient, headers: dict[str, str], field: str, value: str
) -> None:
    assert (await client.get("/v1/models/acme/gpt-x", headers=headers)).json()[field] == value
    assert (await client.head("/v1/models/acme/gpt-x", headers=headers)).content == b""


def many(edge: Edge) -> list[str]:
    edge.router.entries = [ModelEntry(f"acme/m{number}", "acme") for number in range(5)]
    return [entry.id for entry in edge.router.entries]


async def test_anthropics_pages(edge: Edge, client: httpx.AsyncClient) -> None:
    ids = many(edge)

    async def page(**query: str | int) -> tuple[list[str], bool]:
        body = (await client.get("/v1/models", headers=BEARER | VERSION, params=query)).json()
        found = [model["id"] for model in body["data"]]
        assert (body["first_id"], body["last_id"]) == ((found[0], found[-1]) if found else (None, None))
        return found, body["has_more"]

    assert await page() == (ids, False)
    assert await page(limit=2) == (ids[:2], True)
    assert await page(limit=2, after_id=ids[1]) == (ids[2:4], True)
    assert await page(limit=2, after_id=ids[3]) == (ids[4:], False)
    assert await page(after_id=ids[4]) == ([], False)
    assert await page(limit=2, before_id=ids[4]) == (ids[2:4], True)
    assert await page(limit=9, before_id=ids[2]) == (ids[:2], False)
    assert await page(limit=5) == (ids, False)


async def test_googles_pages(edge: Edge, client: httpx.AsyncClient) -> None:
    ids, seen, token = many(edge), [], ""
    for size in (2, 2, 1):
        answer = await client.get("/v1beta/models", headers=BEARER, params={"pageSize": 2, "pageToken": token})
        models = answer.json()["models"]
        assert len(models) == size
        seen += [model["name"].removeprefix("models/") for model in models]
        token = answer.json().get("nextPageToken", "")
    assert (seen, token) == (ids, "")


@pytest.mark.parametrize(
    ("headers", "query", "name"),
    [
        (VERSION, {"limit": "many"}, "limit"),
        (VERSION, {"limit": "-1"}, "limit"),
        (VERSION, {"limit": "9" * 5000}, "limit"),
        (VERSION, {"after_id": "nobody"}, "after_id"),
        (VERSION, {"before_id": "nobody"}, "before_id"),
        ({"x-goog-api-client": "x"}, {"pageSize": "²"}, "pageSize"),
        ({"x-goog-api-client": "x"}, {"pageToken": "nobody"}, "pageToken"),
    ],
)
async def test_a_page_that_is_not_there_is_a_400_that_names_why(
    client: httpx.AsyncClient, headers: dict[str, str], query: dict[str, str], name: str
) -> None:
    answer = await client.get("/v1/models", headers=BEARER | headers, params=query)
    assert answer.status_code == 400
    assert name in answer.json()["error"]["message"]


async def test_openais_list_has_no_pages(client: httpx.AsyncClient) -> None:
    assert len((await client.get("/v1/models?limit=1&after_id=x", headers=BEARER)).json()["data"]) == 2


async def test_ollamas_tags(edge: Edge, client: httpx.AsyncClient) -> None:
    models = (await client.get("/api/tags", headers=BEARER)).json()["models"]
    assert [model["model"] for model in models] == ["always-on", "acme/gpt-x"]
    assert models[1] == {
        "name": "acme/gpt-x", "model": "acme/gpt-x", "modified_at": "1970-01-01T00:00:07Z", "size": 0, "digest": "",
        "details": {
            "parent_model": "", "format": "", "family": "acme", "families": ["acme"], "parameter_size": "",
            "quantization_level": "",
        },
    }  # fmt: skip
    refused = await client.get("/api/tags")
    assert refused.status_code == 401
    assert "No API key" in refused.json()["error"]


async def test_the_openapi_document_tells_every_surface(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    paths = document["paths"]
    assert "systemInstruction" in document["components"]["schemas"]["GenerateContentRequest"]["properties"]
    gemini = [f"/{version}/models/{{model}}" for version in ("v1", "v1beta")]
    posts = ["/v1/chat/completions", "/v1/responses", "/v1/responses/input_tokens", "/v1/messages"]
    posts += ["/v1/messages/count_tokens"]
    posts += [path + verb for path in gemini for verb in (":generateContent", ":streamGenerateContent", ":countTokens")]
    for path in posts:
        operation = paths[path]["post"]
        assert set(operation["responses"]) >= {"200", "400", "401", "404", "413", "429", "503"}
        assert operation["requestBody"]["content"]["application/json"]["schema"]
    for path in ("/v1/models", "/v1/models/{model_id}", "/v1beta/models", "/v1beta/models/{model_id}", "/api/tags"):
        assert paths[path]["get"]["security"]
    operations = [method for item in paths.values() for method in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for path, item in paths.items():
        for operation in item.values():
            named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
            assert named == {part.split("}")[0] for part in path.split("{")[1:]}


@pytest.mark.parametrize(("path", "whose"), [("/v1beta/models/a%0Ab", GOOGLE_LIST), ("/v1/models/a%0Ab", OPENAI_LIST)])
async def test_a_model_with_a_line_end_in_its_name_is_not_found_in_the_own_shape(
    client: httpx.AsyncClient, path: str, whose: str
) -> None:
    answer = await client.get(path, headers=BEARER)
    assert (answer.status_code, shape(answer.json())) == (404, whose)
