"""Google's own SDK reads what the codec writes, and the codec reads what the SDK sends."""

import json
from typing import Any

import httpx
import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import KeepAlive
from omni_translator.domain.model import Image, Role, Text, ToolCall, ToolResult

from tests.codecs.support import (
    ALL,
    GEMINI,
    KIRO,
    OLLAMA,
    REPLY,
    TRANSCRIPTS,
    ending,
    events_of,
    name,
    write_stream,
)

genai = pytest.importorskip("google.genai", reason="google-genai is not installed")
types: Any = genai.types
# Not every format has all of these: Cursor's answers never come whole, and nothing refuses in Ollama's or Cohere's.
CASES = [
    (source, case)
    for source in ALL
    for case in ("text", "parallel_tools", "thinking", "cached", "refusal")
    if (TRANSCRIPTS / source.format / f"{case}.json").exists()
]


class Provider:
    """Answers every request with the same bytes, and keeps what was asked."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.asked: list[httpx.Request] = []
        self._body = body
        self._type = content_type

    def client(self) -> Any:
        transport = httpx.MockTransport(self._answer)
        options = types.HttpOptions(base_url="http://gateway.test", httpx_client=httpx.Client(transport=transport))
        return genai.Client(api_key="k", http_options=options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(200, headers={"content-type": self._type}, content=self._body)


def whole_of(source: Codec, case: str) -> Provider:
    response = source.decode_response((TRANSCRIPTS / source.format / f"{case}.json").read_bytes())
    return Provider(GEMINI.encode_response(response, REPLY).body, "application/json")


def stream_of(source: Codec, case: str) -> Provider:
    events, error = events_of(source, [(TRANSCRIPTS / source.format / f"{case}{ending(source)}").read_bytes()])
    assert error == ""
    return Provider(write_stream(GEMINI, events), "text/event-stream")


def text_of(parts: Any) -> str:
    return "".join(part.text for part in parts if part.text and not part.thought)


@pytest.mark.parametrize(("source", "case"), CASES, ids=name)
def test_the_sdk_puts_any_stream_together_as_the_answer_came_whole(source: Codec, case: str) -> None:
    whole = whole_of(source, case).client().models.generate_content(model="m", contents="hi")
    chunks = list(stream_of(source, case).client().models.generate_content_stream(model="m", contents="hi"))
    streamed = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
    given = whole.candidates[0].content.parts
    assert text_of(streamed) == text_of(given)
    calls = [part.function_call for part in streamed if part.function_call]
    assert [(call.name, call.args) for call in calls] == [
        (part.function_call.name, part.function_call.args) for part in given if part.function_call
    ]
    assert len(calls) == (2 if case == "parallel_tools" else 0)
    assert chunks[-1].candidates[0].finish_reason == whole.candidates[0].finish_reason
    if source is not KIRO or case == "cached":  # it seldom tells what was used
        assert chunks[-1].usage_metadata.total_token_count == whole.usage_metadata.total_token_count
        cached = case == "cached" and source is not OLLAMA  # which does not count them apart
        assert whole.usage_metadata.cached_content_token_count in ((1900, 1920) if cached else (None, 0))


def test_silence_does_not_break_the_sdk() -> None:
    events, _ = events_of(GEMINI, [(TRANSCRIPTS / "gemini.generate" / "text.sse").read_bytes()])
    spaced = [item for event in events for item in (KeepAlive(), event)]
    client = Provider(write_stream(GEMINI, spaced), "text/event-stream").client()
    chunks = client.models.generate_content_stream(model="m", contents="hi")
    assert "".join(chunk.text or "" for chunk in chunks) == "Once upon a time,\nin Zürich 😀."


def test_what_the_sdk_sends_is_read() -> None:
    provider = whole_of(GEMINI, "text")

    def get_weather(city: str, days: int = 1) -> str:
        """The weather."""
        raise NotImplementedError

    answered = types.Content(
        role="model",
        parts=[
            types.Part(
                function_call=types.FunctionCall(name="get_weather", args={"city": "Bern"}),
                thought_signature=b"\xff\xfe",
            )
        ],
    )
    result = types.Part.from_function_response(name="get_weather", response={"result": "rain"})
    provider.client().models.generate_content(
        model="gemini-x",
        contents=[
            types.Content(role="user", parts=[types.Part.from_bytes(data=b"\xfb\xff\xfe", mime_type="image/png")]),
            answered,
            types.Content(role="user", parts=[result]),
        ],
        config=types.GenerateContentConfig(
            system_instruction="Be brief.",
            temperature=0.5,
            max_output_tokens=9,
            tools=[get_weather],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            response_mime_type="application/json",
            response_schema={"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
            thinking_config=types.ThinkingConfig(thinking_budget=512, include_thoughts=True),
        ),
    )
    (request,) = provider.asked
    conversation = GEMINI.decode_request(request.content)
    system, asked, said, told = conversation.messages
    assert (system.role, system.parts) == (Role.SYSTEM, (Text("Be brief."),))
    assert asked.parts == (Image(data="+//+", media_type="image/png"),)
    (call,), (response,) = said.parts, told.parts
    assert isinstance(call, ToolCall)
    assert isinstance(response, ToolResult)
    assert (call.name, json.loads(call.arguments), call.id) == ("get_weather", {"city": "Bern"}, response.id)
    assert call.signature
    assert (conversation.max_output, conversation.sampling.temperature) == (9, 0.5)
    assert conversation.output_format is not None
    assert conversation.output_format.schema == {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    assert conversation.thinking is not None
    assert (conversation.thinking.budget, conversation.thinking.summary) == (512, "auto")
    (tool,) = conversation.tools
    assert tool.schema is not None  # type: ignore[union-attr]
    assert set(tool.schema["properties"]) == {"city", "days"}  # type: ignore[union-attr]
    assert conversation.extra == {}
