"""What goes wrong is said with the right status, in OpenAI's words, with the request id, and leaves nothing behind."""

import threading
import time
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.conftest import ADMIN, KEY, Gateway

HELLO = [{"role": "user", "content": "Hello there"}]
GOOD: dict[str, Any] = {"model": "acme/sim", "messages": HELLO}


def post(gateway: Gateway, key: str | None = KEY, **options: Any) -> httpx.Response:
    headers = {"content-type": "application/json", **options.pop("headers", {})}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    return httpx.post(f"{gateway.stack.openai}/chat/completions", headers=headers, timeout=30, **options)


def is_told(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) >= {"message", "type", "code", "param"}
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.fixture(autouse=True)
def nothing_is_left_behind(gateway: Gateway) -> Any:
    yield
    deadline = time.monotonic() + 3.0
    while gateway.stack.open_reservations(ADMIN) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gateway.stack.open_reservations(ADMIN) == 0


@pytest.mark.parametrize(
    ("case", "status", "code"),
    [
        ({"content": b"{broken"}, 400, "bad_request"),
        ({"content": b"[1, 2]"}, 400, "bad_request"),
        ({"json": {"messages": HELLO}}, 400, "missing_model"),
        ({"json": {"model": "acme/sim"}}, 400, "bad_request"),
        ({"json": GOOD | {"max_tokens": -1}}, 400, "bad_request"),
        ({"json": GOOD | {"model": "nobody/nothing"}}, 404, "model_not_found"),
        ({"json": GOOD, "key": "or-wrong"}, 401, "invalid_api_key"),
        ({"json": GOOD, "key": None}, 401, "invalid_api_key"),
        ({"content": b" " * (21 * 1024 * 1024)}, 413, "body_too_large"),
        ({"json": GOOD, "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"json": GOOD | {"model": "claude/x"}, "key": "or-test-narrow-0123456789"}, 403, "model_not_allowed"),
        ({"json": GOOD | {"model": "acme/gpt-x"}, "key": "or-test-spent-0123456789"}, 402, "budget_exhausted"),
        ({"json": GOOD | {"model": "acme/sim"}, "key": "or-test-spent-0123456789"}, 402, "model_unpriced"),
        ({"json": GOOD | {"model": "google/sim+status:429+retry-after:9"}}, 429, "upstream_rate_limited"),
        ({"json": GOOD | {"model": "acme/sim+status:400"}}, 400, "upstream_rejected"),
        ({"json": GOOD | {"model": "acme/sim+status:404"}}, 404, "upstream_not_found"),
        ({"json": GOOD | {"model": "acme/sim+status:429+retry-after:9"}}, 429, "upstream_rate_limited"),
        ({"json": GOOD | {"model": "acme/sim+status:500"}}, 500, "upstream_failed"),
        ({"json": GOOD | {"model": "acme/sim+status:503"}}, 503, "upstream_failed"),
        ({"json": GOOD | {"model": "claude/sim+status:529"}}, 529, "upstream_failed"),
        ({"json": GOOD | {"model": "acme/sim+reset"}}, 502, "upstream_unreachable"),
        ({"json": GOOD | {"model": "acme/sim+hang"}}, 504, "upstream_timeout"),
        ({"json": GOOD | {"model": "acme/sim+hang", "stream": True}}, 504, "upstream_timeout"),
    ],
)
def test_each_mistake_has_its_status_and_its_words(
    gateway: Gateway, case: dict[str, Any], status: int, code: str
) -> None:
    answer = post(gateway, **case)
    is_told(answer, status, code)
    if "retry-after:9" in str(case):
        assert answer.headers["retry-after"] == "9"


def test_the_sdk_raises_its_own_exception_classes(gateway: Gateway) -> None:
    ask = gateway.client().chat.completions.create
    with pytest.raises(openai.NotFoundError):
        ask(model="nobody/nothing", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        gateway.client("or-wrong").chat.completions.create(model="acme/sim", messages=HELLO)
    with pytest.raises(openai.PermissionDeniedError):
        gateway.client("or-test-narrow-0123456789").chat.completions.create(model="claude/x", messages=HELLO)
    with pytest.raises(openai.RateLimitError):
        ask(model="acme/sim+status:429", messages=HELLO)
    with pytest.raises(openai.InternalServerError):
        ask(model="acme/sim+status:500", messages=HELLO)
    with pytest.raises(openai.APIStatusError) as caught:
        gateway.client("or-test-spent-0123456789").chat.completions.create(model="acme/gpt-x", messages=HELLO)
    assert caught.value.status_code == 402


@pytest.mark.parametrize("provider", ["acme", "claude"])
@pytest.mark.parametrize("fault", ["cut:4", "clean-cut:4", "stall:4", "malformed:4", "error-event:4"])
def test_a_stream_that_breaks_raises_in_the_sdk(gateway: Gateway, provider: str, fault: str) -> None:
    got: list[Any] = []
    with pytest.raises(openai.APIError):
        stream = gateway.client().chat.completions.create(
            model=f"{provider}/sim+tokens:40+{fault}", messages=HELLO, stream=True
        )
        for chunk in stream:
            got += [chunk]
    assert got, "what came before the break is kept"
    assert not any(chunk.choices and chunk.choices[0].finish_reason for chunk in got)


def test_requests_per_minute_end_in_429_with_retry_after(gateway: Gateway) -> None:
    key = "or-test-slow-0123456789"
    statuses = [post(gateway, key=key, json=GOOD) for _ in range(5)]
    assert [answer.status_code for answer in statuses] == [200, 200, 200, 429, 429]
    is_told(statuses[-1], 429, "rate_limit_exceeded")
    assert 1 <= int(statuses[-1].headers["retry-after"]) <= 61


def test_a_budget_held_by_a_request_in_flight_is_a_short_wait(gateway: Gateway) -> None:
    key = "or-test-held-0123456789"
    slow = {"model": "acme/gpt-x+latency:700", "messages": HELLO}
    first = threading.Thread(target=lambda: post(gateway, key=key, json=slow))
    first.start()
    deadline = time.monotonic() + 2
    while not gateway.provider.active and time.monotonic() < deadline:
        time.sleep(0.01)
    answer = post(gateway, key=key, json=GOOD | {"model": "acme/gpt-x"})
    first.join()
    is_told(answer, 429, "budget_held")
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert post(gateway, key=key, json=GOOD | {"model": "acme/gpt-x"}).status_code == 200
