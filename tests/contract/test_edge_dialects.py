"""Each dialect's surfaces over a real socket: what goes to the router, what comes back, every refusal in its words."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from omni_core.ports.router import CompleteCall, Frame
from omni_edge.settings import EdgeSettings
from omni_wire.errors import (
    BudgetExhausted,
    DependencyUnavailable,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    NoCandidate,
    PermissionDenied,
    RateLimited,
    StreamInterrupted,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)
from omni_wire.formats import WireFormat

from tests.support.dialects import (
    ANTHROPIC,
    ARRAY,
    CHAT,
    GEMINI,
    OLLAMA,
    RESPONSES,
    STREAM,
    frames,
    in_its_dialect,
    whole,
)
from tests.support.edge import BEARER, KEY, Edge, post_head, raising, read_answer, running_edge, snapshot

GENERATE = "/v1beta/models/acme/g:generateContent"
EVENTS = "/v1beta/models/acme/g:streamGenerateContent?alt=sse"
ELEMENTS = "/v1beta/models/acme/g:streamGenerateContent"
WHOLE_PATHS = [("/v1/responses", RESPONSES), ("/v1/messages", ANTHROPIC), (GENERATE, GEMINI)]
STREAM_PATHS = [("/v1/responses", RESPONSES), ("/v1/messages", ANTHROPIC), (EVENTS, GEMINI)]
EVERY_PATH = [("/v1/chat/completions", CHAT), *WHOLE_PATHS, (EVENTS, GEMINI)]
COUNT_PATHS = [
    ("/v1/responses/input_tokens", RESPONSES, "", {"object": "response.input_tokens", "input_tokens": 17}),
    ("/v1/messages/count_tokens", ANTHROPIC, "", {"input_tokens": 17}),
    ("/v1beta/models/acme/g:countTokens", GEMINI, "acme/g", {"totalTokens": 17}),
    ("/v1/models/acme%2Fg:countTokens", GEMINI, "acme/g", {"totalTokens": 17}),
]
ASKED = {"stream": True}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as edge:
        edge.router.script = in_its_dialect
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
        yield client


def bare(edge: Edge) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=edge.url, trust_env=False)


# ---- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "dialect"), WHOLE_PATHS)
async def test_a_whole_answer(edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat) -> None:
    body = b'{"odd" : "\\u00e9"}'
    answer = await client.post(
        path, content=body, headers={"content-type": "application/json", "anthropic-beta": "b", "x-request-id": "mine"}
    )
    assert (answer.status_code, answer.content) == (200, whole(dialect))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-omniroute-provider"] == "acme"
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers.get("request-id") == ("mine" if dialect is ANTHROPIC else None)
    call = edge.router.calls[0]
    assert (call.client_format, call.body, call.key_id) == (dialect, body, "key-1")
    assert (call.model, call.stream, call.framing) == ("acme/g" if dialect is GEMINI else "", False, "sse")
    assert call.headers["anthropic-beta"] == "b"


@pytest.mark.parametrize(("path", "dialect"), STREAM_PATHS)
async def test_a_stream_ends_as_the_router_ends_it(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat
) -> None:
    answer = await client.post(path, json=ASKED)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.content == b"".join(frames(dialect))
    assert b"[DONE]" not in answer.content
    assert (edge.router.calls[0].stream, edge.router.calls[0].framing) == (dialect is GEMINI, "sse")


@pytest.mark.parametrize("query", ["", "?alt=json", "?foo=sse", "?prettyPrint=false"])
async def test_googles_stream_is_an_array_unless_events_are_asked_for(
    edge: Edge, client: httpx.AsyncClient, query: str
) -> None:
    answer = await client.post(ELEMENTS + query, json={})
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.json()) == 3
    assert (edge.router.calls[0].stream, edge.router.calls[0].framing) == (True, "array")


@pytest.mark.parametrize("query", ["?alt=sse", "?$alt=sse", "?%24alt=sse&x=1", "?key=or-test-key&alt=sse"])
async def test_events_are_asked_for_by_alt(edge: Edge, client: httpx.AsyncClient, query: str) -> None:
    assert (await client.post(ELEMENTS + query, json={})).content == b"".join(frames(GEMINI))


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models/g:generateContent", "g"),
        ("/v1beta/models/acme/g:generateContent", "acme/g"),
        ("/v1beta/models/acme%2Fg:generateContent", "acme/g"),
        ("/v1beta/models/acme%2Fg%3AgenerateContent", "acme/g"),
        ("/v1/models/ollama/llama3:8b:generateContent", "ollama/llama3:8b"),
        ("/v1beta/models/mod%C3%A8le%20x:generateContent", "modèle x"),
        ("/v1beta/models/100%25:generateContent", "100%"),
    ],
)
async def test_the_model_is_read_from_the_path(edge: Edge, client: httpx.AsyncClient, path: str, model: str) -> None:
    assert (await client.post(path, json={})).status_code == 200
    assert edge.router.calls[0].model == model


async def test_claude_codes_query_is_no_hindrance(edge: Edge, client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/messages?beta=true", json={})).status_code == 200
    assert (await client.post("/v1/messages/count_tokens?beta=true", json={})).status_code == 200


@pytest.mark.parametrize(("path", "dialect", "model", "body"), COUNT_PATHS)
async def test_tokens_are_counted(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat, model: str, body: dict[str, int]
) -> None:
    answer = await client.post(path, content=b'{"messages": []}', headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (200, body)
    assert edge.router.counted == [("key-1", dialect, model, b'{"messages": []}')]
    assert edge.router.calls == []
    assert "x-omniroute-provider" not in answer.headers
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(("path", "dialect", "model", "_"), COUNT_PATHS)
async def test_a_count_that_fails_says_so(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat, model: str, _: object
) -> None:
    edge.router.failure = ModelNotFound("no such model", param="model")
    answer = await client.post(path, json={})
    assert (answer.status_code, said(answer.json(), dialect)) == (404, "no such model")
    edge.service.configure(snapshot(2, max_body_bytes=10))
    assert (await client.post(path, json={"long": "er than that"})).status_code == 413
    assert (await client.get(path)).status_code == 405


async def test_each_surface_has_its_own_numbers(edge: Edge, client: httpx.AsyncClient) -> None:
    for path, _ in EVERY_PATH:
        await client.post(path, json={})
    for path, *_ in COUNT_PATHS:
        await client.post(path, json={})
    told = {
        name: edge.sample("omniroute_edge_requests_total", surface=name, status_class="2xx")
        for name in (
            "responses", "messages", "generate", "stream_generate", "count_tokens", "gemini_count_tokens",
            "input_tokens",
        )
    }  # fmt: skip
    assert told == {
        "responses": 1, "messages": 1, "generate": 1, "stream_generate": 1, "count_tokens": 1,
        "gemini_count_tokens": 2, "input_tokens": 1,
    }  # fmt: skip


# ---- keys ------------------------------------------------------------------------------------------------------------

PLACES: list[dict[str, str]] = [{"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"x-goog-api-key": KEY}]


@pytest.mark.parametrize(("path", "dialect"), EVERY_PATH)
@pytest.mark.parametrize("headers", PLACES)
async def test_a_key_is_taken_from_every_header(
    edge: Edge, path: str, dialect: WireFormat, headers: dict[str, str]
) -> None:
    edge.router.script = raising(InvalidRequest("asked"))
    async with bare(edge) as client:
        assert (await client.post(path, json={}, headers=headers)).status_code == 400
    assert edge.router.calls[0].key_id == "key-1"
    assert not any(KEY in value for value in edge.router.calls[0].headers.values())


@pytest.mark.parametrize(("path", "dialect"), EVERY_PATH)
async def test_a_key_in_the_query_is_taken_and_goes_nowhere(
    edge: Edge, caplog: pytest.LogCaptureFixture, path: str, dialect: WireFormat
) -> None:
    caplog.set_level(logging.DEBUG)
    edge.router.script = raising(ValueError("surprise"))
    path += ("&" if "?" in path else "?") + f"key={KEY}"
    async with bare(edge) as client:
        caplog.clear()
        answer = await client.post(path, json={})
    assert answer.status_code == 500
    call = edge.router.calls[0]
    assert call.key_id == "key-1"
    assert KEY not in repr(call)
    assert KEY not in answer.text
    assert KEY not in str(answer.headers)
    assert not any(KEY in record.getMessage() for record in caplog.records if record.name.startswith("omniroute"))


@pytest.mark.parametrize("path", ["/v1/models", "/v1beta/models", "/v1beta/models/acme/gpt-x", "/v1/models/acme/gpt-x"])
async def test_pages_take_the_key_from_the_query_too(edge: Edge, path: str) -> None:
    async with bare(edge) as client:
        assert (await client.get(path, params={"key": KEY})).status_code == 200
        wrong = await client.get(path, params={"key": "or-wrong"})
        missing = await client.get("/v1beta/nothing", params={"key": KEY})
    assert wrong.status_code == 401
    assert wrong.json()["error"]["status"] == "UNAUTHENTICATED"
    assert "or-wrong" not in wrong.text
    assert KEY not in missing.text


async def test_a_header_goes_before_the_query(edge: Edge) -> None:
    async with bare(edge) as client:
        answer = await client.post(f"{GENERATE}?key={KEY}", json={}, headers={"x-goog-api-key": "or-wrong"})
    assert answer.status_code == 401


@pytest.mark.parametrize(("path", "dialect"), EVERY_PATH)
@pytest.mark.parametrize("headers", [{}, {"x-api-key": "or-wrong"}])
async def test_without_a_good_key_nothing_is_asked(
    edge: Edge, path: str, dialect: WireFormat, headers: dict[str, str]
) -> None:
    async with bare(edge) as client:
        answer = await client.post(path, json={}, headers=headers)
    assert answer.status_code == 401
    assert "API key" in said(answer.json(), dialect)
    assert edge.router.calls == []


# ---- errors ----------------------------------------------------------------------------------------------------------


def said(body: Any, dialect: WireFormat) -> str:
    """The message, of a body that is as ``dialect`` prescribes."""
    error = body["error"]
    if dialect is ANTHROPIC:
        assert body["type"] == "error"
        assert error["type"]
    elif dialect is GEMINI:
        assert error["status"].isupper()
        assert isinstance(error["code"], int)
    else:
        assert {"message", "type", "code", "param"} <= set(error)
    return str(error["message"])


ERRORS: list[tuple[GatewayError, int, str, str, str]] = [
    (InvalidRequest("bad", param="a.0.b"), 400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    (UpstreamRejected("bad"), 400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    (BudgetExhausted("bad"), 402, "billing_error", "billing_error", "FAILED_PRECONDITION"),
    (PermissionDenied("bad"), 403, "permission_error", "permission_error", "PERMISSION_DENIED"),
    (ModelNotFound("bad"), 404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
    (RateLimited("bad", retry_after=6.5), 429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    (UpstreamFailed("bad"), 502, "server_error", "api_error", "INTERNAL"),
    (NoCandidate("bad", retry_after=6.5), 503, "server_error", "overloaded_error", "UNAVAILABLE"),
    (UpstreamTimeout("bad"), 504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"),
    (UpstreamFailed("bad", status=529), 529, "server_error", "overloaded_error", "UNAVAILABLE"),
]


@pytest.mark.parametrize(("path", "dialect"), EVERY_PATH)
@pytest.mark.parametrize(("error", "status", "openai", "anthropic", "google"), ERRORS)
async def test_an_error_before_the_first_byte_is_told_by_status_and_in_its_dialect(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat, error: GatewayError,
    status: int, openai: str, anthropic: str, google: str,
) -> None:  # fmt: skip
    edge.router.script = raising(error)
    answer = await client.post(path, json={})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert "bad" in said(answer.json(), dialect)
    kind = answer.json()["error"]["status" if dialect is GEMINI else "type"]
    assert kind == {ANTHROPIC: anthropic, GEMINI: google}.get(dialect, openai)
    assert answer.headers.get("retry-after") == ("7" if error.retry_after else None)
    if error.param:
        assert error.param in answer.text


async def test_an_array_that_never_began_is_one_error_as_google_has_it(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.router.script = raising(RateLimited("slow down", retry_after=3))
    answer = await client.post(ELEMENTS, json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert [list(element) for element in answer.json()] == [["error"]]
    async with bare(edge) as nobody:
        assert (await nobody.post(ELEMENTS, json={})).json()[0]["error"]["code"] == 401


@pytest.mark.parametrize(("path", "dialect"), EVERY_PATH)
async def test_what_is_no_json_or_too_much_of_it_is_refused(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat
) -> None:
    text = await client.post(path, content=b"{}", headers={"content-type": "text/plain"})
    assert (text.status_code, "JSON" in said(text.json(), dialect)) == (415, True)
    edge.service.configure(snapshot(2, max_body_bytes=10))
    large = await client.post(path, json={"long": "er than that"})
    assert (large.status_code, "larger" in said(large.json(), dialect)) == (413, True)
    assert edge.router.calls == []


@pytest.mark.parametrize(("path", "dialect"), EVERY_PATH)
async def test_other_methods_are_refused_and_options_answered(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat
) -> None:
    refused = await client.get(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST, OPTIONS")
    assert "not allowed" in said(refused.json(), dialect)
    options = await client.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, "POST, OPTIONS")


@pytest.mark.parametrize(("path", "dialect"), EVERY_PATH)
async def test_while_draining_each_is_refused_in_its_words(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat
) -> None:
    edge.service.draining = True
    answer = await client.post(path, json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "shutting down" in said(answer.json(), dialect)


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/messages", ELEMENTS])
async def test_a_websocket_is_a_426_on_every_surface(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers={"connection": "Upgrade", "upgrade": "websocket"})
    assert answer.status_code == 426


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/messages/batches", {}, ANTHROPIC),
        ("/v1/files", {"anthropic-version": "2023-06-01"}, ANTHROPIC),
        ("/v1/files", {"x-goog-api-key": KEY}, GEMINI),
        ("/v1/files", {}, CHAT),
        ("/v1beta/files", {}, GEMINI),
    ],
)
async def test_an_unknown_path_is_a_404_in_its_neighbours_or_its_askers_words(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], dialect: WireFormat
) -> None:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 404
    assert said(answer.json(), dialect).startswith("There is nothing at GET")


# ---- broken streams --------------------------------------------------------------------------------------------------


def events(body: bytes) -> list[dict[str, Any]]:
    """The data of every event; what is no event is passed over, as readers of SSE do."""
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


@pytest.mark.parametrize(("path", "dialect"), STREAM_PATHS)
@pytest.mark.parametrize("sent", [0, 1, 3])
async def test_a_stream_that_breaks_ends_in_its_dialects_words(
    edge: Edge, client: httpx.AsyncClient, path: str, dialect: WireFormat, sent: int
) -> None:
    parts = frames(dialect)[:sent]
    edge.router.script = raising(StreamInterrupted("the provider hung up"), after=(STREAM, *parts))
    answer = await client.post(path, json=ASKED)
    assert answer.status_code == 200
    assert answer.content.startswith(b"".join(parts))
    first, *rest = events(answer.content)[sent:]
    if dialect is RESPONSES:
        assert (first["type"], first["message"]) == ("error", "the provider hung up")
        (failed,) = rest
        assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
        numbers = [event["sequence_number"] for event in events(answer.content)]
        assert numbers == sorted(set(numbers))
    else:
        assert (said(first, dialect), rest) == ("the provider hung up", [])
    if dialect is ANTHROPIC:
        assert b"event: error\ndata: " in answer.content
    if dialect is GEMINI:
        assert first["error"]["code"] == 502
    assert edge.sample("omniroute_edge_active_streams") == 0


@pytest.mark.parametrize("sent", [0, 1, 2])
async def test_an_array_that_breaks_is_closed_behind_its_error(
    edge: Edge, client: httpx.AsyncClient, sent: int
) -> None:
    parts = frames(GEMINI, array=True)[:sent]
    edge.router.script = raising(StreamInterrupted("the provider hung up"), after=(ARRAY, *parts))
    answer = await client.post(ELEMENTS, json={})
    *before, last = answer.json()
    assert len(before) == sent
    assert said(last, GEMINI) == "the provider hung up"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", EVENTS, ELEMENTS])
async def test_a_broken_stream_still_ends_as_http(edge: Edge, path: str) -> None:
    edge.router.script = raising(StreamInterrupted("hung up"), after=(STREAM,))
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(post_head("Content-Type: application/json", "Content-Length: 2", path=path) + b"{}")
    answer = await read_answer(reader)
    assert (answer.status, answer.clean) == (200, True)
    assert b"hung up" in answer.body
    writer.close()


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", EVENTS, ELEMENTS])
async def test_a_client_that_leaves_ends_the_routers_work(edge: Edge, path: str) -> None:
    async def endless(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        yield b"tick"
        await asyncio.sleep(60)

    edge.router.script = endless
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(post_head("Content-Type: application/json", "Content-Length: 2", path=path) + b"{}")
    await reader.readuntil(b"tick")
    writer.close()
    async with asyncio.timeout(30):
        await edge.router.closed.wait()


# ---- signs of life ---------------------------------------------------------------------------------------------------

SIGNS = [
    ("/v1/responses", RESPONSES, b": keep-alive\n\n"),
    ("/v1/messages", ANTHROPIC, b'event: ping\ndata: {"type":"ping"}\n\n'),
    (EVENTS, GEMINI, b"\n\n"),
    (ELEMENTS, GEMINI, b"\n"),
    ("/api/chat", OLLAMA, b" "),
]


@pytest.mark.parametrize(("path", "dialect", "sign"), SIGNS)
async def test_a_silent_stream_is_kept_alive_as_its_clients_understand(
    path: str, dialect: WireFormat, sign: bytes
) -> None:
    array = path is ELEMENTS
    parts = frames(dialect, array=array)

    async def slow(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield ARRAY if array else STREAM
        await asyncio.sleep(0.25)
        yield parts[0]
        await asyncio.sleep(0.25)
        for part in parts[1:]:
            yield part

    async with running_edge(EdgeSettings(keep_alive=0.05, watch_after=0.05)) as edge:
        edge.router.script = slow
        async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
            answer = await client.post(path, json=ASKED)
    before, _, behind = answer.content.partition(parts[0])
    assert before == sign * (len(before) // len(sign)) != b""
    kept = behind[: -len(b"".join(parts[1:]))]
    assert kept == sign * (len(kept) // len(sign)) != b""
    assert behind.endswith(b"".join(parts[1:]))
    if array:
        assert len(answer.json()) == 3
    if dialect is OLLAMA:
        assert len([json.loads(line) for line in answer.text.split("\n")[:-1]]) == 3


async def test_a_whole_answer_is_awaited_in_silence(edge: Edge) -> None:
    async def slow(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        await asyncio.sleep(0.2)
        async for frame in in_its_dialect(call):
            yield frame

    async with running_edge(EdgeSettings(keep_alive=0.05, watch_after=0.05)) as quick:
        quick.router.script = slow
        async with httpx.AsyncClient(base_url=quick.url, headers=BEARER, trust_env=False) as client:
            for path, dialect in WHOLE_PATHS:
                assert (await client.post(path, json={})).content == whole(dialect)


async def test_shutdown_is_told_to_every_stream_in_its_words(edge: Edge, client: httpx.AsyncClient) -> None:
    async def hanging(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        await asyncio.sleep(60)

    edge.router.script = hanging
    asked = [asyncio.create_task(client.post(path, json=ASKED)) for path, _ in STREAM_PATHS]
    async with asyncio.timeout(30):
        while len(edge.router.calls) < len(asked):  # noqa: ASYNC110 - the router's word for it is its list
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        edge.app.interrupt_all()
        answers = await asyncio.gather(*asked)
    for answer, (_, dialect) in zip(answers, STREAM_PATHS, strict=True):
        first = events(answer.content)[0]
        assert "shutting down" in (first["message"] if dialect is RESPONSES else said(first, dialect))


async def test_an_auth_that_is_away_is_told_in_each_dialect(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.auth.failure = DependencyUnavailable("auth is away")
    for path, dialect in EVERY_PATH:
        answer = await client.post(path, json={})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "cannot be checked" in said(answer.json(), dialect)
