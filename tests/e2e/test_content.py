"""What a conversation may hold beside text, over providers of every format."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from openai import BadRequestError

from tests.e2e.conftest import KEY, Gateway

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
providers = pytest.mark.parametrize("provider", ["cloud", "cursor"])


@providers
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thoughts_arrive_apart_from_the_answer(gateway: Gateway, provider: str, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": f"{provider}/sim+think:3+tokens:4", "max_tokens": 500,
        "messages": [{"role": "user", "content": "Hi"}],
    }  # fmt: skip
    client = gateway.anthropic()
    if stream:
        with client.messages.stream(**asked) as events:
            done = events.get_final_message()
    else:
        done = client.messages.create(**asked)
    assert [block.type for block in done.content] == ["thinking", "text"]
    assert done.content[0].thinking == "first I read"  # type: ignore[union-attr]
    assert len(done.content[1].text.split()) == 4  # type: ignore[union-attr]


@providers
def test_a_picture_a_call_and_what_it_gave_reach_the_provider(gateway: Gateway, provider: str) -> None:
    messages: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        }
    ]
    tools: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
    client = gateway.client()
    asked = {"model": f"{provider}/sim+tools", "tools": tools}
    first = client.chat.completions.create(**asked, messages=messages)  # type: ignore[call-overload]
    call = first.choices[0].message.tool_calls[0]
    assert b"PNG" in gateway.provider.recent[-1].body or PNG.encode() in gateway.provider.recent[-1].body
    messages += [
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "12 degrees, rain"},
    ]
    second = client.chat.completions.create(**asked, messages=messages)  # type: ignore[call-overload]
    assert second.choices[0].finish_reason == "stop", "a call has been answered, and no other follows"
    sent = gateway.provider.recent[-1].body
    assert b"12 degrees, rain" in sent
    assert call.function.arguments.encode() in sent.replace(b'": ', b'":')


def test_a_request_that_only_fills_the_prompt_cache_is_answered_with_nothing(gateway: Gateway) -> None:
    asked = {"max_tokens": 0, "messages": [{"role": "user", "content": "Hi"}]}
    client = gateway.anthropic()
    done = client.messages.create(model="claude/sim", **asked)  # type: ignore[call-overload]
    assert (done.content, done.stop_reason, done.usage.output_tokens) == ([], "max_tokens", 0)
    with client.messages.stream(model="claude/sim", **asked) as stream:  # type: ignore[arg-type]
        assert "".join(stream.text_stream) == ""
    elsewhere = client.messages.create(model="acme/sim", **asked)  # type: ignore[call-overload]
    assert elsewhere.usage.output_tokens == 1


def test_structured_output_holds_over_cloud_code(gateway: Gateway) -> None:
    schema = {"name": "city", "strict": True, "schema": WEATHER | {"additionalProperties": False}}
    done = gateway.client().chat.completions.create(
        model="cloud/sim",
        messages=[{"role": "user", "content": "Hi"}],
        response_format={"type": "json_schema", "json_schema": schema},  # type: ignore[arg-type]
    )
    assert json.loads(done.choices[0].message.content or "").keys() == {"city"}


def test_what_cursor_has_no_place_for_is_declared(gateway: Gateway) -> None:
    raw = gateway.client().chat.completions.with_raw_response.create(
        model="cursor/sim",
        messages=[{"role": "user", "content": "Hi"}],
        temperature=0.5,
        response_format={"type": "json_object"},
    )
    told = raw.headers["x-omniroute-translation"]
    assert told.startswith("lossy")
    assert "response_format" in told
    assert "temperature" in told


def test_cloud_code_is_told_the_accounts_project(gateway: Gateway) -> None:
    gateway.client().chat.completions.create(model="cloud/sim", messages=[{"role": "user", "content": "Hi"}])
    assert json.loads(gateway.provider.recent[-1].body)["project"] == "my-project"


# ---- several answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["acme", "google", "cloud"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_chat_client_has_all_the_answers_it_asks_for(gateway: Gateway, provider: str, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": f"{provider}/sim+tokens:4",
        "n": 3,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    client = gateway.client()
    words = dict.fromkeys(range(3), "")
    ends: dict[int, str] = {}
    if stream:
        for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
            for choice in chunk.choices:
                words[choice.index] += choice.delta.content or ""
                if choice.finish_reason:
                    ends[choice.index] = choice.finish_reason
            used = chunk.usage
    else:
        done = client.chat.completions.create(**asked)
        words |= {choice.index: choice.message.content for choice in done.choices}
        ends = {choice.index: choice.finish_reason for choice in done.choices}
        used = done.usage
    assert words == dict.fromkeys(range(3), "the gateway takes each")
    assert ends == dict.fromkeys(range(3), "stop")
    assert used is not None
    assert used.completion_tokens == 12, "what all of them cost"


@pytest.mark.parametrize("provider", ["acme", "google"])
@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent?alt=sse"])
def test_a_gemini_client_has_all_its_candidates(gateway: Gateway, provider: str, verb: str) -> None:
    asked = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"candidateCount": 2}}
    url = f"{gateway.stack.edge}/v1beta/models/{provider}/sim+tokens:4:{verb}"
    answer = httpx.post(url, json=asked, headers={"x-goog-api-key": KEY}, timeout=30)
    assert answer.status_code == 200
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")] or [answer.json()]
    words = {0: "", 1: ""}
    for candidate in (candidate for chunk in told for candidate in chunk.get("candidates", ())):
        words[candidate["index"]] += "".join(part["text"] for part in candidate["content"]["parts"])
    assert words == dict.fromkeys((0, 1), "the gateway takes each")
    assert told[-1]["usageMetadata"]["candidatesTokenCount"] == 8


def test_several_answers_where_there_is_one_are_declared_or_refused(gateway: Gateway) -> None:
    asked: dict[str, Any] = {"model": "claude/sim", "n": 2, "messages": [{"role": "user", "content": "Hi"}]}
    raw = gateway.client().chat.completions.with_raw_response.create(**asked)
    assert "n" in raw.headers["x-omniroute-translation"].partition("dropped=")[2].split(",")
    with pytest.raises(BadRequestError):
        gateway.client().chat.completions.create(**asked, extra_headers={"x-omniroute-translation": "strict"})


def test_a_budget_holds_for_all_the_answers_together(gateway: Gateway) -> None:
    asked: dict[str, Any] = {"model": "acme/gpt-x", "n": 4, "messages": [{"role": "user", "content": "Hi"}]}
    done = gateway.client("or-test-several-0123456789").chat.completions.create(**asked)
    sent = json.loads(gateway.provider.recent[-1].body)
    limit = sent.get("max_completion_tokens") or sent["max_tokens"]
    assert 4 * limit * 10_000 <= 2_000_000, "four times what each may say is within what the key may spend"
    assert done.usage is not None
    assert done.usage.completion_tokens <= 4 * limit


# ---- citations ------------------------------------------------------------------------------------------------------

SAID = "naïve café über 東京"
URLS = ["https://example.com/0", "https://example.com/1"]
cited_by = pytest.mark.parametrize("provider", ["acme", "resp", "claude", "google"])


@cited_by
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_chat_client_is_told_what_is_cited(gateway: Gateway, provider: str, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": f"{provider}/sim+cite:2+say:{quote(SAID)}", "messages": [{"role": "user", "content": "Hi"}],
    }  # fmt: skip
    client = gateway.client()
    if stream:
        with client.chat.completions.create(**asked, stream=True) as chunks:
            deltas = [choice.delta.model_dump() for chunk in chunks for choice in chunk.choices]
        notes = [note for delta in deltas for note in delta.get("annotations") or ()]
    else:
        notes = [note.model_dump() for note in client.chat.completions.create(**asked).choices[0].message.annotations]
    places = [note["url_citation"] for note in notes]
    assert [place["url"] for place in places] == URLS
    half = len(SAID) // 2
    expected = [(0, len(SAID))] * 2 if provider == "claude" else [(0, half), (half, len(SAID))]
    assert [(place["start_index"], place["end_index"]) for place in places] == expected


@cited_by
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_anthropic_client_is_told_what_is_cited(gateway: Gateway, provider: str, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": f"{provider}/sim+cite:2+say:{quote(SAID)}", "max_tokens": 500,
        "messages": [{"role": "user", "content": "Hi"}],
    }  # fmt: skip
    client = gateway.anthropic()
    if stream:
        with client.messages.stream(**asked) as events:
            done = events.get_final_message()
    else:
        done = client.messages.create(**asked)
    (block,) = done.content
    assert block.text == SAID  # type: ignore[union-attr]
    assert [citation.url for citation in block.citations or ()] == URLS  # type: ignore[union-attr]


@cited_by
def test_a_responses_client_is_told_what_is_cited(gateway: Gateway, provider: str) -> None:
    with gateway.client().responses.stream(model=f"{provider}/sim+cite:2+say:{quote(SAID)}", input="Hi") as events:
        kinds = [event.type for event in events]
        done = events.get_final_response()
    assert kinds.count("response.output_text.annotation.added") == 2
    assert [note.url for note in done.output[0].content[0].annotations] == URLS  # type: ignore[union-attr]


@cited_by
@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent?alt=sse"])
def test_a_gemini_client_is_told_what_is_cited(gateway: Gateway, provider: str, verb: str) -> None:
    asked = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    model = quote(f"sim+cite:2+say:{quote(SAID)}", safe="")
    url = f"{gateway.stack.edge}/v1beta/models/{provider}/{model}:{verb}"
    answer = httpx.post(url, json=asked, headers={"x-goog-api-key": KEY}, timeout=30)
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")] or [answer.json()]
    grounding = told[-1]["candidates"][0]["groundingMetadata"]
    assert [chunk["web"]["uri"] for chunk in grounding["groundingChunks"]] == URLS
    for support in grounding["groundingSupports"]:
        segment = support["segment"]
        assert SAID.encode()[segment["startIndex"] : segment["endIndex"]].decode() == segment["text"]


def test_a_citation_that_the_gateway_wrote_does_not_go_to_anthropic(gateway: Gateway) -> None:
    client = gateway.anthropic()
    turns: list[Any] = [{"role": "user", "content": "Hi"}]
    first = client.messages.create(model="acme/sim+cite:2", max_tokens=500, messages=turns)
    turns += [{"role": "assistant", "content": [block.model_dump() for block in first.content]}, *turns]
    client.messages.create(model="claude/sim", max_tokens=500, messages=turns)
    sent = json.loads(gateway.provider.recent[-1].body)["messages"][1]["content"][0]
    assert sent["text"] == first.content[0].text  # type: ignore[union-attr]
    assert "citations" not in sent
