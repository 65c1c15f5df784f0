"""A key's scopes at the edge's socket: every surface, in its own dialect, and from where."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from omni_catalogue.keyshape import assembled
from omni_catalogue.scopes import ENDPOINTS, Scopes
from omni_core.ports.auth import Identity
from omni_edge.domain.surfaces import SURFACES, Role

from tests.support.edge import BEARER, MESSAGES, Edge, running_edge, snapshot

BODY = {"model": "acme/gpt-x", "messages": MESSAGES, "max_tokens": 5}

ASKED: list[tuple[str, str, str]] = [
    ("chat", "POST", "/v1/chat/completions"),
    ("responses", "POST", "/v1/responses"),
    ("messages", "POST", "/v1/messages"),
    ("gemini", "POST", "/v1beta/models/g:generateContent"),
    ("gemini", "POST", "/v1beta/models/g:streamGenerateContent?alt=sse"),
    ("gemini", "POST", "/v1/models/acme/g:generateContent"),
    ("ollama", "POST", "/api/chat"),
    ("count_tokens", "POST", "/v1/responses/input_tokens"),
    ("count_tokens", "POST", "/v1/messages/count_tokens"),
    ("count_tokens", "POST", "/v1beta/models/g:countTokens"),
    ("models", "GET", "/v1/models"),
    ("models", "GET", "/v1/models/acme/gpt-x"),
    ("models", "GET", "/v1beta/models"),
    ("models", "GET", "/v1beta/models/acme/gpt-x"),
    ("models", "GET", "/api/tags"),
]


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as edge:
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        yield client


def keep(edge: Edge, **scopes: Any) -> None:
    """Give the test's key these scopes."""
    edge.auth.known = {digest: Identity("key-1", "ci", "developer", Scopes(**scopes)) for digest in edge.auth.known}
    edge.service.configure(snapshot(2))


def message_of(body: dict[str, Any]) -> str:
    """The error's words, wherever the dialect keeps them."""
    error = body["error"]
    return str(error if isinstance(error, str) else error["message"])


def test_every_surface_that_takes_a_key_is_an_endpoint() -> None:
    for surface in SURFACES:
        if surface.role in (Role.COMPLETE, Role.COUNT) or "model" in surface.name or surface.name == "ollama_tags":
            assert surface.endpoint in ENDPOINTS, surface.name
        else:
            assert not surface.endpoint, surface.name
    assert {surface.endpoint for surface in SURFACES} - {""} == set(ENDPOINTS)


@pytest.mark.parametrize(("endpoint", "method", "path"), ASKED)
async def test_a_key_for_other_endpoints_is_refused_in_the_surfaces_own_dialect(
    edge: Edge, client: httpx.AsyncClient, endpoint: str, method: str, path: str
) -> None:
    keep(edge, endpoints=tuple(name for name in ENDPOINTS if name != endpoint))
    body = {"json": BODY} if method == "POST" else {}
    refused = await client.request(method, path, headers=BEARER, **body)  # type: ignore[arg-type]
    assert refused.status_code == 403
    assert f"'{endpoint}'" in message_of(refused.json())
    assert not edge.router.calls
    assert not edge.router.counted
    keep(edge, endpoints=(endpoint,))
    allowed = await client.request(method, path, headers=BEARER, **body)  # type: ignore[arg-type]
    assert allowed.status_code == 200


@pytest.mark.parametrize(("path", "where"), [("/v1/chat/completions", "code"), ("/v1/messages", "type")])
async def test_the_refusal_looks_like_the_vendors(edge: Edge, client: httpx.AsyncClient, path: str, where: str) -> None:
    keep(edge, endpoints=("models",))
    error = (await client.post(path, headers=BEARER, json=BODY)).json()["error"]
    assert error[where] == {"code": "endpoint_not_allowed", "type": "permission_error"}[where]


async def test_a_key_is_kept_to_its_addresses(edge: Edge, client: httpx.AsyncClient) -> None:
    keep(edge, ips=("192.0.2.0/24",))
    for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models")):
        refused = await client.request(method, path, headers=BEARER, json=BODY)
        assert (refused.status_code, "127.0.0.1" in message_of(refused.json())) == (403, True)
    keep(edge, ips=("127.0.0.0/8",))
    assert (await client.post("/v1/chat/completions", headers=BEARER, json=BODY)).status_code == 200


async def test_a_header_changes_nothing_unless_the_proxy_is_trusted(edge: Edge, client: httpx.AsyncClient) -> None:
    keep(edge, ips=("192.0.2.0/24",))
    said = BEARER | {"x-forwarded-for": "192.0.2.7", "x-real-ip": "192.0.2.7", "forwarded": "for=192.0.2.7"}

    async def asked(headers: dict[str, str]) -> int:
        return (await client.post("/v1/chat/completions", headers=headers, json=BODY)).status_code

    assert await asked(said) == 403
    trusting = snapshot(3)
    edge.service.configure(
        msgspec.structs.replace(
            trusting, server=msgspec.structs.replace(trusting.server, trusted_proxies=("127.0.0.1/32",))
        )
    )
    assert await asked(said) == 200
    assert await asked(BEARER | {"x-forwarded-for": "192.0.2.7, 198.51.100.1"}) == 403
    assert await asked(BEARER | {"x-forwarded-for": "nonsense"}) == 403
    assert await asked(BEARER | {"x-real-ip": "192.0.2.7"}) == 403


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/v1/chat/completions", {"authorization": "Bearer {}"}),
        ("POST", "/v1/messages", {"x-api-key": "{}"}),
        ("POST", "/v1beta/models/g:generateContent?key={}", {}),
        ("GET", "/v1/models", {"x-goog-api-key": "{}"}),
        ("GET", "/v1beta/models?key={}", {}),
    ],
)
async def test_a_text_that_can_be_no_key_is_refused_without_asking(
    edge: Edge, client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    async def asked(key: str) -> int:
        shown = {name: value.format(key) for name, value in headers.items()}
        answer = await client.request(method, path.format(key), headers=shown, json=BODY)
        assert "API key is wrong" in message_of(answer.json())
        return answer.status_code

    key = assembled("0a1b2c3d", b"s" * 32)
    noise = [key[:-1] + ("1" if key[-1] == "0" else "0"), "or-nothing", key[:20], key + "0", "x" * len(key)]
    assert {await asked(text) for text in noise} <= {400, 401}
    assert edge.auth.asked == len(noise), "there may be keys of another shape"
    edge.service.configure(msgspec.structs.replace(snapshot(2), checked_keys=True))
    edge.auth.asked = 0
    assert {await asked(text) for text in noise} <= {400, 401}
    assert edge.auth.asked == 0
    await asked(key)
    assert edge.auth.asked == 1
    assert edge.sample("omniroute_edge_key_lookups_total", source="checksum") == len(noise)


async def test_a_key_that_expires_while_it_is_remembered_ends_on_time(edge: Edge, client: httpx.AsyncClient) -> None:
    keep(edge, expires=4_000_000_000)
    assert (await client.post("/v1/chat/completions", headers=BEARER, json=BODY)).status_code == 200
    edge.wall = 4_000_000_000
    refused = await client.post("/v1/chat/completions", headers=BEARER, json=BODY)
    assert (refused.status_code, "expired" in message_of(refused.json())) == (401, True)
    assert edge.auth.asked == 1
