"""A developer with the official OpenAI SDK, through every process there is."""

import json
import time

import httpx
import openai
import pytest

from tests.e2e.conftest import ADMIN, KEY, Gateway
from tests.support.stack import metric_names

HELLO = [{"role": "user", "content": "Hello there"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.mark.parametrize("model", ["acme/sim+tokens:7", "claude/sim+tokens:7", "always-on", "falls-back"])
def test_a_stream_arrives_word_by_word_with_its_usage(gateway: Gateway, model: str) -> None:
    stream = gateway.client().chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).strip()
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("provider", ["acme", "claude"])
def test_a_whole_answer_has_text_reason_and_usage(gateway: Gateway, provider: str) -> None:
    answer = gateway.client().chat.completions.create(
        model=f"{provider}/sim+tokens:9+cached:4+input:20", messages=HELLO
    )
    assert len((answer.choices[0].message.content or "").split()) == 9
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 9)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4


@pytest.mark.parametrize("provider", ["acme", "claude"])
@pytest.mark.parametrize("stream", [False, True])
def test_parallel_tool_calls_go_out_and_their_results_come_back(gateway: Gateway, provider: str, stream: bool) -> None:
    client = gateway.client()
    model = f"{provider}/sim+parallel:2"
    if stream:
        with client.chat.completions.stream(model=model, messages=HELLO, tools=[WEATHER]) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER]).choices[0].message
    assert message.tool_calls is not None
    assert len(message.tool_calls) == 2
    assert len({call.id for call in message.tool_calls}) == 2
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls
    ]
    for call in calls:
        assert "city" in json.loads(call["function"]["arguments"])
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in calls]
    history = [*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    answer = client.chat.completions.create(model=model, messages=history, tools=[WEATHER])
    assert "sunny" in (answer.choices[0].message.content or "")


@pytest.mark.parametrize("provider", ["acme", "claude"])
def test_images_and_system_messages_reach_the_provider(gateway: Gateway, provider: str) -> None:
    pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": pixel}}]
    messages = [{"role": "developer", "content": "Answer briefly."}, {"role": "user", "content": content}]
    gateway.client().chat.completions.create(model=f"{provider}/sim", messages=messages)
    sent = json.dumps(gateway.provider.recent[-1].json())
    assert pixel.partition(",")[2] in sent
    assert "Answer briefly." in sent


def test_the_answer_says_where_it_came_from_and_what_was_lost(gateway: Gateway) -> None:
    raw = gateway.client().chat.completions.with_raw_response
    kept = raw.create(model="acme/sim", messages=HELLO, seed=1)
    assert (kept.headers["x-omniroute-provider"], kept.headers["x-omniroute-translation"]) == ("acme", "lossless")
    lossy = raw.create(model="claude/sim", messages=HELLO, seed=1)
    assert lossy.headers["x-omniroute-provider"] == "claude"
    assert "seed" in lossy.headers["x-omniroute-translation"]
    with pytest.raises(openai.BadRequestError, match="seed"):
        raw.create(model="claude/sim", messages=HELLO, seed=1, extra_headers={"x-omniroute-translation": "strict"})


def test_models_are_listed_as_the_key_may_use_them(gateway: Gateway) -> None:
    listed = [model.id for model in gateway.client().models.list()]
    assert listed[:2] == ["always-on", "falls-back"]
    assert "acme/gpt-x" in listed
    narrow = [model.id for model in gateway.client("or-test-narrow-0123456789").models.list()]
    assert all(name.startswith("acme/") for name in narrow)
    assert gateway.client().models.retrieve("acme/gpt-x").owned_by == "acme"


def test_every_hop_has_its_metrics_and_says_that_it_is_ready(gateway: Gateway) -> None:
    gateway.client().chat.completions.create(model="claude/sim", messages=HELLO)
    names = set().union(*(metric_names(url) for url in gateway.stack.metrics.values()))
    for service in ("edge", "router", "translator", "quota", "auth", "analytics", "ledger"):
        assert any(name.startswith(f"omniroute_{service}_") for name in names), service
    for url in gateway.stack.metrics.values():
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz").json()


def test_the_api_describes_itself(gateway: Gateway) -> None:
    described = httpx.get(f"{gateway.stack.edge}/openapi.json").json()
    assert "/v1/chat/completions" in described["paths"]


def test_a_client_that_leaves_ends_the_providers_work_within_a_second(gateway: Gateway) -> None:
    before = gateway.provider.cancelled
    with gateway.client().chat.completions.create(
        model="claude/sim+tokens:500+tps:20", messages=HELLO, stream=True
    ) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
    deadline = time.monotonic() + 1.0
    while gateway.provider.cancelled == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gateway.provider.cancelled == before + 1


def test_credentials_of_clients_never_reach_a_provider_and_secrets_never_a_log(gateway: Gateway) -> None:
    gateway.client().chat.completions.create(model="acme/sim", messages=HELLO)
    seen = gateway.provider.recent[-1]
    assert KEY not in str(seen.headers)
    assert seen.header("authorization") == "Bearer provider-secret-acme"
    logs = gateway.stack.log()
    for secret in (KEY, ADMIN, "provider-secret-acme"):
        assert secret not in logs
