"""A login by the command line, requests with its tokens, and what becomes of them when these are over."""

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from omni_auth.adapters.login_catalogue import OVERRIDES
from omni_simulator import Options
from openai import AsyncOpenAI, OpenAI

from tests.support import authorization
from tests.support.authorization import Provider
from tests.support.servers import free_port
from tests.support.stack import Stack, omniroute, running, simulator

KEY, ADMIN = "or-test-ci-0123456789", "or-test-admin-0123456789"
HANG = 40.0
CONFIG = """
server: {{require_api_key: true}}
providers:
  - {{id: codex, format: openai.chat, base_url: "{url}/v1", tier: subscription, allow_private_address: true,
     accounts: [{{name: work, login: codex/work, accept_terms: codex,
                  quota: {{ask: codex, url: "{url}/backend-api/wham/usage"}}}}]}}
  - {{id: spare, format: openai.chat, base_url: "{behind}/v1", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}]}}
combos:
  - {{name: on, strategy: fill-first, targets: [codex/gpt-x, spare/gpt-x]}}
keys:
  - {{name: ci, secret: {{env: OMNIROUTE_KEY}}}}
  - {{name: boss, secret: {{env: ADMIN_KEY}}, role: admin}}
routing: {{retries: 0, breaker: off, cache: off}}
"""


class House:
    def __init__(self, stack: Stack, provider: Provider, env: dict[str, str]) -> None:
        self.stack, self.provider = stack, provider
        self._env = {**os.environ, **env, "OMNIROUTE_MANAGEMENT_KEY": ADMIN}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*omniroute(*words), "--url", self.stack.dashboard]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=HANG, check=False)

    def log_in(self, *more: str) -> str:
        """With a listener, and a browser that is led to it; what the command says in the end."""
        command = [*omniroute("login", "codex", "--account", "work", *more), "--url", self.stack.dashboard]
        env = {**self._env, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith("open "), first + process.stdout.read()
            callback = self.provider.browse(first.removeprefix("open ").strip())
            with urllib.request.urlopen(callback.replace("localhost", "127.0.0.1"), timeout=HANG) as answer:
                assert answer.status == 200
            told = process.stdout.read()
            assert process.wait(HANG) == 0, told
        return told

    def say(self, model: str) -> str:
        with OpenAI(base_url=self.stack.openai, api_key=KEY, max_retries=0, timeout=HANG) as client:
            answer = client.chat.completions.with_raw_response.create(
                model=model, messages=[{"role": "user", "content": "Hello"}]
            )
            return answer.headers["x-omniroute-provider"]


@pytest.fixture(scope="module", params=["all", "separate"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home: Path = tmp_path_factory.mktemp("logins")
    with authorization.provider() as provider, simulator(Options(script="plan:1000,plan-for:18000")) as behind:
        provider.oauth.behind = behind.url
        overrides = home / "logins.toml"
        overrides.write_text(provider.overrides(free_port()))
        env = {"OMNIROUTE_KEY": KEY, "ADMIN_KEY": ADMIN, OVERRIDES: str(overrides)}
        with running(request.param, home, CONFIG.format(url=provider.url, behind=behind.url), env) as stack:
            yield House(stack, provider, env)


def test_an_account_logs_in_once_and_stays_logged_in(house: House) -> None:
    provider = house.provider
    # Before anybody has logged in, the next candidate is asked, and who wants this one alone is told what to do.
    assert house.say("on") == "spare"
    with pytest.raises(openai.InternalServerError, match=r"omniroute login codex --account work"):
        house.say("codex/gpt-x")
    # The risk is named, and nothing begins until it is taken.
    refused = house.run("login", "codex", "--account", "work")
    assert refused.returncode == 2
    assert "--accept-risk" in refused.stderr
    assert "logged in as codex/work (ann@example.com)" in house.log_in("--accept-risk")
    assert house.say("codex/gpt-x") == "codex"
    assert "codex/work" in house.run("login", "list").stdout

    # The provider takes the token no more: the same account goes on with another one, asked for once.
    provider.oauth.revoke()
    used = len(provider.oauth.used)

    async def ten() -> None:
        async with AsyncOpenAI(base_url=house.stack.openai, api_key=KEY, max_retries=0, timeout=HANG) as client:
            said = [{"role": "user", "content": "Hello"}]
            create = client.chat.completions.create
            await asyncio.gather(*(create(model="codex/gpt-x", messages=said) for _ in range(10)))  # type: ignore[call-overload]

    asyncio.run(ten())
    assert provider.oauth.seen["refresh_token"] == 1
    assert len(provider.oauth.used) - used == 10

    # What quota asks with is good too, after the end of what it had.
    provider.oauth.lives = 4
    house.run("login", "refresh", "codex/work")
    until = time.monotonic() + HANG
    while provider.oauth.is_live(provider.oauth.tokens[-1].said["access_token"]) and time.monotonic() < until:
        time.sleep(0.1)
    provider.oauth.lives = 3600
    asked = house.run("quota", "codex/work", "--refresh", "--json")
    while "only just now" in asked.stderr and time.monotonic() < until:
        time.sleep(0.5)
        asked = house.run("quota", "codex/work", "--refresh", "--json")
    assert asked.stdout, asked.stderr
    windows = json.loads(asked.stdout)[0]["windows"]
    assert {"5h", "week"} <= {window["name"] for window in windows}, asked.stdout
    assert house.say("codex/gpt-x") == "codex"

    # No way back: the account is closed, says so, and the next candidate is asked.
    provider.oauth.revoke(refresh=True)
    assert house.run("login", "refresh", "codex/work").returncode != 0
    assert house.say("on") == "spare"
    with pytest.raises(openai.InternalServerError, match="log in again"):
        house.say("codex/gpt-x")
    assert "log in again: run `omniroute login codex --account work`" in house.stack.get("/api/system", ADMIN).text
    house.log_in("--accept-risk")
    assert house.say("codex/gpt-x") == "codex"
    assert house.stack.get("/api/logins", ADMIN).json()["logins"][0]["accounts"] == ["codex/work"]

    # Nobody but the vault has a token.
    secrets = [token.said[name] for token in provider.oauth.tokens for name in ("access_token", "refresh_token")]
    told = house.stack.log() + house.stack.get("/api/audit", ADMIN).text + house.stack.get("/api/logins", ADMIN).text
    stored = b"".join(path.read_bytes() for path in house.stack.data_dir.rglob("*") if path.is_file())
    assert not [secret for secret in secrets if secret in told or secret.encode() in stored]
