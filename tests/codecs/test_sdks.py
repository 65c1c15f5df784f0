"""The vendors' own SDKs read what the codecs write."""

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from omni_translator.domain.codec import Codec

from tests.codecs.support import CHAT, GEMINI, MESSAGES, REPLY, RESPONSES, TRANSCRIPTS, events_of, name, write_stream

ASK: Any = {"role": "user", "content": "hi"}


def answering(body: bytes, content_type: str) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": content_type}, content=body)

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def stream_of(source: Codec, target: Codec, case: str) -> httpx2.Client:
    events, error = events_of(source, [(TRANSCRIPTS / source.format / f"{case}.sse").read_bytes()])
    assert error == ""
    return answering(write_stream(target, events), "text/event-stream")


def whole_of(source: Codec, target: Codec, case: str) -> httpx2.Client:
    response = source.decode_response((TRANSCRIPTS / source.format / f"{case}.json").read_bytes())
    return answering(target.encode_response(response, REPLY).body, "application/json")


def openai_client(http: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url="http://gateway.test/v1", http_client=http, max_retries=0)


def anthropic_client(http: httpx2.Client) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", base_url="http://gateway.test", http_client=http, max_retries=0)


@pytest.mark.parametrize("source", [CHAT, MESSAGES], ids=name)
def test_openais_sdk_puts_a_stream_of_calls_together(source: Codec) -> None:
    with (
        openai_client(stream_of(source, CHAT, "parallel_tools")) as client,
        client.chat.completions.stream(model="m", messages=[ASK]) as stream,
    ):
        answer = stream.get_final_completion()
    message = answer.choices[0].message
    assert message.content == "Let me look."
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
    assert calls[0][0] == "get_weather"
    assert len(calls) == 2
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage is not None
    assert answer.usage.total_tokens in (73, 113)


@pytest.mark.parametrize("source", [CHAT, MESSAGES], ids=name)
@pytest.mark.parametrize("case", ["parallel_tools", "thinking", "text"])
def test_anthropics_sdk_puts_any_stream_together_as_the_answer_came_whole(source: Codec, case: str) -> None:
    with (
        anthropic_client(stream_of(source, MESSAGES, case)) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[ASK]) as stream,
    ):
        streamed = stream.get_final_message()
    with anthropic_client(whole_of(source, MESSAGES, case)) as client:
        whole = client.messages.create(model="m", max_tokens=9, messages=[ASK])
    assert [block.model_dump(exclude_none=True) for block in streamed.content] == [
        block.model_dump(exclude_none=True) for block in whole.content
    ]
    assert (streamed.stop_reason, streamed.usage.input_tokens, streamed.usage.output_tokens) == (
        whole.stop_reason,
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )


@pytest.mark.parametrize("source", [CHAT, MESSAGES], ids=name)
def test_openais_sdk_reads_a_whole_answer(source: Codec) -> None:
    with openai_client(whole_of(source, CHAT, "cached")) as client:
        answer = client.chat.completions.create(model="m", messages=[ASK])
    assert (answer.choices[0].message.content or "").startswith("Yes")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens in (1900, 1920)


# ---- responses ------------------------------------------------------------------------------------------------------

SOURCES = [CHAT, MESSAGES, RESPONSES, GEMINI]


@pytest.mark.parametrize("source", SOURCES, ids=name)
@pytest.mark.parametrize("case", ["parallel_tools", "thinking", "text", "cached"])
def test_openais_sdk_puts_a_responses_stream_together_as_the_answer_came_whole(source: Codec, case: str) -> None:
    with (
        openai_client(stream_of(source, RESPONSES, case)) as client,
        client.responses.stream(model="m", input="hi") as stream,
    ):
        events = list(stream)
        streamed = stream.get_final_response()
    with openai_client(whole_of(source, RESPONSES, case)) as client:
        whole = client.responses.create(model="m", input="hi")
    assert streamed.status == whole.status == "completed"
    assert streamed.output_text == whole.output_text
    assert [item.type for item in streamed.output] == [item.type for item in whole.output]
    assert [call_of(item) for item in streamed.output] == [call_of(item) for item in whole.output]
    assert streamed.usage == whole.usage
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})
    told = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert told == whole.output_text


def call_of(item: Any) -> Any:
    return (item.call_id, item.name, json.loads(item.arguments)) if item.type == "function_call" else None


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_openais_sdk_reads_a_whole_response_with_thoughts(source: Codec) -> None:
    with openai_client(whole_of(source, RESPONSES, "thinking")) as client:
        answer = client.responses.create(model="m", input="hi")
    assert answer.output[0].type == "reasoning"
    assert answer.output[0].summary[0].text
    assert answer.output[-1].type == "message"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


@pytest.mark.parametrize("source", [CHAT, RESPONSES], ids=name)
def test_openais_sdk_raises_on_an_error_in_a_responses_stream(source: Codec) -> None:
    with (
        openai_client(stream_of(source, RESPONSES, "error")) as client,
        pytest.raises(openai.APIError, match="The server had an error"),
        client.responses.stream(model="m", input="hi") as stream,
    ):
        stream.until_done()


def test_openais_sdk_reads_what_responses_says_in_chat() -> None:
    with (
        openai_client(stream_of(RESPONSES, CHAT, "parallel_tools")) as client,
        client.chat.completions.stream(model="m", messages=[ASK]) as stream,
    ):
        answer = stream.get_final_completion()
    message = answer.choices[0].message
    assert message.content == "Let me look."
    assert [call.function.name for call in message.tool_calls or []] == ["get_weather", "list_files"]


def test_anthropics_sdk_reads_what_responses_says() -> None:
    with (
        anthropic_client(stream_of(RESPONSES, MESSAGES, "parallel_tools")) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[ASK]) as stream,
    ):
        answer = stream.get_final_message()
    assert [block.type for block in answer.content] == ["text", "tool_use", "tool_use"]
    assert answer.stop_reason == "tool_use"
