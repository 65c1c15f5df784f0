"""A subscription that is used up, through all processes: the next account serves, and when it begins anew, the first
again; ``omniroute quota`` tells so all the while."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from omni_simulator import Options, Simulator

from tests.support.fleet import eventually
from tests.support.stack import Stack, omniroute, running, simulator

ADMIN = "or-test-quota-admin-0123456789"
PLAN, SPAN = 4, 30  # requests in so many seconds: long enough for all that must be seen in it, on a busy machine too
CONFIG = """
providers:
  - id: sub
    format: openai.chat
    base_url: {base}/v1
    tier: subscription
    allow_private_address: true
    quota: {{ask: codex, url: "{base}/backend-api/wham/usage", workspace: team-12345678, every: 10}}
    accounts:
      - {{name: first, api_key: {{value: token-of-the-first}}}}
      - name: second
        api_key: {{value: token-of-the-second}}
        quota: {{windows: [{{window: day, of: requests, most: 1000}}]}}
keys:
  - {{name: boss, secret: {{value: {admin}}}, role: admin}}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Simulator]:
    with simulator(Options(script=f"plan:{PLAN},plan-for:{SPAN}")) as made:
        yield made


@pytest.fixture(scope="module", params=["all", "separate"])
def gateway(
    request: pytest.FixtureRequest, provider: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    provider.plans.clear()
    text = CONFIG.format(base=provider.url, admin=ADMIN)
    # Providers are asked every 10 s here: a gap of as many seconds would leave no moment to ask by hand.
    given = {"OMNIROUTE_QUOTA_REFRESH_GAP": "1"}
    with running(request.param, tmp_path_factory.mktemp("quotas"), text, given) as stack:
        yield stack


def ask(gateway: Stack, provider: Simulator) -> str:
    """Whose turn it was: the token that the provider saw."""
    answer = httpx.post(
        f"{gateway.openai}/chat/completions",
        headers={"authorization": f"Bearer {ADMIN}"},
        json={"model": "sub/sim", "messages": [{"role": "user", "content": "Hello"}]},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    seen = [each for each in provider.recent if each.target.endswith("/chat/completions")]
    return (seen[-1].header("authorization") or "").removeprefix("Bearer token-of-the-")


def quota(gateway: Stack, key_file: Path, *more: str) -> tuple[int, str]:
    """The verb's exit code, and what it prints."""
    command = omniroute("quota", *more, "--url", gateway.dashboard, "--key-file", str(key_file))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


def account(gateway: Stack, name: str) -> dict[str, Any]:
    found = gateway.get("/api/quota", ADMIN).json()["accounts"]
    return next(each for each in found if each["account"] == f"sub/{name}")


def windows(state: dict[str, Any]) -> dict[str, Any]:
    return {window["name"]: window for window in state["windows"]}


def test_an_account_runs_out_the_next_serves_and_the_first_again_when_it_may(
    gateway: Stack, provider: Simulator, tmp_path: Path
) -> None:
    key_file = tmp_path / "admin.key"
    key_file.write_text(ADMIN)
    eventually(lambda: account(gateway, "first")["fetched_at"] is not None, 30)
    fetches = [each for each in provider.recent if each.target.endswith("/wham/usage")]
    assert {each.header("chatgpt-account-id") for each in fetches} == {"team-12345678"}
    assert account(gateway, "first")["plan"] == "team"
    code, _ = quota(gateway, key_file, "sub/first")
    assert code == 0

    began = time.time()
    assert [ask(gateway, provider) for _ in range(PLAN)] == ["first"] * PLAN
    assert [ask(gateway, provider) for _ in range(2)] == ["second"] * 2, "nobody had to run into a refusal"
    assert not provider.meter.refused

    eventually(lambda: account(gateway, "first")["state"] == "used_up", 10)
    five = windows(account(gateway, "first"))["5h"]
    assert (five["used"], five["remaining_percent"]) == (100, 0)
    assert began + SPAN - 2 <= five["resets_at"] <= began + SPAN + 5
    code, text = quota(gateway, key_file)
    assert (code, "USED UP" in text) == (1, True), text
    second = windows(account(gateway, "second"))
    assert (second["day"]["used"], second["day"]["source"]) == (2, "counted")
    code, text = quota(gateway, key_file, "sub/second", "--json")
    assert (code, json.loads(text)[0]["account"]) == (0, "sub/second")

    time.sleep(max(0.0, five["resets_at"] - time.time()) + 0.5)
    assert ask(gateway, provider) == "first"
    assert quota(gateway, key_file, "sub/first")[0] == 0


def test_what_an_account_has_left_is_asked_for_by_hand_and_measured(gateway: Stack, tmp_path: Path) -> None:
    key_file = tmp_path / "admin.key"
    key_file.write_text(ADMIN)
    before = account(gateway, "second")["fetched_at"] or 0

    def asked() -> bool:
        path = "/api/quota/accounts/sub/second/refresh"
        answer = httpx.post(f"{gateway.dashboard}{path}", headers={"authorization": f"Bearer {ADMIN}"}, timeout=30)
        assert answer.status_code in (200, 429), answer.text
        return answer.status_code == 200

    eventually(asked, 30)
    assert account(gateway, "second")["fetched_at"] > before
    metrics = gateway.metrics.get("quota") or gateway.metrics["all"]
    wanted = 'omniroute_provider_quota_remaining_ratio{account="sub/second",window="5h"}'
    eventually(lambda: wanted in httpx.get(f"{metrics}/metrics", timeout=10).text, 15)
    assert "token-of-the-" not in gateway.log()
