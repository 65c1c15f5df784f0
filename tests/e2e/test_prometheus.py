"""A real Prometheus scrapes a real stack, one process a service, while it works: every panel shows something, every
rule can be evaluated, and no alert fires where all is well.

``OMNIROUTE_LOAD_SECONDS`` is how long the load lasts (``make observe``: 30).
"""

import asyncio
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.prometheus import (
    BUILT_IN,
    Prometheus,
    filled_in,
    names,
    panels,
    prometheus,
    promtool,
    rules,
    selectors,
)
from tests.support.stack import Stack, running, simulator

SECONDS = float(os.environ.get("OMNIROUTE_LOAD_SECONDS") or 10)
KEY, ADMIN, SLOW = "or-test-load-0123456789", "or-test-admin-0123456789", "or-test-slow-0123456789"
# What a rate looks back on: a few scrapes.
WINDOW = "8s"

CONFIG = """
providers:
  - {{id: acme, format: openai.chat, base_url: "{base}/v1", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*", price: {{input: 1, output: 10}}}}]}}
  - {{id: claude, format: anthropic.messages, base_url: "{base}", allow_private_address: true,
     accounts: [{{name: a, api_key: {{value: k}}}}], models: [{{id: "*", price: {{input: 3, output: 15}}}}]}}
keys:
  - {{name: load, secret: {{value: {KEY}}}, budget: {{usd: 1000, window: month}}}}
  - {{name: slow, secret: {{value: {SLOW}}}, limits: {{requests_per_minute: 1}}}}
  - {{name: boss, secret: {{value: {ADMIN}}}, role: admin}}
"""


async def load(stack: Stack, seconds: float) -> dict[int, int]:
    """What clients do, right and wrong, without anything being broken. Answers by status."""
    until = time.monotonic() + seconds
    statuses: dict[int, int] = {}

    async def ask(client: httpx.AsyncClient, key: str, model: str, **more: object) -> None:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
        headers = {"authorization": f"Bearer {key}"}
        answer = await client.post(f"{stack.edge}/v1/chat/completions", json=body, headers=headers)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    async def work(client: httpx.AsyncClient) -> None:
        while time.monotonic() < until:
            await ask(client, KEY, "acme/sim", stream=True)
            await ask(client, KEY, "acme/sim")
            await ask(client, KEY, "claude/sim", stream=True)
            await ask(client, KEY, "claude/sim", seed=1)  # which the other format has no place for

    async def err(client: httpx.AsyncClient) -> None:
        while time.monotonic() < until:
            await ask(client, "or-wrong", "acme/sim")
            await ask(client, SLOW, "acme/sim")
            await ask(client, KEY, "nobody/knows")
            await client.get(f"{stack.dashboard}/api/usage", headers={"authorization": f"Bearer {ADMIN}"})
            await asyncio.sleep(0.2)

    async with httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(work(client), work(client), err(client))
    return statuses


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("watched")
    with simulator() as provider:
        config = CONFIG.format(base=provider.url, KEY=KEY, SLOW=SLOW, ADMIN=ADMIN)
        with running("separate", home, config, {}) as stack:
            yield stack


@pytest.fixture(scope="module")
def watched(stack: Stack, prometheus_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, at the end of the load."""
    targets = {service: urlsplit(url).netloc for service, url in stack.metrics.items()}
    with prometheus(prometheus_programs, tmp_path_factory.mktemp("prometheus"), targets) as server:
        statuses = asyncio.run(load(stack, SECONDS))
        assert set(statuses) == {200, 401, 404, 429}, statuses
        server.at = time.time()  # however long the questions take, they are about the load
        yield server


def test_every_target_is_scraped(watched: Prometheus) -> None:
    found = watched.targets()
    assert len(found) == 7
    assert set(found.values()) == {"up"}, found


@pytest.mark.parametrize("panel", panels())
def test_the_panel_shows_something(watched: Prometheus, panel: str) -> None:
    for expr in panels()[panel]:
        found = watched.query(filled_in(expr, WINDOW))
        assert any(not math.isnan(float(sample["value"][1])) for sample in found), expr


def test_every_rule_can_be_evaluated_and_no_alert_fires(watched: Prometheus) -> None:
    found = watched.rules()
    assert {rule["name"] for rule in found} == set(rules("alert")) | set(rules("record"))
    for rule in found:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
    loud = {rule["name"]: rule["alerts"] for rule in found if rule.get("state") == "firing"}
    assert loud == {}


@pytest.mark.parametrize("alert", rules("alert"))
def test_the_alert_looks_at_series_that_exist_while_all_is_well(watched: Prometheus, alert: str) -> None:
    """An alert on a series that only a fault would make, or that nobody makes at all, is one that never comes."""
    for selector in selectors(rules("alert")[alert]["expr"]):
        assert watched.query(selector), selector


def test_every_metric_of_rules_and_panels_is_one_that_a_service_shows(stack: Stack, watched: Prometheus) -> None:
    shown: set[str] = set(rules("record")) | BUILT_IN
    for url in stack.metrics.values():
        for line in httpx.get(f"{url}/metrics", timeout=10).text.splitlines():
            if line and not line.startswith("#"):
                shown.add(line.partition(" ")[0].partition("{")[0])
    asked = [rule["expr"] for kind in ("alert", "record") for rule in rules(kind).values()]
    asked += [filled_in(expr, WINDOW) for exprs in panels().values() for expr in exprs]
    assert set().union(*map(names, asked)) <= shown


def test_promtool_finds_nothing_wrong_with_what_services_show(
    stack: Stack, watched: Prometheus, prometheus_programs: Path
) -> None:
    for service, url in stack.metrics.items():
        code, said = promtool(
            prometheus_programs, "check", "metrics", given=httpx.get(f"{url}/metrics", timeout=10).text
        )
        assert (code, said) == (0, ""), service
