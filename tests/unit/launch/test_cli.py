"""The command line teaches, says what is wrong in one line, and keeps secrets to itself."""

import http.server
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from omni_launch import cli as module
from omni_launch.banner import Welcome, curl
from omni_launch.cli import cli
from omni_launch.environment import reachable
from omni_simulator import Simulator


def invoke(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=env)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))


def test_help_shows_every_verb_and_how_to_begin() -> None:
    shown = invoke("--help").output
    for verb in (
        "up",
        "run",
        "check-config",
        "keys",
        "simulate",
        "certs",
        "doctor",
        "apply",
        "diff",
        "export",
        "import",
    ):
        assert f"\n  {verb} " in shown
    assert "omniroute up   " in shown
    assert "health" not in shown


@pytest.mark.parametrize("command", ["audit list", "keys list --json", "export"])
def test_a_reader_that_has_seen_enough_is_no_fault(command: str) -> None:
    assert invoke("keys", "create", "ci").exit_code == 0
    reader, writer = os.pipe()
    os.close(reader)
    try:
        arguments = [sys.executable, "-m", "omni_launch", *command.split()]
        done = subprocess.run(arguments, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(writer)
    assert (done.stderr, done.returncode) == ("", 1)


@pytest.mark.parametrize(
    "verb",
    ["up", "run", "check-config", "keys", "simulate", "certs", "doctor", "apply", "diff", "export", "import"],
)
def test_every_verb_has_a_help_of_its_own(verb: str) -> None:
    result = invoke(verb, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


@pytest.mark.parametrize("count", ["-1", "x", "257"])
def test_a_number_of_workers_that_is_none_is_refused_before_anything_is_made(count: str, tmp_path: Path) -> None:
    for verb in (("up", "--no-open"), ("run", "gateway")):
        result = invoke(*verb, "--workers", count)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"omniroute: '{count}' is no number of workers. ")
    assert not (tmp_path / "data").exists()


def test_help_tells_how_many_processes_there_are_and_what_is_shown_without_a_key() -> None:
    shown = " ".join(invoke("up", "--help").output.split())
    assert "in one process, or with --workers in several" in shown
    host = shown[shown.index("--host HOST") : shown.index("--workers N")]
    assert "/metrics" in host
    assert "without a key" in host
    assert "127.0.0.1, whatever --host is" in shown


def test_the_version_is_told() -> None:
    assert invoke("--version").output.startswith("omniroute, version ")


def test_an_unknown_target_lists_those_there_are() -> None:
    result = invoke("run", "gatway")
    assert result.exit_code == 2
    assert "'translator'" in result.output


def test_a_key_is_made_listed_and_revoked_without_a_running_gateway() -> None:
    made = invoke("keys", "create", "ci", "--model", "acme/*", "--rpm", "60", "--budget-usd", "2.5", "--json")
    assert made.exit_code == 0, made.output
    created = json.loads(made.stdout)
    listed = invoke("keys", "list")
    assert "ci" in listed.output
    assert "acme/*" in listed.output
    assert "60/min, 2.5 USD/month" in listed.output
    assert created["secret"] not in listed.output
    assert [key["name"] for key in json.loads(invoke("keys", "list", "--json").stdout)] == ["ci"]
    assert "revoked" in invoke("keys", "revoke", "ci").output
    assert "No keys yet" in invoke("keys", "list").output


def test_a_key_is_made_for_a_team_and_a_user_that_are_there() -> None:
    refused = invoke("keys", "create", "ci", "--team", "core")
    assert (refused.exit_code, "team: there is no team 'core'" in refused.stderr) == (1, True), refused.output
    assert "No keys yet" in invoke("keys", "list").output


def test_a_key_is_made_with_rules_of_its_own() -> None:
    made = invoke("keys", "create", "ci", "--rule", "sanitize=on", "--rule", "thinking={effort: low}")
    assert made.exit_code == 0, made.output
    (key,) = json.loads(invoke("keys", "list", "--json").stdout)
    assert json.loads(key["rules"]) == {"sanitize": True, "thinking": {"mode": "custom", "effort": "low"}}
    assert '"sanitize":true' in invoke("keys", "list").output


@pytest.mark.parametrize(
    ("rule", "code", "told"),
    [("sanitize", 2, "NAME=VALUE"), ("clamp=5", 1, "rules.clamp: must be auto, on or off"), ("a b=c", 2, "NAME=VALUE")],
)
def test_a_rule_that_is_none_is_refused(rule: str, code: int, told: str) -> None:
    refused = invoke("keys", "create", "ci", "--rule", rule)
    assert (refused.exit_code, told in refused.stderr) == (code, True), refused.output
    assert "No keys yet" in invoke("keys", "list").output


def test_a_key_is_made_with_scopes_and_they_are_listed() -> None:
    scoped = ("--provider", "acme", "--endpoint", "chat", "--ip", "10.0.0.0/8", "--expires", "30d")
    made = invoke("keys", "create", "bot", *scoped)
    assert made.exit_code == 0, made.output
    assert "of acme, for chat, from 10.0.0.0/8, until " in invoke("keys", "list").output
    scopes = json.loads(invoke("keys", "list", "--json").stdout)[0]["scopes"]
    assert abs(scopes.pop("expires") - time.time() - 30 * 86_400) < 60
    assert scopes == {"providers": ["acme"], "endpoints": ["chat"], "ips": ["10.0.0.0/8"]}
    dated = invoke("keys", "create", "dated", "--expires", "2100-01-01", "--json")
    assert dated.exit_code == 0, dated.output


@pytest.mark.parametrize(
    ("option", "word", "said"),
    [
        ("--expires", "soon", "30d, 12h, 90m"), ("--expires", "2001-01-01", "a time to come"),
        ("--expires", "0d", "30d"), ("--ip", "home", "a network"), ("--endpoint", "chats", "'chat'"),
        ("--provider", "a b", "provider's id"),
    ],
)  # fmt: skip
def test_a_scope_that_means_nothing_is_told_with_what_would(option: str, word: str, said: str) -> None:
    result = invoke("keys", "create", "bot", option, word)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_key_is_rotated_and_only_its_new_secret_is_on_stdout() -> None:
    first = invoke("keys", "create", "ci", "--manage", "keys:read").stdout.strip()
    rotated = invoke("keys", "rotate", "ci", "--overlap", "2h")
    assert rotated.exit_code == 0, rotated.output
    assert rotated.stdout.strip() not in ("", first)
    assert rotated.stdout.strip()[:11] == first[:11]
    assert "older secrets end 20" in rotated.stderr
    assert "end now" in invoke("keys", "rotate", "ci", "--overlap", "0").stderr
    assert "managing keys:read" in invoke("keys", "list").output
    assert invoke("keys", "rotate", "ci", "--overlap", "soon").exit_code == 2


def test_the_secret_alone_is_on_stdout() -> None:
    made = invoke("keys", "create", "ci")
    assert made.stdout.strip().startswith("or-")
    assert len(made.stdout.split()) == 1
    assert "not shown again" in made.stderr


def test_a_name_that_is_taken_is_one_line() -> None:
    invoke("keys", "create", "ci")
    again = invoke("keys", "create", "ci")
    assert again.exit_code == 1
    assert again.stderr.startswith("omniroute: ")
    assert "ci" in again.stderr
    assert "Traceback" not in again.output


@pytest.mark.parametrize(
    "budget", ["0", "1e-10", "-1", "nan", "inf", "-inf", "1e300", "1000001", "1e-999999", "many", ""]
)
def test_a_budget_that_is_none_is_refused(budget: str) -> None:
    result = invoke("keys", "create", "ci", "--budget-usd", budget)
    assert result.exit_code == 2, result.output
    assert "Invalid value for '--budget-usd'" in result.stderr
    assert "No keys yet" in invoke("keys", "list").output


@pytest.mark.parametrize(
    ("budget", "nano"), [("0.000000001", 1), ("0.1", 10**8), ("1000000", 10**15), ("2.5", 25 * 10**8)]
)
def test_a_budget_is_kept_to_the_nano(budget: str, nano: int) -> None:
    assert invoke("keys", "create", "ci", "--budget-usd", budget).exit_code == 0
    assert json.loads(invoke("keys", "list", "--json").stdout)[0]["budget_nano_usd"] == nano


@pytest.mark.parametrize("verb", [("keys", "list"), ("keys", "create", "ci"), ("up", "--no-open"), ("check-config",)])
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), None], ids=["unreadable", "too long"])
def test_a_data_directory_that_cannot_be_read_is_one_clear_line(
    verb: tuple[str, ...], error: OSError | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / ("d" if error else "d" * 300)
    if error:
        place.mkdir()
    plain = Path.is_file

    def is_file(path: Path) -> bool:
        if error and path.is_relative_to(place):
            raise error
        return plain(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    monkeypatch.setattr("os.access", lambda *_, **__: error is None)
    result = invoke(*verb, "--data-dir", str(place))
    assert result.exit_code == 1
    assert re.match(rf"omniroute: cannot (read|write to) the data directory {place}: ", result.stderr)
    assert result.stderr.count("\n") == 1
    assert "--data-dir" in result.stderr
    assert "should not happen" not in result.stderr


def test_a_data_directory_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for verb in (("keys", "list"), ("up", "--no-open")):
        result = invoke(*verb, "--data-dir", str(tmp_path / "file"))
        assert result.exit_code == 1
        assert result.stderr.startswith("omniroute: cannot write to the data directory ")


async def test_the_curls_that_the_simulator_shows_work_as_printed() -> None:
    shown = invoke("simulate", "--help").output
    lines = shown[shown.index("  curl") :].split("Options:")[0].replace("\\\n", "")
    commands = [shlex.split(line, comments=True) for line in lines.splitlines() if line.strip()]
    simulator = Simulator()
    await simulator.start()
    try:
        async with httpx.AsyncClient() as client:
            for (curl_, url, flag, body), status in zip(commands, (200, 503), strict=True):
                assert (curl_, flag) == ("curl", "-d")
                url = url.replace("http://127.0.0.1:9100", simulator.url)
                form = {"content-type": "application/x-www-form-urlencoded"}
                assert (await client.post(url, content=body, headers=form)).status_code == status
    finally:
        await simulator.stop()


def test_check_config_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "omniroute.yaml"
    path.write_text("server:\n  prot: 1\n")
    bad = invoke("check-config")
    assert bad.exit_code == 1
    assert "omniroute.yaml:2: server.prot" in bad.output
    path.write_text("server: {port: 1}\n")
    good = invoke("check-config", str(path))
    assert good.exit_code == 0
    assert "is good: 0 providers" in good.output


def test_check_config_without_a_file_says_so() -> None:
    assert invoke("check-config").exit_code == 1
    assert "there is no configuration file" in invoke("check-config").output


def test_what_should_not_happen_is_still_one_line_and_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("lost sk-abcdefghijklmnop")

    monkeypatch.setattr(module, "config_file", broken)
    result = invoke("check-config")
    assert result.exit_code == 1
    assert "RuntimeError: lost sk-" in result.output
    assert "abcdefghijklmnop" not in result.output
    assert "This should not happen" in result.output


def test_doctor_finds_what_this_machine_has(tmp_path: Path) -> None:
    result = invoke("doctor", "--port", "0")
    assert result.exit_code == 0, result.output
    for subject in ("Python", "Data directory", "Disk", "Configuration", "Redis", "NATS"):
        assert f"✓ {subject}: " in result.output


def test_doctor_says_how_to_get_what_is_missing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke(
            "doctor", "--port", str(port),
            OMNIROUTE_REDIS_URL="redis://:hunter2@127.0.0.1:1/0", OMNIROUTE_NATS_URL="nats://u:hunter2@127.0.0.1:1",
        )  # fmt: skip
    assert result.exit_code == 1
    assert "✗ Redis: Redis does not answer" in result.output
    assert "✗ NATS: NATS does not answer" in result.output
    assert f"✗ Port: {port} on 127.0.0.1 is taken" in result.output
    assert f"omniroute up --port {port + 1}" in result.output
    assert "hunter2" not in result.output


def test_doctor_reads_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "omniroute.yaml").write_text("combos: 3\n")
    result = invoke("doctor", "--port", "0")
    assert result.exit_code == 1
    assert "✗ Configuration: " in result.output
    assert "omniroute.yaml:1" in result.output


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_the_health_command_is_for_containers(server: str) -> None:
    assert invoke("health", f"{server}/healthz").exit_code == 0
    assert invoke("health", f"{server}/readyz").exit_code == 1
    assert invoke("health", "http://127.0.0.1:1/healthz").exit_code == 1
    assert invoke("health", "file:///etc/passwd").exit_code == 2


def test_the_curl_shown_is_one_paste() -> None:
    welcome = Welcome(
        endpoint="http://127.0.0.1:20128/v1", dashboard="", key="or-key", key_file="", model="demo/sim",
        running=(), config_file="", demo=True,
    )  # fmt: skip
    shown = curl(welcome)
    assert "Bearer or-key" in shown
    assert json.loads(shown.rpartition("-d '")[2].removesuffix("'"))["model"] == "demo/sim"
    assert "or-key" not in repr(welcome)


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("a", "a")]
)
def test_an_address_is_shown_as_it_is_reached(host: str, shown: str) -> None:
    assert reachable(host) == shown
