"""The product's own rules through all processes, as official SDKs see them; and one changed while it runs."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import CONFIG, KEY, Gateway
from tests.e2e.test_dialects import CLIENTS, PROVIDERS
from tests.support.stack import running, simulator

RULED = "or-test-ruled-0123456789"
THINKS = "sim+say:%3Cthink%3Ehm%20hm%3C%2Fthink%3E%0A%0Ayes%20we%20do"
TOLD = ("hm hm", "yes we do")
providers = pytest.mark.parametrize("provider", PROVIDERS)
ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@providers
@ways
def test_openais_chat_sdk_gets_thoughts_apart_from_the_answer(gateway: Gateway, provider: str, stream: bool) -> None:
    asked: dict[str, Any] = {"model": f"{provider}/{THINKS}", "messages": [{"role": "user", "content": "hi"}]}
    if stream:
        deltas: list[Any] = [
            c.choices[0].delta for c in gateway.client(RULED).chat.completions.create(**asked, stream=True) if c.choices
        ]
        thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        content = "".join(delta.content or "" for delta in deltas)
    else:
        message: Any = gateway.client(RULED).chat.completions.create(**asked).choices[0].message
        thought, content = message.reasoning_content, message.content
    assert (thought, content) == TOLD


@providers
@ways
def test_openais_responses_sdk_does(gateway: Gateway, provider: str, stream: bool) -> None:
    asked: dict[str, Any] = {"model": f"{provider}/{THINKS}", "input": "hi"}
    if stream:
        with gateway.client(RULED).responses.stream(**asked) as events:
            for _ in events:
                pass
            done: Any = events.get_final_response()
    else:
        done = gateway.client(RULED).responses.create(**asked)
    thoughts = [
        part.text for item in done.output if item.type == "reasoning" for part in (item.content or item.summary)
    ]
    assert ("".join(thoughts), done.output_text) == TOLD


@providers
@ways
def test_anthropics_sdk_does(gateway: Gateway, provider: str, stream: bool) -> None:
    asked: dict[str, Any] = {
        "model": f"{provider}/{THINKS}", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}],
    }  # fmt: skip
    if stream:
        with gateway.anthropic(RULED).messages.stream(**asked) as events:
            done: Any = events.get_final_message()
    else:
        done = gateway.anthropic(RULED).messages.create(**asked)
    thought = "".join(block.thinking for block in done.content if block.type == "thinking")
    assert (thought, "".join(block.text for block in done.content if block.type == "text")) == TOLD


@providers
@ways
def test_googles_sdk_does(gateway: Gateway, provider: str, stream: bool) -> None:
    client = gateway.google(RULED)
    asked: dict[str, Any] = {"model": f"{provider}/{THINKS}", "contents": "hi"}
    answers = (
        list(client.models.generate_content_stream(**asked)) if stream else [client.models.generate_content(**asked)]
    )
    parts = [part for one in answers for part in (one.candidates or [None])[0].content.parts or ()]  # type: ignore[union-attr]
    thought = "".join(part.text or "" for part in parts if part.thought)
    assert (thought, "".join(part.text or "" for part in parts if not part.thought)) == TOLD


@pytest.mark.parametrize("speaks", CLIENTS, ids=lambda client: client.__name__.lower())
@pytest.mark.parametrize("provider", ["streams", "wholes"])
@ways
def test_every_sdk_is_answered_its_way_by_providers_that_have_one(
    gateway: Gateway, speaks: Any, provider: str, stream: bool
) -> None:
    client = speaks(gateway)
    answer = client.ask(f"{provider}/sim+tokens:9+input:20", stream=stream, tools=False)
    assert (len(answer.text.split()), answer.used, answer.end) == (9, (20, 9), speaks.ends[0])
    called = client.ask(f"{provider}/sim+parallel:2", stream=stream, tools=True)
    assert [name for name, _ in called.calls] == ["get_weather", "get_weather"]


@providers
def test_the_house_rule_is_told_to_every_provider_but_not_for_who_may_skip_it(gateway: Gateway, provider: str) -> None:
    def told(**headers: str) -> tuple[bool, str]:
        raw = gateway.client(RULED).chat.completions.with_raw_response.create(
            model=f"{provider}/sim", messages=[{"role": "user", "content": "hi"}], extra_headers=headers
        )
        there = b"House rule: be kind." in gateway.provider.meter.recent[-1].body
        return there, raw.headers.get("x-omniroute-rules", "")

    there, rules = told()
    assert there
    assert "system_prompt" in rules.split(",")
    there, rules = told(**{"x-omniroute-system-prompt": "skip"})
    assert not there
    assert "system_prompt" not in rules.split(",")


def test_progress_is_told_between_the_events_of_a_slow_stream(gateway: Gateway) -> None:
    words = "acme/sim+tokens:13+tps:4"
    with gateway.client().chat.completions.with_streaming_response.create(
        model=words, stream=True, messages=[{"role": "user", "content": "hi"}],
        extra_headers={"x-omniroute-progress": "true"},
    ) as answer:  # fmt: skip
        assert answer.headers["x-omniroute-progress"] == "enabled"
        chunks = list(answer.parse())
    told: list[Any] = [chunk for chunk in chunks if chunk.object == "progress"]
    assert len(told) >= 2
    assert told[-1].done is True
    assert told[0].tokens_generated > 0
    assert len("".join(c.choices[0].delta.content or "" for c in chunks if c.choices).split()) == 13


def test_a_changed_rule_is_in_force_within_moments(tmp_path: Path) -> None:
    env = {"ACME_KEY": "provider-secret-acme", "OMNIROUTE_KEY": KEY, "ADMIN_KEY": "or-test-admin-0123456789"}
    with simulator() as provider:
        config = CONFIG.format(base=provider.url)
        with running("all", tmp_path, config, env) as stack:
            rules = "rules: {system_prompt: {suffix: Mind the gap.}}\n"

            def asked() -> bool:
                body = {"model": "acme/sim", "messages": [{"role": "user", "content": "hi"}]}
                answer = httpx.post(
                    f"{stack.openai}/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}
                )
                assert answer.status_code == 200
                return "Mind the gap." in json.dumps(provider.meter.recent[-1].json())

            assert not asked()
            (tmp_path / "omniroute.yaml").write_text(rules + config)
            deadline = time.monotonic() + 10
            while not asked():
                assert time.monotonic() < deadline
            (tmp_path / "omniroute.yaml").write_text(config)
            deadline = time.monotonic() + 10
            while asked():
                assert time.monotonic() < deadline


@pytest.mark.parametrize(("script", "told"), [("tokens:3", b"[DONE]"), ("status:503", b'"error"')])
def test_a_client_hears_that_its_stream_lives_before_a_slow_provider_says_anything(
    gateway: Gateway, script: str, told: bytes
) -> None:
    model = f"acme/sim+latency:900+{script}"
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    url = f"{gateway.stack.openai}/chat/completions"
    for secret, early in (("or-test-early-0123456789", True), (KEY, False)):
        answer = httpx.post(url, json=body, headers={"authorization": f"Bearer {secret}"}, timeout=30)
        assert answer.status_code == (200 if early or script != "status:503" else 503)
        assert answer.content.startswith(b": keep-alive\n\n") is early
        assert told in answer.content
        assert ("x-omniroute-provider" in answer.headers) is (not early and answer.status_code == 200)
