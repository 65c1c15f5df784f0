"""POST /v1/chat/completions over a real socket: what goes to the router, what comes back, every refusal."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest
from omni_core.ports.router import CompleteCall, Frame, Head
from omni_edge.settings import EdgeSettings
from omni_wire.errors import (
    BudgetExhausted,
    BudgetHeld,
    DependencyUnavailable,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    RateLimited,
    StreamInterrupted,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)
from omni_wire.formats import WireFormat

from tests.support.edge import BEARER, STREAM, WHOLE, Edge, chunk, completion, raising, running_edge, snapshot

CHAT = "/v1/chat/completions"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running_edge() as edge:
        yield edge


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
        yield client


async def test_the_body_reaches_the_router_byte_for_byte(edge: Edge, client: httpx.AsyncClient) -> None:
    body = b'{"model" : "m",\n "stream":false, "odd":"\\u00e9"}'
    answer = await client.post(
        CHAT, content=body,
        headers={
            "content-type": "application/json", "x-request-id": "mine-1", "traceparent": TRACE, "user-agent": "me/1",
            "idempotency-key": "i", "x-omniroute-strict": "1", "cookie": "c=1",
        },
    )  # fmt: skip
    assert answer.status_code == 200
    call = edge.router.calls[0]
    assert (call.body, call.key_id, call.client_format) == (body, "key-1", WireFormat.OPENAI_CHAT)
    assert (call.context.request_id, call.context.traceparent) == ("mine-1", TRACE)
    assert call.headers == {
        "accept": "*/*", "user-agent": "me/1", "idempotency-key": "i", "x-omniroute-strict": "1",
    }  # fmt: skip


async def test_an_answer_says_who_gave_it_and_how(client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, json={})
    assert answer.content == completion()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(completion()))
    assert answer.headers["x-omniroute-provider"] == "acme"
    assert answer.headers["x-omniroute-model"] == "gpt-x"
    assert answer.headers["x-omniroute-translation"] == "lossless"
    assert len(answer.headers["x-request-id"]) == 32


async def test_losses_are_declared(edge: Edge, client: httpx.AsyncClient) -> None:
    async def lossy(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield Head(200, False, "application/json", "claude", "claude-x", ("logprobs", "seed"))
        yield b"{}"

    edge.router.script = lossy
    answer = await client.post(CHAT, json={})
    assert answer.headers["x-omniroute-translation"] == "lossy; dropped=logprobs,seed"


async def test_the_way_of_a_request_is_asked_for_with_a_header_and_told_in_one(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    async def told(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        assert call.headers["x-omniroute-trace"] == "on"
        yield Head(200, False, "application/json", "acme", "gpt-x", trace="combo best; a answers")
        yield b"{}"

    edge.router.script = told
    answer = await client.post(CHAT, json={}, headers={"x-omniroute-trace": "on"})
    assert answer.headers["x-omniroute-trace"] == "combo best; a answers"
    failure = UpstreamFailed("broken")
    failure.trace = "combo best; a failed"
    edge.router.script = raising(failure)
    answer = await client.post(CHAT, json={}, headers={"x-omniroute-trace": "on"})
    assert (answer.status_code, answer.headers["x-omniroute-trace"]) == (502, "combo best; a failed")


async def test_a_stream_arrives_as_it_is_made(edge: Edge, client: httpx.AsyncClient) -> None:
    go_on = asyncio.Event()

    async def slow(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        yield chunk("one")
        await go_on.wait()
        yield chunk("two")

    edge.router.script = slow
    async with client.stream("POST", CHAT, json={"stream": True}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        arriving = answer.aiter_bytes()
        assert await anext(arriving) == chunk("one")
        assert edge.sample("omniroute_edge_active_streams") == 1
        go_on.set()
        assert b"".join([part async for part in arriving]) == chunk("two")
    assert edge.sample("omniroute_edge_active_streams") == 0


async def test_an_answer_too_large_to_hold_goes_out_in_chunks(edge: Edge, client: httpx.AsyncClient) -> None:
    async def large(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield WHOLE
        for _ in range(10):
            yield b"x" * 1_000_000

    edge.router.script = large
    answer = await client.post(CHAT, json={})
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.content == b"x" * 10_000_000


ERRORS = [
    (InvalidRequest("the body is not JSON", param="messages"), 400, None),
    (BudgetExhausted("the budget is spent"), 402, None),
    (ModelNotFound("no such model"), 404, None),
    (RateLimited("600 a minute", retry_after=12.2), 429, "13"),
    (BudgetHeld("held by requests in flight", retry_after=0.3), 429, "1"),
    (UpstreamRejected("the provider says no", status=422), 422, None),
    (UpstreamFailed("the provider failed"), 502, None),
    (DependencyUnavailable("Redis is away", retry_after=1), 503, "1"),
    (UpstreamTimeout("silent"), 504, None),
]


@pytest.mark.parametrize(("error", "status", "retry_after"), ERRORS)
@pytest.mark.parametrize("head_first", [False, True])
async def test_the_routers_errors_are_told_in_openais_words(
    edge: Edge, client: httpx.AsyncClient, error: GatewayError, status: int, retry_after: str | None, head_first: bool
) -> None:
    edge.router.script = raising(error, after=(WHOLE, b'{"half') if head_first else ())
    answer = await client.post(CHAT, json={}, headers={"x-request-id": "mine"})
    assert answer.status_code == status
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers.get("retry-after") == retry_after
    told = answer.json()["error"]
    assert (told["message"], told["code"], told["request_id"]) == (error.message, error.code, "mine")
    assert edge.sample("omniroute_edge_refusals_total", surface="chat", kind=error.kind) == 0


async def test_a_surprise_is_a_500_that_gives_nothing_away(
    edge: Edge, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    edge.router.script = raising(ValueError("secret detail"))
    answer = await client.post(CHAT, json={}, headers={"x-request-id": "mine"})
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    (fields,) = [record.__dict__["fields"] for record in caplog.records if hasattr(record, "fields")]
    assert (fields["request_id"], fields["kind"]) == ("mine", "internal")


async def test_a_stream_that_breaks_ends_with_an_error_and_no_done(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.router.script = raising(StreamInterrupted("the provider hung up"), after=(STREAM, chunk("one")))
    answer = await client.post(CHAT, json={"stream": True}, headers={"x-request-id": "mine"})
    assert answer.status_code == 200
    first, last, rest = answer.content.split(b"\n\n")
    assert first + b"\n\n" == chunk("one")
    assert json.loads(last.removeprefix(b"data: "))["error"]["message"] == "the provider hung up"
    assert json.loads(last.removeprefix(b"data: "))["error"]["request_id"] == "mine"
    assert rest == b""
    assert edge.sample("omniroute_edge_broken_answers_total", surface="chat") == 1


async def test_a_large_answer_that_breaks_drops_the_connection(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.router.script = raising(StreamInterrupted("cut"), after=(WHOLE, b"x" * 5_000_000))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post(CHAT, json={})


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic abc"}])
async def test_without_a_key_the_answer_says_that_none_was_given(edge: Edge, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        answer = await client.post(CHAT, json={}, headers=headers)
    assert answer.status_code == 401
    assert "No API key was given" in answer.json()["error"]["message"]
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert edge.router.calls == []
    assert edge.sample("omniroute_edge_refusals_total", surface="chat", kind="unauthenticated") == 1


async def test_a_wrong_key_is_called_wrong_and_never_repeated(edge: Edge, client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, json={}, headers={"authorization": "Bearer or-wrong-key"})
    assert answer.status_code == 401
    assert "wrong" in answer.json()["error"]["message"]
    assert "or-wrong-key" not in answer.text


async def test_x_api_key_is_as_good(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        assert (await client.post(CHAT, json={}, headers={"x-api-key": "or-test-key"})).status_code == 200


async def test_without_keys_required_a_request_is_anonymous(edge: Edge) -> None:
    edge.service.configure(snapshot(2, require_api_key=False))
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        assert (await client.post(CHAT, json={})).status_code == 200
    assert edge.router.calls[0].key_id == "anonymous"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json", "sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "application/json", "origin": "https://evil.example"}, 403),
    ],
)
async def test_a_web_page_cannot_spend_where_no_key_is_needed(
    edge: Edge, client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    edge.service.configure(snapshot(2, require_api_key=False))
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as anonymous:
        assert (await anonymous.post(CHAT, content=b"{}", headers=headers)).status_code == status
        if status == 403:
            assert (await anonymous.get("/v1/models", headers=headers)).status_code == 403
    assert edge.router.calls == []
    if headers.get("content-type") != "text/plain":
        assert (await client.post(CHAT, content=b"{}", headers=headers)).status_code == 200, "with a key it may"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
async def test_json_under_another_name_is_a_415(edge: Edge, client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post(CHAT, content=b"{}", headers={"content-type": content_type})
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"
    assert edge.router.calls == []


async def test_a_compressed_body_is_opened_and_one_that_cannot_be_is_a_415(
    edge: Edge, client: httpx.AsyncClient
) -> None:
    def headers(encoding: str) -> dict[str, str]:
        return {"content-type": "application/json", "content-encoding": encoding}

    body = json.dumps({"model": "a/b", "messages": []}).encode()
    for encoding, content in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("identity", body)):
        answer = await client.post(CHAT, content=content, headers=headers(encoding))
        assert (answer.status_code, edge.router.calls[-1].body) == (200, body)
    answer = await client.post(CHAT, content=body, headers=headers("br"))
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
    for broken in (body, gzip.compress(body)[:-9]):
        answer = await client.post(CHAT, content=broken, headers=headers("gzip"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_encoding")


async def test_bad_json_is_the_routers_to_judge(edge: Edge, client: httpx.AsyncClient) -> None:
    edge.router.script = raising(InvalidRequest("the body is not JSON"))
    answer = await client.post(CHAT, content=b"{nope", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert edge.router.calls[0].body == b"{nope"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_another_method_is_a_405_that_names_the_right_one(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, CHAT)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert answer.headers["x-request-id"]


async def test_options_names_the_methods_and_no_other_origin(client: httpx.AsyncClient) -> None:
    answer = await client.options(CHAT, headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.headers["allow"]) == (204, "POST, OPTIONS")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_every_answer_is_counted_by_class(edge: Edge, client: httpx.AsyncClient) -> None:
    await client.post(CHAT, json={})
    edge.router.script = raising(ModelNotFound("no"))
    await client.post(CHAT, json={})
    edge.router.script = raising(UpstreamFailed("no"))
    await client.post(CHAT, json={})
    counted = {
        status: edge.sample("omniroute_edge_requests_total", surface="chat", status_class=status)
        for status in ("2xx", "4xx", "5xx", "gone")
    }
    assert counted == {"2xx": 1, "4xx": 1, "5xx": 1, "gone": 0}
    assert edge.sample("omniroute_edge_request_seconds_count", surface="chat") == 3
    assert edge.sample("omniroute_edge_first_byte_seconds_count", surface="chat") == 1


async def test_draining_refuses_the_new_and_finishes_the_running(edge: Edge, client: httpx.AsyncClient) -> None:
    go_on = asyncio.Event()

    async def slow(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        yield chunk("one")
        await go_on.wait()
        yield chunk("two")

    edge.router.script = slow
    async with client.stream("POST", CHAT, json={"stream": True}) as running:
        arriving = running.aiter_bytes()
        await anext(arriving)
        edge.service.draining = True
        draining = asyncio.create_task(edge.app.until_idle(5))
        refused = await client.post(CHAT, json={})
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert refused.headers["retry-after"] == "1"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert (await client.get("/healthz")).status_code == 200
        assert not draining.done()
        go_on.set()
        assert b"".join([part async for part in arriving]) == chunk("two")
    assert await draining is True


async def test_a_stream_cut_by_shutdown_is_told_so(edge: Edge, client: httpx.AsyncClient) -> None:
    async def endless(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        yield chunk("one")
        await asyncio.sleep(60)

    edge.router.script = endless
    async with client.stream("POST", CHAT, json={"stream": True}) as running:
        arriving = running.aiter_bytes()
        await anext(arriving)
        edge.app.interrupt_all()
        rest = b"".join([part async for part in arriving])
    assert b"shutting down" in rest
    assert b"[DONE]" not in rest
    assert edge.router.closed.is_set()


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    async def silent(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        yield chunk("one")
        await asyncio.sleep(0.5)
        yield chunk("two")

    async with running_edge(EdgeSettings(keep_alive=0.1)) as edge:
        edge.router.script = silent
        async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
            answer = await client.post(CHAT, json={"stream": True})
    parts = answer.content.split(b": keep-alive\n\n")
    assert parts[0] == chunk("one")
    assert parts[-1] == chunk("two")
    assert 3 <= len(parts) - 1 <= 5
    assert set(parts[1:-1]) <= {b""}


async def test_nothing_is_left_running_after_a_watched_answer(edge: Edge, client: httpx.AsyncClient) -> None:
    async def slow(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield STREAM
        await asyncio.sleep(0.15)
        yield chunk("one")

    await client.get("/healthz")
    before = len(asyncio.all_tasks())
    edge.router.script = slow
    for _ in range(3):
        await client.post(CHAT, json={"stream": True})
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) == before
    assert edge.sample("omniroute_edge_client_gone_total", surface="chat") == 0


async def test_a_router_that_never_answers_is_given_up() -> None:
    async def hanging(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        await asyncio.sleep(60)
        yield WHOLE

    async with running_edge(EdgeSettings(answer_idle=0.1)) as edge:
        edge.router.script = hanging
        async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
            answer = await client.post(CHAT, json={})
        assert answer.status_code == 504
        assert edge.router.closed.is_set()
