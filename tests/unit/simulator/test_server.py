"""The provider as an HTTP server: paths, listings, books, pipelining, and clients that misbehave."""

import asyncio
import contextlib
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_simulator import Options, Simulator
from omni_simulator.prepared import Kitchen
from omni_simulator.routes import find
from omni_wire.errors import InvalidRequest

from tests.unit.simulator.asking import FORMATS, Told, ask, body, path, until


async def _exchange(simulator: Simulator, sent: bytes, *, eof: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    writer.write(sent)
    if eof:
        writer.write_eof()
    async with asyncio.timeout(5):
        got = await reader.read()
    writer.close()
    await writer.wait_closed()
    return got


def _post(asked: dict[str, object], *, close: bool = False, version: str = "1.1") -> bytes:
    payload = json.dumps(asked).encode()
    tail = "connection: close\r\n" if close else ""
    head = f"POST /v1/chat/completions HTTP/{version}\r\nhost: x\r\n{tail}content-length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


async def test_paths_answer_with_and_without_the_version_but_not_doubled(http: httpx.AsyncClient):
    asked = body("chat", "sim")
    assert (await http.post("/chat/completions", json=asked)).status_code == 200
    assert (await http.post("/v1/v1/chat/completions", json=asked)).status_code == 404
    assert (await http.get("/v1/chat/completions")).status_code == 405
    assert (await http.post("/v1/elsewhere", json=asked)).status_code == 404
    assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_a_websocket_is_declined_so_that_the_client_posts(http: httpx.AsyncClient):
    upgrade = {"connection": "upgrade", "upgrade": "websocket"}
    assert (await http.get("/v1/responses", headers=upgrade)).status_code == 426


async def test_models_are_listed_in_the_shape_of_the_asking_sdk(http: httpx.AsyncClient):
    openai = (await http.get("/v1/models")).json()
    assert (openai["object"], openai["data"][0]["id"]) == ("list", "sim")
    anthropic = (await http.get("/v1/models", headers={"x-api-key": "k"})).json()
    assert (anthropic["first_id"], anthropic["data"][0]["type"]) == ("sim", "model")
    google = (await http.get("/v1/models", headers={"x-goog-api-key": "k"})).json()
    assert google["models"][0]["name"] == "models/sim"
    assert (await http.get("/v1beta/models")).json() == google
    assert (await http.get("/v1/models/any+tools")).json()["id"] == "any+tools"


async def test_the_books_say_what_was_seen_and_served(http: httpx.AsyncClient, simulator: Simulator):
    for _ in range(3):
        await ask(http, "chat", "a+tokens:5+input:11+cached:4")
    await ask(http, "messages", "b+tokens:2+think:1")
    await ask(http, "gemini", "b+status:500")
    assert simulator.requests == {
        "/v1/chat/completions": 3,
        "/v1/messages": 1,
        "/v1beta/models/{model}:generateContent": 1,
    }
    mine = simulator.meter.by_model["a+tokens:5+input:11+cached:4"]
    assert (mine.answers, mine.input_tokens, mine.cached_input_tokens, mine.output_tokens) == (3, 33, 12, 15)
    report = (await http.get("/sim/stats")).json()
    assert report["served"]["output_tokens"] == 18
    assert report["refused"] == 1
    assert (await http.delete("/sim/stats")).status_code == 200
    assert simulator.served.answers == 0


async def test_the_latest_requests_are_kept_as_they_came_without_showing_keys(simulator: Simulator):
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as http:
        http.headers["authorization"] = "Bearer very-secret"
        await ask(http, "chat", "sim", limit=7)
    seen = simulator.recent[-1]
    assert (seen.method, seen.target, seen.json()["max_completion_tokens"]) == ("POST", "/v1/chat/completions", 7)
    assert seen.header("Authorization") == "Bearer very-secret"
    assert "secret" not in repr(seen)


async def test_a_client_that_leaves_is_noticed_within_a_second(simulator: Simulator):
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as http:
        asked = body("messages", "sim+tps:20+tokens:1000", stream=True)
        async with http.stream("POST", "/v1/messages", json=asked) as response:
            await anext(response.aiter_raw())
    await until(lambda: simulator.cancelled == 1)
    broken = simulator.meter.interrupted
    assert (broken.answers, simulator.served.answers) == (1, 0)
    assert broken.output_tokens < 100


async def test_pipelined_requests_are_answered_in_order(simulator: Simulator):
    asked = [
        _post(body("chat", f"sim+say:{word}+{step}")) for word, step in (("one", "latency:50"), ("two", "tokens:1"))
    ]
    got = await _exchange(simulator, b"".join(asked) + _post(body("chat", "sim+say:three"), close=True))
    places = [got.index(b'"content":"%b"' % word) for word in (b"one", b"two", b"three")]
    assert places == sorted(places)
    assert got.count(b"HTTP/1.1 200") == 3


async def test_many_pipelined_requests_wait_for_a_slow_one(simulator: Simulator):
    slow, quick = _post(body("chat", "sim+latency:50")), _post(body("chat", "sim"))
    got = await _exchange(simulator, slow + quick * 300 + _post(body("chat", "sim"), close=True))
    assert got.count(b"HTTP/1.1 200") == 302


@pytest.mark.parametrize("step", ["", "+latency:5"])
async def test_an_http_1_0_client_gets_a_stream_without_chunks(simulator: Simulator, step: str):
    got = await _exchange(simulator, _post(body("chat", f"sim{step}", stream=True), version="1.0"))
    head, _, payload = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert payload.startswith(b"data: ")
    assert payload.endswith(b"data: [DONE]\n\n")


async def test_a_request_in_small_pieces_is_one_request(simulator: Simulator):
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    for byte in _post(body("chat", "sim+say:patience"), close=True):
        writer.write(bytes([byte]))
        await writer.drain()
    got = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"patience" in got


async def test_what_is_not_http_is_refused_and_closed(simulator: Simulator):
    assert (await _exchange(simulator, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_a_body_over_the_limit_is_413():
    simulator = Simulator("127.0.0.1", 0, options=Options(max_body=100))
    await simulator.start()
    got = await _exchange(simulator, _post(body("chat", "sim", "x" * 200)))
    await simulator.stop()
    assert got.startswith(b"HTTP/1.1 413")


async def test_a_long_stream_waits_for_a_slow_reader(simulator: Simulator):
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port, limit=1024)
    writer.write(_post(body("chat", "sim+tokens:100000", stream=True)))
    await asyncio.sleep(0.5)
    assert simulator.active == 1
    assert simulator.served.answers == 0
    while not (await reader.read(1 << 16)).endswith(b"[DONE]\n\n\r\n0\r\n\r\n"):
        pass
    writer.close()
    await writer.wait_closed()
    assert simulator.served.output_tokens == 100_000


async def test_stopping_cuts_what_is_open_and_frees_the_port():
    simulator = Simulator("127.0.0.1", 0)
    port = await simulator.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_post(body("chat", "sim+hang")))
    await until(lambda: simulator.active == 1)
    await simulator.stop()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert (simulator.active, simulator.cancelled) == (0, 0)
    again = Simulator("127.0.0.1", port)
    assert await again.start() == port
    await again.stop()


def test_a_script_outside_the_grammar_is_refused_at_once():
    with pytest.raises(InvalidRequest):
        Simulator(options=Options(script="bogus"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff", b'{"model":"sim"}', b"[" * 100_000]
)
async def test_what_is_no_request_of_the_format_is_400(http: httpx.AsyncClient, form: str, payload: bytes):
    response = await http.post(path(form, "sim", False), content=payload)
    assert response.status_code == 400
    said = response.json() if form in ("ollama", "cohere") else response.json()["error"]
    assert said["error" if form == "ollama" else "message"]


_KEYS = st.sampled_from(
    sorted({"model", "messages", "role", "content", "type", "text", "tools", "function", "name", "parameters", "id"})
    + sorted({"max_tokens", "stream", "input", "system", "contents", "parts", "generationConfig", "functionCall"})
    + sorted({"functionResponse", "response", "tool_calls", "arguments", "properties", "enum", "toolConfig", "stop"})
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(FORMATS),
    _JSON,
    st.dictionaries(_KEYS, _JSON, max_size=4),
    st.sampled_from(["", "+tools", "+agent"]),
)
def test_no_body_raises_anything_but_a_refusal(form: str, anything: object, patch: dict[str, object], step: str):
    model = f"sim{step}"
    valid = {**body(form, model, "hi", tools={"f": {"type": "object"}}), **patch}
    route = find(b"POST", path(form, model, False).encode())
    assert route is not None
    for asked in (anything, valid):
        with contextlib.suppress(InvalidRequest):
            assert Kitchen("").prepare(route, b"", json.dumps(asked).encode()).body


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FORMATS), st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(form: str, payload: bytes):
    route = find(b"POST", path(form, "sim", False).encode())
    assert route is not None
    with pytest.raises(InvalidRequest):
        Kitchen("").prepare(route, b"", payload)


async def test_a_streamed_and_a_whole_answer_say_the_same(http: httpx.AsyncClient):
    for form in FORMATS:
        whole, streamed = [Told.of(form, await ask(http, form, "sim+think+tokens:30", stream=s)) for s in (False, True)]
        assert vars(whole) == vars(streamed)
