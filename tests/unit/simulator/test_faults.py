"""Every way of failing on purpose, seen from the client's side of the socket."""

import asyncio
import json
import time

import httpx
import pytest
from omni_simulator import Options, Simulator

from tests.unit.simulator.asking import FORMATS, Told, ask, body, events, path, until

every_format = pytest.mark.parametrize("form", FORMATS)


async def _raw(http: httpx.AsyncClient, form: str, model: str, stream: bool = True) -> tuple[bytes, Exception | None]:
    """The bytes that came, and what the client made of the end of the connection."""
    got, failed = b"", None
    try:
        async with http.stream("POST", path(form, model, stream), json=body(form, model, stream=stream)) as response:
            assert response.status_code == 200
            async for piece in response.aiter_raw():
                got += piece
    except httpx.HTTPError as error:
        failed = error
    return got, failed


def _named(form: str, answer: object) -> object:
    if form == "cohere":
        return answer["message"]  # type: ignore[index]
    error = answer["error"]  # type: ignore[index]
    if form == "ollama":
        return error
    return error["status"] if form == "gemini" else error["type"]


@every_format
@pytest.mark.parametrize(
    ("status", "openai", "anthropic", "google"),
    [
        (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (503, "server_error", "api_error", "UNAVAILABLE"),
        (401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
        (529, "server_error", "overloaded_error", "INTERNAL"),
    ],
)
async def test_a_status_comes_with_the_error_body_of_the_format(
    http: httpx.AsyncClient, simulator: Simulator, form: str, status: int, openai: str, anthropic: str, google: str
):
    response = await ask(http, form, f"sim+status:{status}+retry-after:7", stream=True)
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    plain = f"the simulator was told to fail with status {status}"
    wanted = {"messages": anthropic, "gemini": google, "ollama": plain, "cohere": plain}.get(form, openai)
    assert _named(form, response.json()) == wanted
    assert (simulator.meter.refused, simulator.served.answers, simulator.active) == (1, 0, 0)


async def test_a_status_may_carry_a_code_or_be_a_proxys_page(http: httpx.AsyncClient):
    coded = await ask(http, "chat", "sim+status:429+code:insufficient_quota")
    assert coded.json()["error"]["code"] == "insufficient_quota"
    page = await ask(http, "chat", "sim+status:502+html")
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")


@every_format
async def test_hang_accepts_and_never_answers_until_the_client_leaves(
    http: httpx.AsyncClient, simulator: Simulator, form: str
):
    with pytest.raises(httpx.ReadTimeout):
        await http.post(path(form, "sim+hang", False), json=body(form, "sim+hang"), timeout=0.1)
    await until(lambda: simulator.cancelled == 1)
    assert (simulator.active, simulator.meter.interrupted.answers) == (0, 0)


async def test_reset_ends_the_connection_without_an_answer(http: httpx.AsyncClient):
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await ask(http, "chat", "sim+reset")


@every_format
async def test_empty_is_a_200_without_a_body(http: httpx.AsyncClient, form: str):
    response = await ask(http, form, "sim+empty")
    assert (response.status_code, response.content) == (200, b"")


@every_format
async def test_error_200_is_an_error_object_under_a_good_status(http: httpx.AsyncClient, form: str):
    response = await ask(http, form, "sim+error-200+status:429")
    said = response.json()
    assert (response.status_code, "error" in said or isinstance(said["message"], str)) == (200, True)


@every_format
async def test_cut_closes_the_connection_after_n_events(http: httpx.AsyncClient, simulator: Simulator, form: str):
    got, failed = await _raw(http, form, "sim+cut:4+tokens:40")
    assert isinstance(failed, httpx.RemoteProtocolError)
    assert len(events(got.decode())) == 4
    assert simulator.meter.interrupted.answers == 1
    assert simulator.meter.interrupted.output_tokens < 40


@every_format
async def test_clean_cut_ends_properly_but_too_early(http: httpx.AsyncClient, form: str):
    got, failed = await _raw(http, form, "sim+clean-cut:2")
    assert failed is None
    assert len(events(got.decode())) == 2


@every_format
@pytest.mark.parametrize("fault", ["cut", "clean-cut", "error-event"])
async def test_a_fault_comes_before_the_event_that_tells_the_end(http: httpx.AsyncClient, form: str, fault: str):
    got, _ = await _raw(http, form, f"sim+{fault}:9999")
    for sign in (
        b"[DONE]",
        b'finish_reason":"',
        b"finishReason",
        b"message_delta",
        b"response.completed",
        b'"done":true',
    ):
        if form == "cohere" and fault == "error-event":  # its error is an end too, of a kind of its own
            sign = sign if b"finish_reason" not in sign else b"COMPLETE"
        assert sign not in got


@every_format
async def test_stall_falls_silent_and_notices_the_client_leaving(
    http: httpx.AsyncClient, simulator: Simulator, form: str
):
    model = "sim+stall:2"
    async with http.stream("POST", path(form, model, True), json=body(form, model, stream=True)) as response:
        pieces = response.aiter_raw()
        got = b""
        while len(events(got.decode())) < 2:
            got += await anext(pieces)
        assert simulator.active == 1
    await until(lambda: simulator.cancelled == 1)
    assert simulator.active == 0


async def test_a_stall_may_end(http: httpx.AsyncClient):
    told = Told.of("chat", await ask(http, "chat", "sim+stall:2+stall-ms:20+tokens:5", stream=True))
    assert (len(told.text.split()), told.finish) == (5, "stop")


@every_format
async def test_malformed_puts_one_event_that_is_not_json(http: httpx.AsyncClient, form: str):
    got, failed = await _raw(http, form, "sim+malformed:2")
    assert failed is None
    end, lead = ("\n", "") if form == "ollama" else ("\n\n", "data: ")
    blocks = got.decode().replace("\r\n", "\n").split(end)
    assert blocks[2] == lead + '{"this is": not JSON'
    del blocks[2]
    assert events(end.join(blocks))


async def test_a_status_beside_an_error_event_is_said_in_the_event(http: httpx.AsyncClient):
    frames = events((await ask(http, "messages", "sim+error-event:3+status:529", stream=True)).text)
    assert frames[-1]["error"]["type"] == "overloaded_error"
    assert (await ask(http, "messages", "sim+error-event:3+status:529")).status_code == 529


@every_format
async def test_error_event_after_n_events(http: httpx.AsyncClient, form: str):
    got, failed = await _raw(http, form, "sim+error-event:3")
    frames = events(got.decode())
    assert failed is None
    assert len(frames) == 4
    last = frames[-1]
    if form == "responses":
        assert (last["type"], last["code"]) == ("error", "server_error")
    elif form == "cohere":
        assert "told to fail" in last["delta"]["error"]
    elif form == "ollama":
        assert "told to fail" in last["error"]
    else:
        assert "told to fail" in last["error"]["message"]
    assert (b"event: error\n" in got) == (form in ("messages", "responses"))


async def test_a_json_array_that_errs_at_once_is_still_json(http: httpx.AsyncClient):
    url = "/v1beta/models/sim+error-event:0:streamGenerateContent"
    assert "error" in (await http.post(url, json=body("gemini", ""))).json()[0]


@every_format
async def test_split_utf8_cuts_inside_characters_and_loses_nothing(simulator: Simulator, form: str):
    model = "sim+split-utf8+tokens:24"
    payload = json.dumps(body(form, model, stream=True)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    head = f"POST {path(form, model, True)} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\n\r\n"
    writer.write(head.encode() + payload)
    await reader.readuntil(b"\r\n\r\n")
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    writer.close()
    await writer.wait_closed()
    inside = [piece for piece in pieces if piece[-1] >= 0xC0]
    assert len(inside) > 20
    told = Told.of(form, httpx.Response(200, content=b"".join(pieces), headers={"content-type": "text/event-stream"}))
    assert told.text.startswith("naïve café über 東京")
    assert len(told.text.split()) == 24


async def test_split_utf8_works_on_whole_bodies_too(http: httpx.AsyncClient):
    response = await ask(http, "chat", "sim+split-utf8")
    assert response.headers["transfer-encoding"] == "chunked"
    assert "東京" in Told.of("chat", response).text


@every_format
@pytest.mark.parametrize("fault", ["truncate", "cut"])
async def test_a_whole_body_may_be_cut_short_of_its_length(http: httpx.AsyncClient, form: str, fault: str):
    got, failed = await _raw(http, form, f"sim+{fault}", stream=False)
    assert got
    assert isinstance(failed, httpx.RemoteProtocolError)


async def test_a_whole_body_may_be_malformed_or_stall(http: httpx.AsyncClient):
    assert (await _raw(http, "chat", "sim+malformed", stream=False))[0] == b'{"this is": not JSON'
    assert Told.of("chat", await ask(http, "chat", "sim+stall+stall-ms:10")).text


async def test_the_first_n_fail_and_the_rest_are_well(http: httpx.AsyncClient):
    statuses = [(await ask(http, "chat", "sim+fail-first:2+status:503")).status_code for _ in range(4)]
    assert statuses == [503, 503, 200, 200]
    assert (await ask(http, "chat", "other+fail-first:2+status:503")).status_code == 503


async def test_every_nth_fails(http: httpx.AsyncClient):
    statuses = [(await ask(http, "chat", "sim+fail-every:3+status:500")).status_code for _ in range(6)]
    assert statuses == [200, 200, 500, 200, 200, 500]


async def test_only_one_key_is_hit(http: httpx.AsyncClient):
    asked = body("chat", "sim+only-key:bad+status:429")
    bad = await http.post("/v1/chat/completions", json=asked, headers={"authorization": "Bearer bad"})
    good = await http.post("/v1/chat/completions", json=asked, headers={"authorization": "Bearer good"})
    assert (bad.status_code, good.status_code) == (429, 200)


@every_format
async def test_a_required_key_is_asked_for_in_the_words_of_the_format(http: httpx.AsyncClient, form: str):
    header = {"messages": "x-api-key", "gemini": "x-goog-api-key"}.get(form, "authorization")
    prefix = "Bearer " if header == "authorization" else ""
    url, asked = path(form, "sim+require-key:k1", False), body(form, "sim+require-key:k1")
    refused = await http.post(url, json=asked, headers={header: f"{prefix}k2"})
    assert refused.status_code == 401
    told = _named(form, refused.json())
    if form in ("ollama", "cohere"):
        assert "API key is wrong" in str(told)
    else:
        assert told == ("UNAUTHENTICATED" if form == "gemini" else "authentication_error")
    assert (await http.post(url, json=asked, headers={header: f"{prefix}k1"})).status_code == 200


async def test_the_header_scripts_what_the_model_name_does_not(http: httpx.AsyncClient):
    asked = body("chat", "gpt-x")
    response = await http.post("/v1/chat/completions", json=asked, headers={"x-sim-script": "status:503,retry-after:2"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_a_simulator_may_have_a_script_and_a_key_of_its_own():
    simulator = Simulator("127.0.0.1", 0, options=Options(script="say:always", require_key="k"))
    await simulator.start()
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as http:
        assert (await ask(http, "chat", "sim")).status_code == 401
        http.headers["authorization"] = "Bearer k"
        assert Told.of("chat", await ask(http, "chat", "sim")).text == "always"
        assert Told.of("chat", await ask(http, "chat", "sim+say:now")).text == "now"
    await simulator.stop()


async def test_latency_comes_before_the_head_and_ttft_after_it(http: httpx.AsyncClient):
    began = time.monotonic()
    asked = body("chat", "sim+latency:80+ttft:80", stream=True)
    async with http.stream("POST", "/v1/chat/completions", json=asked) as response:
        headed = time.monotonic() - began
        await anext(response.aiter_raw())
        first = time.monotonic() - began
    assert 0.07 < headed < first - 0.07


async def test_tokens_a_second_pace_the_stream(http: httpx.AsyncClient):
    began = time.monotonic()
    told = Told.of("chat", await ask(http, "chat", "sim+tokens:20+tps:100", stream=True))
    assert len(told.text.split()) == 20
    assert 0.19 < time.monotonic() - began < 10


@every_format
async def test_cut_in_closes_the_connection_inside_a_character(http: httpx.AsyncClient, form: str):
    got, failed = await _raw(http, form, "sim+say:one%20two%20%E4%BA%AC%20four+cut-in:%E4%BA%AC")
    assert isinstance(failed, httpx.RemoteProtocolError)
    assert got.endswith("京".encode()[:1])
    assert b"two" in got
    whole = path(form, "sim+say:one%20%E4%BA%AC+cut-in:%E4%BA%AC", False)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post(whole, json=body(form, "sim+say:one%20%E4%BA%AC+cut-in:%E4%BA%AC"))


@every_format
async def test_cut_in_comes_at_the_latest_before_the_event_that_tells_the_end(http: httpx.AsyncClient, form: str):
    got, failed = await _raw(http, form, "sim+say:one%20two+cut-in:%6Eowhere")
    assert isinstance(failed, httpx.RemoteProtocolError)
    assert b"two" in got
    assert not [sign for sign in (b"[DONE]", b"finishReason", b"message_delta", b'"done":true') if sign in got]


@every_format
@pytest.mark.parametrize("stream", [True, False])
async def test_a_drip_takes_its_time_and_says_all(http: httpx.AsyncClient, form: str, stream: bool):
    began = time.monotonic()
    dripped = await ask(http, form, "sim+say:a%20b%20c+drip:10", stream=stream)
    assert time.monotonic() - began >= (0.03 if stream else 0.25)
    plain = await ask(http, form, "sim+say:a%20b%20c", stream=stream)
    assert len(dripped.content) == len(plain.content) + dripped.content.count(b"+drip:10") * len("+drip:10")


@every_format
async def test_an_answer_may_come_under_another_type_and_a_page_under_200(http: httpx.AsyncClient, form: str):
    typed = await ask(http, form, "sim+type:text%2Fplain", stream=True)
    assert (typed.status_code, typed.headers["content-type"]) == (200, "text/plain")
    page = await ask(http, form, "sim+html-200")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html")
