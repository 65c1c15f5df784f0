"""The cache, by the official SDKs, over one process and over one process a service."""

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
    """With ``cache: on`` in its file."""
    file = Path(gateway.stack.data_dir.parent / "omniroute.yaml")
    original = file.read_text()
    try:
        file.write_text(original.replace("cache: off", "cache: on"))
        eventually(lambda: MARK in ask(gateway, "acme/sim+say:is-it-on").headers, 10)
        yield gateway
    finally:
        file.write_text(original)
        eventually(lambda: MARK not in ask(gateway, "acme/sim+say:is-it-off").headers, 10)


def totals(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.stack.get("/api/usage", OTHER).json()["totals"]
    return found


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


def test_switched_off_a_wish_for_it_is_told_that_it_passed_by(gateway: Gateway) -> None:
    assert MARK not in ask(gateway, "acme/sim").headers
    assert ask(gateway, "acme/sim", headers={MARK: "on"}).headers[MARK] == "bypass"
