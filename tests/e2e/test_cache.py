"""The cache, by the official SDKs, over one process and over one process a service."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.genai import types

from tests.e2e.conftest import KEY, Gateway
from tests.support.fleet import HELLO, eventually

MARK = "x-omniroute-cache"
OTHER = "or-test-narrow-0123456789"


def ask(gateway: Gateway, model: str, key: str = KEY, headers: dict[str, str] | None = None) -> httpx.Response:
    answer = httpx.post(
        f"{gateway.stack.openai}/chat/completions",
        json={"model": model, "messages": HELLO, "temperature": 0},
        headers={"authorization": f"Bearer {key}", **(headers or {})},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture
def caching(gateway: Gateway) -> Iterator[Gateway]:
    """With a cache in its file, and vectors of ``acme/embed`` for who asks."""
    file = Path(gateway.stack.data_dir.parent / "omniroute.yaml")
    original = file.read_text()
    wanted = "cache: {semantic: {embeddings: acme/embed+input:6, timeout: 20}}"
    try:
        file.write_text(original.replace("cache: off", wanted))
        eventually(lambda: MARK in ask(gateway, "acme/sim+say:is-it-on").headers, 10)
        yield gateway
    finally:
        file.write_text(original)
        eventually(lambda: MARK not in ask(gateway, "acme/sim+say:is-it-off").headers, 10)


def totals(gateway: Gateway, key: str = OTHER) -> dict[str, Any]:
    found: dict[str, Any] = gateway.stack.get("/api/usage", key).json()["totals"]
    return found


def at_rest(gateway: Gateway, key: str) -> dict[str, Any]:
    """The totals, once what was asked before is in them."""
    found: list[dict[str, Any]] = []

    def again() -> bool:
        time.sleep(1.0)
        found.append(totals(gateway, key))
        return len(found) > 1 and found[-2] == found[-1]

    eventually(again, 30)
    return found[-1]


def test_every_dialect_is_answered_from_the_cache_the_second_time(caching: Gateway) -> None:
    gateway = caching
    chat, claude, google = gateway.client(), gateway.anthropic(), gateway.google()
    config = types.GenerateContentConfig(temperature=0)
    found: dict[str, list[Any]] = {}
    for _ in range(2):
        raw = chat.chat.completions.with_raw_response.create(
            model="acme/sim+tokens:7", messages=HELLO, temperature=0, stream=True  # type: ignore[arg-type]
        )  # fmt: skip
        found.setdefault("chat", []).append((raw.headers[MARK], list(raw.parse())))
        responses = chat.responses.with_raw_response.create(model="resp/sim", input="hi", temperature=0)
        found.setdefault("responses", []).append((responses.headers[MARK], responses.parse()))
        message = claude.messages.with_raw_response.create(
            model="claude/sim+tokens:4", max_tokens=9, messages=HELLO, extra_body={"temperature": 0}  # type: ignore[arg-type]
        )  # fmt: skip
        found.setdefault("messages", []).append((message.headers[MARK], message.parse()))
        answer = google.models.generate_content(model="google/sim", contents="hi", config=config)
        assert answer.sdk_http_response is not None
        assert answer.sdk_http_response.headers is not None
        found.setdefault("gemini", []).append((answer.sdk_http_response.headers[MARK], answer.text))
        local = httpx.post(
            f"{gateway.stack.edge}/api/chat",
            json={"model": "local/sim", "messages": HELLO, "options": {"temperature": 0}},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=30,
        )
        found.setdefault("ollama", []).append((local.headers[MARK], local.content))
    for dialect, ((first, said), (second, again)) in found.items():
        assert (first, second) == ("miss", "hit"), dialect
        assert said == again, dialect


def test_a_hit_is_one_request_that_costs_nothing_and_of_this_key_alone(caching: Gateway) -> None:
    model = "acme/gpt-x+tokens:6+input:50"
    before = totals(caching)
    asked = [ask(caching, model, key) for key in (OTHER, OTHER, KEY, OTHER)]
    assert [answer.headers[MARK] for answer in asked] == ["miss", "hit", "miss", "hit"]
    assert len({answer.content for answer in asked}) == 1
    assert sum(model.removeprefix("acme/").encode() in seen.body for seen in caching.provider.recent) == 2
    eventually(lambda: totals(caching)["requests"] - before["requests"] == 3, 20, lambda: totals(caching))
    after = totals(caching)
    grown = {name: after[name] - before[name] for name in ("errors", "output_tokens", "input_tokens", "attempts")}
    assert grown == {"errors": 0, "output_tokens": 6, "input_tokens": 50, "attempts": 1}
    assert ask(caching, model, headers={MARK: "refresh"}).headers[MARK] == "miss"
    assert ask(caching, model, headers={MARK: "off"}).headers[MARK] == "bypass"


def test_an_sdk_that_asks_for_it_is_told_the_answer_to_other_words(caching: Gateway) -> None:
    chat = caching.client()
    before = at_rest(caching, KEY)

    def calls() -> int:
        return sum(caching.provider.requests[path] for path in ("/v1/chat/completions", "/v1/embeddings"))

    called = calls()

    def told(text: str, stream: bool, wish: str = "semantic") -> tuple[str, str | None, Any]:
        raw = chat.chat.completions.with_raw_response.create(
            model="acme/sim+tokens:6+input:50",
            messages=[{"role": "user", "content": text}],
            temperature=0,
            stream=stream,
            extra_headers={MARK: wish},
        )
        said = list(raw.parse()) if stream else raw.parse()
        return raw.headers[MARK], raw.headers.get(f"{MARK}-similarity"), said

    for stream in (False, True):
        first = told("How do I reset my password?", stream)
        assert first[:2] == ("miss", None)
        # Until it is there to be found; each time in other words, as none may be the very same as before.
        seen: list[tuple[str, str | None, Any]] = []
        while not seen or (seen[-1][0] == "miss" and len(seen) < 50):
            seen.append(told("please " * len(seen) + "change my password", stream))
        word, similarity, said = seen[-1]
        assert word == "semantic"
        assert said in [first[2], *(each[2] for each in seen[:-1])]
        assert float(similarity or 0) > 0.95
        assert told("How do I reset my router?", stream)[0] == "miss"
        assert told("How do I not reset my password?", stream)[0] == "miss"
        assert told("I want to change the password", stream, "exact")[0] == "miss"
    asked = calls() - called
    assert asked > 8
    eventually(lambda: totals(caching, KEY)["attempts"] - before["attempts"] == asked, 20)


def test_switched_off_a_wish_for_it_is_told_that_it_passed_by(gateway: Gateway) -> None:
    assert MARK not in ask(gateway, "acme/sim").headers
    assert ask(gateway, "acme/sim", headers={MARK: "on"}).headers[MARK] == "bypass"
