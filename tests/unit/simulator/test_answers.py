"""What the simulated model says, in every format, streamed and not."""

import json
from typing import Any

import httpx
import pytest
from omni_simulator import Simulator

from tests.unit.simulator.asking import FORMATS, WEATHER, Told, ask, body, events, path

STREAMED = (False, True)
every_shape = pytest.mark.parametrize(("form", "stream"), [(form, stream) for form in FORMATS for stream in STREAMED])

_LENGTH = {"chat": "length", "responses": "max_output_tokens", "messages": "max_tokens", "gemini": "MAX_TOKENS"}
_LENGTH |= {"ollama": "length", "cohere": "MAX_TOKENS"}
_STOP = {"chat": "stop", "responses": "completed", "messages": "end_turn", "gemini": "STOP"}
_STOP |= {"ollama": "stop", "cohere": "COMPLETE"}
_CALLS = {"chat": "tool_calls", "responses": "completed", "messages": "tool_use", "gemini": "STOP"}
_CALLS |= {"ollama": "stop", "cohere": "TOOL_CALL"}
_FILTER = {"chat": "content_filter", "responses": "content_filter", "messages": "refusal", "gemini": "SAFETY"}
_FILTER |= {"ollama": "content_filter", "cohere": "ERROR_TOXIC"}


@every_shape
async def test_a_plain_model_repeats_the_question_and_counts_both_sides(
    http: httpx.AsyncClient, simulator: Simulator, form: str, stream: bool
):
    told = Told.of(form, await ask(http, form, "sim", "What is änew?", stream=stream))
    assert told.text == "This is a simulated answer. You said: What is änew?"
    assert told.finish == _STOP[form]
    assert told.usage is not None
    assert told.usage[:3] == (4, -1 if form == "ollama" else 0, 10)  # 14 bytes of UTF-8, ten words
    assert (simulator.served.answers, simulator.served.input_tokens, simulator.served.output_tokens) == (1, 4, 10)


@every_shape
async def test_thinking_comes_first_and_is_counted(http: httpx.AsyncClient, form: str, stream: bool):
    told = Told.of(form, await ask(http, form, "sim+think:3+tokens:5+cached:2+input:70", stream=stream))
    assert told.thinking == "first I read"
    assert len(told.text.split()) == 5
    assert told.usage is not None
    assert told.usage[:3] == (70, -1 if form == "ollama" else 2, 8)
    assert told.usage[3] in (3, -1)


@every_shape
async def test_the_answer_is_never_longer_than_the_limit(http: httpx.AsyncClient, form: str, stream: bool):
    told = Told.of(form, await ask(http, form, "sim+think:3+tokens:500", stream=stream, limit=10))
    assert len(told.text.split()) == 7
    assert told.finish == _LENGTH[form]
    assert told.usage is not None
    assert told.usage[2] == 10


@every_shape
async def test_a_call_that_does_not_fit_the_limit_is_left_out(http: httpx.AsyncClient, form: str, stream: bool):
    asked = {"stream": stream, "limit": 2, "tools": {"weather": WEATHER}}
    told = Told.of(form, await ask(http, form, "sim+tools", **asked))
    assert (told.calls, told.finish) == ([], _LENGTH[form])


@every_shape
async def test_tools_are_called_in_parallel_with_arguments_of_their_schema(
    http: httpx.AsyncClient, form: str, stream: bool
):
    tools = {"weather": WEATHER, "time": {"type": "object", "properties": {}}}
    told = Told.of(form, await ask(http, form, "sim+tools+parallel:3", stream=stream, tools=tools))
    sent = {"city": "simulated city", "days": 2}
    assert told.calls == [("weather", sent), ("time", {}), ("weather", sent)]
    assert told.finish == _CALLS[form]


