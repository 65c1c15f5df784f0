"""What calls say is kept for whoever asked for it, read by few, and each look is written down."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.e2e.conftest import ADMIN, KEY, Gateway
from tests.support.stack import omniroute

KEPT, SHY = "or-test-kept-0123456789", "or-test-shy-0123456789"
SAID = "I am ann@example.com, and my key is sk-abcdefghij1234567890"


def asked(gateway: Gateway, key: str, model: str, *, stream: bool = False) -> str:
    """The id of a request that was answered."""
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": SAID}]}
    answer = httpx.post(
        f"{gateway.stack.openai}/chat/completions", headers={"authorization": f"Bearer {key}"}, json=body, timeout=20
    )
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-request-id"])


def bodies(gateway: Gateway, id_: str, method: str = "GET") -> httpx.Response:
    return httpx.request(
        method,
        f"{gateway.stack.dashboard}/api/requests/{id_}/bodies",
        headers={"authorization": f"Bearer {ADMIN}"},
        timeout=20,
    )


def soon(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return value


def items(gateway: Gateway, id_: str) -> list[dict[str, Any]]:
    answer = bodies(gateway, id_)
    return list(answer.json()["items"]) if answer.status_code == 200 else []


def test_every_stage_of_every_attempt_is_kept_masked_and_each_look_is_audited(gateway: Gateway) -> None:
    id_ = asked(gateway, KEPT, "falls-back", stream=True)
    found = soon(lambda: len(got := items(gateway, id_)) >= 6 and got)
    assert [(one["stage"], one["attempt"], one["provider"], one["format"]) for one in found] == [
        ("client_request", 0, "", "openai.chat"),
        ("provider_request", 1, "acme", "openai.chat"),
        ("provider_response", 1, "acme", "openai.chat"),
        ("provider_request", 2, "claude", "anthropic.messages"),
        ("provider_response", 2, "claude", "anthropic.messages"),
        ("client_response", 0, "", "openai.chat"),
    ]
    assert "[e-mail]" in found[0]["text"]
    assert "sk-[redacted]" in found[0]["text"]
    assert '"max_tokens"' in found[3]["text"], "as the provider was told"
    assert "message_start" in found[4]["text"]
    assert found[5]["text"].startswith("data: ")
    assert all(one["redacted"] for one in found)
    everything = "".join(one["text"] for one in found)
    assert "ann@example.com" not in found[0]["text"] + found[1]["text"] + found[3]["text"]
    assert "sk-abcdefghij" not in everything
    newest = gateway.stack.get("/api/audit?limit=5", ADMIN).json()["items"]
    assert ("bodies.read", f"request/{id_}") in [(entry["action"], entry["target"]) for entry in newest]


def test_of_a_key_that_says_so_nothing_is_ever_kept_and_of_others_only_what_is_named(gateway: Gateway) -> None:
    shy = asked(gateway, SHY, "always-on")
    elsewhere = asked(gateway, KEY, "acme/gpt-x")
    through_the_combo = asked(gateway, KEY, "always-on")
    soon(lambda: len(items(gateway, through_the_combo)) == 4)
    # One stream carries all: what was asked before would be there by now.
    assert [bodies(gateway, id_).status_code for id_ in (shy, elsewhere)] == [404, 404]


def test_what_is_kept_can_be_printed_and_is_gone_when_somebody_says_so(gateway: Gateway) -> None:
    id_ = asked(gateway, KEPT, "acme/gpt-x")
    soon(lambda: len(items(gateway, id_)) == 4)
    command = omniroute("bodies", id_, "--url", gateway.stack.dashboard)
    env = {"OMNIROUTE_MANAGEMENT_KEY": ADMIN, "PATH": "/usr/bin:/bin"}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        import os

        return subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=60, env={**os.environ, **env}, check=False
        )

    printed = run().stdout
    assert "--- client request" in printed
    assert "--- provider response of attempt 1, acme/gpt-x" in printed
    assert run("--stage", "client_request").stdout.startswith('{"model"')
    assert "4 bodies are gone" in run("--forget").stdout
    assert bodies(gateway, id_).status_code == bodies(gateway, id_, "DELETE").status_code == 404
    refused = httpx.get(
        f"{gateway.stack.dashboard}/api/requests/{id_}/bodies", headers={"authorization": f"Bearer {KEPT}"}, timeout=20
    )
    assert refused.status_code == 403
