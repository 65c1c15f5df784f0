"""Why a request went where it went, and where the next would go: by the API, a header and the command line."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result
from omni_launch.cli import cli

from tests.e2e.conftest import ADMIN, KEY, Gateway

BODY = {"model": "falls-back", "messages": [{"role": "user", "content": "Hello"}]}


def recorded(gateway: Gateway, id_: str, key: str = ADMIN) -> dict[str, Any]:
    """Usage is stored a moment after the answer."""
    for _ in range(200):
        answer = gateway.stack.get(f"/api/requests/{id_}", key)
        if answer.status_code == 200:
            break
        assert answer.status_code == 404
        time.sleep(0.05)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def test_a_request_that_fell_back_is_explained_at_once_and_afterwards(gateway: Gateway) -> None:
    headers = {"authorization": f"Bearer {KEY}", "x-omniroute-trace": "on"}
    answer = httpx.post(f"{gateway.stack.openai}/chat/completions", json=BODY, headers=headers, timeout=30)
    trace = answer.headers["x-omniroute-trace"]
    assert trace.startswith("combo falls-back fill-first; acme/first (gpt-x+status:503) failed in ")
    assert "claude/a (claude-x) answers in " in trace
    found = recorded(gateway, answer.headers["x-request-id"])
    assert (found["status"], found["outcome"], found["model_served"]) == (200, "ok", "claude-x")
    assert [(step["account"], step["outcome"]) for step in found["decision"]["steps"]] == [
        ("acme/first", "failed"),
        ("claude/a", "answered"),
    ]
    assert [each["id"] for each in found["attempts"]] == [step["attempt"] for step in found["decision"]["steps"]]
    assert sum(each["cost_nano_usd"] for each in found["attempts"]) == found["cost_nano_usd"] > 0


def test_a_clients_own_id_finds_it_for_that_client_and_for_nobody_elses(gateway: Gateway) -> None:
    own = f"mine-{time.time_ns()}"
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": own}
    answer = httpx.post(f"{gateway.stack.openai}/chat/completions", json=BODY, headers=headers, timeout=30)
    assert "x-omniroute-trace" not in answer.headers
    found = recorded(gateway, own, KEY)
    assert found["request_id"] == own != found["id"]
    assert gateway.stack.get(f"/api/requests/{own}", "or-test-mixed-0123456789").status_code == 404


def explained(gateway: Gateway, tmp_path: Path, *arguments: str, stdin: str | None = None, key: str = ADMIN) -> Result:
    file = tmp_path / "key"
    file.write_text(key)
    where = ("--url", gateway.stack.dashboard, "--key-file", str(file))
    return CliRunner().invoke(cli, ["explain", *arguments, *where], input=stdin, env={"DATA_DIR": str(tmp_path)})


def test_the_command_says_which_way_a_request_would_take(gateway: Gateway, tmp_path: Path) -> None:
    result = explained(gateway, tmp_path, "falls-back", "--key", "ci")
    assert result.exit_code == 0, result.output
    first, *_, one, two = result.stdout.splitlines()
    assert first.startswith("falls-back through combo falls-back: 2 candidates, revision ")
    assert one.split()[:4] == ["1", "acme/first", "gpt-x+status:503", "asked"]
    assert two.split()[:4] == ["2", "claude/a", "claude-x", "asked"]


def test_the_command_takes_a_request_and_gives_the_whole_answer_to_programs(gateway: Gateway, tmp_path: Path) -> None:
    request = json.dumps({"max_tokens": 7, "messages": [{"role": "user", "content": "Hello"}]})
    arguments = ("always-on", "--body", "-", "--format", "anthropic.messages", "--stream", "--json")
    result = explained(gateway, tmp_path, *arguments, stdin=request)
    assert result.exit_code == 0, result.output
    assert {step["granted_output_tokens"] for step in json.loads(result.stdout)["steps"]} == {7}


def test_the_command_says_how_a_client_would_be_refused(gateway: Gateway, tmp_path: Path) -> None:
    narrow = explained(gateway, tmp_path, "claude/claude-x", "--key", "narrow")
    assert narrow.exit_code == 1
    assert "The client would be refused with 403 model_not_allowed: " in narrow.stdout
    spent = explained(gateway, tmp_path, "acme/gpt-x", "--key", "spent")
    assert spent.exit_code == 1
    assert "refused with 402 budget_exhausted" in spent.stdout


def test_the_command_says_what_is_wrong_with_the_question(gateway: Gateway, tmp_path: Path) -> None:
    nobody = explained(gateway, tmp_path, "always-on", "--key", "nobody")
    assert (nobody.exit_code, nobody.stderr) == (2, "there is no key 'nobody'\n")
    other = explained(gateway, tmp_path, "always-on", "--key", "ci", key="or-test-mixed-0123456789")
    assert other.exit_code == 2
    assert "a developer simulates requests of their own key only" in other.stderr
    garbled = explained(gateway, tmp_path, "always-on", "--body", "-", stdin="[1]")
    assert garbled.exit_code == 2
    assert "no JSON object" in garbled.stderr
    nowhere = CliRunner().invoke(cli, ["explain", "always-on", "--data-dir", str(tmp_path / "nothing")])
    assert nowhere.exit_code == 2
    assert "no gateway runs on this data directory" in nowhere.stderr