@pytest.mark.parametrize("stream", STREAMED)
@pytest.mark.parametrize("form", [form for form in FORMATS if form != "ollama"])  # it has no choice
async def test_a_tool_choice_is_obeyed(http: httpx.AsyncClient, form: str, stream: bool):
    tools = {"weather": WEATHER, "time": {"type": "object", "properties": {}}}

    async def calls(model: str, choice: str) -> list[str]:
        told = Told.of(form, await ask(http, form, model, stream=stream, tools=tools, choice=choice))
        return [name for name, _ in told.calls]

    assert await calls("sim", "auto") == []
    assert await calls("sim", "required") == ["weather"]
    if form != "cohere":  # it can force a call, not which
        assert await calls("sim", "time") == ["time"]
    assert await calls("sim+tools", "none") == []


@every_shape
async def test_a_scripted_finish_is_said_in_the_words_of_the_format(http: httpx.AsyncClient, form: str, stream: bool):
    assert Told.of(form, await ask(http, form, "sim+finish:filter", stream=stream)).finish == _FILTER[form]
    assert Told.of(form, await ask(http, form, "sim+finish:length", stream=stream)).finish == _LENGTH[form]


@pytest.mark.parametrize("form", ["chat", "messages", "gemini", "ollama", "cohere"])
async def test_a_stop_sequence_ends_the_text(http: httpx.AsyncClient, form: str):
    response = await ask(http, form, "sim+say:one%20two%20END%20three", stop="END")
    told = Told.of(form, response)
    assert told.text == "one two "
    assert told.finish == {"messages": "stop_sequence", "cohere": "STOP_SEQUENCE"}.get(form, _STOP[form])


@every_shape
async def test_usage_can_be_left_out(http: httpx.AsyncClient, simulator: Simulator, form: str, stream: bool):
    told = Told.of(form, await ask(http, form, "sim+no-usage+tokens:4", stream=stream))
    assert told.usage is None
    assert simulator.served.output_tokens == 4


async def test_a_chat_stream_gives_usage_only_when_asked(http: httpx.AsyncClient):
    asked = body("chat", "sim", stream=True)
    del asked["stream_options"]
    frames = events((await http.post("/v1/chat/completions", json=asked)).text)
    assert all("usage" not in frame and frame["choices"] for frame in frames[:-1])


@pytest.mark.parametrize("form", FORMATS)
async def test_the_same_request_has_the_same_answer_byte_for_byte(http: httpx.AsyncClient, form: str):
    first, second = [(await ask(http, form, "sim+think+tokens:9", stream=True)).content for _ in range(2)]
    assert first == second


async def test_gemini_without_sse_streams_one_json_array(http: httpx.AsyncClient):
    url = "/v1/models/sim+tokens:3+think:1:streamGenerateContent"
    response = await http.post(url, json=body("gemini", ""))
    told = Told()
    for chunk in response.json():
        told._gemini(chunk)
    assert response.headers["content-type"].startswith("application/json")
    assert (told.text, told.thinking, told.finish) == ("the gateway takes", "first", "STOP")


async def test_a_percent_encoded_model_in_the_path_is_read(http: httpx.AsyncClient):
    response = await http.post("/v1beta/models/sim%2Bsay%3Ahi:generateContent", json=body("gemini", ""))
    assert response.json()["candidates"][0]["content"]["parts"] == [{"text": "hi"}]
    assert response.json()["modelVersion"] == "sim+say:hi"


