"""Alert rules and dashboards, as far as they can be judged without anything running (see also e2e/test_prometheus)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from omni_core.settings import HTTP_PORTS

from tests.support.prometheus import DASHBOARDS, ROOT, RULES, filled_in, names, panels, promtool, rules, selectors
from tools import get_prometheus
from tools.dashboards.grafana import DATASOURCE
from tools.get_prometheus import CannotHave
from tools.make_dashboards import write

PROMETHEUS = ROOT / "deploy/prometheus"
GRAFANA = ROOT / "deploy/grafana"
CASES = sorted((PROMETHEUS / "tests").glob("*.yml"))


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in DASHBOARDS]


# ---- rules ----------------------------------------------------------------------------------------------------------


def test_promtool_accepts_configuration_and_rules(prometheus_programs: Path) -> None:
    assert promtool(prometheus_programs, "check", "config", PROMETHEUS / "prometheus.yml")[0] == 0
    code, said = promtool(prometheus_programs, "check", "rules", *RULES)
    assert code == 0, said


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_not_otherwise(prometheus_programs: Path, case: Path) -> None:
    code, said = promtool(prometheus_programs, "test", "rules", case)
    assert code == 0, said


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    seen: dict[bool, set[str]] = {True: set(), False: set()}
    for path in CASES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for one in case["alert_rule_test"]:
                seen[bool(one["exp_alerts"])].add(one["alertname"])
    assert seen[True] == set(rules("alert"))
    assert seen[False] == set(rules("alert"))


def test_every_alert_says_how_urgent_it_is_what_is_wrong_and_what_to_do() -> None:
    book = (ROOT / "docs/operations.md").read_text()
    entries = re.findall(r"^### (\w+)$", book.partition("\n## Runbook\n")[2].partition("\n## ")[0], re.MULTILINE)
    for name, rule in rules("alert").items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["summary"], name
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}", name
    assert sorted(entries) == sorted(rules("alert")), "an entry of the runbook for each alert, and none more"


def test_every_service_is_scraped_where_it_listens() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    found = {}
    for job in config["scrape_configs"]:
        for lookup in job.get("dns_sd_configs", ()):
            assert (lookup["names"], lookup["type"]) == ([job["job_name"]], "A")
            found[job["job_name"]] = lookup["port"]
    assert found == HTTP_PORTS


# ---- dashboards -----------------------------------------------------------------------------------------------------


def test_the_dashboards_are_what_their_code_makes(tmp_path: Path) -> None:
    write(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in DASHBOARDS
    }, "run make dashboards"


def test_ids_are_unique_and_panels_do_not_overlap() -> None:
    found = dashboards()
    assert len({one["uid"] for one in found}) == len({one["title"] for one in found}) == len(found) == 4
    for one in found:
        numbers = [panel["id"] for panel in one["panels"]]
        assert len(set(numbers)) == len(numbers)
        assert len({panel["title"] for panel in one["panels"]}) == len(numbers)
        taken: set[tuple[int, int]] = set()
        for panel in one["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
            }  # fmt: skip
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= 24, panel["title"]
            taken |= cells


def test_panels_ask_the_provisioned_source_and_heed_the_choices_above_them() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == DATASOURCE
    for one in dashboards():
        assert [choice["name"] for choice in one["templating"]["list"]] == ["service", "instance"]
        for panel in one["panels"]:
            for target in panel.get("targets", ()):
                assert target["datasource"] == DATASOURCE
    recorded = set(rules("record"))
    for title, asked in panels().items():
        for expr in asked:
            for selector in selectors(expr):
                chosen = 'job=~"$service"' in selector and 'instance=~"$instance"' in selector
                assert chosen or selector in recorded, f"{title}: {selector}"


def check_as_rules(folder: Path, place: Path, expressions: list[str]) -> tuple[int, str]:
    group = {"name": "any", "rules": [{"record": f"any:{n}", "expr": expr} for n, expr in enumerate(expressions)]}
    place.write_text(yaml.safe_dump({"groups": [group]}))
    return promtool(folder, "check", "rules", place)


def test_every_expression_of_a_panel_parses(prometheus_programs: Path, tmp_path: Path) -> None:
    asked = [filled_in(expr, "1m") for exprs in panels().values() for expr in exprs]
    code, said = check_as_rules(prometheus_programs, tmp_path / "rules.yml", asked)
    assert code == 0, said
    assert f"{len(asked)} rules found" in said


def test_what_does_not_parse_is_found(prometheus_programs: Path, tmp_path: Path) -> None:
    assert check_as_rules(prometheus_programs, tmp_path / "rules.yml", ["up", "sum(rate(x[1m])"])[0] != 0


def test_what_an_expression_asks_for_is_seen() -> None:
    expr = (
        'a:b > 0 and sum by (job, le) (rate(c_total{x="y, z"}[5m])) / on () group_left () max({__name__=~"d.+"}) or up'
    )
    assert selectors(expr) == ['c_total{x="y, z"}', '{__name__=~"d.+"}', "a:b", "up"]
    assert names(expr) == {"a:b", "c_total", "up"}


# ---- getting Prometheus ---------------------------------------------------------------------------------------------


def test_a_machine_without_debians_tools_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(get_prometheus, "HOME", tmp_path / "debian")
    with pytest.raises(CannotHave, match=r"no apt-get and no dpkg-deb here: put Prometheus 2\.42 or newer on PATH"):
        get_prometheus.prometheus_folder()


def test_an_older_prometheus_on_path_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in get_prometheus.PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\necho 'promtool, version 2.24.1 (branch: x)'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(get_prometheus, "HOME", tmp_path / "debian")
    with pytest.raises(CannotHave):
        get_prometheus.prometheus_folder()
