"""A real Prometheus for tests, and as much of PromQL as it takes to see what an expression asks for."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.servers import free_port
from tools.get_prometheus import CannotHave, prometheus_folder

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
UP_WITHIN = 60.0

# Made by Prometheus itself for every target.
BUILT_IN = {"up", "scrape_samples_post_metric_relabeling"}
_WORDS = {"and", "or", "unless", "bool", "offset"}
_GROUPS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_SELECTOR = re.compile(r"(?<![\w:\"$])([a-zA-Z_:][\w:]*)?\s*(\{[^{}]*\})")
_NAME = re.compile(r"(?<![\w:$])([a-zA-Z_:][\w:]*)(?![\w:]*\s*\()")


def programs() -> Path:
    """The folder with prometheus and promtool. Where they cannot be had: a skip, or a failure for ``make observe``
    (``OMNIROUTE_NEED_PROMETHEUS`` is set), which is about nothing else."""
    try:
        return prometheus_folder()
    except CannotHave as error:
        if os.environ.get("OMNIROUTE_NEED_PROMETHEUS"):
            pytest.fail(str(error))
        pytest.skip(str(error))


def promtool(folder: Path, *arguments: str | Path, given: str | None = None) -> tuple[int, str]:
    """Exit code, and what it said."""
    ended = subprocess.run(
        [folder / "promtool", *arguments], input=given, capture_output=True, text=True, timeout=120, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def selectors(expr: str) -> list[str]:
    """Every vector selector of an expression: "name{labels}", "{labels}" or "name"."""
    found = [f"{name}{labels}" for name, labels in _SELECTOR.findall(expr)]
    rest = _GROUPS.sub(" ", _SELECTOR.sub(" ", expr))
    rest = re.sub(r"\[[^\]]*\]|\"[^\"]*\"", " ", rest)
    return found + [name for name in _NAME.findall(rest) if name not in _WORDS]


def names(expr: str) -> set[str]:
    """The metrics that an expression asks for by name."""
    return {name for name in (selector.partition("{")[0].strip() for selector in selectors(expr)) if name}


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """All rules that are "alert"s or "record"s, by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if kind in rule:
                    assert rule[kind] not in found, f"{rule[kind]} is there twice"
                    found[rule[kind]] = rule
    return found


def panels() -> dict[str, list[str]]:
    """Expressions of every panel that has any: "dashboard / panel" to what it asks for."""
    found: dict[str, list[str]] = {}
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                found[f"{dashboard['title']} / {panel['title']}"] = [target["expr"] for target in panel["targets"]]
    return found


def filled_in(expr: str, window: str) -> str:
    """An expression as Grafana sends it with every service and instance chosen."""
    return expr.replace("$__rate_interval", window).replace("$service", ".*").replace("$instance", ".*")


class Prometheus:
    """A running server. ``url`` is its base; ``at`` the time that queries are about, in epoch seconds; 0 is now."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.at = 0.0

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Samples of an instant vector. Raises ``AssertionError`` with what Prometheus says of a wrong one."""
        answer = self._get("/api/v1/query", query=expr, time=str(self.at or time.time()))
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its state, health and last error."""
        return [rule for group in self._get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]

    def targets(self) -> dict[str, str]:
        """Health of each target, by job and address."""
        found = self._get("/api/v1/targets")["data"]["activeTargets"]
        return {f"{one['labels']['job']} {one['labels']['instance']}": one["health"] for one in found}

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}{path}", params=params, timeout=20)
        assert answer.status_code == 200, f"{params}: {answer.text}"
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def prometheus(folder: Path, home: Path, targets: dict[str, str], *, every: str = "1s") -> Iterator[Prometheus]:
    """Scrape ``targets`` (job to "host:port") and evaluate our rules, both as often as ``every`` says."""
    (home / "rules").mkdir()
    for path in RULES:
        shutil.copy(path, home / "rules")
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()
        ],
    }
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        str(folder / "prometheus"), f"--config.file={home / 'prometheus.yml'}", f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    log = home / "prometheus.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=home, start_new_session=True)
    try:
        made = Prometheus(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + UP_WITHIN
        while not _ready(made.url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"Prometheus is not ready:\n{log.read_text()}"
            time.sleep(0.1)
        yield made
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
