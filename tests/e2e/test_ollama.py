"""Ollama's own client for Python over providers of every format: what only it can say, and what only it breaks on."""

import json
from typing import Any

import httpx
import ollama
import pytest

from tests.e2e.conftest import Gateway

PROVIDERS = ("acme", "resp", "claude", "google", "local", "command")
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WRITE: dict[str, Any] = {
    "type": "object",
    "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["file_path", "content"],
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
every_provider = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture
def client(gateway: Gateway) -> ollama.Client:
    return gateway.ollama()


@every_provider
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thoughts_come_apart_from_the_answer(client: ollama.Client, provider: str, stream: bool) -> None:
    asked = [{"role": "user", "content": "Think"}]
    model = f"{provider}/sim+think:6+tokens:4"
    if stream:
        lines = list(client.chat(model, asked, stream=True, think=True))
    else:
        lines = [client.chat(model, asked, think=True)]
    assert "".join(line.message.thinking or "" for line in lines) == "first I read the question then"
    assert len("".join(line.message.content or "" for line in lines).split()) == 4


@every_provider
def test_an_image_reaches_the_provider(gateway: Gateway, client: ollama.Client, provider: str) -> None:
    said = [{"role": "user", "content": "1234", "images": [PICTURE]}]
    answer = client.chat(f"{provider}/sim", said, options={"num_predict": 50})
    assert answer.prompt_eval_count == 101  # four letters and an image, as the simulator counts


@every_provider
def test_an_answer_keeps_to_the_schema(client: ollama.Client, provider: str) -> None:
    answer = client.chat(f"{provider}/sim", [{"role": "user", "content": "Where?"}], format=SCHEMA)
    assert isinstance(json.loads(answer.message.content or "")["days"], int)


@every_provider
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_tool_is_called_and_its_result_read(client: ollama.Client, provider: str, stream: bool) -> None:
    """The client drops the ids of calls, so results find theirs by name and order."""
    tools = [{"type": "function", "function": {"name": "write_file", "description": "Writes", "parameters": WRITE}}]
    model = f"{provider}/sim+agent+content:hello"
    messages: list[Any] = [{"role": "user", "content": "Please create notes/plan.txt"}]
    if stream:
        lines = list(client.chat(model, messages, tools=tools, stream=True))
    else:
        lines = [client.chat(model, messages, tools=tools)]
    (call,) = [call for line in lines for call in line.message.tool_calls or ()]
    assert dict(call.function.arguments) == {"file_path": "notes/plan.txt", "content": "hello"}
    messages += [
        {"role": "assistant", "tool_calls": [{"function": call.function.model_dump()}]},
        {"role": "tool", "tool_name": "write_file", "content": "wrote 5 bytes"},
    ]
    assert "wrote 5 bytes" in (client.chat(model, messages, tools=tools).message.content or "")


@every_provider
@pytest.mark.parametrize("status", [400, 429, 503])
def test_a_refusal_keeps_its_status_and_its_words(client: ollama.Client, provider: str, status: int) -> None:
    asked = [{"role": "user", "content": "Hi"}]
    for stream in (False, True):
        with pytest.raises(ollama.ResponseError, match=f"told to fail with status {status}") as caught:
            list(client.chat(f"{provider}/sim+status:{status}", asked, stream=stream))
        assert caught.value.status_code == status


@every_provider
@pytest.mark.parametrize("fault", ["error-event:8", "cut:8", "clean-cut:8", "malformed:8"])
def test_an_answer_that_breaks_off_raises_after_what_had_come(
    client: ollama.Client, provider: str, fault: str
) -> None:  # fmt: skip
    model = f"{provider}/sim+tokens:30+{fault}"
    came: list[ollama.Message] = []
    with pytest.raises(ollama.ResponseError):
        came.extend(line.message for line in client.chat(model, [{"role": "user", "content": "Hi"}], stream=True))
    assert came
    assert not any(line.get("done") for line in client_lines(client, model))


def client_lines(client: ollama.Client, model: str) -> list[dict[str, Any]]:
    """What stands on the wire, line by line."""
    with httpx.Client(base_url=str(client._client.base_url), headers=client._client.headers) as http:
        answer = http.post("/api/chat", json={"model": model, "messages": [{"role": "user", "content": "Hi"}]})
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_an_error_in_mid_stream_is_a_line_of_its_own(client: ollama.Client) -> None:
    *said, last = client_lines(client, "acme/sim+tokens:30+error-event:4")
    assert said
    assert last.keys() == {"error"}


def test_it_streams_unless_told_not_to(client: ollama.Client) -> None:
    lines = client_lines(client, "acme/sim+tokens:3")
    assert [line["done"] for line in lines] == [False, False, False, True]


def test_what_is_wrong_is_told_as_the_client_reads_it(gateway: Gateway, client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="messages") as caught:
        client.chat("acme/sim", [])
    assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("nobody/sim", [{"role": "user", "content": "Hi"}])
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="API key is wrong") as caught:
        gateway.ollama("wrong").chat("acme/sim", [{"role": "user", "content": "Hi"}])
    assert caught.value.status_code == 401


def test_it_lists_the_models(client: ollama.Client) -> None:
    assert "acme/gpt-x" in [model.model for model in client.list().models]
