"""A request sent twice, by the official SDKs, over one process and over one process a service."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from google.genai import errors as google_errors
from google.genai import types

from tests.e2e.conftest import ADMIN, KEY, Gateway
from tests.support.fleet import HELLO, config, eventually, fleet
from tests.support.stack import simulator

OTHER = "or-test-narrow-0123456789"
MARK = "x-omniroute-idempotent"


def named(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def calls(gateway: Gateway, model: str) -> int:
    """How often the provider was asked for ``model``."""
    return sum(model.encode() in seen.body for seen in gateway.provider.recent)


def together(count: int, ask: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(ask) for _ in range(count)]]


def totals(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.stack.get("/api/usage", OTHER).json()["totals"]
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_twenty_at_once_of_openais_sdk_are_one_call_and_one_bill(gateway: Gateway, stream: bool) -> None:
    model = f"gpt-x+tokens:20+latency:400+input:{30 + stream}"
    client = gateway.client(OTHER)
    before = totals(gateway)

    def ask() -> tuple[bytes, str]:
        raw = client.chat.completions.with_raw_response.create(
            model=f"acme/{model}", messages=HELLO, stream=stream, extra_headers=named(f"twenty-{stream}"),  # type: ignore[arg-type]
        )  # fmt: skip
        return raw.http_response.read(), raw.headers.get(MARK, "")

    answers = together(20, ask)
    assert len({body for body, _ in answers}) == 1
    marks = [mark for _, mark in answers]
    assert marks.count("") == 1
    assert set(marks) <= {"", "attached", "replay"}, "a replay where a busy machine sent it late"
    assert calls(gateway, model) == 1
    body, mark = ask()
    assert (body, mark) == (answers[0][0], "replay")
    assert calls(gateway, model) == 1
    eventually(lambda: totals(gateway)["requests"] - before["requests"] == 21, 20, lambda: (before, totals(gateway)))
    after = totals(gateway)
    grown = {name: after[name] - before[name] for name in ("attempts", "errors", "output_tokens", "input_tokens")}
    assert grown == {"attempts": 1, "errors": 0, "output_tokens": 20, "input_tokens": 30 + stream}


def test_who_comes_in_mid_stream_reads_it_all_by_anthropics_sdk(gateway: Gateway) -> None:
    model = "claude/sim+tokens:80+tps:80"
    client = gateway.anthropic()
    begun = threading.Event()

    def read() -> tuple[list[str], float, float]:
        texts, first = [], 0.0
        with client.messages.stream(
            model=model, max_tokens=500, messages=HELLO, extra_headers=named("mid-stream"),  # type: ignore[arg-type]
        ) as stream:  # fmt: skip
            for text in stream.text_stream:
                first = first or time.monotonic()
                texts.append(text)
                if len(texts) == 20:
                    begun.set()
        return texts, first, time.monotonic()

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(read)
        assert begun.wait(20)
        joined = time.monotonic()
        other = pool.submit(read)
        (said, _, ended), (heard, first, _) = one.result(), other.result()
    assert said == heard
    assert len(said) == 80
    assert joined < first < ended, "it did not have to wait for the end"
    assert calls(gateway, "sim+tokens:80+tps:80") == 1
    again = client.messages.with_raw_response.create(
        model="claude/sim+tokens:4", max_tokens=9, messages=HELLO, extra_headers=named("whole"),  # type: ignore[arg-type]
    )  # fmt: skip
    replay = client.messages.with_raw_response.create(
        model="claude/sim+tokens:4", max_tokens=9, messages=HELLO, extra_headers=named("whole"),  # type: ignore[arg-type]
    )  # fmt: skip
    assert again.parse() == replay.parse()
    assert (again.headers.get(MARK), replay.headers.get(MARK)) == (None, "replay")
    assert again.headers["x-omniroute-model"] == replay.headers["x-omniroute-model"]
    assert again.headers["request-id"] != replay.headers["request-id"], "each request has an id of its own"


def test_every_dialect_replays_and_refuses_another_request_in_its_own_words(gateway: Gateway) -> None:
    openai_client, claude, google = gateway.client(), gateway.anthropic(), gateway.google()
    headers = named("dialects-chat")
    openai_client.chat.completions.create(model="acme/sim", messages=HELLO, extra_headers=headers)  # type: ignore[call-overload]
    with pytest.raises(openai.UnprocessableEntityError) as chat:
        openai_client.chat.completions.create(
            model="acme/sim", messages=HELLO, temperature=1, extra_headers=headers  # type: ignore[call-overload]
        )  # fmt: skip
    assert chat.value.code == "idempotency_key_reused"
    with pytest.raises(openai.UnprocessableEntityError):
        openai_client.responses.create(model="acme/sim", input="hi", extra_headers=headers)
    headers = named("dialects-responses")
    answers = [openai_client.responses.create(model="resp/sim", input="hi", extra_headers=headers) for _ in range(2)]
    assert answers[0] == answers[1]
    headers = named("dialects-messages")
    claude.messages.create(model="claude/sim", max_tokens=9, messages=HELLO, extra_headers=headers)  # type: ignore[call-overload]
    with pytest.raises(anthropic.UnprocessableEntityError):
        claude.messages.create(model="claude/sim", max_tokens=8, messages=HELLO, extra_headers=headers)  # type: ignore[call-overload]
    options = types.GenerateContentConfig(http_options=types.HttpOptions(headers=named("dialects-gemini")))
    found = [google.models.generate_content(model="google/sim", contents="hi", config=options) for _ in range(2)]
    assert found[0].text == found[1].text
    assert [each.sdk_http_response.headers.get(MARK) for each in found if each.sdk_http_response] == [None, "replay"]
    with pytest.raises(google_errors.ClientError) as gemini:
        google.models.generate_content(model="google/sim2", contents="hi", config=options)
    assert gemini.value.code == 422
    lines = [
        httpx.post(
            f"{gateway.stack.edge}/api/chat",
            json={"model": "local/sim", "messages": HELLO},
            headers={"authorization": f"Bearer {KEY}", **named("dialects-ollama")},
            timeout=30,
        )
        for _ in range(2)
    ]
    assert lines[0].content == lines[1].content
    assert lines[1].headers[MARK] == "replay"


def test_another_api_key_has_keys_of_its_own_and_without_the_header_nothing_is_the_same(gateway: Gateway) -> None:
    body = {"model": "acme/sim+say:apart", "messages": HELLO}

    def ask(key: str, headers: dict[str, str]) -> str:
        headers = {"authorization": f"Bearer {key}", **headers}
        answer = httpx.post(f"{gateway.stack.openai}/chat/completions", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200
        return answer.headers.get(MARK, "")

    assert [ask(KEY, named("apart")), ask(OTHER, named("apart")), ask(KEY, named("apart"))] == ["", "", "replay"]
    assert [ask(KEY, {}), ask(KEY, {})] == ["", ""]
    assert calls(gateway, "sim+say:apart") == 4


def test_a_rotated_key_is_the_same_key(gateway: Gateway) -> None:
    """What its older secret had recorded, the newer is told."""
    admin = {"authorization": f"Bearer {ADMIN}"}
    made = httpx.post(
        f"{gateway.stack.dashboard}/api/keys", json={"name": "to-rotate"}, headers=admin, timeout=10
    ).json()  # fmt: skip
    rotated = httpx.post(
        f"{gateway.stack.dashboard}/api/keys/to-rotate/rotate", json={"overlap": 600}, headers=admin, timeout=10
    ).json()  # fmt: skip
    secrets = [made["secret"], rotated["secret"]]
    assert len(set(secrets)) == 2
    marks = []
    for secret in secrets:
        answer = httpx.post(
            f"{gateway.stack.openai}/chat/completions", json={"model": "acme/sim", "messages": HELLO},
            headers={"authorization": f"Bearer {secret}", **named("rotated")}, timeout=30,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        marks.append(answer.headers.get(MARK, ""))
    assert marks == ["", "replay"]


def test_a_router_that_is_killed_is_stood_in_for_by_one_other(tmp_path: Path) -> None:
    env = {"OMNIROUTE_ROUTER_HOLD_MARGIN": "0.5", "OMNIROUTE_ROUTER_RECORDING_LEASE": "3"}
    with simulator() as provider, fleet(tmp_path, config(provider.url, wait=30), routers=3, env=env) as made:
        edge = made["edge"][0]
        eventually(lambda: edge.metric("omniroute_pool_members", service="router", state="ready") == 3, 10)
        model = "acme/sim+tokens:12+latency:6000"

        def ask() -> httpx.Response:
            return httpx.post(
                f"{made.openai}/chat/completions", json={"model": model, "messages": HELLO},
                headers={"authorization": "Bearer or-test-fleet-0123456789", **named("killed")}, timeout=60,
            )  # fmt: skip

        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(ask) for _ in range(12)]
            eventually(lambda: len(provider.recent) == 1, 10)
            time.sleep(0.5)  # for the others to be there
            working = {each.metric("omniroute_router_active_requests"): each for each in made["router"]}
            working[1].kill()
            answers = [each.result() for each in asked]
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        assert len({answer.content for answer in answers}) == 1
        assert len(provider.recent) == 2, "one that died with its router, and one that stood in for it"
        assert json.loads(answers[0].content)["usage"]["completion_tokens"] == 12
        eventually(lambda: made.totals()["requests"] == 12, 30, made.totals)
