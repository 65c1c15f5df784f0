"""A thousand mixed requests: what the gateway says was used is what the client counted, exactly; and what the ledger
has as spent is what the recorded attempts cost."""

import asyncio
import json
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner
from omni_launch.cli import cli

from tests.e2e.conftest import ADMIN, Gateway

KEY = "or-test-mixed-0123456789"
BOOKED = "or-test-booked-0123456789"
REQUESTS = 1000
COUNTED = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")


def mixed(seed: int) -> list[dict[str, Any]]:
    """Plain, streamed, cached, translated, with tools, refused by us, refused by the provider."""
    chance = random.Random(seed)
    made = []
    for number in range(REQUESTS):
        provider = chance.choice(["acme", "claude"])
        steps = [f"tokens:{chance.randint(1, 40)}", f"input:{chance.randint(50, 400)}"]
        if chance.random() < 0.3:
            steps.append(f"cached:{chance.randint(1, 40)}")
        kind = chance.random()
        if kind < 0.08:
            steps = [f"status:{chance.choice([400, 404, 429, 500, 503])}"]
        stream = chance.random() < 0.5
        model = f"{provider}/sim+{'+'.join(steps)}" if kind >= 0.03 else f"nobody/{number}"
        made.append({"model": model, "stream": stream, "messages": [{"role": "user", "content": f"Request {number}"}]})
        if stream and chance.random() < 0.7:
            made[-1]["stream_options"] = {"include_usage": True}
    return made


async def ask(client: httpx.AsyncClient, body: dict[str, Any], counted: dict[str, int]) -> None:
    """Send one request and count what its answer says; a stream that hides its usage is counted by its script."""
    async with client.stream("POST", "/chat/completions", json=body) as answer:
        data = await answer.aread()
    counted["requests"] += 1
    if answer.status_code != 200:
        return
    usage = None
    if body["stream"]:
        for line in data.split(b"\n\n"):
            if line.startswith(b"data: {"):
                usage = json.loads(line[6:]).get("usage") or usage
        if usage is None:
            steps = dict(step.split(":") for step in body["model"].split("+")[1:])
            usage = {
                "prompt_tokens": int(steps["input"]),
                "completion_tokens": int(steps["tokens"]),
                "prompt_tokens_details": {"cached_tokens": int(steps.get("cached", 0))},
            }
    else:
        usage = json.loads(data)["usage"]
    counted["input_tokens"] += usage["prompt_tokens"]
    counted["output_tokens"] += usage["completion_tokens"]
    counted["cached_input_tokens"] += (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


async def drive(gateway: Gateway, bodies: list[dict[str, Any]], key: str = KEY) -> dict[str, int]:
    counted = dict.fromkeys(COUNTED, 0)
    gate = asyncio.Semaphore(24)
    async with httpx.AsyncClient(
        base_url=gateway.stack.openai, headers={"authorization": f"Bearer {key}"}, timeout=60
    ) as client:

        async def one(body: dict[str, Any]) -> None:
            async with gate:
                await ask(client, body, counted)

        await asyncio.gather(*(one(body) for body in bodies))
    return counted


def totals(gateway: Gateway, key: str) -> dict[str, Any]:
    found: dict[str, Any] = gateway.stack.get("/api/usage", key).json()["totals"]
    return found


def test_a_thousand_mixed_requests_add_up_exactly(gateway: Gateway) -> None:
    before = totals(gateway, KEY)
    assert before["requests"] == 0
    counted = asyncio.run(drive(gateway, mixed(seed=7)))
    deadline = time.monotonic() + 15
    while totals(gateway, KEY)["requests"] < REQUESTS and time.monotonic() < deadline:
        time.sleep(0.1)
    found = totals(gateway, KEY)
    assert {name: found[name] for name in COUNTED} == counted
    time.sleep(0.5)
    assert totals(gateway, KEY) == found, "and nothing is counted twice later"
    groups = gateway.stack.get("/api/usage?group_by=provider", KEY).json()["groups"]
    assert sum(group["totals"]["output_tokens"] for group in groups) == counted["output_tokens"]


def test_a_developer_sees_their_own_usage_and_an_admin_all(gateway: Gateway) -> None:
    gateway.client().chat.completions.create(model="acme/sim", messages=[{"role": "user", "content": "Hi"}])
    deadline = time.monotonic() + 15
    while totals(gateway, ADMIN)["requests"] <= totals(gateway, KEY)["requests"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert totals(gateway, ADMIN)["requests"] > totals(gateway, KEY)["requests"]
    assert gateway.stack.get("/api/usage?key=key-ci", KEY).status_code == 403
    assert gateway.stack.get("/api/keys", KEY).status_code == 403
    assert gateway.stack.get("/api/keys", ADMIN).status_code == 200
    assert gateway.stack.get("/api/usage", "or-wrong").status_code == 401


def audited(gateway: Gateway, tmp_path: Path, *options: str) -> tuple[int, str]:
    """What ``omniroute audit usage`` says, and its exit code."""
    key = tmp_path / "admin.key"
    key.write_text(ADMIN)
    told = CliRunner().invoke(
        cli, ["audit", "usage", "--url", gateway.stack.dashboard, "--key-file", str(key), *options]
    )
    return told.exit_code, told.output


def booked(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output)
    (budget,) = (one for one in found["budgets"] if one["name"] == "key-booked")
    return budget


def test_the_ledger_and_the_events_agree_to_the_nano_usd_and_a_lost_event_is_found(
    gateway: Gateway, tmp_path: Path
) -> None:
    bodies = [body for body in mixed(seed=3) if body["model"].startswith("claude/")][:150]
    counted = asyncio.run(drive(gateway, bodies, BOOKED))
    code, output = audited(gateway, tmp_path, "--json")
    budget = booked(output)
    assert (code, budget["difference_nano_usd"], budget["causes"]) == (0, 0, []), output
    assert budget["ledger_nano_usd"] == budget["events_nano_usd"] == totals(gateway, BOOKED)["cost_nano_usd"] > 0
    assert counted["requests"] == len(bodies)
    code, output = audited(gateway, tmp_path)
    assert code == 0
    assert "= key key-booked (month since " in output

    with closing(sqlite3.connect(gateway.stack.data_dir / "analytics" / "usage.sqlite3", timeout=20)) as store:
        (*lost,) = store.execute(
            "SELECT attempt_row.* FROM attempt_row JOIN attempt_kind USING (kind) "
            "WHERE key_id = 'key-booked' AND cost_nano_usd > 0 ORDER BY started_ms DESC LIMIT 1"
        ).fetchone()
        (cost,) = store.execute("SELECT cost_nano_usd FROM attempt_row WHERE id = ?", (lost[0],)).fetchone()
        store.execute("DELETE FROM attempt_row WHERE id = ?", (lost[0],))
        store.commit()
        try:
            code, output = audited(gateway, tmp_path, "--json", "--wait", "0")
            budget = booked(output)
            assert (code, budget["difference_nano_usd"], budget["explained"]) == (1, cost, False), output
            code, output = audited(gateway, tmp_path, "--wait", "0")
            assert code == 1
            assert "≠ key key-booked" in output
        finally:
            store.execute(f"INSERT INTO attempt_row VALUES ({', '.join('?' * len(lost))})", lost)
            store.commit()
    assert audited(gateway, tmp_path)[0] == 0