async def test_structured_output_follows_the_schema(http: httpx.AsyncClient):
    formats: list[tuple[str, dict[str, Any]]] = [
        ("chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}}),
        ("responses", {"text": {"format": {"type": "json_schema", "name": "w", "schema": WEATHER}}}),
        ("messages", {"output_config": {"format": {"type": "json_schema", "schema": WEATHER}}}),
        ("gemini", {"generationConfig": {"responseJsonSchema": WEATHER}}),
        ("ollama", {"format": WEATHER}),
        ("cohere", {"response_format": {"type": "json_object", "json_schema": WEATHER}}),
    ]
    for form, wanted in formats:
        response = await http.post(path(form, "sim", False), json={**body(form, "sim"), **wanted})
        assert json.loads(Told.of(form, response).text) == {"city": "simulated city", "days": 2}


async def test_tokens_are_counted_before_asking(http: httpx.AsyncClient):
    asked = body("messages", "sim", "x" * 41)
    del asked["max_tokens"]
    assert (await http.post("/v1/messages/count_tokens", json=asked)).json() == {"input_tokens": 11}
    counted = await http.post("/v1beta/models/sim:countTokens", json=body("gemini", "", "x" * 41))
    assert counted.json() == {"totalTokens": 11}


async def test_text_and_media_everywhere_in_a_conversation_count(http: httpx.AsyncClient):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "1234"}}
    asked = {
        "model": "sim",
        "messages": [
            {"role": "system", "content": "1234"},
            {"role": "user", "content": [{"type": "text", "text": "1234"}, picture]},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "1234"}]},
        ],
    }
    answer = (await http.post("/v1/chat/completions", json=asked)).json()
    assert answer["usage"]["prompt_tokens"] == 104
    assert answer["choices"][0]["message"]["content"] == 'Done. The tool said: "1234"'


async def test_a_tool_result_without_its_call_is_refused_as_vendors_do(http: httpx.AsyncClient):
    lost = [
        ("chat", {"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]}),
        ("responses", {"input": [{"type": "function_call_output", "call_id": "c9", "output": "x"}]}),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c9", "content": "x"}]}]},
        ),
        ("cohere", {"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]}),
    ]
    for form, wanted in lost:
        response = await http.post(path(form, "sim", False), json={**body(form, "sim"), **wanted})
        assert (response.status_code, "c9" in response.text) == (400, True)


async def test_encrypted_reasoning_comes_when_it_is_included(http: httpx.AsyncClient):
    asked = {**body("responses", "sim+think"), "include": ["reasoning.encrypted_content"]}
    item = (await http.post("/v1/responses", json=asked)).json()["output"][0]
    assert item["encrypted_content"]


async def test_tools_in_namespaces_and_among_the_input_are_found(http: httpx.AsyncClient):
    space = {"type": "namespace", "name": "space", "tools": [{"type": "function", "name": "f", "parameters": WEATHER}]}
    items = [
        {"type": "additional_tools", "role": "developer", "tools": [space, {"type": "custom", "name": "free"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    ]
    asked = {"model": "sim+parallel:2", "input": items, "stream": True}
    frames = events((await http.post("/v1/responses", json=asked)).text)
    first, second = frames[-1]["response"]["output"]
    assert (first["type"], first["name"], first["namespace"]) == ("function_call", "f", "space")
    assert (second["type"], second["name"], second["input"]) == ("custom_tool_call", "free", "simulated input")
    assert "response.custom_tool_call_input.done" in [frame["type"] for frame in frames]


@pytest.mark.parametrize("stream", STREAMED)
@pytest.mark.parametrize("form", ["chat", "gemini"])
async def test_as_many_answers_come_as_are_asked_for_and_each_counts(
    http: httpx.AsyncClient, simulator: Simulator, form: str, stream: bool
):
    asked = body(form, "sim+tokens:4", stream=stream)
    if form == "chat":
        asked["n"] = 3
    else:
        asked["generationConfig"]["candidateCount"] = 3
    answer = await http.post(path(form, "sim+tokens:4", stream), json=asked)
    told = events(answer.text) if stream else [answer.json()]
    key = "choices" if form == "chat" else "candidates"
    words: dict[int, str] = {}
    for choice in (choice for event in told if event != "[DONE]" for choice in event.get(key, ())):
        if form == "chat":
            said = choice.get("delta", choice.get("message"))["content"] if "content" in str(choice) else ""
        else:
            said = "".join(part["text"] for part in choice["content"]["parts"])
        words[choice["index"]] = words.get(choice["index"], "") + (said or "")
    assert words == dict.fromkeys(range(3), "the gateway takes each")
    assert simulator.served.output_tokens == 12
