"""Every dialect in, every dialect out: official SDKs over providers of every format, through all processes."""

import json
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google.genai import errors as google_errors
from google.genai import types

from tests.e2e.conftest import Gateway

PROVIDERS = ("acme", "resp", "claude", "google", "cloud", "cursor", "bedrock", "kiro", "local", "command")
UNCOUNTED = ("cursor", "kiro")  # which tell no usage, and none is made up for the client
QUESTION = "What is the weather in Paris and in Rome?"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Answer:
    """What a client understood, in the same words whatever its dialect."""

    def __init__(self, text: str, calls: list[tuple[str, Any]], used: tuple[int, int], end: str) -> None:
        self.text, self.calls, self.used, self.end = text, calls, used, end


class Client:
    """One of an official SDK."""

    client: Any


class Chat(Client):
    def __init__(self, gateway: Gateway) -> None:
        self.client = gateway.client()

    def ask(self, model: str, *, stream: bool, tools: bool) -> Answer:
        asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
        if tools:
            asked["tools"] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
        if stream:
            with self.client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
                done: Any = events.get_final_completion()
        else:
            done = self.client.chat.completions.create(**asked)
        choice = done.choices[0]
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]
        used = (done.usage.prompt_tokens, done.usage.completion_tokens) if done.usage else (0, 0)
        return Answer(choice.message.content or "", calls, used, choice.finish_reason)

    limited = openai.RateLimitError
    ends = ("stop", "tool_calls")


class Responses(Client):
    def __init__(self, gateway: Gateway) -> None:
        self.client = gateway.client()

    def ask(self, model: str, *, stream: bool, tools: bool) -> Answer:
        asked: dict[str, Any] = {"model": model, "input": QUESTION}
        if tools:
            asked["tools"] = [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}]
        if stream:
            with self.client.responses.stream(**asked) as events:
                for _ in events:
                    pass
                done: Any = events.get_final_response()
        else:
            done = self.client.responses.create(**asked)
        calls = [(item.name, json.loads(item.arguments)) for item in done.output if item.type == "function_call"]
        used = (done.usage.input_tokens, done.usage.output_tokens) if done.usage else (0, 0)
        return Answer(done.output_text, calls, used, done.status)

    limited = openai.RateLimitError
    ends = ("completed", "completed")


class Messages(Client):
    def __init__(self, gateway: Gateway) -> None:
        self.client = gateway.anthropic()

    def ask(self, model: str, *, stream: bool, tools: bool) -> Answer:
        asked: dict[str, Any] = {
            "model": model, "max_tokens": 500, "messages": [{"role": "user", "content": QUESTION}],
        }  # fmt: skip
        if tools:
            asked["tools"] = [{"name": "get_weather", "input_schema": SCHEMA}]
        if stream:
            with self.client.messages.stream(**asked) as events:
                done: Any = events.get_final_message()
        else:
            done = self.client.messages.create(**asked)
        text = "".join(block.text for block in done.content if block.type == "text")
        calls = [(block.name, block.input) for block in done.content if block.type == "tool_use"]
        return Answer(text, calls, (done.usage.input_tokens, done.usage.output_tokens), done.stop_reason)

    limited = anthropic.RateLimitError
    ends = ("end_turn", "tool_use")


class Gemini(Client):
    def __init__(self, gateway: Gateway) -> None:
        self.client = gateway.google()

    def ask(self, model: str, *, stream: bool, tools: bool) -> Answer:
        declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declared])] if tools else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        asked: dict[str, Any] = {"model": model, "contents": QUESTION, "config": config}
        if stream:
            chunks = list(self.client.models.generate_content_stream(**asked))
        else:
            chunks = [self.client.models.generate_content(**asked)]
        parts = [part for chunk in chunks for part in (chunk.candidates or [None])[0].content.parts or ()]  # type: ignore[union-attr]
        text = "".join(part.text or "" for part in parts if not part.thought)
        calls = [(part.function_call.name, part.function_call.args) for part in parts if part.function_call]
        used, last = chunks[-1].usage_metadata, chunks[-1].candidates
        assert last
        counted = (used.prompt_token_count or 0, used.candidates_token_count or 0) if used else (0, 0)
        return Answer(text, calls, counted, str(last[0].finish_reason))  # type: ignore[arg-type]

    limited = google_errors.ClientError
    ends = ("FinishReason.STOP", "FinishReason.STOP")


class Ollama(Client):
    def __init__(self, gateway: Gateway) -> None:
        self.client = gateway.ollama()

    def ask(self, model: str, *, stream: bool, tools: bool) -> Answer:
        asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
        if tools:
            asked["tools"] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
        lines = list(self.client.chat(**asked, stream=True)) if stream else [self.client.chat(**asked)]
        calls = [call.function for line in lines for call in line.message.tool_calls or ()]
        last = lines[-1]
        assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
        return Answer(
            "".join(line.message.content or "" for line in lines),
            [(call.name, dict(call.arguments)) for call in calls],
            (last.prompt_eval_count or 0, last.eval_count or 0),
            last.done_reason or "",
        )

    limited = ollama.ResponseError
    ends = ("stop", "stop")


CLIENTS = (Chat, Responses, Messages, Gemini, Ollama)
pairs = pytest.mark.parametrize("provider", PROVIDERS)
clients = pytest.mark.parametrize("speaks", CLIENTS, ids=lambda client: client.__name__.lower())


@pairs
@clients
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_text_arrives_with_its_end_and_its_usage(gateway: Gateway, speaks: Any, provider: str, stream: bool) -> None:
    answer = speaks(gateway).ask(f"{provider}/sim+tokens:9+input:20", stream=stream, tools=False)
    assert len(answer.text.split()) == 9
    assert answer.calls == []
    assert answer.used == ((0, 0) if provider in UNCOUNTED else (20, 9))
    assert answer.end == speaks.ends[0]


@pairs
@clients
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_parallel_tool_calls_arrive_whole(gateway: Gateway, speaks: Any, provider: str, stream: bool) -> None:
    answer = speaks(gateway).ask(f"{provider}/sim+parallel:2", stream=stream, tools=True)
    assert [name for name, _ in answer.calls] == ["get_weather", "get_weather"]
    assert all(isinstance(arguments.get("city"), str) for _, arguments in answer.calls)
    assert answer.end == speaks.ends[1]


@pairs
@clients
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_providers_refusal_is_the_right_exception(
    gateway: Gateway, speaks: Any, provider: str, stream: bool
) -> None:  # fmt: skip
    with pytest.raises(speaks.limited) as raised:
        speaks(gateway).ask(f"{provider}/sim+status:429", stream=stream, tools=False)
    assert "429" in str(raised.value) or getattr(raised.value, "status_code", 0) == 429


@pairs
@clients
def test_a_stream_that_is_cut_never_looks_complete(gateway: Gateway, speaks: Any, provider: str) -> None:
    errors = (openai.APIError, anthropic.APIError, google_errors.APIError, ollama.ResponseError)
    with pytest.raises(errors):
        speaks(gateway).ask(f"{provider}/sim+tokens:9+cut:5", stream=True, tools=False)
