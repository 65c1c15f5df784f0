"""What is wrong with a request is said in its own dialect, with its place; what the target cannot take is declared, or
refused where the client asks for it (``x-omniroute-translation: strict``)."""

from typing import Any

import httpx
import pytest

from tests.e2e.conftest import KEY, Gateway

CHAT, RESPONSES, MESSAGES, GEMINI = "chat", "responses", "messages", "gemini"
DIALECTS = (CHAT, RESPONSES, MESSAGES, GEMINI)
PROVIDERS = {CHAT: "acme", RESPONSES: "resp", MESSAGES: "claude", GEMINI: "google"}
CROSS = [(client, provider) for client in DIALECTS for provider in DIALECTS if client != provider]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
BMP = "Qk06AAAAAAAAADYAAAAoAAAAAQAAAAEAAAABABgAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAA////AA=="
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


def post(
    gateway: Gateway, dialect: str, model: str, body: dict[str, Any], *, strict: bool = False, timeouts: str = ""
) -> httpx.Response:
    paths = {CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses", MESSAGES: "/v1/messages"}
    path = paths.get(dialect, f"/v1beta/models/{model}:generateContent")
    headers = {"authorization": f"Bearer {KEY}"} | ({"x-omniroute-translation": "strict"} if strict else {})
    headers |= {"x-omniroute-timeouts": timeouts} if timeouts else {}
    named = body if dialect == GEMINI else {"model": model} | body
    return httpx.post(f"{gateway.stack.edge}{path}", json=named, headers=headers, timeout=30)


def is_refused(answer: httpx.Response, dialect: str, place: str) -> None:
    """A 400 in the client's dialect that names the place."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    error = body["error"]
    assert place in error["message"], error
    if dialect == MESSAGES:
        assert (body["type"], error["type"]) == ("error", "invalid_request_error")
    elif dialect == GEMINI:
        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
        assert place in str(error["details"])
    else:
        assert (error["type"], error["param"]) == ("invalid_request_error", place)


def is_declared(answer: httpx.Response, *fields: str) -> None:
    assert answer.status_code == 200, answer.text
    told = answer.headers["x-omniroute-translation"]
    assert told.startswith("lossy")
    for field in fields:
        assert field in told


# ---- a body in another dialect ----

PLAIN: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"input": "hi"},
    MESSAGES: {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
TURNS = {CHAT: "messages", RESPONSES: "input", MESSAGES: "messages", GEMINI: "contents"}
STRANGERS = [(path, spoken) for path in DIALECTS for spoken in DIALECTS if TURNS[path] != TURNS[spoken]]


@pytest.mark.parametrize(("path", "spoken"), STRANGERS)
def test_a_body_in_another_dialect_is_told_where_it_belongs(gateway: Gateway, path: str, spoken: str) -> None:
    answer = post(gateway, path, "acme/sim", PLAIN[spoken])
    is_refused(answer, path, TURNS[spoken])
    assert "/v1" in answer.json()["error"]["message"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_header_of_timeouts_that_means_nothing_is_told_by_its_name(gateway: Gateway, dialect: str) -> None:
    answer = post(gateway, dialect, "acme/sim", PLAIN[dialect], timeouts="first_byte=soon")
    is_refused(answer, dialect, "x-omniroute-timeouts")
    assert "must give first_byte more than 0" in answer.json()["error"]["message"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_request_whose_own_time_is_over_is_told_so_in_its_dialect(gateway: Gateway, dialect: str) -> None:
    answer = post(gateway, dialect, "acme/sim+hang", PLAIN[dialect], timeouts="total=0.3")
    assert answer.status_code == 504
    error = answer.json()["error"]
    assert "the 0.3 s that the request gave itself as a whole (x-omniroute-timeouts) were over" in error["message"]
    if dialect == GEMINI:
        assert error["status"] == "DEADLINE_EXCEEDED"


# ---- media ----


def showing(dialect: str, data: str, mime: str) -> tuple[dict[str, Any], str]:
    """A body with a picture, and the place of its bytes."""
    uri = f"data:{mime};base64,{data}"
    if dialect == CHAT:
        parts: list[Any] = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": uri}}]
        return {"messages": [{"role": "user", "content": parts}]}, "messages[0].content[1].image_url.url"
    if dialect == RESPONSES:
        parts = [{"type": "input_text", "text": "See"}, {"type": "input_image", "image_url": uri}]
        return {"input": [{"role": "user", "content": parts}]}, "input[0].content[1].image_url"
    if dialect == MESSAGES:
        source = {"type": "base64", "media_type": mime, "data": data}
        parts = [{"type": "text", "text": "See"}, {"type": "image", "source": source}]
        asked = {"max_tokens": 100, "messages": [{"role": "user", "content": parts}]}
        return asked, "messages[0].content[1].source.data"
    parts = [{"text": "See"}, {"inlineData": {"mimeType": mime, "data": data}}]
    return {"contents": [{"role": "user", "parts": parts}]}, "contents[0].parts[1].inlineData.data"


@pytest.mark.parametrize(("client", "provider"), CROSS)
def test_broken_base64_is_the_clients_mistake_with_its_place(gateway: Gateway, client: str, provider: str) -> None:
    for broken in ("iVBORw0KGgo*", "iVBOR", "größe"):
        body, place = showing(client, broken, "image/png")
        is_refused(post(gateway, client, f"{PROVIDERS[provider]}/sim", body), client, place)
    body, _ = showing(client, PNG, "image/png")
    assert post(gateway, client, f"{PROVIDERS[provider]}/sim", body).status_code == 200


@pytest.mark.parametrize(("client", "provider"), CROSS)
def test_a_picture_the_target_cannot_take_is_declared_or_refused(gateway: Gateway, client: str, provider: str) -> None:
    body, _ = showing(client, BMP, "image/bmp")
    model = f"{PROVIDERS[provider]}/sim"
    is_declared(post(gateway, client, model, body), "messages.content.image")
    is_refused(post(gateway, client, model, body, strict=True), client, "messages.content.image")
    assert "image" not in str(gateway.provider.recent[-1].json()).replace("image/", "")


@pytest.mark.parametrize(("client", "provider"), CROSS)
def test_a_picture_of_another_type_than_it_is_said_to_be_arrives_as_what_it_is(
    gateway: Gateway, client: str, provider: str
) -> None:
    body, _ = showing(client, PNG, "image/jpg")
    is_declared(post(gateway, client, f"{PROVIDERS[provider]}/sim", body), "messages.content.image.media_type")
    sent = gateway.provider.recent[-1].body
    assert b"image/png" in sent
    assert b"image/jpg" not in sent


# ---- tools ----


def orphan(dialect: str) -> dict[str, Any]:
    """A result whose call is not there."""
    if dialect == CHAT:
        return {"messages": [{"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "a", "content": "42"}]}
    if dialect == RESPONSES:
        return {
            "input": [
                {"role": "user", "content": "hi"},
                {"type": "function_call_output", "call_id": "a", "output": "42"},
            ]
        }
    if dialect == MESSAGES:
        result = {"type": "tool_result", "tool_use_id": "a", "content": "42"}
        return {"max_tokens": 100, "messages": [{"role": "user", "content": [result]}]}
    result = {"functionResponse": {"name": "f", "response": {"output": "42"}}}
    return {"contents": [{"role": "user", "parts": [{"text": "hi"}, result]}]}


@pytest.mark.parametrize(("client", "provider"), CROSS)
def test_a_result_without_its_call_is_declared_or_refused(gateway: Gateway, client: str, provider: str) -> None:
    model = f"{PROVIDERS[provider]}/sim"
    is_declared(post(gateway, client, model, orphan(client)), "messages.tool_call_id")
    assert b"42" in gateway.provider.recent[-1].body
    answer = post(gateway, client, model, orphan(client), strict=True)
    assert answer.status_code == 400
    assert "messages.tool_call_id" in answer.json()["error"]["message"]


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES])
def test_between_equals_a_result_without_its_call_is_the_providers_400(gateway: Gateway, dialect: str) -> None:
    answer = post(gateway, dialect, f"{PROVIDERS[dialect]}/sim", orphan(dialect))
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def unanswered(dialect: str) -> dict[str, Any]:
    """A call that nobody answered before the user went on."""
    if dialect == CHAT:
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        said = {"role": "assistant", "content": None, "tool_calls": [call]}
        return {"messages": [{"role": "user", "content": "hi"}, said, {"role": "user", "content": "go on"}]}
    if dialect == RESPONSES:
        call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
        return {"input": [{"role": "user", "content": "hi"}, call, {"role": "user", "content": "go on"}]}
    if dialect == MESSAGES:
        use = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
        turns = [{"role": "user", "content": "hi"}, use, {"role": "user", "content": "go on"}]
        return {"max_tokens": 100, "messages": turns}
    use = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    return {"contents": [*PLAIN[GEMINI]["contents"], use, {"role": "user", "parts": [{"text": "go on"}]}]}


@pytest.mark.parametrize(("client", "provider"), CROSS)
def test_a_call_without_its_result_is_declared(gateway: Gateway, client: str, provider: str) -> None:
    is_declared(post(gateway, client, f"{PROVIDERS[provider]}/sim", unanswered(client)), "messages.tool_calls")
    assert b"(no result)" in gateway.provider.recent[-1].body


CHOSEN: dict[str, tuple[dict[str, Any], str]] = {
    CHAT: (
        {
            "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
            "tool_choice": {"type": "function", "function": {"name": "g"}},
        },
        "tool_choice.function.name",
    ),
    RESPONSES: (
        {
            "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
            "tool_choice": {"type": "function", "name": "g"},
        },
        "tool_choice.name",
    ),
    MESSAGES: (
        {"tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "tool", "name": "g"}},
        "tool_choice.name",
    ),
    GEMINI: (
        {
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}},
        },
        "toolConfig.functionCallingConfig.allowedFunctionNames",
    ),
}


@pytest.mark.parametrize(("client", "provider"), CROSS)
def test_a_choice_of_a_tool_that_is_not_offered_is_refused(gateway: Gateway, client: str, provider: str) -> None:
    more, place = CHOSEN[client]
    is_refused(post(gateway, client, f"{PROVIDERS[provider]}/sim", PLAIN[client] | more), client, place)


# ---- schemas ----

UNSAYABLE = SCHEMA | {"patternProperties": {"^x_": {"type": "string"}}, "not": {"required": ["a"]}}
BY_SCHEMA: dict[str, dict[str, Any]] = {
    CHAT: {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": UNSAYABLE}}},
    RESPONSES: {"text": {"format": {"type": "json_schema", "name": "x", "schema": UNSAYABLE}}},
    MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": UNSAYABLE}}},
}


@pytest.mark.parametrize("client", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("model", ["sim", "gemini-3.8-flash"])
def test_a_schema_gemini_cannot_say_is_declared_or_refused(gateway: Gateway, client: str, model: str) -> None:
    body = PLAIN[client] | BY_SCHEMA[client]
    is_declared(post(gateway, client, f"google/{model}", body), "response_format.json_schema")
    answer = post(gateway, client, f"google/{model}", body, strict=True)
    assert answer.status_code == 400
    assert "response_format.json_schema" in answer.json()["error"]["message"]
