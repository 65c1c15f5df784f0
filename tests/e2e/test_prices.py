"""A price changes on a day; one that was wrong is put right, and with it what was recorded and what that adds up to."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from click.testing import CliRunner, Result
from httpx import Response
from omni_launch.cli import cli

from tests.e2e.conftest import ADMIN, Gateway
from tests.support.fleet import eventually

BOOKED = "or-test-booked-0123456789"
PROVIDER = "tariff"
MODEL = "priced+input:100+tokens:10"  # so many, whatever is asked


def put(gateway: Gateway, path: str, document: dict[str, Any]) -> None:
    answer = httpx.put(
        f"{gateway.stack.dashboard}/api/{path}",
        json=document,
        headers={"authorization": f"Bearer {ADMIN}"},
        timeout=30,
    )
    assert answer.status_code in (200, 201), answer.text


def put_price(gateway: Gateway, document: dict[str, Any]) -> None:
    put(gateway, f"prices/{quote(f'{PROVIDER}/{MODEL}')}", {"model": MODEL} | document)


def flat(usd: float, **more: Any) -> dict[str, Any]:
    return {"input": usd, "output": usd, **more}


def in_force(gateway: Gateway) -> list[dict[str, Any]]:
    found = gateway.stack.get(f"/api/price-list?provider={PROVIDER}&model={quote(MODEL)}", ADMIN).json()["items"]
    return list(found)


def ask(gateway: Gateway) -> dict[str, Any]:
    """The attempt of one request, as it is recorded; empty while no router knows a price."""
    body = {"model": f"{PROVIDER}/{MODEL}", "messages": [{"role": "user", "content": "Hi"}]}
    answer = httpx.post(
        f"{gateway.stack.openai}/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {BOOKED}"},
        timeout=30,
    )
    if answer.status_code in (402, 404):
        return {}
    assert answer.status_code == 200, answer.text
    return recorded(gateway, answer.headers["x-request-id"])


def recorded(gateway: Gateway, request_id: str) -> dict[str, Any]:
    def found() -> Response:
        return gateway.stack.get(f"/api/requests/{request_id}", ADMIN)

    eventually(lambda: found().status_code == 200, 15)
    (attempt,) = found().json()["attempts"]
    return dict(attempt) | {"request": request_id}


def until_costs(gateway: Gateway, nano_usd: int) -> dict[str, Any]:
    """Ask until a router works with the price that makes it so."""
    told: list[dict[str, Any]] = []

    def is_so() -> bool:
        told.append(ask(gateway))
        return told[-1].get("cost_nano_usd") == nano_usd

    eventually(is_so, 20, lambda: told[-1])
    return told[-1]


def run(gateway: Gateway, tmp_path: Path, *words: str) -> Result:
    key = tmp_path / "admin.key"
    key.write_text(ADMIN)
    return CliRunner().invoke(cli, [*words, "--url", gateway.stack.dashboard, "--key-file", str(key)])


def test_a_price_of_a_day_a_wrong_one_and_the_books(gateway: Gateway, tmp_path: Path) -> None:
    document = {"format": "anthropic.messages", "base_url": gateway.provider.url, "allow_private_address": True}
    put(gateway, f"providers/{PROVIDER}", {"id": PROVIDER, "models": [{"id": "*"}], **document})
    put(gateway, f"accounts/{PROVIDER}/a", {"name": "a", "api_key": {"value": "k"}})
    # From a moment on another price is in force, and nobody does anything then.
    at = datetime.fromtimestamp(int(time.time()) + 8, UTC)
    put_price(gateway, flat(1, changes=[flat(2, since=at.isoformat())]))
    before = until_costs(gateway, 110_000)
    after = until_costs(gateway, 220_000)
    assert before["started_ms"] < at.timestamp() * 1000 <= after["started_ms"]
    (row,) = in_force(gateway)
    assert (row["version"], row["price"]["rates"]["input"]) == (after["price_version"], "2.00")
    assert row["source"] == f"prices/{PROVIDER}/{MODEL}"
    assert after["price_version"] != before["price_version"]
    assert after["charged"] == ["key"]

    # The second price should have been 3, all the time.
    today = datetime.fromtimestamp(before["started_ms"] / 1000, UTC).date().isoformat()
    words = ("reprice", "--from", today)
    put_price(gateway, flat(1, changes=[flat(3, since=at.isoformat())]))
    until_costs(gateway, 330_000)
    shown = run(gateway, tmp_path, *words, "--json")
    (group,) = (one for one in json.loads(shown.output)["groups"] if one["model"] == MODEL)
    assert shown.exit_code == 1
    assert group["key_id"] == "key-booked"
    assert group["new_nano_usd"] * 2 == group["old_nano_usd"] * 3
    assert recorded(gateway, after["request"])["cost_nano_usd"] == 220_000, "it was only shown"

    written = run(gateway, tmp_path, *words, "--apply")
    assert written.exit_code == 0, written.output
    assert "were corrected" in written.output
    corrected = recorded(gateway, after["request"])
    assert (corrected["cost_nano_usd"], corrected["repriced_nano_usd"]) == (330_000, 110_000)
    assert recorded(gateway, before["request"])["cost_nano_usd"] == 110_000
    again = run(gateway, tmp_path, *words)
    assert (again.exit_code, "cost what is recorded" in again.output) == (0, True), again.output
    (entry, *_) = gateway.stack.get("/api/audit?limit=1", ADMIN).json()["items"]
    assert entry["action"] == "usage.reprice"

    # What it adds up to is right, and so are the books, which go by what was charged.
    checked = CliRunner().invoke(cli, ["analytics", "rebuild", "--check", "--data-dir", str(gateway.stack.data_dir)])
    assert checked.exit_code == 0, checked.output
    proof = run(gateway, tmp_path, "audit", "usage", "--json")
    assert proof.exit_code == 0, proof.output
    (budget,) = (one for one in json.loads(proof.output)["budgets"] if one["id"] == "key-booked")
    assert budget["difference_nano_usd"] == 0
    assert json.loads(proof.output)["rollup_difference_nano_usd"] == 0

    # The provider's own report says the same, but for a line that it has more.
    (mine,) = (
        line
        for line in gateway.stack.get(
            f"/api/usage/statement?provider={PROVIDER}&from={today}&until={_next(today)}", ADMIN
        ).json()["lines"]
        if line["model"] == MODEL and line["outcome"] == "ok"
    )
    report = tmp_path / "report.csv"
    report.write_text(f"day,model,input_tokens\n{today},{MODEL},{mine['input_tokens'] + 5}\n")
    told = run(gateway, tmp_path, "audit", "usage", "--provider", PROVIDER, "--reported", str(report))
    assert told.exit_code == 1
    assert f"≠ {today} {MODEL} input_tokens" in told.output
    assert "more by 5 tokens" in told.output


def _next(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000) + 86_400_000
