"""One request, followed by its id and its trace through everything that tells of it; and what all of them come to."""

import csv
import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner
from omni_launch.cli import cli

from tests.e2e.conftest import ADMIN, KEY, Gateway
from tests.e2e.test_why import recorded

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HELLO = [{"role": "user", "content": "Hello"}]


def asked(gateway: Gateway, own: str, model: str) -> httpx.Response:
    headers = {
        "authorization": f"Bearer {KEY}", "x-request-id": own, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    }  # fmt: skip
    body = {"model": model, "messages": HELLO}
    return httpx.post(f"{gateway.stack.openai}/chat/completions", json=body, headers=headers, timeout=30)


def listed(gateway: Gateway, query: str) -> list[dict[str, Any]]:
    answer = gateway.stack.get(f"/api/logs?{query}", ADMIN)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_an_id_leads_from_the_client_to_the_provider_the_record_and_the_logs(gateway: Gateway) -> None:
    own = f"followed-{time.time_ns()}"
    answer = asked(gateway, own, "claude/claude-x")
    assert (answer.status_code, answer.headers["x-request-id"]) == (200, own)
    (seen,) = [each for each in gateway.provider.recent if each.header("x-request-id") == own]
    assert (seen.header("traceparent") or "").split("-")[1] == TRACE
    told = {name: float(value) for name, value in (
        part.split(";dur=") for part in answer.headers["server-timing"].split(", ")
    )}  # fmt: skip
    found = recorded(gateway, own)
    assert found["request_id"] == own
    assert [stage["stage"] for stage in found["stages"]] == [
        "client_request", "provider_request", "provider_response", "client_response",
    ]  # fmt: skip
    assert found["stages"][1]["translated"] is True
    ours = told["plan"] + told["admit"] + told["encode"]
    assert abs(found["overhead_us"] / 1000 - ours) < 0.01
    (line,) = listed(gateway, f"text={own}")
    assert {name: found[name] for name in line} == line
    (call,) = listed(gateway, f"kind=proxy&text={found['id']}")
    assert (call["request"], call["id"]) == (found["id"], found["attempts"][0]["id"])
    rows = gateway.stack.get(f"/api/export?format=jsonl&from={found['started_ms']}", ADMIN).text.splitlines()
    assert own in [json.loads(row)["request_id"] for row in rows]


def test_a_failure_is_in_the_log_under_the_same_id_and_trace(gateway: Gateway) -> None:
    own = f"failing-{time.time_ns()}"
    assert asked(gateway, own, "acme/gpt-x+status:503").status_code >= 500
    assert recorded(gateway, own)["outcome"] == "failed"
    written = [line for line in gateway.stack.log().splitlines() if own in line]
    assert written
    assert any(TRACE in line for line in written)


def test_who_watches_sees_a_request_moments_after_it_ended(gateway: Gateway) -> None:
    own = f"watched-{time.time_ns()}"
    with (
        httpx.Client(headers={"authorization": f"Bearer {ADMIN}"}, timeout=30) as client,
        client.stream("GET", f"{gateway.stack.dashboard}/api/live") as live,
    ):
        assert live.headers["content-type"].startswith("text/event-stream")
        lines = live.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) == "event: ready"
        threading.Thread(target=asked, args=(gateway, own, "acme/gpt-x")).start()
        data = next(line for line in lines if own in line)
    (told,) = [each for each in json.loads(data.removeprefix("data: "))["requests"] if each["request_id"] == own]
    assert (told["status"], told["provider"]) == (200, "acme")


def test_a_months_report_is_what_all_of_it_cost_and_the_command_says_the_same(gateway: Gateway, tmp_path: Path) -> None:
    recorded(gateway, asked(gateway, f"spent-{time.time_ns()}", "acme/gpt-x").headers["x-request-id"])
    report = gateway.stack.get("/api/reports/spend?by=key,model", ADMIN).json()
    assert sum(line["totals"]["cost_nano_usd"] for line in report["lines"]) == report["total"]["cost_nano_usd"] > 0
    names = gateway.stack.get("/api/reports/spend?by=organisation", ADMIN).json()["lines"]
    assert {line["values"]["organisation"] for line in names} <= {"default", ""}
    file = tmp_path / "key"
    file.write_text(ADMIN)
    where = ("--url", gateway.stack.dashboard, "--key-file", str(file))
    result = CliRunner().invoke(cli, ["report", "--by", "model", "--csv", *where], env={"DATA_DIR": str(tmp_path)})
    assert result.exit_code == 0, result.output
    rows = [*csv.DictReader(io.StringIO(result.stdout))]
    assert "gpt-x" in {row["model"] for row in rows}
    path = tmp_path / "rows.csv"
    written = CliRunner().invoke(
        cli, ["analytics", "export", "requests", "--filter", "model:gpt-x", "-o", str(path), *where],
        env={"DATA_DIR": str(tmp_path)},
    )  # fmt: skip
    assert written.exit_code == 0, written.output
    models = {row["model_served"] for row in csv.DictReader(io.StringIO(path.read_text()))}
    assert models == {"gpt-x"}
    refused = CliRunner().invoke(cli, ["analytics", "export", "usage", *where], env={"DATA_DIR": str(tmp_path)})
    assert (refused.exit_code, "needs a from" in refused.output) == (2, True)
